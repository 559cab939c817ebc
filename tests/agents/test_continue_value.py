"""Targets of Q(continue), worked out by hand: an index, a sign or a mask that is off by one shows in a number."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from hrm_agents.halting.q_scale import LOGIT, PLAIN
from hrm_agents.halting.targets import lambda_returns
from hrm_agents.learning.continue_value import EpisodeReturns, Objective, OnePass, SecondForward, TargetHead, values


def column(*numbers):
    return torch.tensor(numbers)[:, None]


def test_monte_carlo_returns_are_the_reward_less_the_price_of_the_way_there():
    """An episode of 3 segments out of 4 that ends with a reward of 1."""
    nothing = torch.full((4, 1), 7.0)
    targets, mask = lambda_returns(
        nothing, nothing, torch.tensor([3]), torch.tensor([1.0]), scale=PLAIN, segment_cost=0.1, gamma=0.5
    )
    # Two segments before the end: 0.5 * (0.5 * 1 - 0.1) - 0.1; one before: 0.5 * 1 - 0.1.
    torch.testing.assert_close(targets, column(0.1, 0.4, 0.0, 0.0))
    assert mask[:, 0].tolist() == [True, True, False, False]


def test_returns_of_lambda_zero_look_one_segment_ahead():
    q_halt, q_continue = column(0.1, 0.5, 0.2, 0.9), column(0.3, 0.4, 0.6, 5.0)
    targets, mask = lambda_returns(
        q_halt, q_continue, torch.tensor([4]), torch.tensor([0.0]), scale=PLAIN, trace_decay=0.0, segment_cost=0.01
    )
    # max(0.5, 0.4), max(0.2, 0.6), and Q(halt) alone at the last segment, where nobody can think on.
    torch.testing.assert_close(targets, column(0.49, 0.59, 0.89, 0.0))
    assert mask[:, 0].tolist() == [True, True, True, False]


def test_returns_in_between_mix_the_value_and_what_came_after():
    q_halt, q_continue = column(0.0, 0.2, 0.4), column(0.0, 0.6, 0.0)
    targets, _ = lambda_returns(
        q_halt, q_continue, torch.tensor([3]), torch.tensor([1.0]), scale=PLAIN, trace_decay=0.25, gamma=0.9
    )
    second = 0.9 * (0.75 * 0.4 + 0.25 * 1.0)
    first = 0.9 * (0.75 * 0.6 + 0.25 * second)
    torch.testing.assert_close(targets, column(first, second, 0.0))


def test_values_of_logits_are_probabilities():
    q = column(0.0, 2.0, -1.0)
    targets, _ = lambda_returns(q, q - 9, torch.tensor([3]), torch.tensor([1.0]), trace_decay=0.0)
    torch.testing.assert_close(targets, column(torch.sigmoid(torch.tensor(2.0)).item(), 0.2689414, 0.0))


def test_rows_end_where_they_end():
    q = torch.zeros(3, 3)
    targets, mask = lambda_returns(q, q, torch.tensor([1, 2, 3]), torch.tensor([1.0, 0.5, 0.25]), scale=PLAIN)
    assert targets.tolist() == [[0.0, 0.5, 0.25], [0.0, 0.0, 0.25], [0.0, 0.0, 0.0]]
    assert mask.tolist() == [[False, True, True], [False, False, True], [False, False, False]]


def test_returns_refuse_what_does_not_fit():
    q = torch.zeros(2, 1)
    with pytest.raises(ValueError, match="use scale=PLAIN"):
        lambda_returns(q, q, torch.tensor([2]), torch.tensor([1.0]), segment_cost=0.1)
    with pytest.raises(ValueError, match="trace_decay must lie in"):
        lambda_returns(q, q, torch.tensor([2]), torch.tensor([1.0]), trace_decay=1.5)


class Episode:
    """Segments of two rows, written down: what the Q-head reads is one number, and the Q-head is known."""

    def __init__(self, scale=PLAIN, cost=0.125, gamma=1.0):
        self.head = nn.Linear(1, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[1.0], [0.5]]))  # Q(halt) = x, Q(continue) = x / 2 + 1
            self.head.bias.copy_(torch.tensor([0.0, 1.0]))
        self.target = TargetHead(self.head, None)
        self.objective = Objective(scale, 3, cost, gamma)

    def batch(self, inputs, segment, terminated, reward):
        state = torch.tensor(inputs)[:, None, None]
        q_halt, q_continue = values(self.head, state[:, 0])
        return SimpleNamespace(
            puzzle=None,
            task_id=None,
            segment=torch.tensor(segment),
            terminated=np.array(terminated),
            halt_reward=torch.tensor(reward),
            host=SimpleNamespace(halt_reward=np.array(reward)),
            decision=SimpleNamespace(
                carry=None, output=SimpleNamespace(q_halt=q_halt, q_continue=q_continue, q_input=state[:, 0])
            ),
        )


#: Row 0 thinks three segments; row 1 halts at once, and then begins another episode.
STEPS = (
    ([0.5, 4.0], [1, 1], [False, True], [0.0, 1.0]),
    ([1.0, 2.0], [2, 1], [False, False], [0.0, 0.0]),
    ([3.0, 6.0], [3, 2], [True, True], [1.0, 0.5]),
)


def squared(prediction, target):
    return 0.5 * (prediction - target) ** 2


def test_one_pass_pays_the_segment_before():
    episode = Episode()
    learner = OnePass(episode.head, episode.target, episode.objective, 2)
    losses = [learner.loss(episode.batch(*step)).item() for step in STEPS]
    # Nothing came before the first. Then row 0: Q(continue) of 0.5 is 1.25, max at 1.0 is 1.5; row 1 had ended.
    # At last row 0 is at segment 3, where only halting is left: Q(halt) = 3; row 1: max at 6.0 is Q(halt) = 6.
    expected = [0.0, squared(1.25, 1.5 - 0.125) / 2, (squared(1.5, 3 - 0.125) + squared(2.0, 6 - 0.125)) / 2]
    assert losses == pytest.approx(expected)


def test_one_pass_trains_the_q_head_alone_and_not_on_its_targets():
    episode = Episode()
    learner = OnePass(episode.head, episode.target, episode.objective, 2)
    learner.loss(episode.batch(*STEPS[0]))
    loss = learner.loss(episode.batch(*STEPS[1]))
    loss.backward()
    # d/dw of (w x + b - target)^2 / 2, halved for two rows; nothing for the halting output.
    error = 1.25 - (1.5 - 0.125)
    assert episode.head.weight.grad[1].item() == pytest.approx(error * 0.5 / 2)
    assert episode.head.bias.grad.tolist() == pytest.approx([0.0, error / 2])


@pytest.mark.parametrize("trace_decay", [0.0, 0.5, 1.0])
def test_returns_are_learned_when_the_episode_ends(trace_decay):
    episode = Episode()
    learner = EpisodeReturns(episode.head, episode.target, episode.objective, trace_decay, 2)
    losses = [learner.loss(episode.batch(*step)).item() for step in STEPS]
    cost, mix = 0.125, trace_decay
    # Row 0 ends at segment 3 with 1: values max(1, 1.5) at segment 2, Q(halt) = 3 at the last.
    second = (1 - mix) * 3 + mix * 1 - cost
    first = (1 - mix) * 1.5 + mix * second - cost
    # Row 1 ends at segment 2 of its second episode with 0.5; its first, of one segment, has nothing to learn.
    other = (1 - mix) * 6 + mix * 0.5 - cost
    expected = (squared(1.25, first) + squared(1.5, second) + squared(2.0, other)) / 2
    assert losses == pytest.approx([0.0, 0.0, expected])


def test_a_second_forward_trains_every_row_and_the_network():
    episode = Episode()
    following = episode.batch([1.0, 6.0], [2, 2], [False, False], [0.0, 0.0]).decision

    learner = SecondForward(lambda *_: (None, following.output), episode.target, episode.objective)
    batch = episode.batch([0.5, 4.0], [1, 2], [False, True], [0.0, 1.0])
    # Row 1 is at segment 2 of 3, so that Q(halt) alone counts for the next.
    assert learner.targets(batch).tolist() == pytest.approx([1.5 - 0.125, 6.0 - 0.125])
    assert learner.loss(batch).item() == pytest.approx((squared(1.25, 1.375) + squared(3.0, 5.875)) / 2)


@pytest.mark.parametrize("make", [lambda *parts: OnePass(*parts, num_rows=2), lambda *a: EpisodeReturns(*a, 0.5, 2)])
def test_what_is_remembered_can_be_saved(make):
    episode = Episode()
    whole, first = (make(episode.head, episode.target, episode.objective) for _ in range(2))
    for step in STEPS[:2]:
        whole.loss(episode.batch(*step))
        first.loss(episode.batch(*step))
    second = make(episode.head, episode.target, episode.objective)
    second.load_state_dict({name: tensor.clone() for name, tensor in first.state_dict().items()})
    last = episode.batch(*STEPS[2])
    assert second.loss(last).item() == whole.loss(last).item() != 0.0


def test_nothing_remembered_is_a_state_too():
    episode = Episode()
    learner = OnePass(episode.head, episode.target, episode.objective, 2)
    learner.loss(episode.batch(*STEPS[0]))
    learner.load_state_dict(OnePass(episode.head, episode.target, episode.objective, 2).state_dict())
    assert learner.loss(episode.batch(*STEPS[1])).item() == 0.0


def test_a_slow_copy_of_the_head_follows_it():
    head = nn.Linear(1, 2)
    nn.init.ones_(head.weight)
    nn.init.zeros_(head.bias)
    target = TargetHead(head, 0.9)
    nn.init.constant_(head.weight, 2.0)
    assert [q.item() for q in target(torch.ones(1))] == [1.0, 1.0]
    target.update()
    assert [q.item() for q in target(torch.ones(1))] == pytest.approx([1.1, 1.1])
    other = TargetHead(head, 0.9)
    other.load_state_dict(target.state_dict())
    assert [q.item() for q in other(torch.ones(1))] == pytest.approx([1.1, 1.1])
    assert not any(q.requires_grad for q in target(torch.ones(1)))


def test_without_a_slow_copy_the_values_are_the_heads_own():
    head = nn.Linear(1, 2)
    target = TargetHead(head, None)
    nn.init.constant_(head.weight, 3.0)
    nn.init.zeros_(head.bias)
    assert [q.item() for q in target(torch.ones(1))] == [3.0, 3.0]
    assert not target(torch.ones(1))[0].requires_grad
    assert target.state_dict() == {}


def test_probabilities_take_cross_entropy():
    episode = Episode(LOGIT, 0.0)
    learner = OnePass(episode.head, episode.target, episode.objective, 2)
    learner.loss(episode.batch(*STEPS[0]))
    loss = learner.loss(episode.batch(*STEPS[1]))
    target = torch.sigmoid(torch.tensor(1.5))
    assert loss.item() == pytest.approx(LOGIT.loss(torch.tensor(1.25), target).item() / 2)
