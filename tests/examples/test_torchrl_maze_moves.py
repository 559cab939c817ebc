"""The example of TorchRL runs from end to end and counts the walks fairly."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("torchrl")

from tensordict import TensorDict

EXAMPLES = Path(__file__).parents[2] / "examples"

# TorchRL's collectors warn about their own classes.
pytestmark = pytest.mark.filterwarnings("ignore:Creating .* inherits from WeightUpdaterBase:DeprecationWarning")


@pytest.fixture(scope="module")
def example():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield importlib.import_module("torchrl_maze_moves")


def test_it_runs(example, capsys, monkeypatch):
    monkeypatch.setattr(example, "EVAL_MAZES", 12)
    assert 0.0 <= example.main(["--size", "7", "--steps", "64", "--walkers", "4"]) <= 1.0
    said = capsys.readouterr().out
    assert "64 moves: " in said
    assert "of the walks in 12 unseen mazes arrive" in said


def steps_of(*rows: str) -> TensorDict:
    """One character for each step of an environment: "." walks on, "G" arrives, "x" is cut."""
    ends = np.array([list(row) for row in rows])[..., None]
    arrived, done = torch.from_numpy(ends == "G"), torch.from_numpy(ends != ".")
    shape = ends.shape[:2]
    return TensorDict({"next": TensorDict({"terminated": arrived, "done": done}, shape)}, shape)


def test_short_walks_weigh_no_more_than_long_ones(example):
    """Of the walks, 6 of 8 arrive; of the environments, the first walk arrives in 1 of 3."""
    steps = steps_of("GGGGGG", ".....x", "..x...")
    assert example.success(steps) == pytest.approx(1 / 3)
    assert example.success(steps_of("..xG..", ".x.G.G")) == 0.0
    assert example.success(steps_of("..G..x", "......")) == 0.5


def test_every_maze_is_evaluated_once(example):
    hrm, agent = example.make_agent(7)
    env = example.make_env(hrm, 30, 7, "test", seed=0)
    met = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(example, "success", lambda steps: met.append(steps) or 0.0)
        example.evaluate(env, agent.get_policy_operator(), num_steps=3)
    (steps,) = met
    shown = steps["observation"][:, 0].numpy()
    assert (shown == 6).sum() == 30
    mazes = env.unwrapped.mazes.puzzles.puzzle[:30]
    assert np.array_equal(np.where(shown == 6, 3, shown), mazes)


def test_neighbouring_seeds_share_no_row(example):
    hrm, _ = example.make_agent(7)

    def mazes(seed):
        env = example.make_env(hrm, 16, 7, "train", seed)
        return [tuple(row) for _ in range(3) for row in env.reset()["observation"].tolist()]

    first, second = mazes(0), mazes(1)
    assert first == mazes(0)
    assert not {*zip(first[:16], first[16:32], strict=True)} & {*zip(second[:16], second[16:32], strict=True)}
