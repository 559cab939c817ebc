"""The right answer nearest to an agent's own: of tasks, and through the environment."""

import gymnasium as gym
import numpy as np
import pytest
from test_nearest_path import all_shortest_paths

import hrm_envs
from hrm_envs.maze.task import MazeTask
from hrm_envs.maze.tokens import FREE, GOAL, PATH, START, WALL
from hrm_envs.testing import check_task

OPEN = {"size": 7, "kind": "random", "wall_share": (0.1, 0.3), "min_path": 4}


def test_a_maze_has_its_nearest_path():
    """Among all shortest paths, by exhaustive search."""
    task, rng = MazeTask(**OPEN), np.random.default_rng(0)
    batch = task.sample(rng, 24).take(slice(24))
    scores = rng.normal(size=(len(batch), 49, 6)).astype(np.float32)
    nearest, several = task.nearest(batch, scores), 0
    for row, maze in enumerate(batch.puzzle):
        ends = [int(np.flatnonzero(maze == token)[0]) for token in (START, GOAL)]
        paths = all_shortest_paths((maze != WALL).reshape(7, 7), *ends)
        totals = [(scores[row, path, PATH] - scores[row, path, FREE]).sum() for path in paths]
        best = maze.copy()
        best[paths[int(np.argmax(totals))]] = PATH
        assert np.array_equal(nearest[row], best)
        several += len(paths) > 1
    assert several > 12


@pytest.mark.parametrize("kwargs", [OPEN, {"size": 9}])
def test_mazes_keep_the_rules(kwargs):
    check_task(MazeTask(**kwargs))


def test_the_environment_answers():
    env = gym.make_vec("HRM/Maze-7x7-v0", 3, kind="random", wall_share=(0.1, 0.3), num_puzzles=20, expose_solution=True)
    _, info = env.reset(seed=0)
    scores = np.random.default_rng(0).normal(size=(3, 49, 6)).astype(np.float32)
    nearest = env.nearest(scores)
    assert env.judge(nearest).success.all()
    favoured = (info["solution"][..., None] == np.arange(6)).astype(np.float32)
    assert np.array_equal(env.nearest(favoured), info["solution"])
    for wrong, problem in ((scores[:2], "expected floats"), (scores.astype(int), "expected floats"),
                           (scores * np.nan, "not all are finite")):  # fmt: skip
        with pytest.raises(ValueError, match=problem):
            env.nearest(wrong)


def test_one_answer_is_the_nearest_one():
    env = gym.make_vec("HRM/Sudoku-4x4-v0", 2, num_puzzles=10, expose_solution=True)
    _, info = env.reset(seed=0)
    assert np.array_equal(env.nearest(np.zeros((2, 16, 6), np.float32)), info["solution"])


def test_what_is_hidden_stays_hidden():
    env = gym.make_vec("HRM/Maze-7x7-v0", 2, num_puzzles=10)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="solutions are hidden"):
        env.nearest(np.zeros((2, 49, 6), np.float32))


def test_rows_without_a_label_have_no_nearest_answer():
    kwargs = {"empty_cells": (1, 8), "score": "rules", "num_labelled": 4, "num_puzzles": 40, "expose_solution": True}
    env = gym.make_vec("HRM/Sudoku-4x4-v0", 16, **kwargs)
    _, info = env.reset(seed=0)
    labelled = info["solution"].any(axis=1)
    nearest = env.nearest(np.zeros((16, 16, env.task_spec.vocab_size), np.float32))
    assert np.array_equal(nearest.any(axis=1), labelled)
    assert hrm_envs.Task.many_answers is False
