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
    """Values by the number of the observation; its carry counts the steps and those that a gradient may cross."""

    class Carry:
        def __init__(self, steps):
            self.steps, self.reach = steps, 0

        def truncate(self, step, bptt):
            self.reach = 0 if step % bptt == 0 else self.reach
            return self

    def __init__(self, values):
        super().__init__()
        self.values, self.met = torch.tensor(values), []

    def initial_carry(self, batch):
        return self.Carry(0)

    def forward(self, obs, carry, *, detach):
        assert not detach
        self.met.append((obs.tolist(), carry.steps, carry.reach))
        after = self.Carry(carry.steps + 1)
        after.reach = carry.reach + 1
        return after, self.values[obs]


def test_the_loss_by_hand(dqn):
    """Two walks, 0-1-2 to its end, and 3-4 cut off after a step. In 1 and in 4 the network prefers move 1."""
    network = Given([[0.0, 1.0], [2.0, 3.0], [7.0, 7.0], [0.5, 0.0], [0.0, 1.0]])
    target = Given([[9.0, 9.0], [9.0, 0.5], [9.0, 9.0], [9.0, 9.0], [9.0, 1.0]])
    batch = {
        "obs": torch.tensor([[0, 3], [1, 4], [2, 4]]), "action": torch.tensor([[1, 0], [0, 0]]),
        "reward": torch.tensor([[0.25, 0.5], [1.0, 0.0]]), "terminated": torch.tensor([[False, False], [True, False]]),
        "valid": torch.tensor([[True, True], [True, False]]),
    }  # fmt: skip
    loss = dqn.td_loss(network, target, batch)
    # Q is 1, 2 and 0.5; the targets are 0.25 + 0.9 * 0.5, 1 and 0.5 + 0.9 * 1.
    errors = torch.tensor([1 - 0.7, 2 - 1.0, 0.5 - 1.4])
    torch.testing.assert_close(loss, (0.5 * errors**2).mean())
    # Each thinks on from its own thoughts, from the start of the walk.
    assert network.met == target.met == [([0, 3], 0, 0), ([1, 4], 1, 1), ([2, 4], 2, 2)]


def test_a_gradient_reaches_a_few_steps_back(dqn, monkeypatch):
    monkeypatch.setattr(dqn, "BPTT", 2)
    network = Given([[0.0, 1.0]])
    dqn.unroll(network, torch.zeros(5, 1, dtype=torch.long))
    assert [reach for _, _, reach in network.met] == [0, 1, 0, 1, 0]


def test_moves_are_the_best_or_random(dqn):
    torch.manual_seed(0)
    q = torch.tensor([[0.0, 3.0, 1.0, 2.0]]).repeat(8000, 1)
    assert (dqn.choose(q, 0.0) == 1).all()
    shares = dqn.choose(q, 0.4).bincount() / 8000
    torch.testing.assert_close(shares, torch.tensor([0.1, 0.7, 0.1, 0.1]), rtol=0, atol=0.02)


def test_keep_feeds_the_carry_and_reset_does_not(dqn):
    torch.manual_seed(0)
    network = dqn.QNetwork(dqn.Args())
    reset = deepcopy(network)
    reset.args = dqn.Args(carry="reset")
    obs = torch.from_numpy(gym.make_vec(dqn.ENV, num_envs=6, size=7, num_puzzles=8).reset(seed=0)[0])
    with torch.no_grad():
        thought, first = network(obs, network.initial_carry(6))
        _, second = network(obs, thought)
        _, without = reset(obs, thought)
        reset.args = dqn.Args(carry="reset", segments=2)
        _, longer = reset(obs, thought)
    assert ((first - second).abs().amax(dim=1) > 1e-3).all()  # the same observation, but with an earlier thought
    torch.testing.assert_close(without, first)
    torch.testing.assert_close(longer, second)


def test_what_is_nearby_is_seen(dqn):
    obs = torch.full((1, 25), dqn.FREE, dtype=torch.uint8)
    obs[0, 6], obs[0, 24] = dqn.AGENT, dqn.GOAL  # row 1, column 1, and the last corner
    seen = dqn.nearby(obs, 5, 1).view(5, 5)
    assert (seen[:3, :3] == obs.view(5, 5)[:3, :3]).all()
    assert seen[4, 4] == dqn.GOAL
    assert (seen == dqn.UNSEEN).sum() == 25 - 9 - 1


@pytest.mark.parametrize("args", [{"carry": "reset"}, {"view": 1}])
def test_it_runs_and_stores_what_happened(dqn, tmp_path, capsys, monkeypatch, args):
    """What an update is made of agrees with the environment, and walks are stored from their start to their end."""
    evaluated = []
    monkeypatch.setattr(dqn, "success", lambda network, split: evaluated.append(split) or 0.25)
    monkeypatch.setattr(dqn, "NUM_ENVS", 16)
    monkeypatch.setattr(dqn, "CAPACITY", 40)
    monkeypatch.setattr(dqn, "BATCH_SIZE", 8)
    monkeypatch.setattr(dqn, "MAX_STEPS", 12)
    batches, td_loss = [], dqn.td_loss

    def listening(network, target_network, batch):
        batches.append(batch)
        return td_loss(network, target_network, batch)

    monkeypatch.setattr(dqn, "td_loss", listening)
    dqn.main(dqn.Args(**args, total_steps=320, out=str(tmp_path / "network.pt")))
    assert 8 <= len(batches) <= 20  # from the end of the first walk on
    names = ("action", "reward", "terminated")
    flat = {name: torch.cat([batch[name][batch["valid"]] for batch in batches]) for name in names}
    before = torch.cat([batch["obs"][:-1][batch["valid"]] for batch in batches])
    after = torch.cat([batch["obs"][1:][batch["valid"]] for batch in batches])
    walkers = torch.stack([(obs == dqn.AGENT).int().argmax(1) for obs in (before, after)])
    moved = torch.stack([walkers[1] // 7 - walkers[0] // 7, walkers[1] % 7 - walkers[0] % 7], dim=1)
    went = (moved == torch.tensor(dqn.MOVES)[flat["action"]]).all(dim=1)
    assert (went | (moved == 0).all(dim=1)).all()
    assert went.any()
    assert (flat["reward"][flat["terminated"]] == 1).all()
    assert flat["reward"].abs().max() <= 1
    assert flat["reward"][went].mean() > flat["reward"][~went].mean()
    lengths = torch.cat([batch["valid"].sum(0) for batch in batches])
    assert 1 <= lengths.min() < lengths.max() == 12
    for batch in batches:  # nothing follows an end
        steps = torch.arange(len(batch["valid"]))[:, None]
        assert (batch["valid"] == (steps < batch["valid"].sum(0))).all()
        assert (batch["terminated"].long().argmax(0) == batch["valid"].sum(0) - 1)[batch["terminated"].any(0)].all()
    out = capsys.readouterr().out.splitlines()
    assert evaluated == ["validation"] * 20 + ["test"]
    assert out[-2:] == ["320 moves: 25.0% of validation mazes", "25.0% of test mazes"]
    assert set(torch.load(tmp_path / "network.pt")) >= {"head.weight", "head.bias"}


def test_success_is_the_share_of_walks_that_reach_the_goal(dqn, monkeypatch):
    """Whoever walks at random arrives now and then; a network that always goes up hardly ever."""
    torch.manual_seed(0)
    network = dqn.QNetwork(dqn.Args(carry="reset"))
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
    network, first = dqn.QNetwork(dqn.Args(carry="reset")), []

    class Listening(dqn.QNetwork):
        def forward(self, obs, carry):
            first.append(obs.numpy().copy())
            return super().forward(obs, carry)

    network.__class__ = Listening
    dqn.success(network, split)
    steps = len(first)
    dqn.success(network, split)
    mazes = gym.make(dqn.ENV, size=7, split=split).unwrapped.mazes.puzzles.puzzle
    for shown in (first[0], first[steps]):
        plain = np.where(shown == dqn.AGENT, START, shown)
        assert ((plain == mazes) | (plain == DOOR_OPEN) | (plain == DOOR_SHUT)).all()
    assert np.array_equal(first[0], first[steps])


def test_neighbouring_seeds_share_no_row(dqn, tmp_path, monkeypatch):
    """The first observations of two runs, whose environments of the next seed would be the same but for one."""
    monkeypatch.setattr(dqn, "success", lambda network, split: 0.0)
    shown = []

    class Listening(dqn.QNetwork):
        def forward(self, obs, carry, **kwargs):
            if len(obs) == dqn.NUM_ENVS:
                shown.append({tuple(row) for row in obs.tolist()})
            return super().forward(obs, carry, **kwargs)

    monkeypatch.setattr(dqn, "QNetwork", Listening)
    for seed in (0, 1):
        dqn.main(dqn.Args(seed=seed, total_steps=dqn.NUM_ENVS, out=str(tmp_path / "network.pt")))
    first, second = shown
    assert len(first) == len(second) == dqn.NUM_ENVS
    assert not first & second
