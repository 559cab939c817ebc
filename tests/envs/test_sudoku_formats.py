"""Sudoku grids as text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_envs.sudoku.formats import format_grid, parse_grids


@given(st.data(), st.sampled_from([4, 6, 9]))
def test_round_trip(data, size):
    cells = data.draw(st.lists(st.integers(1, size + 1), min_size=size * size, max_size=size * size))
    grid = np.array(cells, np.uint8)
    line = "".join("." if token == 1 else str(token - 1) for token in cells)
    for text in (line, format_grid(grid)):
        np.testing.assert_array_equal(parse_grids(text, size), grid[None])
    both = "# two\n" + format_grid(grid) + "\n\n" + line + "\n" + format_grid(grid)
    np.testing.assert_array_equal(parse_grids(both, size), np.stack([grid] * 3))


def test_grid_with_frames_and_all_blanks():
    text = """
    +-----+-----+
    | 1 2 | 3 4 |
    | . 0 | _ . |
    +=====+=====+
    | 2 . | . . |
    | . . | . 1 |
    +-----+-----+
    """
    grid = "1 2 | 3 4\n. . | . .\n----+----\n2 . | . .\n. . | . 1"
    assert format_grid(parse_grids(text, 4)[0]) == grid


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1234\n..y.\n", "line 2, column 3: 'y'"),
        ("5" + "." * 15, "line 1, column 1: '5'"),
        ("123", "line 1: has 3 cells, expected 4 .a row. or 16"),
        ("1234\n123\n", "line 1: the grid ends after 1 of 4 rows"),
        ("1234\n1..\n", "line 2: has 3 cells, expected 4 .a row. or 16"),
        ("....\n....\n\n", "line 2: the grid ends after 2 of 4 rows"),
        ("\n# nothing\n", "no Sudoku grid"),
    ],
)
def test_parse_errors_name_the_place(text, message):
    with pytest.raises(ValueError, match=message):
        parse_grids(text, 4)


def test_other_errors():
    with pytest.raises(ValueError, match="size=5: a Sudoku has one of the sizes 4, 6, 9"):
        parse_grids("....", 5)
    with pytest.raises(ValueError, match="row 1, column 2: token 0"):
        format_grid(np.array([1, 0] + [1] * 14))
    with pytest.raises(ValueError, match="not square"):
        format_grid(np.ones(15, np.uint8))
    with pytest.raises(ValueError, match="one grid"):
        format_grid(np.ones((1, 16), np.uint8))
