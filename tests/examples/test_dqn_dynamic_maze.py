"""The DQN of the examples: its targets, what it stores and what it does with the carry."""

import importlib
from copy import deepcopy
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from hrm_envs.maze.tokens import START
from hrm_envs.moves.settings import DOOR_OPEN, DOOR_SHUT

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def dqn():
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield importlib.import_module("dqn_dynamic_maze")
    torch.set_num_threads(threads)


class Given(torch.nn.Module):
    """Values by the number of the observation, and which carry came with it."""

    def __init__(self, name, values):
        super().__init__()
        self.name, self.values, self.met = name, torch.tensor(values), []

    def forward(self, obs, carry):
        self.met.append((obs.tolist(), carry))
        return self.name, self.values[obs]


def test_the_loss_by_hand(dqn):
    """Observation 0 leads to 1, and 1 to 2, where the walk ends. In 1 the network prefers move 1."""
    network = Given("own", [[0.0, 1.0], [2.0, 3.0], [7.0, 7.0]])
    target = Given("slow", [[9.0, 9.0], [9.0, 0.5], [9.0, 9.0]])
    batch = {
        "obs": torch.tensor([0, 1]), "next_obs": torch.tensor([1, 2]), "z_H": "planner", "z_L": "worker",
        "action": torch.tensor([1, 0]), "reward": torch.tensor([0.25, 1.0]), "terminated": torch.tensor([False, True]),
    }  # fmt: skip
    loss = dqn.td_loss(network, target, batch)
    # Q is 1 and 2; the targets are 0.25 + 0.9 * 0.5 and 1.
    errors = torch.tensor([1 - 0.7, 2 - 1.0])
    torch.testing.assert_close(loss, (0.5 * errors**2).mean())
    # Each thinks on from its own thoughts.
    assert network.met == [([0, 1], ("planner", "worker")), ([1, 2], "own")]
    assert target.met == [([0, 1], ("planner", "worker")), ([1, 2], "slow")]


def test_moves_are_the_best_or_random(dqn):
    torch.manual_seed(0)
    q = torch.tensor([[0.0, 3.0, 1.0, 2.0]]).repeat(8000, 1)
    assert (dqn.choose(q, 0.0) == 1).all()
    shares = dqn.choose(q, 0.4).bincount() / 8000
    torch.testing.assert_close(shares, torch.tensor([0.1, 0.7, 0.1, 0.1]), rtol=0, atol=0.02)


def test_keep_feeds_the_carry_and_reset_does_not(dqn):
    torch.manual_seed(0)
    network = dqn.QNetwork(keep=True)
    reset = deepcopy(network)
    reset.keep = False
    obs = torch.from_numpy(gym.make_vec(dqn.ENV, num_envs=6, size=dqn.SIZE, num_puzzles=8).reset(seed=0)[0])
    with torch.no_grad():
        thought, first = network(obs, network.hrm.encoder.initial_carry(6))
        _, second = network(obs, thought)
        _, without = reset(obs, thought)
    assert ((first - second).abs().amax(dim=1) > 1e-3).all()  # the same observation, but with an earlier thought
    torch.testing.assert_close(without, first)


@pytest.mark.parametrize("carry", ["keep", "reset"])
def test_it_runs_and_stores_what_happened(dqn, tmp_path, capsys, monkeypatch, carry):
    """What an update is made of agrees with the environment, and a new walk begins from the initial carry."""
    evaluated = []
    monkeypatch.setattr(dqn, "success", lambda network, split: evaluated.append(split) or 0.25)
    monkeypatch.setattr(dqn, "NUM_ENVS", 8)
    monkeypatch.setattr(dqn, "CAPACITY", 160)
    monkeypatch.setattr(dqn, "BATCH_SIZE", 64)
    seen, td_loss = [], dqn.td_loss

    def listening(network, target_network, batch):
        seen.append((network, batch))
        return td_loss(network, target_network, batch)

    monkeypatch.setattr(dqn, "td_loss", listening)
    dqn.main(dqn.Args(carry=carry, total_steps=320, out=str(tmp_path / "network.pt")))
    assert len(seen) == 40
    network = seen[0][0]
    batch = {name: torch.cat([batch[name] for _, batch in seen]) for name in seen[0][1]}
    walkers, later = ((batch[name] == dqn.AGENT).int().argmax(1) for name in ("obs", "next_obs"))
    steps = (torch.stack([walkers, later]) // dqn.SIZE, torch.stack([walkers, later]) % dqn.SIZE)
    moved = torch.stack([place[1] - place[0] for place in steps], dim=1)
    wanted = torch.tensor(dqn.MOVES)[batch["action"]]
    went = (moved == wanted).all(dim=1)
    assert (went | (moved == 0).all(dim=1)).all()
    assert went.any()
    assert (batch["reward"][batch["terminated"]] == 1).all()
    assert batch["reward"].abs().max() <= 1
    assert batch["reward"][went].mean() > batch["reward"][~went].mean()
    # The first steps of all are forgotten by then: these began later, after a reset.
    last = torch.cat([batch["z_H"] for _, batch in seen[-5:]])
    begun = (last == network.hrm.encoder.H_init).all(dim=(1, 2))
    assert begun.any()
    assert (~begun).any()
    out = capsys.readouterr().out.splitlines()
    assert evaluated == ["validation"] * 20 + ["test"]
    assert out[-2:] == ["320 moves: 25.0% of validation mazes", "25.0% of test mazes"]
    assert set(torch.load(tmp_path / "network.pt")) >= {"head.weight", "head.bias"}


def test_success_is_the_share_of_walks_that_reach_the_goal(dqn, monkeypatch):
    """Whoever walks at random arrives now and then; a network that always goes up hardly ever."""
    torch.manual_seed(0)
    network = dqn.QNetwork(keep=False)
    monkeypatch.setattr(dqn, "EPSILON", 1.0)
    assert 0.06 < dqn.success(network, "validation") < 0.16
    monkeypatch.setattr(dqn, "EPSILON", 0.0)
    torch.nn.init.zeros_(network.head.weight)
    network.head.bias.data = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert dqn.success(network, "validation") < 0.05


@pytest.mark.parametrize("split", ["validation", "test"])
def test_every_maze_of_a_split_is_evaluated_once(dqn, monkeypatch, split):
    """Each maze of the split is shown once, in order, and its doors are the same in every evaluation."""
    torch.manual_seed(0)
    network, first = dqn.QNetwork(keep=False), []

    class Listening(dqn.QNetwork):
        def forward(self, obs, carry):
            first.append(obs.numpy().copy())
            return super().forward(obs, carry)

    network.__class__ = Listening
    dqn.success(network, split)
    steps = len(first)
    dqn.success(network, split)
    mazes = gym.make(dqn.ENV, size=dqn.SIZE, split=split).unwrapped.mazes.puzzles.puzzle
    for shown in (first[0], first[steps]):
        plain = np.where(shown == dqn.AGENT, START, shown)
        assert ((plain == mazes) | (plain == DOOR_OPEN) | (plain == DOOR_SHUT)).all()
    assert np.array_equal(first[0], first[steps])


def test_neighbouring_seeds_share_no_row(dqn, tmp_path, monkeypatch):
    """The first observations of two runs, whose environments of the next seed would be the same but for one."""
    monkeypatch.setattr(dqn, "success", lambda network, split: 0.0)
    monkeypatch.setattr(dqn, "BATCH_SIZE", 2)
    shown, add = [], dqn.ReplayBuffer.add

    def listening(self, steps):
        shown.append({tuple(row) for row in steps["obs"].tolist()})
        add(self, steps)

    monkeypatch.setattr(dqn.ReplayBuffer, "add", listening)
    for seed in (0, 1):
        dqn.main(dqn.Args(seed=seed, total_steps=dqn.NUM_ENVS, out=str(tmp_path / "network.pt")))
    assert len(shown[0]) == len(shown[1]) == dqn.NUM_ENVS
    assert not shown[0] & shown[1]
