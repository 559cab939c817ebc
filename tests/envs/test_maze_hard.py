"""The collection of hard mazes, and its generation."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import hrm_envs  # noqa: F401 (registers the ids)
from hrm_envs.maze.build_dataset import hard_mazes, reaching
from hrm_envs.maze.hard import DATA_FILE, MIN_STEPS, SIZE, WALL_SHARE, HardMazeTask, load_mazes, load_seed, save_mazes
from hrm_envs.maze.search import UNREACHED, distances
from hrm_envs.maze.tokens import GOAL, PATH, START, WALL
from hrm_envs.puzzles.pool import hold_pool
from hrm_envs.testing import check_task

ID = "HRM/Maze-30x30-Hard-v0"
OFFICIAL = Path(__file__).parents[2].parent / "shared" / "data" / "maze-30x30-hard-train.npz"


@pytest.fixture(scope="module")
def task():
    return HardMazeTask()


@pytest.fixture(scope="module")
def splits(task):
    return {split: task.stored(split) for split in ("train", "test")}


def search(puzzle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps from S to G, and the number of shortest paths, of mazes ``[B, S]``.

    The paths to a cell are those to its neighbours that are one step nearer.
    """
    grid = np.pad(puzzle.reshape(-1, SIZE, SIZE), ((0, 0), (1, 1), (1, 1)), constant_values=WALL)
    start, goal = ((grid.reshape(len(grid), -1) == token).argmax(axis=1) for token in (START, GOAL))
    distance = distances(grid != WALL, start).reshape(-1).astype(np.int64)
    ways = (distance == 0).astype(np.float64)
    for step in range(1, 200):
        cells = np.flatnonzero(distance == step)
        for offset in (-SIZE - 2, -1, 1, SIZE + 2):
            ways[cells] += np.where(distance[cells + offset] == step - 1, ways[cells + offset], 0)
    place = np.arange(len(grid)) * (SIZE + 2) ** 2 + goal
    return distance[place], ways[place]


def statistics(puzzle: np.ndarray) -> dict[str, str]:
    """The numbers of the table in the docstring of the class."""
    share = (puzzle == WALL).mean(axis=1)
    steps, ways = search(puzzle)
    return {
        "walls, share of cells: mean": f"{share.mean():.3f}",
        "walls, share of cells: least, most": f"{share.min():.3f}, {share.max():.3f}",
        "steps from S to G: mean": f"{steps.mean():.1f}",
        "steps from S to G: least, median, most": f"{steps.min()}, {np.median(steps):.0f}, {steps.max()}",
        "number of shortest paths: least": f"{ways.min():,.0f}",
        "number of shortest paths: median": f"{np.median(ways) / 1e6:.1f} million",
    }


def column(number: int) -> dict[str, str]:
    """A column of that table."""
    lines = [re.split(r" {2,}", line.strip()) for line in (HardMazeTask.__doc__ or "").splitlines()]
    return {line[0]: line[number] for line in lines if len(line) == 4 and ":" in line[0]}


def test_the_counting_of_paths():
    """In an open field of 3 x 4 cells, the 5 steps, 2 of them down, may have any order."""
    grid = np.full((SIZE, SIZE), WALL, np.uint8)
    grid[:3, :4] = 2
    grid[0, 0], grid[2, 3] = START, GOAL
    steps, ways = search(grid.reshape(1, -1))
    assert (steps[0], ways[0]) == (5, 10)


def test_the_table_is_true(splits):
    assert statistics(splits["train"].puzzle) == column(1)
    assert statistics(splits["test"].puzzle) == column(2)


@pytest.mark.skipif(not OFFICIAL.is_file(), reason="the official data set is not here")
def test_the_table_is_true_of_the_official_mazes():
    with np.load(OFFICIAL) as data:
        assert statistics(data["inputs"]) == column(3)


def test_every_maze_keeps_the_recipe(task, splits):
    for batch in splits.values():
        assert len(batch) == 1000
        steps, _ = search(batch.puzzle)
        assert steps.min() == MIN_STEPS
        assert ((batch.solution == PATH).sum(axis=1) + 2 == steps + 1).all()
        task.check(batch)
        # 0.06 is four standard deviations of the share of walls in 900 cells.
        share = (batch.puzzle == WALL).mean(axis=1)
        assert ((share > WALL_SHARE[0] - 0.06) & (share < WALL_SHARE[1])).all()


def test_no_maze_is_an_image_of_another(task, splits):
    keys = task.symmetry_key(np.concatenate([batch.puzzle for batch in splits.values()]))
    assert len(np.unique(keys)) == 2000


def test_the_file_is_small_and_quick_to_load(task):
    assert DATA_FILE.stat().st_size < 400_000
    assert len(list(DATA_FILE.parent.iterdir())) == 1
    began = time.process_time()
    task.stored("train")
    assert time.process_time() - began < 0.7


def test_nothing_is_read_before_it_is_needed():
    code = (
        "import numpy, sys, gymnasium, hrm_envs\n"
        "numpy.load = lambda *a, **k: sys.exit('read')\n"
        f"gymnasium.make({ID!r}).unwrapped.task_spec"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_seed_makes_the_file_again(tmp_path):
    first = np.stack(list(itertools.islice(hard_mazes(load_seed(DATA_FILE)), 3)))
    assert np.array_equal(first, load_mazes(DATA_FILE, slice(3)))
    save_mazes(tmp_path / "some.npz", first, 7)
    assert np.array_equal(load_mazes(tmp_path / "some.npz", slice(1, 9)), first[1:])
    assert load_seed(tmp_path / "some.npz") == 7
    assert not np.array_equal(first[0], next(hard_mazes(1)))


@pytest.mark.parametrize("steps", [1, 7, 8, 40, 80])
def test_the_quick_search_agrees_with_the_plain_one(steps):
    rng = np.random.default_rng(0)
    free = rng.random((400, 64)) >= np.linspace(0, 0.7, 64)
    start = rng.integers(400, size=64)
    free[start, np.arange(64)] = True
    distance = distances(free.T.reshape(-1, 20, 20), start).reshape(64, -1)
    expected = ((distance >= steps) & (distance != UNREACHED)).any(axis=1)
    assert np.array_equal(np.sort(reaching(free, start, steps)), np.flatnonzero(expected))


def test_the_task_and_its_environment(task):
    check_task(task)
    env = gym.make(ID, split="test", expose_solution=True)
    assert (env.unwrapped.task_spec.name, env.unwrapped.max_segments) == ("Maze 30x30 Hard", 16)
    assert env.unwrapped.num_puzzles == 1000
    _, info = env.reset(options={"index": 999})
    assert env.step({"answer": info["solution"], "halt": 1})[1] == 1.0


def test_rows_equal_single_environments():
    settings = {"num_puzzles": 12, "max_segments": 2, "expose_solution": True, "reward": "partial"}
    env = gym.make_vec(ID, num_envs=3, **settings)
    singles = [gym.make(ID, disable_env_checker=True, **settings).unwrapped for _ in range(3)]
    obs, info = env.reset(seed=5)
    for row, one in enumerate(singles):
        own, _ = one.reset(seed=5 + row)
        assert np.array_equal(obs["puzzle"][row], own["puzzle"])
    rng = np.random.default_rng(0)
    for _ in range(6):
        answer = np.where(rng.random((3, 1)) < 0.5, info["solution"], obs["puzzle"])
        halt = rng.integers(0, 2, 3)
        obs, reward, terminated, _, info = env.step({"answer": answer, "halt": halt})
        for row, one in enumerate(singles):
            own, own_reward, own_end, _, _ = one.step({"answer": answer[row], "halt": halt[row]})
            assert (reward[row], terminated[row]) == (own_reward, own_end)
            if own_end:  # the vector row already has its next puzzle
                own, _ = one.reset()
            assert np.array_equal(obs["puzzle"][row], own["puzzle"])


def test_fewer_and_all(task, splits):
    few = hold_pool(task, "train", 10)
    own = {row.tobytes() for row in splits["train"].puzzle}
    assert len(few) == 10
    assert {row.tobytes() for row in few.puzzle} <= own
    assert len(hold_pool(task, "all", None)) == 2000
    with pytest.raises(ValueError, match="holds 1000 puzzles in split 'test'"):
        hold_pool(task, "test", 1001)
    drawn = task.sample(np.random.default_rng(0), 5)
    both = own | {row.tobytes() for row in splits["test"].puzzle}
    assert {row.tobytes() for row in drawn.puzzle} <= both


@pytest.mark.skipif(not OFFICIAL.is_file(), reason="the official data set is not here")
def test_the_official_mazes_play_instead():
    env = gym.make(ID, puzzles=str(OFFICIAL), split="all", num_puzzles=50)
    assert env.unwrapped.num_puzzles == 50
    with np.load(OFFICIAL) as data:
        assert np.array_equal(env.reset(options={"index": 49})[0]["puzzle"], data["inputs"][49])
