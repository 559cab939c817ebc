"""Halting rules and what the Q-head learns under them: a sign, an index or a mask that is off shows in a number."""

from __future__ import annotations

import copy
import dataclasses
import json
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import hrm_agents
from hrm_agents.config import EnvConfig, HaltingConfig, TrainConfig
from hrm_agents.environments import make_vector, of_unseen
from hrm_agents.errors import UserError
from hrm_agents.evaluation.evaluate import evaluate, open_env, trace
from hrm_agents.evaluation.halting_report import halting_report
from hrm_agents.evaluation.think import think_to_halt
from hrm_agents.halting.decisions import (
    Convergence,
    FixedLength,
    Gain,
    GreaterValue,
    HaltingPolicy,
    HaltingProbability,
    Thought,
)
from hrm_agents.halting.exploration import Exploration
from hrm_agents.halting.q_scale import LOGIT, PLAIN
from hrm_agents.halting.targets import episode_returns, gain_target, policy_gradient
from hrm_agents.learning.continue_value import Objective
from hrm_agents.learning.halting import GainLearner, HaltValueLearner, PolicyLearner
from hrm_agents.policy import HRMPolicy
from hrm_agents.records.checkpoint import CONFIG, MODEL, load
from hrm_agents.rollout import Rollout
from hrm_agents.trainer import Trainer
from hrm_envs import PuzzleBatch, Task, TaskSpec, Verdict, register_task

NAMES = ("q", "gain", "probability", "fixed", "convergence", "policy")
RULES = (
    GreaterValue(),
    HaltingProbability(0.6, LOGIT),
    HaltingProbability(0.25, PLAIN),
    FixedLength(2),
    FixedLength(None),
    Convergence(),
    Gain(0.0, PLAIN),
    Gain(0.25, LOGIT),
    HaltingPolicy(),
)
ID = "HRM/Sudoku-4x4-v0"


class Swap(Task):
    """Exchange two letters."""

    default_num_puzzles = {"train": 9, "test": 9}  # noqa: RUF012

    def __init__(self):
        self.spec = TaskSpec("Swap", (1, 2), (" ", "a", "b", "c"))

    def stored(self, split):
        puzzle = np.stack(np.divmod(np.arange(9), 3), 1).astype(np.uint8) + 1
        return PuzzleBatch(puzzle, puzzle[:, ::-1])

    def verify(self, batch, answer):
        right = answer == batch.solution
        return Verdict(right.all(1), right.mean(1, dtype=np.float32))


register_task("Test/Swap-v0", Swap, max_segments=4)


def thought(**parts):
    """Three rows at segment 2 with other answers than before, unless told otherwise."""
    usual = {
        "q_halt": torch.zeros(3),
        "q_continue": torch.zeros(3),
        "segment": torch.full((3,), 2),
        "answer": torch.tensor([[1, 2]] * 3, dtype=torch.uint8),
        "last_answer": torch.tensor([[2, 1]] * 3, dtype=torch.uint8),
    }
    return Thought(**{**usual, **{name: torch.as_tensor(part) for name, part in parts.items()}})


def column(*numbers):
    return torch.tensor(numbers)[:, None]


# Decisions.


def test_greater_value():
    halt = GreaterValue().decide(thought(q_halt=[0.2, -3.0, 0.1], q_continue=[0.1, -4.0, 0.1]))
    assert halt.tolist() == [True, True, False]


def test_a_probability_is_compared_with_the_threshold():
    # Probabilities 0.269, 0.5 and 0.731; Q(continue) would decide the other way round.
    seen = thought(q_halt=[-1.0, 0.0, 1.0], q_continue=[-9.0, -9.0, 9.0])
    assert HaltingProbability(0.5, LOGIT).decide(seen).tolist() == [False, False, True]
    assert HaltingProbability(0.25, LOGIT).decide(seen).tolist() == [True, True, True]
    assert HaltingProbability(0.75, LOGIT).decide(seen).tolist() == [False, False, False]
    assert HaltingProbability(0.5, PLAIN).decide(thought(q_halt=[0.4, 0.5, 0.6])).tolist() == [False, False, True]


def test_a_gain_must_exceed_the_least_gain():
    seen = thought(q_continue=[-0.5, 0.25, 0.5], q_halt=[-9.0, 9.0, -9.0])
    assert Gain(0.25, PLAIN).decide(seen).tolist() == [True, True, False]
    # In training the bar is somewhere between the least and the sure gain.
    draw = seen._replace(draw=torch.tensor([0.5, 0.5, 0.5]))
    assert Gain(-1.0, PLAIN, sure=1.5).decide(draw).tolist() == Gain(0.25, PLAIN).decide(seen).tolist()
    assert Gain(0.25, PLAIN, sure=0.0).decide(draw).tolist() == Gain(0.25, PLAIN).decide(seen).tolist()
    assert Gain(-1.0, PLAIN).decide(seen).tolist() == [False, False, False]


def test_a_fixed_length_counts_from_one():
    seen = thought(segment=[1, 2, 3], q_halt=[9.0, -9.0, -9.0])
    assert FixedLength(2).decide(seen).tolist() == [False, True, True]
    assert FixedLength(1).decide(seen).all()
    assert not FixedLength(None).decide(seen).any()


def test_convergence_is_an_answer_that_stays_in_every_cell():
    last = torch.tensor([[1, 2], [1, 3], [0, 0]], dtype=torch.uint8)
    assert Convergence().decide(thought(last_answer=last)).tolist() == [True, False, False]
    zeros = torch.zeros(3, 2, dtype=torch.uint8)
    first = thought(segment=[1, 1, 2], answer=zeros, last_answer=zeros)
    assert Convergence().decide(first).tolist() == [False, False, True], "there is nothing to equal at first"


def test_a_policy_draws_in_training_and_prefers_after():
    # Chances of 0.269, 0.5 and 0.731.
    seen = thought(q_halt=[-1.0, 0.0, 1.0])
    assert HaltingPolicy().decide(seen).tolist() == [False, False, True]
    assert HaltingPolicy().decide(seen._replace(draw=torch.tensor([0.26, 0.51, 0.74]))).tolist() == [True, False, False]
    many = Thought(*(torch.zeros(20_000) + part for part in (-1.0, 5.0, 1, 0, 0)), draw=torch.rand(20_000))
    assert HaltingPolicy().decide(many).float().mean().item() == pytest.approx(0.2689, abs=0.02)


# Policy gradient.


def test_returns_of_an_episode_by_hand():
    returns = episode_returns(torch.tensor([3, 1]), torch.tensor([1.0, 0.5]), 4, segment_cost=0.1, gamma=0.5)
    # Two segments before the end: 0.5 * (0.5 * 1 - 0.1) - 0.1; one before: 0.5 * 1 - 0.1; then the reward.
    torch.testing.assert_close(returns, torch.tensor([[0.1, 0.5], [0.4, 0.0], [1.0, 0.0], [0.0, 0.0]]))


def test_policy_gradient_by_hand():
    """An episode of 3 segments out of 4; exploration forced it on after the first."""
    logit = torch.tensor([[2.0], [0.5], [-0.5], [3.0]], requires_grad=True)
    value = torch.tensor([[0.0], [0.1], [0.4], [7.0]], requires_grad=True)
    returns, chosen = column(0.8, 0.9, 1.0, 0.0), column(False, True, True, True)
    terms = policy_gradient(logit, value, torch.tensor([3]), returns, chosen)
    log_think, log_halt = np.log(1 - 1 / (1 + np.exp(-0.5))), np.log(1 / (1 + np.exp(0.5)))
    assert terms.policy[:, 0].tolist() == pytest.approx([0, -0.8 * log_think, -0.6 * log_halt, 0])
    assert terms.value[:, 0].tolist() == pytest.approx([0, 0.5 * 0.8**2, 0.5 * 0.6**2, 0])
    # The chances at both are 0.622 and 0.378, whose entropy is the same.
    entropy = -(0.6224593 * np.log(0.6224593) + 0.3775407 * np.log(0.3775407))
    assert terms.entropy[:, 0].tolist() == pytest.approx([0, entropy, entropy, 0])
    terms.policy.sum().backward()
    # Both choices were better than expected: for thinking on d/dl is A * pi, for halting -A * (1 - pi).
    assert logit.grad[:, 0].tolist() == pytest.approx([0, 0.8 * 0.6224593, -0.6 * 0.6224593, 0])
    assert value.grad is None, "the baseline learns from its own loss alone"
    terms.value.sum().backward()
    assert value.grad[:, 0].tolist() == pytest.approx([0, -0.8, -0.6, 0])


numbers = st.floats(-2, 2, width=32)


@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(2, 5), st.integers(1, 4), st.floats(0, 0.5))
def test_its_mean_is_the_gradient_of_the_mean_return(data, num_segments, minimum, cost):
    """Over all episodes that there can be, by their chances; whatever the baseline, and where exploration forces."""
    logit, value, reward = (
        torch.tensor(data.draw(st.lists(numbers, min_size=num_segments, max_size=num_segments)), dtype=torch.float64)
        for _ in range(3)
    )
    logit.requires_grad_()
    free = [t for t in range(1, num_segments) if t >= minimum]
    mean_return, gradient = 0.0, torch.zeros(num_segments, dtype=torch.float64)
    for length in [*free, num_segments]:
        log_chance = sum((nn.functional.logsigmoid(-logit[t - 1]) for t in free if t < length), torch.zeros(()))
        if length in free:
            log_chance = log_chance + nn.functional.logsigmoid(logit[length - 1])
        mean_return = mean_return + log_chance.exp() * (reward[length - 1] - cost * (length - 1))
        returns = episode_returns(torch.tensor([length]), reward[[length - 1]], num_segments, segment_cost=cost)
        chosen = torch.tensor([[t in free] for t in range(1, num_segments + 1)])
        terms = policy_gradient(logit[:, None], value[:, None], torch.tensor([length]), returns, chosen)
        gradient += log_chance.exp().item() * torch.autograd.grad(terms.policy.sum(), logit)[0]
    mean_return = mean_return + 0.0 * logit.sum()  # for episodes without any choice
    torch.testing.assert_close(gradient, -torch.autograd.grad(mean_return, logit)[0], rtol=1e-4, atol=1e-5)


# Learners, on a Q-head of one input x: 2x - 1 and x.


def q_head():
    head = nn.Linear(1, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[2.0], [1.0]]))
        head.bias.copy_(torch.tensor([-1.0, 0.0]))
    return head


def segment_batch(inputs, segment, terminated, reward, chosen=(True, True)):
    state = torch.tensor(inputs)[:, None, None]
    return SimpleNamespace(
        segment=torch.tensor(segment),
        terminated=np.array(terminated),
        chosen=np.array(chosen),
        halt_reward=torch.tensor(reward),
        host=SimpleNamespace(halt_reward=np.array(reward)),
        decision=SimpleNamespace(output=SimpleNamespace(q_input=state[:, 0])),
    )


#: Row 0 thinks three segments, the last of which is forced; row 1 halts at once, and then begins another episode.
STEPS = (
    ([0.5, 1.0], [1, 1], [False, True], [0.0, 1.0]),
    ([0.25, 0.75], [2, 1], [False, False], [0.0, 0.0], (True, False)),
    ([2.0, 0.125], [3, 2], [True, True], [1.0, 0.5], (False, True)),
)
OBJECTIVE = Objective(PLAIN, 3, segment_cost=0.25)


def test_a_policy_learns_when_episodes_end():
    learner = PolicyLearner(q_head(), OBJECTIVE, entropy_weight=0.1, num_rows=2)
    losses = [{name: loss.item() for name, loss in learner.losses(segment_batch(*step)).items()} for step in STEPS]
    log_halt, log_think = (lambda x: -np.log1p(np.exp(-(2 * x - 1)))), (lambda x: -np.log1p(np.exp(2 * x - 1)))
    entropy = lambda x: -sum(np.exp(log(x)) * log(x) for log in (log_halt, log_think))  # noqa: E731
    # Row 1 halts at once where x = 1 and earns 1, as V = x says.
    first = {"policy_loss": 0.0, "value_loss": 0.0, "entropy_loss": -0.1 * entropy(1.0) / 2}
    assert losses[0] == pytest.approx(first, abs=1e-6)
    assert losses[1] == pytest.approx(dict.fromkeys(first, 0.0))
    # Row 0: returns 0.5 and 0.75 of thinking on twice. Row 1: forced on, then halts for 0.5 where V is 0.125.
    policy = -((0.5 - 0.5) * log_think(0.5) + (0.75 - 0.25) * log_think(0.25) + (0.5 - 0.125) * log_halt(0.125))
    expected = {
        "policy_loss": policy / 2,
        "value_loss": 0.5 * (0.5**2 + 0.375**2) / 2,
        "entropy_loss": -0.1 * (entropy(0.5) + entropy(0.25) + entropy(0.125)) / 2,
    }
    assert losses[2] == pytest.approx(expected, rel=1e-5)


def test_gains_are_learned_from_two_verdicts():
    learner = GainLearner(q_head(), Objective(PLAIN, 3, segment_cost=0.25, gamma=0.5), PLAIN, num_rows=2)
    batches = [segment_batch(*step) for step in STEPS]
    for batch in batches:
        state = batch.decision.output.q_input[:, 0]
        batch.decision.output.q_halt, batch.decision.output.q_continue = 2 * state - 1, state
    losses = [{name: loss.item() for name, loss in learner.losses(batch).items()} for batch in batches]
    # The gain is x. Row 0, segment 1: x = 0.5, then 0 is paid and 0.25 could be gained at a cost of 0.25. Row 1 had
    # ended.
    second = (0.5 - 0.5 * (0.0 + 0.0)) ** 2 / 2 / 2
    # Row 0, segment 2: x = 0.25, then 1 is paid at the last segment. Row 1: x = 0.75, then 0.5 is paid, 0.125 not worth
    # its cost.
    third = (0.25 - 0.5 * 1.0) ** 2 / 2 / 2 + (0.75 - 0.5 * (0.5 + 0.0)) ** 2 / 2 / 2
    assert [each["gain_loss"] for each in losses] == pytest.approx([0.0, second, third])
    assert losses[0]["q_halt_loss"] == pytest.approx((0.0 + 0.0) / 2)
    assert losses[2]["q_halt_loss"] == pytest.approx((0.5 * (3 - 1) ** 2 + 0.5 * (-0.75 - 0.5) ** 2) / 2)


def test_a_gain_counts_as_far_as_it_exceeds_its_cost():
    """What thinking on would lose, or cost, need not be lost: the agent halts then."""
    reward, gain_t, is_last_t = (
        torch.full((4,), 0.5),
        torch.tensor([-3.0, 0.25, 0.75, 0.75]),
        torch.tensor([0, 0, 0, 1]),
    )
    target = gain_target(reward, reward, gain_t, is_last_t.bool(), scale=PLAIN, segment_cost=0.25, gamma=0.5)
    assert target.tolist() == [0.25 - 0.5, 0.25 - 0.5, 0.5 * (0.5 + 0.5) - 0.5, 0.25 - 0.5]


def test_no_segment_is_worth_more_than_the_highest_reward():
    """A right answer has nothing to gain, whatever is estimated; a wrong one at most the discounted rest."""
    reward_tm1, reward_t = torch.tensor([1.0, 0.25, 0.25]), torch.tensor([1.0, 0.5, 0.5])
    gain_t, is_last_t = torch.tensor([0.75, 0.75, 0.25]), torch.tensor([False] * 3)
    target = gain_target(reward_tm1, reward_t, gain_t, is_last_t, gamma=0.5, highest_reward=1.0)
    assert target.tolist() == [0.5 - 1.0, 0.5 - 0.25, 0.5 * 0.75 - 0.25]
    unbounded = gain_target(reward_tm1, reward_t, gain_t, is_last_t, gamma=0.5)
    assert unbounded.tolist() == [0.5 * 1.75 - 1.0, 0.5 * 1.25 - 0.25, 0.5 * 0.75 - 0.25]


def test_a_gain_as_a_logit_needs_bounded_rewards():
    with pytest.raises(UserError, match="gain_loss='bce' needs rewards in"):
        TrainConfig(halting=HaltingConfig(rule="gain", gain_loss="bce", q_loss="mse"))
    logit = TrainConfig(halting=HaltingConfig(rule="gain", gain_loss="bce", least_gain=0.25, sure_gain=0.5))
    assert logit.halting_rule() == Gain(0.25, LOGIT, 0.5)


def test_as_a_logit_a_gain_lies_between_nothing_and_the_highest_reward():
    """A right answer has nothing to gain, whatever is estimated; a wrong one at most the discounted rest."""
    reward_tm1, reward_t = torch.tensor([1.0, 0.25, 0.25, 0.5]), torch.tensor([1.0, 0.75, 0.25, 0.0])
    gain_t, is_last_t = torch.logit(torch.tensor([0.75, 0.75, 0.5, 0.125])), torch.tensor([False] * 4)
    target = gain_target(
        reward_tm1, reward_t, gain_t, is_last_t, scale=LOGIT, gamma=0.75, segment_cost=0.125, highest_reward=1.0
    )
    torch.testing.assert_close(target, torch.tensor([0.0, 0.75 - 0.25, 0.75 * (0.25 + 0.375) - 0.25, 0.0]))


def test_a_gain_as_a_logit_is_learned_by_cross_entropy():
    learner = GainLearner(q_head(), Objective(LOGIT, 3, gamma=0.5), LOGIT, num_rows=2)
    for step in STEPS[:2]:
        batch = segment_batch(*step)
        state = batch.decision.output.q_input[:, 0]
        batch.decision.output.q_halt, batch.decision.output.q_continue = 2 * state - 1, state
        loss = learner.losses(batch)["gain_loss"].item()
    # As above, with a logit of 0.5 at first, and sigmoid(0.25) to be gained afterwards.
    target = 0.5 / (1 + np.exp(-0.25))
    expected = np.log1p(np.exp(0.5)) - 0.5 * target
    assert loss == pytest.approx(expected / 2)


def test_an_answer_that_earns_the_most_teaches_that_nothing_is_left_to_gain():
    """Also where the agent halts on it, and nothing follows; of other halts nothing is known."""
    learner = GainLearner(q_head(), Objective(LOGIT, 3, gamma=0.75), LOGIT, num_rows=2)
    batch = segment_batch([0.5, 0.25], [1, 1], [True, True], [1.0, 0.5])
    state = batch.decision.output.q_input[:, 0]
    batch.decision.output.q_halt, batch.decision.output.q_continue = 2 * state - 1, state
    assert learner.losses(batch)["gain_loss"].item() == pytest.approx(np.log1p(np.exp(0.5)) / 2)


def test_what_a_policy_remembers_can_be_saved():
    whole, first, second = (PolicyLearner(q_head(), OBJECTIVE, 0.1, 2) for _ in range(3))
    for step in STEPS[:2]:
        whole.losses(segment_batch(*step))
        first.losses(segment_batch(*step))
    second.load_state_dict({name: tensor.clone() for name, tensor in first.state_dict().items()})
    last = segment_batch(*STEPS[2])
    assert second.losses(last) == whole.losses(last)
    assert second.losses(last)["policy_loss"] != 0.0


def test_without_an_ended_episode_the_head_has_a_gradient_of_zero():
    head = q_head()
    sum(PolicyLearner(head, OBJECTIVE, 0.1, 2).losses(segment_batch(*STEPS[1])).values()).backward()
    assert head.weight.grad.tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize("monitor", [False, True])
def test_a_monitor_trains_the_head_and_not_the_network(monitor):
    head, inner = q_head(), torch.tensor([[0.5], [2.0]], requires_grad=True)
    batch = segment_batch([0.5, 2.0], [1, 1], [False, False], [1.0, 0.0])
    batch.decision.output.q_halt = head(inner)[:, 0]
    losses = HaltValueLearner(head, LOGIT, monitor=monitor).losses(batch)
    assert list(losses) == ["q_halt_loss"]
    expected = LOGIT.loss(torch.tensor([0.0, 3.0]), torch.tensor([1.0, 0.0])).mean()
    torch.testing.assert_close(losses["q_halt_loss"], expected)
    losses["q_halt_loss"].backward()
    assert (inner.grad is None) == monitor
    assert head.weight.grad[0] != 0.0
    assert head.weight.grad[1] == 0.0


# Acting.


@pytest.fixture
def model(sudoku_run):
    """A model whose Q-head decides differently from puzzle to puzzle."""
    model = load(sudoku_run).model
    torch.manual_seed(0)
    nn.init.normal_(model.q_head.weight)
    nn.init.zeros_(model.q_head.bias)
    return model


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_to_the_halt_and_to_the_end_agree(model, rule):
    kwargs = {"max_segments": 5}
    env_id = ID
    if isinstance(rule, Convergence):
        # Answers of a model that has learned nothing never settle.
        solver = hrm_agents.load("maze-9x9")
        model, env_id, kwargs = solver.model, solver.env_id, {**solver.env_kwargs, **kwargs}
    with closing(open_env(env_id, kwargs, num_puzzles=20, batch_size=7)) as env:
        ends = trace(HRMPolicy(model, rule=rule), env).at_halt()
        halted = think_to_halt(HRMPolicy(model, rule=rule), env)
    for name in ("answer", "success", "segments", "forced_halt"):
        assert np.array_equal(getattr(ends, name), getattr(halted, name)), name
    if isinstance(rule, FixedLength):
        assert set(halted.segments) == {rule.segments or 5}
        assert halted.forced_halt.all() == (rule.segments is None)
    else:
        assert len(set(halted.segments)) > 1, "it must tell puzzles apart"


def test_convergence_compares_with_the_last_proposal():
    """By hand: the answers of consecutive segments of each puzzle."""
    solver = hrm_agents.load("maze-9x9")
    model = solver.model
    kwargs = {**solver.env_kwargs, "max_segments": 6}
    with closing(open_env(solver.env_id, kwargs, num_puzzles=10, batch_size=10)) as env:
        result = trace(HRMPolicy(model, rule=Convergence()), env)
        obs, _ = env.reset(seed=0, options={"index": np.arange(10)})
        policy, carry, reset, answers = HRMPolicy(model), model.initial_carry(10), np.ones(10, bool), []
        with torch.no_grad():
            for _ in range(6):
                decision = policy.act(obs, carry, reset)
                carry, reset = decision.carry, ~np.ones(10, bool)
                answers.append(decision.answer.numpy())
                obs, *_ = env.step({"answer": answers[-1], "halt": np.zeros(10, int)})
    same = [np.zeros(10, bool), *((a == b).all(1) for a, b in zip(answers[1:], answers, strict=False))]
    assert np.array_equal(result.wants_halt, np.stack(same, 1))
    assert result.wants_halt.any()
    assert not result.wants_halt[:, 1:].all()


def test_a_choice_is_the_agents_own_between_exploration_and_the_end(model):
    env = make_vector(ID, 8, {"split": "train", "num_puzzles": 8, "max_segments": 4, "expose_solution": True})
    with closing(env):
        rollout = Rollout(env, HRMPolicy(model, rule=HaltingPolicy()), Exploration("episode", 0.5, 4), seed=1)
        with torch.no_grad():
            batches = [rollout.step() for _ in range(40)]
    segment = np.concatenate([batch.segment.numpy() for batch in batches])
    chosen = np.concatenate([batch.chosen for batch in batches])
    halted = np.concatenate([batch.terminated & ~batch.forced_halt for batch in batches])
    assert not chosen[segment == 4].any()
    assert chosen[(segment < 4) & halted].all()
    assert 0.4 < chosen[segment == 1].mean() < 0.6
    assert not chosen[(segment == 1) & halted].mean() < 1.0


def test_a_policy_draws_from_the_state_that_is_saved(model, tmp_path):
    env = make_vector(ID, 8, {"split": "train", "num_puzzles": 8, "max_segments": 4, "expose_solution": True})
    with closing(env), torch.no_grad():
        nn.init.zeros_(model.q_head.weight)  # every choice is a toss of a coin
        rollout = Rollout(env, HRMPolicy(model, rule=HaltingPolicy()), Exploration("episode", 0.1, 4), seed=1)
        for _ in range(3):
            rollout.step()
        state = copy.deepcopy(rollout.state_dict())
        first = [rollout.step().terminated for _ in range(10)]
        rollout.load_state_dict(state)
        assert np.array_equal(first, [rollout.step().terminated for _ in range(10)])
    assert 0.3 < np.mean(first) < 0.8


# Settings.


def test_settings_choose_the_rule_and_the_loss():
    def config(cost=0.0, **halting):
        return TrainConfig(env=EnvConfig(kwargs={"segment_cost": cost}), halting=HaltingConfig(**halting))

    assert config().halting_rule() == GreaterValue()
    assert config(rule="probability", threshold=0.3).halting_rule() == HaltingProbability(0.3, LOGIT)
    # A price moves Q(continue) alone.
    assert config(0.1, rule="probability").halting_rule() == HaltingProbability(0.5, LOGIT)
    plain = config(rule="probability", q_loss="mse", threshold=-2.0)
    assert plain.halting_rule() == HaltingProbability(-2.0, PLAIN)
    assert config(rule="fixed", fixed_segments=3).halting_rule() == FixedLength(3)
    assert config(rule="fixed").halting_rule() == FixedLength(None)
    assert config(rule="convergence").halting_rule() == Convergence()
    assert config(0.1, rule="policy").halting_rule() == HaltingPolicy()
    assert config(rule="policy").q_scale() == LOGIT  # of the chance of halting
    assert config(0.1, rule="policy").q_scale() == LOGIT
    assert config(0.1).q_scale() == PLAIN
    with pytest.raises(UserError, match="use 'mse'"):
        config(rule="policy", q_loss="bce")
    with pytest.raises(UserError, match=r"threshold must lie between 0 and 1.*got 1\.5"):
        config(rule="probability", threshold=1.5)
    with pytest.raises(UserError, match="unknown rule 'luck'; choose q,"):
        config(rule="luck")


def test_a_fixed_length_must_fit_the_environment(tiny_config, tmp_path):
    with pytest.raises(UserError, match="fixed_segments 4 is more than the 3 segments"):
        Trainer(tiny_config(halting={"rule": "fixed", "fixed_segments": 4}), tmp_path)


# Training.


@pytest.mark.parametrize("name", NAMES)
def test_a_run_of_any_rule_resumes_bit_for_bit_and_is_used_as_trained(tiny_config, tmp_path, name):
    halting = {"rule": name, "exploration_prob": 0.5, "fixed_segments": 2, "threshold": 0.0067}
    config = tiny_config(kwargs={"num_puzzles": 32, "max_segments": 4}, halting=halting, run={"updates": 12})
    trainer = Trainer(config, tmp_path)
    for _ in range(6):
        trainer.update()
    trainer.save()
    expected = [trainer.update() for _ in range(6)]
    weights = {key: tensor.clone() for key, tensor in trainer.model.state_dict().items()}

    resumed = Trainer.resume(tmp_path)
    assert resumed.rollout.policy.rule == config.halting_rule()
    assert [resumed.update() for _ in range(6)] == expected
    for key, tensor in resumed.model.state_dict().items():
        torch.testing.assert_close(tensor, weights[key], rtol=0, atol=0)
    report = resumed.evaluate(20)
    resumed.save(report)

    solver = hrm_agents.load(tmp_path)
    assert solver.rule == config.halting_rule()
    by_end, by_halt = (solver.evaluate(first=20, until=until) for until in ("end", "halt"))
    assert dataclasses.replace(by_end, success_per_segment=()) == by_halt
    assert by_end == report
    assert (by_end.halting.continue_value is None) == (name != "q")
    assert by_end.halting.mean_segments == pytest.approx(by_end.mean_segments)
    with closing(solver.make_env(num_puzzles=1)) as env:
        segments = list(solver.think(env, options={"index": 0}))
    one = solver.evaluate({"num_puzzles": 1})
    assert len(segments) == one.mean_segments
    assert (segments[0].q_continue is None) == (name != "q")
    if name == "fixed":
        assert one.mean_segments == 2


@pytest.mark.parametrize(
    ("trained", "rule", "missing"),
    [("gain", GreaterValue(), "value"), ("q", Gain(0.1, LOGIT), "gain"), ("fixed", GreaterValue(), "value")],
)
def test_a_rule_that_asks_for_what_was_not_learned_is_refused(tiny_config, tmp_path, trained, rule, missing):
    Trainer(tiny_config(halting={"rule": trained}), tmp_path).save()
    problem = f"was trained with halting rule '{trained}': it has no {missing} of thinking on, by which"
    with pytest.raises(UserError, match=problem):
        hrm_agents.load(tmp_path, rule=rule)
    assert hrm_agents.load(tmp_path, rule=HaltingProbability(0.5, LOGIT)).rule.threshold == 0.5


def test_a_fixed_length_is_kept_in_training_and_has_nothing_to_explore(tiny_config, tmp_path):
    halting = {"rule": "fixed", "fixed_segments": 2, "exploration_prob": 1.0}
    trainer = Trainer(tiny_config(kwargs={"num_puzzles": 32, "max_segments": 4}, halting=halting), tmp_path)
    with torch.no_grad():
        batches = [trainer.rollout.step() for _ in range(6)]
    assert [batch.terminated.all() for batch in batches] == [False, True] * 3
    assert not any(batch.forced_halt.any() for batch in batches)


def test_a_run_keeps_its_rule(tiny_config, tmp_path):
    Trainer(tiny_config(), tmp_path).save()
    with pytest.raises(UserError, match=r"halting\.rule='q', not 'probability'"):
        Trainer.resume(tmp_path, tiny_config(halting={"rule": "probability"}))


def test_checkpoints_from_before_there_were_rules_take_the_papers(sudoku_run, tmp_path):
    for name in (MODEL, CONFIG):
        (tmp_path / name).write_bytes((sudoku_run / name).read_bytes())
    config = json.loads((tmp_path / CONFIG).read_text())
    for name in ("rule", "threshold", "fixed_segments", "entropy_weight"):
        del config["training"]["halting"][name]
    (tmp_path / CONFIG).write_text(json.dumps(config))
    assert hrm_agents.load(tmp_path).rule == GreaterValue()


def test_the_monitor_watches_values_that_decide(tiny_config, tmp_path, monkeypatch):
    seen = {}
    for name in NAMES:
        trainer = Trainer(tiny_config(halting={"rule": name, "threshold": 0.25}), tmp_path / name)
        monkeypatch.setattr(trainer.monitor, "observe", lambda name=name, **values: seen.update({name: values}) or [])
        trainer.update()
    assert set(seen) == {"q", "probability", "gain"}
    assert seen["probability"]["q_bar"] == pytest.approx(np.log(0.25 / 0.75))
    assert seen["q"]["q_bar"] == pytest.approx(-5.0)
    assert seen["gain"]["q_bar"] is None
    assert seen["gain"]["margin"] == pytest.approx(HaltingConfig.least_gain - 0.1)


LEARNER = {
    "model": {"hidden_size": 16, "num_heads": 2, "expansion": 4.0},
    "optim": {"lr": 5e-3, "warmup": 10, "ema_decay": 0.9, "weight_decay": 0.0, "schedule": "constant"},
}


@pytest.mark.parametrize(("cost", "updates"), [(0.1, 80), (-0.1, 200)])
def test_a_policy_learns_what_thinking_on_is_worth(tiny_config, tmp_path, cost, updates):
    """Where it costs, to halt at once; where it pays, never to. A wrong sign in the gradient fails both."""
    halting = {"rule": "policy", "exploration_prob": 0.0}
    config = tiny_config("Test/Swap-v0", {"segment_cost": cost}, halting=halting, run={"batch_size": 16}, **LEARNER)
    trainer = Trainer(config, tmp_path)
    first = trainer.rollout.step()
    assert torch.equal(first.decision.output.q_halt, torch.zeros(16)), "an even chance to begin with"
    for _ in range(updates):
        trainer.update()
    with trainer.algorithm.ema.swap():
        report = evaluate(trainer.rollout.policy, config.env.id, of_unseen(config.env.kwargs))
    assert report.mean_segments == (1.0 if cost > 0 else 4.0)
    assert report.forced_rate == (0.0 if cost > 0 else 1.0)


@pytest.mark.parametrize("cost", [0.1, -0.1])
def test_a_gain_learns_what_thinking_on_is_worth(tiny_config, tmp_path, cost):
    """Where it costs, to halt at once; where it pays, never to."""
    halting = {"rule": "gain", "least_gain": 0.0, "exploration_prob": 0.1}
    config = tiny_config("Test/Swap-v0", {"segment_cost": cost}, halting=halting, run={"batch_size": 16}, **LEARNER)
    trainer = Trainer(config, tmp_path)
    for _ in range(100):
        trainer.update()
    with trainer.algorithm.ema.swap():
        report = evaluate(trainer.rollout.policy, config.env.id, of_unseen(config.env.kwargs))
    assert report.mean_segments == (1.0 if cost > 0 else 4.0)
    trainer.save()
    solver = hrm_agents.load(tmp_path)
    segments = list(solver.think(solver.make_env(num_puzzles=4)))
    assert all(segment.q_continue is None and (segment.gain > cost) == (cost < 0) for segment in segments)


# The report on halting.


def test_the_report_takes_the_agents_own_decisions():
    right = np.array([[True, False], [False, True]])
    wants = np.array([[False, True], [True, False]])
    q_halt = np.array([[0.9, 0.1], [0.2, 0.8]])
    report = halting_report(right, right, q_halt, None, wants_halt=wants, q_scale=PLAIN)
    assert report.halts_per_segment == (0.5, 0.5)
    assert report.success_rate == 0.0
    assert report.auc == 1.0
    assert report.continue_value is None
    assert report.continue_value_per_segment == ()
    # By the values of thinking on it would do the opposite, but they still are judged by what it does.
    both = halting_report(right, right, q_halt, 0.5 + 0 * q_halt, wants_halt=wants, q_scale=PLAIN)
    assert both.success_rate == 0.0
    # Thinking on at segment 1 leads to a wrong answer, then to a right one.
    assert both.continue_value.rmse == 0.5
    assert both.continue_value.bias == 0.0
    with pytest.raises(ValueError, match="wants_halt is required"):
        halting_report(right, right, q_halt, None, q_scale=PLAIN)
    with pytest.raises(ValueError, match=r"wants_halt must be bool \[2, 2\]"):
        halting_report(right, right, q_halt, None, wants_halt=wants[:, :1], q_scale=PLAIN)
