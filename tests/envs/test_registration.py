"""Registering a task registers the single and the vector environment."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import hrm_envs
from hrm_envs.registration import register_task, registered_ids
from hrm_envs.sudoku import SudokuTask


@pytest.fixture
def registry():
    before = dict(gym.registry)
    yield gym.registry
    gym.registry.clear()
    gym.registry.update(before)


def test_built_in_ids():
    ids = registered_ids()
    assert {"HRM/Sudoku-4x4-v0", "HRM/Sudoku-9x9-v0", "HRM/Maze-30x30-v0"} <= set(ids)
    mazes = [id for id in ids if id.startswith("HRM/Maze")]
    sizes = [int(id.split("-")[1].split("x")[0]) for id in mazes]
    assert sizes == sorted(sizes)  # in numeric order


@pytest.mark.parametrize("id", registered_ids())
def test_single_and_vector_hold_the_same_puzzles(id):
    single = gym.make(id, num_puzzles=3).unwrapped
    vector = gym.make_vec(id, num_envs=2, num_puzzles=3)
    assert single.data_hash == vector.data_hash
    assert single.max_segments == vector.max_segments
    assert gym.spec(id).max_episode_steps is None  # a time limit would truncate


def test_a_task_of_ones_own(registry):
    class MyTask(SudokuTask):
        def __init__(self, size: int = 4, level: None = None) -> None:
            super().__init__(size, level)

    register_task("MyLab/Mine-v0", MyTask, max_segments=5, kwargs={"size": 6, "segment_cost": 0.5})
    env = gym.make("MyLab/Mine-v0", num_puzzles=2)
    assert env.unwrapped.task_spec.name == "Sudoku 6x6"
    assert env.unwrapped.max_segments == 5
    obs, _ = env.reset(seed=0)
    assert env.step({"answer": obs["puzzle"], "halt": 0})[1] == -0.5
    rows = gym.make_vec("MyLab/Mine-v0", num_envs=3, size=4, num_puzzles=2, max_segments=2)
    assert rows.reset(seed=0)[0]["puzzle"].shape == (3, 16)
    assert rows.max_segments == 2
    assert "MyLab/Mine-v0" in hrm_envs.registered_ids()


def test_instances_functions_and_names(registry):
    register_task("MyLab/Instance-v0", SudokuTask(4))
    register_task("MyLab/Function-v0", lambda size=4: SudokuTask(size))
    register_task("MyLab/Name-v0", "hrm_envs.sudoku:SudokuTask", kwargs={"size": 4})
    hashes = {gym.make(f"MyLab/{name}-v0", num_puzzles=3).unwrapped.data_hash
              for name in ("Instance", "Function", "Name")}  # fmt: skip
    assert len(hashes) == 1
    env = gym.make_vec("MyLab/Instance-v0", num_envs=2, num_puzzles=3)
    env.reset(seed=0)
    assert env.step(env.action_space.sample())[1].dtype == np.float64
