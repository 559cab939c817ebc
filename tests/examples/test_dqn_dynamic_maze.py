"""The DQN of the examples: its targets, its replay and what it does with the carry."""

import importlib
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from hrm_agents.errors import UserError

EXAMPLES = Path(__file__).parents[2] / "examples"
WALKERS, STEPS = 6, 9


@pytest.fixture(scope="module")
def dqn():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        return importlib.import_module("dqn_dynamic_maze")


def make(dqn, keep=True, size=5):
    """Walkers, and a network with random values, in small mazes."""
    args = dqn.Args(size=size, num_envs=WALKERS)
    envs = dqn.make_envs(args, "train", WALKERS)
    torch.manual_seed(0)
    network = dqn.QNetwork(size, keep)
    torch.nn.init.normal_(network.head.weight)  # they begin at zero
    return dqn.Walkers(envs, network, seed=0)


def test_the_td_target_by_hand(dqn):
    online = torch.tensor([[1.0, 3.0, 2.0, 0.0]] * 2)  # chooses move 1
    target = torch.tensor([[9.0, 0.5, 9.0, 9.0]] * 2)  # and 0.5 is what it is worth
    reward, terminated = torch.tensor([0.25, 0.25]), torch.tensor([False, True])
    found = dqn.td_target(reward, terminated, online, target, gamma=0.5)
    torch.testing.assert_close(found, torch.tensor([0.25 + 0.5 * 0.5, 0.25]))


def test_the_loss_by_hand(dqn):
    """Two steps of one walk: values are given, the second step does not count."""
    values = torch.tensor([[[0.0, 1.0], [2.0, 0.0], [7.0, 7.0]]])

    class Given:
        def replay(self, batch):
            return values

    batch = dqn.Sequences(
        *[torch.empty(0)] * 2,
        obs=torch.empty(0),
        begins=torch.empty(0),
        action=torch.tensor([[1, 0]]),
        reward=torch.tensor([[0.1, 5.0]]),
        terminated=torch.tensor([[False, False]]),
        counts=torch.tensor([[True, False]]),
    )
    # Q of the chosen move is 1.0; the target is 0.1 + 0.9 * 2.0 = 1.9.
    torch.testing.assert_close(dqn.td_loss(Given(), Given(), batch, 0.9), torch.tensor(0.5 * 0.9**2))


def test_sequences_follow_the_environment(dqn):
    """The rewards, the ends and the first observations are those that the environment itself gives for the moves."""
    walkers = make(dqn)
    envs = dqn.make_envs(dqn.Args(size=5), "train", WALKERS)
    obs, _ = envs.reset(seed=0)
    ended = torch.zeros(WALKERS, dtype=torch.bool)
    begins = torch.ones(WALKERS, dtype=torch.bool)
    seen_ends = 0
    for _ in range(4):
        sequences = walkers.collect(STEPS, epsilon=1.0)
        for t in range(STEPS):
            assert (sequences.obs[:, t].numpy() == obs).all()
            assert (sequences.begins[:, t] == begins).all()
            assert (sequences.counts[:, t] == ~ended).all()
            obs, reward, terminated, truncated, info = envs.step(sequences.action[:, t].numpy())
            torch.testing.assert_close(sequences.reward[:, t], torch.from_numpy(reward).float())
            assert (sequences.terminated[:, t].numpy() == terminated).all()
            begins, ended = ended, torch.from_numpy(terminated | truncated)
            # A walk begins exactly where the environment has counted no step.
            assert (begins.numpy() == (info["steps"] == 0)).all()
            seen_ends += int(ended.sum())
        assert (sequences.obs[:, STEPS].numpy() == obs).all()
        assert (sequences.begins[:, STEPS] == begins).all()
    assert seen_ends == len(walkers.finished) > 10


@pytest.mark.parametrize("keep", [True, False])
def test_replaying_a_sequence_thinks_what_the_walker_thought(dqn, keep):
    walkers = make(dqn, keep)
    walkers.collect(3, epsilon=1.0)  # so that the next sequence begins in the midst of walks
    thought = []
    forward = walkers.network.forward

    def listening(*arguments):
        carry, q = forward(*arguments)
        thought.append(q)
        return carry, q

    walkers.network.forward = listening
    sequences = walkers.collect(STEPS, epsilon=1.0)
    walkers.network.forward = forward
    assert sequences.begins[:, 1:].any()
    with torch.no_grad():
        replayed = walkers.network.replay(sequences)
    torch.testing.assert_close(replayed[:, :-1], torch.stack(thought, dim=1))


def test_keep_feeds_the_carry_and_reset_does_not(dqn):
    walkers = make(dqn)
    network = walkers.network
    reset = deepcopy(network)
    reset.keep = False
    fresh, going_on = walkers.carry, torch.zeros(WALKERS, dtype=torch.bool)
    with torch.no_grad():
        thought, first = network(walkers.obs, fresh, going_on)
        _, second = network(walkers.obs, thought, going_on)
        _, begun_anew = network(walkers.obs, thought, ~going_on)
        _, without = reset(walkers.obs, thought, going_on)
    assert ((first - second).abs().amax(dim=1) > 1e-3).all()  # the same observation, but with an earlier thought
    torch.testing.assert_close(begun_anew, first)  # a new walk knows nothing of the one before
    torch.testing.assert_close(without, first)


def test_thoughts_of_one_walk_do_not_reach_the_next(dqn):
    """The carry with which a row meets the first observation of a walk makes no difference to what follows."""
    sequences = make(dqn).collect(STEPS, epsilon=1.0)
    network = make(dqn).network
    begins = sequences.begins.clone()
    begins[:, 0] = False
    noise = torch.randn_like(sequences.z_H)
    with torch.no_grad():
        one = network.replay(sequences._replace(begins=begins))
        other = network.replay(sequences._replace(begins=begins, z_H=sequences.z_H + noise))
    since = begins.cumsum(dim=1) > 0
    assert since.any()
    assert (~since).any()
    torch.testing.assert_close(one[since], other[since])
    assert ((one - other)[~since].abs().amax(dim=-1) > 1e-4).all()


def test_the_replay_forgets_the_oldest(dqn):
    replay = dqn.Replay(capacity=5)
    for number in range(4):  # eight sequences, two at a time: the last five are 3 to 7
        values = torch.tensor([2.0 * number, 2.0 * number + 1])
        replay.add(dqn.Sequences(*[values.clone() for _ in dqn.Sequences._fields]))
    sample = replay.sample(200)
    assert sorted(set(sample.reward.tolist())) == [3.0, 4.0, 5.0, 6.0, 7.0]
    assert all(torch.equal(values, sample.reward) for values in sample)  # fields stay together


def test_the_thought_is_about_the_maze_and_the_values_about_the_walkers_place(dqn):
    walkers = make(dqn)
    obs = walkers.obs[:1]
    cells = (obs[0] == dqn.AGENT) | (obs[0] == dqn.FREE)
    elsewhere = []
    for cell in cells.nonzero().flatten():  # the same maze, once with the walker in each of its open cells
        moved = torch.where(cells, dqn.FREE, obs[0])
        moved[cell] = dqn.AGENT
        elsewhere.append(moved)
    many = torch.stack(elsewhere)
    with torch.no_grad():
        thought, q = walkers.network(many, walkers.network.initial_carry(len(many)), torch.ones(len(many)).bool())
    torch.testing.assert_close(thought.z_H, thought.z_H[:1].expand_as(thought.z_H))
    assert len(q.unique(dim=0)) == len(many) > 3


def test_the_loss_falls_on_a_batch(dqn):
    walkers = make(dqn)
    network, batch = walkers.network, walkers.collect(4, epsilon=1.0)
    target, optimizer = deepcopy(network), torch.optim.Adam(walkers.network.parameters(), 3e-3)
    losses = []
    for _ in range(10):
        loss = dqn.td_loss(network, target, batch, 0.9)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("carry", ["keep", "reset"])
def test_it_runs(dqn, tmp_path, capsys, carry):
    arguments = ["--size", "5", "--num-envs", "8", "--sequence", "3", "--total-steps", "72", "--eval-every", "48"]
    arguments += ["--eval-walks", "20", "--batch-size", "4", "--carry", carry, "--out", str(tmp_path / "run")]
    results = dqn.main(arguments)
    # Walks in mazes this small succeed by chance now and then.
    assert all(0 <= share < 0.8 for share in results.values())
    assert set(results) == {"success", "random"}
    assert "of 20 unseen mazes" in capsys.readouterr().out
    assert any(path.name.startswith("events.out.tfevents") for path in (tmp_path / "run").iterdir())
    assert set(torch.load(tmp_path / "run" / "network.pt")) >= {"head.weight", "head.bias"}
    with pytest.raises(UserError, match="earlier run: choose another folder"):
        dqn.main(arguments)


def test_it_says_what_is_too_few(dqn, tmp_path):
    with pytest.raises(UserError, match="total_steps=0: it takes at least 1"):
        dqn.main(["--total-steps", "0", "--out", str(tmp_path)])
