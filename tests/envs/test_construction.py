"""Keywords of an environment: settings, tasks, and puzzles from outside."""

from __future__ import annotations

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from hrm_envs.construction import read_puzzles
from hrm_envs.env import ReasoningEnv
from hrm_envs.maze import MazeTask
from hrm_envs.pool import in_split
from hrm_envs.sudoku import SudokuTask
from hrm_envs.task import PuzzleBatch
from hrm_envs.vector_env import ReasoningVectorEnv

TASK = SudokuTask(4)
BATCH = TASK.sample(np.random.default_rng(0), 40)
TEXT = "\n".join(TASK.format(puzzle) for puzzle in BATCH.puzzle)
DATA = Path(__file__).parents[2].parent / "shared" / "data"


def make(task="hrm_envs.sudoku:SudokuTask", **kwargs):
    return ReasoningEnv(task, **{"size": 4, **kwargs} if isinstance(task, str) else kwargs)


def pool(env) -> PuzzleBatch:
    return env._dynamics.pool


@pytest.mark.parametrize("env_class", [ReasoningEnv, ReasoningVectorEnv])
@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"sise": 4}, TypeError, "unknown keyword 'sise'; the environment takes split, .*the task takes size, level"),
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
    with pytest.raises(TypeError, match="unknown keyword 'size'"):
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


def sources(folder: Path):
    """Every form in which puzzles may be given, with and without solutions."""
    np.save(folder / "a.npy", BATCH.puzzle)
    np.save(folder / "grids.npy", BATCH.puzzle.reshape(-1, 4, 4))
    np.savez(folder / "plain.npz", inputs=BATCH.puzzle)
    np.savez_compressed(folder / "full.npz", inputs=BATCH.puzzle, labels=BATCH.solution)
    (folder / "a.txt").write_text(TEXT)
    (folder / "puzzles").write_text(TEXT)
    (folder / "a.npy").rename(folder / "renamed.npz")
    return {
        "batch": BATCH,
        "array": BATCH.puzzle,
        "int64": BATCH.puzzle.astype(np.int64),
        "list": BATCH.puzzle.tolist(),
        "grids": BATCH.puzzle.reshape(-1, 4, 4),
        "pair": (BATCH.puzzle, BATCH.solution),
        "pair of grids": (BATCH.puzzle.reshape(-1, 4, 4), BATCH.solution.reshape(-1, 4, 4)),
        "text": TEXT,
        "npy of grids": folder / "grids.npy",
        "npy by the wrong name": folder / "renamed.npz",
        "npz": str(folder / "plain.npz"),
        "npz with labels": folder / "full.npz",
        "txt": str(folder / "a.txt"),
        "no suffix": folder / "puzzles",
    }


def test_puzzles_from_anywhere(tmp_path):
    for name, source in sources(tmp_path).items():
        found = read_puzzles(source, TASK)
        assert np.array_equal(found.puzzle, BATCH.puzzle), name
        assert np.array_equal(found.solution, BATCH.solution), name
        assert found.puzzle.dtype == np.uint8, name
        env = make(puzzles=source, split="all")
        assert env.num_puzzles == 40, name


def test_outside_puzzles_are_copied():
    given = BATCH.puzzle.copy()
    env = make(puzzles=given, split="all")
    given[:] = 0
    assert np.array_equal(pool(env).puzzle, BATCH.puzzle)


def test_outside_puzzles_are_split_by_symmetry_class():
    train, test = (make(puzzles=BATCH, split=split) for split in ("train", "test"))
    assert train.num_puzzles + test.num_puzzles == 40
    assert test.num_puzzles > 0
    assert in_split(TASK, pool(test).puzzle, "test").all()
    assert not in_split(TASK, pool(train).puzzle, "test").any()
    assert make(puzzles=BATCH, split="all", num_puzzles=7).num_puzzles == 7
    one = BATCH.take(in_split(TASK, BATCH.puzzle, "train")).take(slice(1))
    with pytest.raises(ValueError, match="none of the 1 puzzles falls into split 'test'"):
        make(puzzles=one, split="test")


def test_bad_files(tmp_path):
    good = sources(tmp_path)
    whole = Path(good["npz"]).read_bytes()
    files = {
        "text.npz": b"1234",
        "empty.npz": b"",
        "cut.npz": whole[: len(whole) // 2],
        "text.npy": b"1234",
        "cut.npy": Path(good["npy of grids"]).read_bytes()[:140],
        "bad.txt": b"12x4\n",
        "empty.txt": b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "names.npz", puzzles=BATCH.puzzle)
    np.savez(tmp_path / "short.npz", inputs=BATCH.puzzle, labels=BATCH.solution[:3])
    np.savez(tmp_path / "floats.npz", inputs=BATCH.puzzle.astype(float))
    np.savez(tmp_path / "other.npz", inputs=np.ones((3, 81), np.uint8))
    np.savez(tmp_path / "none.npz", inputs=np.ones((0, 16), np.uint8))
    swapped = BATCH.solution.copy()
    swapped[4], swapped[5] = BATCH.solution[5], BATCH.solution[4]
    np.savez(tmp_path / "wrong.npz", inputs=BATCH.puzzle, labels=swapped)
    expected = {
        "absent.npz": "there is no such file",
        "text.npz": "cannot be read as a numpy file",
        "empty.npz": "cannot be read as a numpy file",
        "cut.npz": "cannot be read as a numpy file",
        "text.npy": "cannot be read as a numpy file",
        "cut.npy": "cannot be read as a numpy file",
        "objects.npy": "cannot be read as a numpy file",
        "bad.txt": "line 1, column 3: 'x'",
        "empty.txt": "no Sudoku board",
        "names.npz": r"holds \['puzzles'\]; expected 'inputs'",
        "short.npz": "40 puzzles but 3 solutions",
        "floats.npz": "expected integer tokens, found float64",
        "other.npz": r"4 x 4 = 16 cells; found shape \(3, 81\)",
        "none.npz": r"found shape \(0, 16\)",
        "wrong.npz": r"puzzle 4: its solution does not solve it \(2 such in all\)",
    }
    for name, message in expected.items():
        with pytest.raises(ValueError, match=message):
            make(puzzles=tmp_path / name)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ((BATCH.puzzle,), r"a tuple must be \(puzzles, solutions\), found 1"),
        ((BATCH.puzzle, BATCH.solution, BATCH.task_id), "found 3 entries"),
        (PuzzleBatch(BATCH.puzzle, BATCH.solution, np.ones(40, np.int32)), "Sudoku 4x4 has identities 0 to 0"),
        (PuzzleBatch(BATCH.puzzle, BATCH.solution, np.zeros(3, np.int32)), r"task_id: .* found shape \(3,\)"),
        (np.where(np.arange(16) == 6, 17, BATCH.puzzle[:2]), r"puzzle 0: cell \(row 2, column 3\) holds 17"),
        ("", "no Sudoku board"),
    ],
)
def test_bad_puzzles(source, message):
    with pytest.raises(ValueError, match=message):
        make(puzzles=source)


def test_one_maze_text():
    env = ReasoningEnv(MazeTask(5), puzzles="#####\n#S..#\n###.#\n#G..#\n#####", split="all")
    assert env.num_puzzles == 1


def test_tasks_without_a_solver_want_solutions():
    class Unsolved(SudokuTask):
        complete = SudokuTask.__mro__[1].complete

    with pytest.raises(ValueError, match="give the solutions too"):
        ReasoningEnv(Unsolved(4), puzzles=BATCH.puzzle)
    assert ReasoningEnv(Unsolved(4), puzzles=(BATCH.puzzle, BATCH.solution), split="all").num_puzzles == 40


@pytest.mark.skipif(not DATA.is_dir(), reason="the official data sets are not here")
@pytest.mark.parametrize(
    ("id", "file"),
    [("HRM/Sudoku-9x9-v0", "sudoku-extreme-sample-1k.npz"), ("HRM/Maze-30x30-v0", "maze-30x30-hard-train.npz")],
)
def test_official_files_are_read(id, file):
    env = gym.make(id, puzzles=str(DATA / file), split="all", expose_solution=True)
    obs, info = env.reset(options={"index": 999})
    assert env.unwrapped.num_puzzles == 1000
    assert env.step({"answer": info["solution"], "halt": 1})[1] == 1.0
    assert obs in env.observation_space


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


def test_mazes_in_one_text(tmp_path):
    maze = "#####\n#S.G#\n#.#.#\n#...#\n#####"
    (tmp_path / "mazes.txt").write_text(f"{maze}\n\n{maze}\n")
    task = MazeTask(5)
    assert task.parse((tmp_path / "mazes.txt").read_text()).shape == (2, 25)
    with pytest.raises(ValueError, match="line 8, column 2"):
        task.parse(f"{maze}\n\n#####\n#XoG#\n#.#.#\n#...#\n#####")
    with pytest.raises(ValueError, match="the maze in line 7 is 4 x 5"):
        task.parse(f"{maze}\n\n#####\n#S.G#\n#...#\n#####")
    for kwargs in ({"size": 7.0}, {"min_path": 2.5}, {"wall_share": 0.4}):
        with pytest.raises(ValueError, match=next(iter(kwargs))):
            MazeTask(**kwargs)


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
