"""Keywords of an environment: settings and tasks."""

from __future__ import annotations

import numpy as np
import pytest

from hrm_envs.env import ReasoningEnv
from hrm_envs.sudoku import SudokuTask
from hrm_envs.task import PuzzleBatch
from hrm_envs.vector_env import ReasoningVectorEnv

TASK = SudokuTask(4)
BATCH = TASK.sample(np.random.default_rng(0), 40)


def make(task="hrm_envs.sudoku:SudokuTask", **kwargs):
    return ReasoningEnv(task, **{"size": 4, **kwargs} if isinstance(task, str) else kwargs)


def pool(env) -> PuzzleBatch:
    return env._dynamics.pool


@pytest.mark.parametrize("env_class", [ReasoningEnv, ReasoningVectorEnv])
@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"sise": 4}, TypeError, r"got an unexpected keyword argument 'sise'; did you mean 'size'\?"),
        ({"split": "dev"}, ValueError, "split='dev': choose one of 'train', 'test', 'all'"),
        ({"reward": "speed"}, ValueError, r"unknown reward 'speed': choose one of \['exact', 'partial'\]"),
        ({"max_segments": 0}, ValueError, "max_segments=0"),
        ({"num_puzzles": 0}, ValueError, "num_puzzles=0"),
        ({"segment_cost": float("nan")}, ValueError, "segment_cost=nan"),
        ({"max_segments": None}, ValueError, "max_segments=None must be a whole number"),
        ({"pool_seed": "7"}, ValueError, "pool_seed='7' must be a whole number"),
        ({"pool_seed": -1}, ValueError, "pool_seed=-1"),
        ({"expose_solution": None}, ValueError, "expose_solution=None"),
        ({"size": 5}, ValueError, "5"),
        ({"max_segments": 2.5}, ValueError, "max_segments=2.5 must be a whole number"),
        ({"num_puzzles": "abc"}, ValueError, "num_puzzles='abc' must be a whole number"),
        ({"num_puzzles": True}, ValueError, "num_puzzles=True must be a whole number"),
        ({"segment_cost": "x"}, ValueError, "segment_cost='x' is not a number"),
        ({"augment": "yes"}, ValueError, "augment='yes' is not true or false"),
    ],
)
def test_bad_keywords(env_class, kwargs, error, message):
    with pytest.raises(error, match=message):
        env_class("hrm_envs.sudoku:SudokuTask", **{"size": 4, "num_puzzles": 4, **kwargs})


@pytest.mark.parametrize("env_class", [ReasoningEnv, ReasoningVectorEnv])
def test_puzzles_are_made_when_first_needed(env_class):
    class Counting(SudokuTask):
        calls = 0

        def sample(self, rng, num):
            self.calls += 1
            return super().sample(rng, num)

    task = Counting(4)
    env = env_class(task, num_puzzles=np.int64(5))
    env.reset(seed=0, options={"puzzle": BATCH.puzzle[:1]})
    assert task.calls == 0
    env.reset(options={"index": [0]})
    assert task.calls > 0
    made = task.calls
    assert env.num_puzzles == 5
    assert env.data_hash
    env.reset()
    assert task.calls == made


def test_tasks_by_name_class_function_and_instance():
    for task in ("hrm_envs.sudoku:SudokuTask", SudokuTask, lambda size: SudokuTask(size)):
        assert ReasoningEnv(task, size=4, num_puzzles=2).task_spec.name == "Sudoku 4x4"
    assert ReasoningEnv(SudokuTask(4), num_puzzles=2).task_spec.name == "Sudoku 4x4"
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'size'"):
        ReasoningEnv(SudokuTask(4), size=4)


def test_tasks_that_pass_keywords_on():
    class Mine(SudokuTask):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)

    assert ReasoningEnv(Mine, size=6, num_puzzles=2).task_spec.name == "Sudoku 6x6"


def test_num_puzzles_and_pool_seed():
    few = make(num_puzzles=5)
    assert few.num_puzzles == len(np.unique(pool(few).puzzle, axis=0)) == 5
    assert few.data_hash == make(num_puzzles=5).data_hash == make(num_puzzles=5, pool_seed=0).data_hash
    assert few.data_hash != make(num_puzzles=5, pool_seed=1).data_hash
    played = {few.reset(options={"index": i})[0]["puzzle"].tobytes() for i in range(5)}
    assert len(played) == 5


def test_without_augment_only_the_pool_is_played():
    own = {puzzle.tobytes() for puzzle in pool(make(num_puzzles=5)).puzzle}
    for kwargs, expected in (({}, False), ({"augment": False}, True), ({"augment": True}, False)):
        env = make(num_puzzles=5, **kwargs)
        assert ({env.reset()[0]["puzzle"].tobytes() for _ in range(30)} <= own) is expected
    test = make(split="test", num_puzzles=5)
    assert {test.reset()[0]["puzzle"].tobytes() for _ in range(30)} == {p.tobytes() for p in pool(test).puzzle}


def test_splits_of_generated_puzzles_are_apart():
    keys = {split: set(TASK.symmetry_key(pool(make(split=split, num_puzzles=60)).puzzle).tolist())
            for split in ("train", "test")}  # fmt: skip
    assert not keys["train"] & keys["test"]


@pytest.mark.parametrize("env_class", [ReasoningEnv, ReasoningVectorEnv])
def test_more_puzzles_than_exist(env_class):
    env = env_class("hrm_envs.sudoku:SudokuTask", size=4, num_puzzles=400, empty_cells=(0, 0))
    with pytest.raises(ValueError, match="ask for fewer with num_puzzles="):
        env.reset(seed=0)


def test_playing_a_given_puzzle_makes_no_others(monkeypatch):
    env = ReasoningEnv("hrm_envs.sudoku:SudokuTask", size=4, num_puzzles=31)
    monkeypatch.setattr(env.task, "sample", lambda rng, num: pytest.fail("made puzzles"))
    obs, _ = env.reset(options={"puzzle": "1.3. .... .... .2.4".replace(" ", "\n")}, seed=0)
    assert obs["puzzle"][0] == 2


def test_seeds_may_be_numpy_integers():
    env = ReasoningVectorEnv("hrm_envs.sudoku:SudokuTask", 2, size=4, num_puzzles=20)
    assert np.array_equal(env.reset(seed=np.int64(3))[0]["puzzle"], env.reset(seed=3)[0]["puzzle"])


def test_thoughts_belong_to_one_step():
    env = ReasoningEnv("hrm_envs.sudoku:SudokuTask", size=4, num_puzzles=20, render_mode="ansi")
    env.reset(seed=0)
    env.post_thoughts(q_halt=0.9)
    action = {"answer": np.ones(16, np.uint8), "halt": 0}
    env.step(action)
    assert "Q halt 0.90" in env.render()
    env.step(action)
    assert "Q halt" not in env.render()
    assert env._view.frame().history == ((0.9, None), (None, None))
