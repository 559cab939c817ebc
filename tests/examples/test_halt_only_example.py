"""Stopping by DQN: the comparison plays the right puzzles, and the DQN learns to stop at right answers."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest

from hrm_agents import load
from hrm_envs import PuzzleBatch, Task, TaskSpec, Verdict, register_task

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def halt_only():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        return importlib.import_module("halt_only")


class SmallGain:
    """The HRM's own decision: the gain of thinking on is the last feature but the segment's number."""

    def predict(self, obs, deterministic):
        assert deterministic
        return (obs[:, -2] <= 0.05).astype(np.int64), None


class FixedLength:
    """Halts after so many of 8 segments."""

    def __init__(self, segments):
        self.share = segments / 8

    def predict(self, obs, deterministic):
        return (obs[:, -1] >= self.share).astype(np.int64), None


def test_play_judges_as_the_evaluation_does(halt_only):
    solver = load("maze-9x9")
    report = solver.evaluate(first=20)
    found = halt_only.play(solver, SmallGain(), puzzles=20, segment_cost=0.01)
    assert found.success == pytest.approx(report.success_rate)
    assert found.segments == pytest.approx(report.mean_segments)
    assert found.earned == pytest.approx(report.success_rate - 0.01 * (report.mean_segments - 1))
    for segments in (1, 8):
        found = halt_only.play(solver, FixedLength(segments), puzzles=20, segment_cost=0.0)
        assert found == (pytest.approx(report.success_per_segment[segments - 1]), segments, found.success)


def test_the_table_compares_everyone(halt_only, capsys):
    table = halt_only.main(["--steps", "200", "--puzzles", "20", "--seeds", "3", "4"])
    names = [*(f"segment {t}" for t in range(1, 9)), "HRM's own Q-head", "DQN, seed 3", "DQN, seed 4"]
    assert list(table) == names
    assert all(row.earned == pytest.approx(row.success - 0.01 * (row.segments - 1)) for row in table.values())
    printed = capsys.readouterr().out
    assert "a further segment costs 0.01" in printed
    *lines, success, segments, earned = printed.splitlines()[2:]
    assert [line[:17].rstrip() for line in lines] == names
    assert "20 test puzzles (20 up to symmetry)" in printed
    mean = (table["DQN, seed 3"].segments + table["DQN, seed 4"].segments) / 2
    assert segments.startswith(f"DQN, mean segments of 2 seeds: {mean:.2f}")
    assert success.startswith("DQN, mean success of 2 seeds: ")
    assert earned.startswith("DQN, mean earned of 2 seeds: ")


class Reverse(Task):
    """Write the row backwards."""

    spec = TaskSpec("Reverse", (1, 6), (" ", "a", "b", "c"))
    default_num_puzzles = {"train": 400, "test": 100}  # noqa: RUF012

    def sample(self, rng, num):
        puzzle = rng.integers(1, 4, (num, 6)).astype(np.uint8)
        return PuzzleBatch(puzzle, puzzle[:, ::-1].copy())

    def verify(self, batch, answer):
        right = answer == batch.solution
        return Verdict(right.all(axis=1), right.mean(axis=1, dtype=np.float32))


def due(puzzle):
    """The segment at which a puzzle is solved: 1, 2 or 3."""
    return puzzle[..., 0].astype(np.int64)


class Knowing:
    """Its answers are right when due, and it says so."""

    num_features = 1

    def __init__(self, model):
        pass

    def start(self, obs):
        return ()

    def think(self, obs, memory):
        right = obs["segment"][:, 0] + 1 >= due(obs["puzzle"])
        answer = np.where(right[:, None], obs["puzzle"][:, ::-1], 1).astype(np.uint8)
        return answer, right[:, None].astype(np.float32), memory


def test_a_dqn_learns_to_stop_when_the_answer_is_right(halt_only, monkeypatch):
    register_task("HaltOnly/Reverse-v0", Reverse, max_segments=4)
    monkeypatch.setattr(halt_only, "HRMThinker", Knowing)
    solver = SimpleNamespace(env_id="HaltOnly/Reverse-v0", env_kwargs={"num_puzzles": 300}, model=None)
    agent = halt_only.learn(solver, steps=4000, segment_cost=0.05, seed=0)
    found = halt_only.play(solver, agent, puzzles=100, segment_cost=0.05)
    expected = due(gym.make_vec("HaltOnly/Reverse-v0", split="test").puzzles.puzzle).mean()
    assert found == (1.0, pytest.approx(expected), pytest.approx(1.0 - 0.05 * (expected - 1)))
