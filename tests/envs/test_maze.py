"""Maze generation, symmetries, splits, text and users' puzzles."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maze_text import parse_maze

from hrm_envs.maze import MazeTask
from hrm_envs.maze.generator import all_perfect_grids, count_perfect_puzzles, perfect_grids, random_grids
from hrm_envs.puzzles.pool import default_size, make_pool
from hrm_envs.puzzles.splits import DISJOINT, in_split
from hrm_envs.streams import Draws
from hrm_envs.task import PuzzleBatch

WALL, FREE, START, GOAL, PATH = 1, 2, 3, 4, 5

TASKS = [MazeTask(5), MazeTask(7), MazeTask(9), MazeTask(8, "random"), MazeTask(12, "random", min_path=20)]
IDS = [task.spec.name for task in TASKS]


def canonical(flat, size):
    """An independent canonical form: the smallest of the 8 images as bytes."""
    grid = flat.reshape(size, size)
    images = [np.rot90(g, k) for g in (grid, np.fliplr(grid)) for k in range(4)]
    return min(np.ascontiguousarray(image).tobytes() for image in images)


def is_tree(free):
    """Free cells are connected and have one edge fewer than cells."""
    edges = (free[1:] & free[:-1]).sum() + (free[:, 1:] & free[:, :-1]).sum()
    todo = [tuple(np.argwhere(free)[0])]
    seen = set(todo)
    while todo:
        r, c = todo.pop()
        for to in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
            if free[to] and to not in seen:
                seen.add(to)
                todo.append(to)
    return len(seen) == free.sum() == edges + 1


@pytest.mark.parametrize("size", [5, 7, 9, 15, 21])
def test_perfect_grids_are_trees(size):
    for free in perfect_grids(np.random.default_rng(size), 30, size):
        assert not free[[0, -1]].any()
        assert not free[:, [0, -1]].any()
        assert free[1::2, 1::2].all()
        assert not free[::2, ::2].any()
        assert is_tree(free)


def test_perfect_grids_are_uniform_spanning_trees():
    grids = all_perfect_grids(7)
    assert len(grids) == len({g.tobytes() for g in grids}) == 192
    assert all(is_tree(g) for g in grids)
    assert len(all_perfect_grids(5)) == 4
    drawn = Counter(g.tobytes() for g in perfect_grids(np.random.default_rng(0), 19200, 7))
    counts = np.array([drawn.pop(g.tobytes()) for g in grids])
    assert not drawn
    # Chi-square with 191 degrees of freedom: mean 191, standard deviation 19.5.
    assert ((counts - 100) ** 2 / 100).sum() < 191 + 5 * 19.5


def test_random_grids_keep_the_wall_share():
    share = 1 - random_grids(np.random.default_rng(0), 2000, 30, (0.3, 0.5)).mean(axis=(1, 2))
    assert abs(share.mean() - 0.4) < 0.01
    # The standard deviation of the uniform wall probability, plus a little for the cells of each maze.
    assert abs(share.std() - 0.2 / 12**0.5) < 0.01


@pytest.mark.parametrize("task", TASKS, ids=IDS)
def test_samples_are_solved_puzzles(task):
    batch = task.sample(np.random.default_rng(1), 200)
    assert len(batch) == 200
    assert batch.puzzle.dtype == batch.solution.dtype == np.uint8
    assert batch.puzzle.shape == (200, task.spec.num_cells)
    assert task.verify(batch, batch.solution).success.all()
    assert ((batch.puzzle == START).sum(1) == 1).all()
    assert ((batch.puzzle == GOAL).sum(1) == 1).all()
    assert set(np.unique(batch.puzzle)) <= {WALL, FREE, START, GOAL}
    steps = (batch.solution == PATH).sum(1) + 1
    assert steps.min() >= task.min_path
    assert len(np.unique(steps)) > 1
    for seed in range(20):
        single = task.sample(np.random.default_rng(seed), 1)
        assert task.verify(single, single.solution).success.all()
    again = task.complete(batch.puzzle)
    np.testing.assert_array_equal(again.solution, batch.solution)


@pytest.mark.parametrize("task", TASKS, ids=IDS)
def test_same_seed_same_puzzles(task):
    first, second, other = (task.sample(np.random.default_rng(seed), 50) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.puzzle, second.puzzle)
    np.testing.assert_array_equal(first.solution, second.solution)
    assert not np.array_equal(first.puzzle, other.puzzle)


def test_large_requests_are_bounded_and_served():
    assert 1 <= len(MazeTask(99, "random").sample(np.random.default_rng(0), 5)) <= 5
    assert len(MazeTask(31).sample(np.random.default_rng(0), 20)) == 20


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**63), st.integers(0, 2**63), st.sampled_from(TASKS))
def test_augment_keeps_success_and_key(seed, key, task):
    batch = task.sample(np.random.default_rng(seed), 8)
    keys = np.arange(len(batch), dtype=np.uint64) + np.uint64(key)
    image = task.augment(batch, Draws(keys, np.zeros(len(batch))))
    assert task.verify(image, image.solution).success.all()
    np.testing.assert_array_equal(task.symmetry_key(image.puzzle), task.symmetry_key(batch.puzzle))
    for before, after in zip(batch.puzzle, image.puzzle, strict=True):
        assert canonical(before, task.size) == canonical(after, task.size)


def test_augment_draws_all_images_evenly():
    task = MazeTask(9, "random")
    row = task.sample(np.random.default_rng(0), 1).take(np.zeros(4000, np.int64))
    image = task.augment(row, Draws(np.arange(4000, dtype=np.uint64), np.zeros(4000)))
    counts = Counter(p.tobytes() for p in image.puzzle)
    assert len(counts) == 8
    assert min(counts.values()) > 400
    assert task.verify(image, image.solution).success.all()


@pytest.mark.parametrize("task", TASKS, ids=IDS)
def test_splits_share_no_symmetry_class(task):
    wished = {"train": 400, "validation": 100, "test": 100}
    pools = {s: make_pool(task, s, min(n, default_size(task, s))) for s, n in wished.items()}
    classes = [{canonical(p, task.size) for p in pool.puzzle} for pool in pools.values()]
    assert all(classes)
    assert len(set.union(*classes)) == sum(map(len, classes))


@pytest.mark.parametrize(("size", "min_path"), [(5, None), (5, 1), (5, 4), (7, None), (7, 8), (7, 14), (9, None)])
def test_default_pools_can_be_made(size, min_path):
    task = MazeTask(size, min_path=min_path)
    for split in DISJOINT:
        wanted = default_size(task, split)
        pool = make_pool(task, split, wanted)
        assert len({p.tobytes() for p in pool.puzzle}) == wanted
        assert in_split(task, pool.puzzle, split).all()


def test_small_mazes_are_counted():
    assert count_perfect_puzzles(5, 1) == 4 * 7 * 6
    assert count_perfect_puzzles(7, 1) == 192 * 17 * 16
    task = MazeTask(5, min_path=1)
    seen = {p.tobytes() for p in task.sample(np.random.default_rng(0), 5000).puzzle}
    assert len(seen) == 168


def test_text_of_a_maze():
    text = "#####\n#S o#\n# #o#\n#  G#\n#####"
    assert MazeTask(5).format(parse_maze(text).reshape(-1)) == text
    assert "".join(MazeTask().spec.symbols) == "?# SGo"


GOOD = "#####\n#S..#\n#.#.#\n#..G#\n#####"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("S", "."), "puzzle 1: 0 cells hold S, not exactly one"),
        (GOOD.replace("S.", "SS"), r"puzzle 1: 2 cells hold S, not exactly one \(row 2, column 2, row 2, column 3\)"),
        (GOOD.replace("G", "#"), "puzzle 1: 0 cells hold G"),
        (GOOD.replace("S.", "So"), "puzzle 1: row 2, column 3 holds 5, the path token"),
        (GOOD.replace("S.", "S?"), "puzzle 1: row 2, column 3 holds 0, padding"),
        ("#####\n#S.##\n#.###\n###G#\n#####", "puzzle 1: no path leads from S to G"),
    ],
)
def test_complete_names_what_is_wrong(text, message):
    task = MazeTask(5)
    puzzles = np.stack([parse_maze(GOOD).reshape(-1), parse_maze(text).reshape(-1)])
    with pytest.raises(ValueError, match=message):
        task.complete(puzzles)


def test_complete_rejects_shapes_and_types():
    task = MazeTask(5)
    for bad in (np.ones(25, np.uint8), np.ones((1, 24), np.uint8), np.ones((1, 5, 5), np.uint8)):
        with pytest.raises(ValueError, match=r"takes puzzles \[B, 25\]"):
            task.complete(bad)
    with pytest.raises(ValueError, match="integers"):
        task.complete(np.ones((1, 25)))
    wide = parse_maze(GOOD).reshape(1, -1).astype(np.int64)
    wide[0, 7] = 258
    with pytest.raises(ValueError, match="row 2, column 3 holds 258, not a token"):
        task.complete(wide)


def test_complete_solves_and_copies():
    task = MazeTask(5)
    puzzle = parse_maze(GOOD).reshape(1, -1)
    batch = task.complete(puzzle)
    assert task.verify(batch, batch.solution).success.all()
    assert not np.shares_memory(batch.puzzle, puzzle)
    assert (batch.solution == PATH).sum() == 3
    assert task.complete(puzzle[:0]).solution.shape == (0, 25)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"size": 8}, "odd size"),
        ({"size": 3}, "size=3 must be from 5 to 128"),
        ({"size": 129}, "size=129 must be from 5 to 128"),
        ({"kind": "round"}, "kind='round': choose one of 'perfect', 'random'"),
        ({"kind": "random", "wall_share": (0.5, 0.3)}, "wall_share"),
        ({"kind": "random", "wall_share": (-0.1, 0.3)}, "wall_share"),
        ({"kind": "random", "wall_share": (0.5, 1.0)}, "wall_share"),
        ({"kind": "random", "wall_share": (0.5,)}, "wall_share"),
        ({"min_path": 0}, "min_path=0 must be from 1 to 30"),
        ({"min_path": 31}, "min_path=31 must be from 1 to 30"),
        ({"size": 10, "kind": "random", "min_path": 100}, "min_path=100 must be from 1 to 99"),
    ],
)
def test_constructor_errors(keywords, message):
    with pytest.raises(ValueError, match=message):
        MazeTask(**keywords)


def test_sample_says_when_paths_are_too_long():
    task = MazeTask(5, "random", min_path=20)
    with pytest.raises(ValueError, match="the minimum path is too long for this size"):
        task.sample(np.random.default_rng(0), 3)


def test_check_refuses_a_label_that_is_a_detour():
    task = MazeTask(5, kind="random", min_path=1)
    puzzle = parse_maze("#####\n#S G#\n#   #\n#   #\n#####").reshape(1, -1)
    short = parse_maze("#####\n#SoG#\n#   #\n#   #\n#####").reshape(1, -1)
    detour = parse_maze("#####\n#S G#\n#ooo#\n#   #\n#####").reshape(1, -1)
    task.check(PuzzleBatch(puzzle, short))
    with pytest.raises(ValueError, match="puzzle 0: its solution has 3 path cells, a shortest path has 1"):
        task.check(PuzzleBatch(puzzle, detour))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"size": 7.0}, "size=7.0 must be a whole number"),
        ({"size": "7"}, "size='7' must be a whole number"),
        ({"min_path": 2.5}, "min_path=2.5 must be a whole number"),
        ({"wall_share": 0.3}, "wall_share=0.3"),
        ({"wall_share": ("a", "b")}, "wall_share="),
    ],
)
def test_keywords_of_the_wrong_type(kwargs, message):
    with pytest.raises(ValueError, match=message):
        MazeTask(**kwargs)
