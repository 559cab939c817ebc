"""When to stop thinking, and what the Q-head should learn about it: pure functions.

Indices: segments of an episode count t = 1..M. At segment t the model says Q_t(halt), Q_t(continue).
Halting pays R(x, y_t); thinking on leads to segment t + 1, whose Q-values value the choice. Names
without "next" belong to t, names with "next" to t + 1.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def should_halt(q_halt: Tensor, q_continue: Tensor) -> Tensor:
    """Greedy decision, bool [B]: halt where it is worth strictly more; a tie thinks on."""
    return q_halt > q_continue


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
    if kind == "bce" and segment_cost != 0.0:
        raise ValueError("a segment cost moves Q-values out of [0, 1]: use kind='mse'")
    best = torch.maximum(next_q_halt, next_q_continue)
    value = torch.where(next_is_last, next_q_halt, best).detach().float()
    if kind == "bce":
        return gamma * torch.sigmoid(value)
    return gamma * value - segment_cost


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
    if kind == "bce" and segment_cost != 0.0:
        raise ValueError("a segment cost moves Q-values out of [0, 1]: use kind='mse'")
    if not 0.0 <= trace_decay <= 1.0:
        raise ValueError(f"trace_decay must lie in [0, 1], got {trace_decay}")
    num_segments = len(q_halt)
    value = torch.maximum(q_halt, q_continue).detach().float()
    value[-1] = q_halt[-1].detach().float()
    if kind == "bce":
        value = torch.sigmoid(value)
    targets = torch.zeros_like(value)
    outcome = final_reward.float()
    mask = torch.arange(1, num_segments + 1, device=length.device)[:, None] < length
    for t in range(num_segments - 2, -1, -1):
        target = gamma * ((1.0 - trace_decay) * value[t + 1] + trace_decay * outcome) - segment_cost
        targets[t] = torch.where(mask[t], target, 0.0)
        outcome = torch.where(mask[t], target, outcome)  # G_T until the segment before T is reached
    return targets, mask
