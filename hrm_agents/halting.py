"""When to stop thinking, and what the Q-head should learn about it: rules and pure functions.

Indices: segments of an episode count t = 1..M. At segment t the model says Q_t(halt), Q_t(continue).
Halting pays R(x, y_t); thinking on leads to segment t + 1, whose Q-values value the choice. Names
without "next" belong to t, names with "next" to t + 1.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def should_halt(q_halt: Tensor, q_continue: Tensor) -> Tensor:
    """Greedy decision, bool [B]: halt where it is worth strictly more; a tie thinks on."""
    return q_halt > q_continue


class Thought(NamedTuple):
    """All that a halting rule may look at after a segment, for ``B`` rows of ``S`` cells."""

    q_halt: Tensor
    """float32 [B], first output of the Q-head."""
    q_continue: Tensor
    """float32 [B], its second output."""
    segment: Tensor
    """int64 [B], number of this segment in its episode, from 1."""
    answer: Tensor
    """uint8 [B, S], the answer of this segment."""
    last_answer: Tensor
    """uint8 [B, S], that of the segment before; zeros where there was none."""
    draw: Tensor | None = None
    """float32 [B], uniform in [0, 1), for rules that decide by chance in training; None asks for the decision that
    they think best."""


class HaltingRule(ABC):
    """Decides when to stop. It remembers nothing: what it needs to know is in the :class:`Thought`."""

    samples: ClassVar[bool] = False
    """Whether it decides by chance in training, and wants ``Thought.draw`` for it."""
    values_continue: ClassVar[bool] = False
    """Whether the second output of the Q-head is the value of thinking on."""

    @abstractmethod
    def decide(self, thought: Thought) -> Tensor:
        """Where to halt, bool [B]."""


@dataclass(frozen=True)
class GreaterValue(HaltingRule):
    """The paper's: halt where Q(halt) is greater than Q(continue) (arXiv 2506.21734, section 2)."""

    values_continue: ClassVar[bool] = True

    def decide(self, thought: Thought) -> Tensor:
        """See :class:`HaltingRule`."""
        return should_halt(thought.q_halt, thought.q_continue)


@dataclass(frozen=True)
class HaltingProbability(HaltingRule):
    """Halt where halting pays more than a threshold, whatever thinking on might bring."""

    threshold: float
    """In units of reward; for logits a probability. At the threshold it thinks on."""
    values_are_logits: bool
    """Q(halt) is the logit of a probability, else the value itself."""

    def decide(self, thought: Thought) -> Tensor:
        """See :class:`HaltingRule`."""
        value = thought.q_halt.sigmoid() if self.values_are_logits else thought.q_halt
        return value > self.threshold


@dataclass(frozen=True)
class FixedLength(HaltingRule):
    """Halt after a fixed number of segments."""

    segments: int | None
    """From 1; None never halts, so that the environment ends the episode at its last segment."""

    def decide(self, thought: Thought) -> Tensor:
        """See :class:`HaltingRule`."""
        if self.segments is None:
            return torch.zeros_like(thought.segment, dtype=torch.bool)
        return thought.segment >= self.segments


@dataclass(frozen=True)
class Convergence(HaltingRule):
    """Halt where the answer is that of the segment before, in every cell; never after the first segment."""

    def decide(self, thought: Thought) -> Tensor:
        """See :class:`HaltingRule`."""
        # Without a segment before, the last answer is all zeros, which a young model may answer too.
        return (thought.segment > 1) & (thought.answer == thought.last_answer).all(-1)


@dataclass(frozen=True)
class HaltingPolicy(HaltingRule):
    """A stochastic policy: sigmoid of the first output is the chance of halting. Without a draw, halt above 1/2."""

    samples: ClassVar[bool] = True

    def decide(self, thought: Thought) -> Tensor:
        """See :class:`HaltingRule`."""
        if thought.draw is None:
            return thought.q_halt > 0.0
        return thought.draw < thought.q_halt.sigmoid()


@dataclass(frozen=True)
class Exploration:
    """How long an episode must think in training before it may halt.

    With probability ``probability`` the minimum is uniform over 2..max_segments, else 1 (Wang et al.
    2025, arXiv 2506.21734, section 2, "Adaptive computational time"). The environment ends the
    episode at max_segments in any case.
    """

    per: Literal["episode", "segment"]
    """Draw once per episode (the paper), or again at every segment (its authors' code).

    A minimum that is redrawn at every segment rarely holds for two in a row: a wish to halt is put
    off by a segment or two, hardly ever to M.
    """
    probability: float
    """Chance that a minimum above 1 is drawn."""
    max_segments: int
    """M, the most segments an episode can have."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: no segment is allowed, or the probability is none.
        """
        if self.max_segments < 1:
            raise ValueError(f"max_segments must be at least 1, got {self.max_segments}")
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"probability must lie in [0, 1], got {self.probability}")

    def minimum(
        self, rng: np.random.Generator, previous: NDArray[np.int64], reset: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """Minimum number of segments of each row, int64 [B]: halt at segment t only if t >= minimum.

        Call it once before each segment.

        Args:
            rng: source of the draws; each call takes the same number of them, whatever ``reset`` is.
            previous: int64 [B], what the last call returned; anything before the first.
            reset: bool [B], rows whose episode starts with this segment.
        """
        explore = rng.random(len(previous)) < self.probability
        length = rng.integers(2, max(self.max_segments, 2), size=len(previous), endpoint=True)
        drawn = np.where(explore & (self.max_segments > 1), length, 1)
        return drawn if self.per == "segment" else np.where(reset, drawn, previous)


def continue_target(
    next_q_halt: Tensor,
    next_q_continue: Tensor,
    next_is_last: Tensor,
    *,
    kind: Literal["bce", "mse"] = "bce",
    segment_cost: float = 0.0,
    gamma: float = 1.0,
) -> Tensor:
    """Target for Q_t(continue), float32 [B]: -segment_cost + gamma * max_a Q_{t+1}(a).

    Where segment t + 1 is the last it must halt, so its value is Q_{t+1}(halt) alone. For ``"bce"``
    Q-values are logits and the maximum goes through a sigmoid, which is the paper's target (arXiv
    2506.21734, section 2) when gamma is 1.

    The paper's authors pass whether segment *t* is the last: one segment later, at rows that cannot
    think on any more; their second-to-last segment still takes the maximum.

    Args:
        next_q_halt: [B], halt value of segment t + 1, of a forward on the carry of segment t.
        next_q_continue: [B], continue value of segment t + 1.
        next_is_last: bool [B], segment t + 1 is segment M.
        kind: as in `hrm_agents.losses.q_loss`.
        segment_cost: price of one more segment, in units of reward.
        gamma: discount.

    Raises:
        ValueError: a cost with ``"bce"``, whose targets must stay in [0, 1].
    """
    _check_price(kind, segment_cost)
    return gamma * _value(next_q_halt, next_q_continue, next_is_last, kind) - segment_cost


def _check_price(kind: Literal["bce", "mse"], segment_cost: float) -> None:
    if kind == "bce" and segment_cost != 0.0:
        raise ValueError("a segment cost moves Q-values out of [0, 1]: use kind='mse'")


def _value(q_halt: Tensor, q_continue: Tensor, is_last: Tensor, kind: Literal["bce", "mse"]) -> Tensor:
    """What a segment is worth in units of reward, without gradient: the better choice, or halting if that is forced."""
    value = torch.where(is_last, q_halt, torch.maximum(q_halt, q_continue)).detach().float()
    return torch.sigmoid(value) if kind == "bce" else value


def lambda_returns(
    q_halt: Tensor,
    q_continue: Tensor,
    length: Tensor,
    final_reward: Tensor,
    *,
    kind: Literal["bce", "mse"] = "bce",
    trace_decay: float = 1.0,
    segment_cost: float = 0.0,
    gamma: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Targets of Q_t(continue) for all segments of ended episodes: TD(lambda) (Sutton and Barto 2018, chapter 12).

    G_t = -segment_cost + gamma * ((1 - lambda) * max_a Q_{t+1}(a) + lambda * G_{t+1}) for t < T, where G_T is the
    reward of the halt at segment T. As in `continue_target`, the value of segment M is Q_M(halt) alone.

    Args:
        q_halt: [M, B], values at segments 1 to M; those after ``length`` do not matter.
        q_continue: [M, B], likewise.
        length: int [B], T, the segment at which each episode ended.
        final_reward: [B], what that halt paid.
        kind: as in `hrm_agents.losses.q_loss`.
        trace_decay: lambda; 1 takes the return alone, 0 the next segment's value alone.
        segment_cost: price of one more segment, in units of reward.
        gamma: discount.

    Returns:
        Targets float32 [M, B], and bool [M, B] that says which are targets: the segments before T.

    Raises:
        ValueError: a cost with ``"bce"``, or ``trace_decay`` outside [0, 1].
    """
    _check_price(kind, segment_cost)
    if not 0.0 <= trace_decay <= 1.0:
        raise ValueError(f"trace_decay must lie in [0, 1], got {trace_decay}")
    num_segments = len(q_halt)
    segment = torch.arange(1, num_segments + 1, device=length.device)[:, None]
    value = _value(q_halt, q_continue, segment == num_segments, kind)
    targets = torch.zeros_like(value)
    outcome = final_reward.float()
    mask = segment < length
    for t in range(num_segments - 2, -1, -1):
        target = gamma * ((1.0 - trace_decay) * value[t + 1] + trace_decay * outcome) - segment_cost
        targets[t] = torch.where(mask[t], target, 0.0)
        outcome = torch.where(mask[t], target, outcome)  # G_T until the segment before T is reached
    return targets, mask


def episode_returns(
    length: Tensor, final_reward: Tensor, num_segments: int, *, segment_cost: float = 0.0, gamma: float = 1.0
) -> Tensor:
    """What was earned from each segment of ended episodes on, float32 [M, B]; zero after the end.

    G_T = ``final_reward`` at the segment T of the halt, and G_t = gamma * G_{t+1} - segment_cost before.

    Args:
        length: int [B], T.
        final_reward: [B], what the halt paid.
        num_segments: M.
        segment_cost: price of one more segment, in units of reward.
        gamma: discount.
    """
    unused = torch.zeros(num_segments, len(length), device=length.device)
    before, _ = lambda_returns(unused, unused, length, final_reward, kind="mse", segment_cost=segment_cost, gamma=gamma)
    segment = torch.arange(1, num_segments + 1, device=length.device)[:, None]
    return torch.where(segment == length, final_reward.float(), before)


class PolicyGradient(NamedTuple):
    """Terms of :func:`policy_gradient`, float32 [M, B]: zero where there was no choice."""

    policy: Tensor
    """-(G_t - V_t) log pi(a_t), whose gradient is that of REINFORCE."""
    value: Tensor
    """Half the squared error of V_t."""
    entropy: Tensor
    """Entropy of pi in nats, at most log 2."""


def policy_gradient(logit: Tensor, value: Tensor, length: Tensor, returns: Tensor, chosen: Tensor) -> PolicyGradient:
    """REINFORCE with a baseline (Williams 1992; Sutton and Barto 2018, section 13.4) on the choice to halt.

    The choice at segment t < T was to think on, at T to halt.

    Args:
        logit: [M, B], of the chance of halting at segments 1 to M; those after ``length`` do not matter.
        value: [M, B], V_t, what is expected from segment t on.
        length: int [B], T, the segment at which each episode ended.
        returns: [M, B], from :func:`episode_returns`.
        chosen: bool [M, B], the agent's choice decided. What was forced on it, by exploration or at segment M,
            teaches nothing about its choices.
    """
    segment = torch.arange(1, len(logit) + 1, device=length.device)[:, None]
    counts = chosen & (segment <= length)
    log_halt, log_think = torch.nn.functional.logsigmoid(logit), torch.nn.functional.logsigmoid(-logit)
    log_chance = torch.where(segment == length, log_halt, log_think)
    chance = logit.sigmoid()
    terms = (
        -(returns - value).detach() * log_chance,
        0.5 * (value - returns.detach()).square(),
        -(chance * log_halt + (1.0 - chance) * log_think),
    )
    return PolicyGradient(*(torch.where(counts, term, 0.0) for term in terms))
