"""Grids on canvases: placing, locating and reading them, and transforming them as numpy does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from hrm_envs.arc.augmentation import INVERSE, AugmentationTable, turn
from hrm_envs.arc.grids import SYMBOLS, corners, place, read_grid, read_sizes
from hrm_envs.arc.transforms import Transforms, place_turned
from hrm_envs.spec import IdTable

SIDE = 9
TABLE = AugmentationTable(IdTable(("one", "two", "three"), copies=20, seed=5))
grids = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=SIDE), elements=st.integers(0, 9))


def canvas(text: str):
    """A canvas from lines of symbols."""
    rows = text.split()
    return np.array([[SYMBOLS.index(c) for c in row] for row in rows], np.uint8).reshape(1, -1)


def test_a_grid_is_placed_with_its_end_markers():
    expected = canvas("""
        12|__
        30|__
        ||___
        _____
        _____
    """)
    assert (place([np.array([[1, 2], [3, 0]], np.uint8)], 5) == expected).all()


def test_a_grid_as_large_as_the_canvas_has_no_room_for_markers():
    assert (place([np.full((2, 3), 7, np.uint8)], 3) == canvas("777 777 |||")).all()
    assert (place([np.full((3, 3), 7, np.uint8)], 3) == canvas("777 777 777")).all()


def test_a_grid_too_large_is_refused():
    with pytest.raises(ValueError, match="a grid of 3 x 6 does not fit a canvas of 5 x 5"):
        place([np.zeros((3, 6), np.uint8)], 5)


@given(grids)
def test_what_is_placed_is_read_back(grid):
    tokens = place([grid], SIDE)
    assert np.array_equal(read_grid(tokens[0], SIDE), grid)
    origin, size = corners(tokens, SIDE)
    assert origin.tolist() == [[0, 0]]
    assert size.tolist() == [list(grid.shape)]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("12|_ 34|_ ||__ ____", (2, 2)),
        ("12__ 34__ ____ ____", (2, 2)),  # padding also ends a grid
        ("123| 1_|_ 1|__ |___", (1, 3)),  # 1 x 3 and 3 x 1 have the same area: the flattest counts
        ("12|1 34|_ 56|_ ||__", (3, 2)),  # a stray colour beyond the marker
        ("1234 12|_ 12|_ ||__", (3, 2)),
        ("|123 1234 1234 1234", (0, 0)),
        ("____ ____ ____ ____", (0, 0)),
        ("1111 1111 1111 1111", (4, 4)),
    ],
)
def test_the_largest_rectangle_of_colours_is_read(text, size):
    assert read_sizes(canvas(text), 4).tolist() == [list(size)]
    assert read_grid(canvas(text)[0], 4).shape == size


def largest_by_search(tokens, side, row, column):
    """The definition, by trying all rectangles."""
    grid, best = tokens.reshape(side, side), (0, 0)
    for height in range(1, side - row + 1):
        for width in range(1, side - column + 1):
            if (grid[row : row + height, column : column + width] >= 2).all() and height * width > best[0] * best[1]:
                best = (height, width)
    return list(best)


@given(st.integers(0, 2**32), st.integers(0, 4), st.integers(0, 4))
def test_reading_equals_trying_all_rectangles(seed, row, column):
    rng = np.random.default_rng(seed)
    tokens = np.where(rng.random((6, 25)) < 0.2, rng.integers(0, 2, (6, 25)), 5).astype(np.uint8)
    origin = np.tile([row, column], (6, 1))
    expected = [largest_by_search(canvas, 5, row, column) for canvas in tokens]
    assert read_sizes(tokens, 5, origin).tolist() == expected


@given(grids, st.integers(0, 7), st.integers(0, 100), st.integers(0, 100))
def test_a_canvas_is_turned_and_moved_as_its_grid_is(grid, symmetry, down, right):
    turned = turn(grid, symmetry)
    origin = np.array([[down % (SIDE - turned.shape[0] + 1), right % (SIDE - turned.shape[1] + 1)]])
    # Between arbitrary positions: first away from the corner, then turned and moved to a third position.
    room = [SIDE - side for side in grid.shape]
    elsewhere = np.array([[right % (room[0] + 1), down % (room[1] + 1)]])
    away = place_turned(place([grid], SIDE), SIDE, np.array([0]), elsewhere)
    moved = place_turned(away, SIDE, np.array([symmetry]), origin)
    assert np.array_equal(read_grid(moved[0], SIDE, tuple(origin[0])), turned)
    assert corners(moved, SIDE)[0].tolist() == origin.tolist()
    # In the corner, the result equals placing the turned grid, including end markers.
    home = place_turned(moved, SIDE, np.array([0]), np.array([[0, 0]]))
    assert (home == place([turned], SIDE)).all()


@given(grids, st.integers(0, 60))
def test_undoing_an_augmentation_gives_the_grid_back(grid, task_id):
    augmentation = TABLE[task_id]
    assert np.array_equal(augmentation.undo(augmentation.apply(grid)), grid)
    assert ((augmentation.apply(grid) == 0).sum()) == (grid == 0).sum()  # black stays black


@given(st.lists(grids, min_size=1, max_size=4), st.data())
def test_a_batch_goes_from_any_augmentation_to_any_other(batch, data):
    before, after = (np.array(data.draw(st.lists(st.integers(0, 60), min_size=len(batch), max_size=len(batch))))
                     for _ in range(2))  # fmt: skip
    shown = place([TABLE[i].apply(grid) for i, grid in zip(before, batch, strict=True)], SIDE)
    expected = place([TABLE[i].apply(grid) for i, grid in zip(after, batch, strict=True)], SIDE)
    transforms = Transforms(SIDE, TABLE)
    assert (transforms.apply(shown, before, after, np.zeros((len(batch), 2), np.int64)) == expected).all()
    sizes = np.array([TABLE[i].apply(grid).shape for i, grid in zip(before, batch, strict=True)])
    turned = [list(TABLE[i].apply(grid).shape) for i, grid in zip(after, batch, strict=True)]
    assert transforms.size_after(sizes, before, after).tolist() == turned


def test_every_symmetry_has_its_inverse():
    grid = np.arange(6, dtype=np.uint8).reshape(2, 3)
    images = [turn(grid, k) for k in range(8)]
    assert len({(image.shape, image.tobytes()) for image in images}) == 8
    assert all(np.array_equal(turn(image, INVERSE[k]), grid) for k, image in enumerate(images))


def test_copies_depend_on_name_and_seed_alone():
    alone = AugmentationTable(IdTable(("three",), copies=8, seed=5))
    assert (alone.symmetry[1:] == TABLE.symmetry[41:49]).all()
    assert (alone.colours[1:] == TABLE.colours[41:49]).all()
    other = AugmentationTable(IdTable(("three",), copies=8, seed=6))
    assert (alone.colours != other.colours).any()


def test_the_first_copy_is_the_task_itself_and_all_copies_fix_black():
    for first in (1, 21, 41):
        assert TABLE.symmetry[first] == 0
        assert TABLE.colours[first].tolist() == list(range(10))
    assert not TABLE.colours[:, 0].any()
    assert (np.sort(TABLE.colours, axis=1) == np.arange(10)).all()
    assert len(set(TABLE.symmetry.tolist())) == 8
