"""What the Q-head should learn about halting: targets and losses as pure functions.

Indices: segments of an episode count t = 1..M. At segment t the model says Q_t(halt), Q_t(continue). Halting pays
R(x, y_t); thinking on leads to segment t + 1, whose Q-values value the choice. Names without "next" belong to t, names
with "next" to t + 1.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from hrm_agents.halting.q_scale import LOGIT, PLAIN, QScale


def continue_target(
    next_q_halt: Tensor,
    next_q_continue: Tensor,
    next_is_last: Tensor,
    *,
    scale: QScale = LOGIT,
    segment_cost: float = 0.0,
    gamma: float = 1.0,
) -> Tensor:
    """Target for Q_t(continue), float32 [B]: -segment_cost + gamma * max_a Q_{t+1}(a).

    Where segment t + 1 is the last it must halt, so its value is Q_{t+1}(halt) alone. For logits
    the maximum goes through a sigmoid, which is the paper's target (arXiv
    2506.21734, section 2) when gamma is 1.

    The paper's authors pass whether segment *t* is the last: one segment later, at rows that cannot
    think on any more; their second-to-last segment still takes the maximum.

    Args:
        next_q_halt: [B], halt value of segment t + 1, of a forward on the carry of segment t.
        next_q_continue: [B], continue value of segment t + 1.
        next_is_last: bool [B], segment t + 1 is segment M.
        scale: of the Q-values.
        segment_cost: price of one more segment, in units of reward.
        gamma: discount.

    Raises:
        ValueError: a cost where Q-values are logits, whose targets must stay in [0, 1].
    """
    scale.check_cost(segment_cost)
    return gamma * _value(next_q_halt, next_q_continue, next_is_last, scale) - segment_cost


def _value(q_halt: Tensor, q_continue: Tensor, is_last: Tensor, scale: QScale) -> Tensor:
    """What a segment is worth in units of reward, without gradient: the better choice, or halting if that is forced."""
    return scale.value(torch.where(is_last, q_halt, torch.maximum(q_halt, q_continue)).detach().float())


def gain_target(
    reward_tm1: Tensor,
    reward_t: Tensor,
    gain_t: Tensor,
    is_last_t: Tensor,
    *,
    segment_cost: float = 0.0,
    gamma: float = 1.0,
) -> Tensor:
    """Target for the gain of thinking on at segment t - 1, float32 [B].

    g_{t-1} -> gamma * (R_t + max(g_t, 0)) - segment_cost - R_{t-1}: the advantage of one more segment, and of those
    after it that still gain, over halting at once. The environment grades every segment, so both rewards are known
    and no value of halting has to be estimated. After segment M nothing can be gained.

    Args:
        reward_tm1: [B], what halting at segment t - 1 would have paid.
        reward_t: [B], what halting at segment t pays.
        gain_t: [B], estimated gain of thinking on at segment t.
        is_last_t: bool [B], segment t is segment M.
        segment_cost: in units of reward.
        gamma: discount.
    """
    further = torch.where(is_last_t, 0.0, gain_t.detach().float().clamp(min=0.0))
    return gamma * (reward_t.float() + further) - segment_cost - reward_tm1.float()


def lambda_returns(
    q_halt: Tensor,
    q_continue: Tensor,
    length: Tensor,
    final_reward: Tensor,
    *,
    scale: QScale = LOGIT,
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
        scale: of the Q-values.
        trace_decay: lambda; 1 takes the return alone, 0 the next segment's value alone.
        segment_cost: price of one more segment, in units of reward.
        gamma: discount.

    Returns:
        Targets float32 [M, B], and bool [M, B] that says which are targets: the segments before T.

    Raises:
        ValueError: a cost where Q-values are logits, or ``trace_decay`` outside [0, 1].
    """
    scale.check_cost(segment_cost)
    if not 0.0 <= trace_decay <= 1.0:
        raise ValueError(f"trace_decay must lie in [0, 1], got {trace_decay}")
    num_segments = len(q_halt)
    segment = torch.arange(1, num_segments + 1, device=length.device)[:, None]
    value = _value(q_halt, q_continue, segment == num_segments, scale)
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
    before, _ = lambda_returns(
        unused, unused, length, final_reward, scale=PLAIN, segment_cost=segment_cost, gamma=gamma
    )
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
