"""The walks of PPO through mazes: each extractor learns for a few steps, and the example judges fairly."""

import importlib
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

sb3 = pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def example():
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield importlib.import_module("sb3_maze_moves")
    torch.set_num_threads(threads)


class Walker:
    """Walks like a model: along the shortest path, or at random, which it is told by ``deterministic``."""

    def __init__(self):
        self.draws = np.random.default_rng(0)

    def predict(self, obs, deterministic):
        if not deterministic:
            return self.draws.integers(4, size=len(obs)), None
        return np.array([first_move(board.reshape(9, 9)) for board in obs]), None


def first_move(board):
    """The first move of a shortest path from the walker (6) to G (4), by breadth-first search from G."""
    start, (goal,) = tuple(np.argwhere(board == 6)[0]), map(tuple, np.argwhere(board == 4))
    queue, seen = [goal], {goal}
    for row, column in queue:
        # Reached from the cell above or left of it by the moves down (1) and right (3), and the other way round.
        for move, (down, right) in enumerate([(1, 0), (-1, 0), (0, 1), (0, -1)]):
            before = (row + down, column + right)
            if before in seen or not all(0 <= place < 9 for place in before) or board[before] == 1:
                continue
            if before == start:
                return move
            seen.add(before)
            queue.append(before)
    raise AssertionError("no way to G")


def test_success_is_that_of_the_walker(example):
    walker = Walker()
    assert example.success(walker, "tokens", 30, deterministic=True) == 1.0
    at_random = [example.success(walker, "tokens", 500, deterministic=False) for _ in range(2)]
    assert 0.03 < np.mean(at_random) < 0.09


def test_success_counts_only_the_first_walk(example):
    """A walker that stands still never arrives, and one that arrives in one maze of two is right in half of them."""

    class Half(Walker):
        def predict(self, obs, deterministic):
            moves, _ = super().predict(obs, deterministic)
            return np.where(np.arange(len(obs)) % 2, moves, 0), None

    # Row 0 of every pair goes up for ever, which from S leads to G only if G is right above it.
    first = gym.make_vec(example.ENV, num_envs=40, split="test")
    first.reset(seed=0, options={"index": np.arange(40)})
    straight = np.zeros(40, bool)
    for _ in range(8):
        _, _, terminated, _, _ = first.step(np.zeros(40, np.int64))
        straight |= terminated
    expected = np.where(np.arange(40) % 2, True, straight).mean()
    assert example.success(Half(), "tokens", 40, deterministic=True) == expected
    assert 0.5 <= expected < 0.7


@pytest.mark.parametrize("extractor", ["hrm", "mlp", "cnn"])
def test_learns_for_a_few_steps(example, extractor, tmp_path, capsys):
    example.main(["--extractor", extractor, "--steps", "64", "--mazes", "10", "--seed", "3", "--out", str(tmp_path)])
    header, line = (tmp_path / "progress.csv").read_text().splitlines()
    assert header == "steps,cpu_minutes,sampled,most_likely"
    steps, minutes, sampled, most_likely = map(float, line.split(","))
    assert steps == 2048  # one rollout
    assert minutes >= 0
    assert {sampled, most_likely} <= {share / 10 for share in range(11)}
    assert capsys.readouterr().out == line + "\n"
    model = sb3.PPO.load(tmp_path / "model.zip")
    assert model.policy.features_extractor.features_dim == {"hrm": 64, "mlp": 5 * 81, "cnn": 128}[extractor]
    observation = example.SETTINGS[extractor][0]
    assert example.success(model, observation, 10, deterministic=True) == most_likely


def test_evaluations_on_the_way_leave_the_test_mazes_alone(example, tmp_path, monkeypatch):
    monkeypatch.setattr(example, "EVAL_EVERY", 1024)
    met = []
    monkeypatch.setattr(
        example, "success", lambda model, observation, mazes, deterministic, split: met.append((mazes, split)) or 0.0
    )
    example.main(["--extractor", "mlp", "--steps", "64", "--mazes", "10", "--out", str(tmp_path)])
    assert met == [(2, "validation")] * 4 + [(10, "test")] * 2


def test_neighbouring_seeds_share_no_row(example):
    def start(seed):
        return {obs.tobytes() for obs in example.make_agent(example.SETTINGS["mlp"], seed).env.reset()}

    seeds = [start(seed) for seed in range(3)]
    assert [len(rows) for rows in seeds] == [example.NUM_ENVS] * 3
    assert not seeds[0] & seeds[1]
    assert not seeds[1] & seeds[2]


def test_help_teaches(example, capsys):
    with pytest.raises(SystemExit):
        example.main(["--help"])
    out = capsys.readouterr().out
    assert all(
        word in out for word in ("--extractor {hrm,mlp,cnn}", "--steps", "--seed", "--out", "anywhere", "random")
    )
