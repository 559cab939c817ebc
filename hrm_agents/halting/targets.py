"""How rewards become targets of the Q-head: pure functions.

The target of Q(halt) is the reward of halting itself (:func:`hrm_agents.learning.halting.halt_loss`).

Segments of an episode count from 1 to M. At segment t the model estimates Q_t(halt) and Q_t(continue); halting pays
R(x, y_t), continuing leads to segment t + 1. Where two segments meet, names end in ``_tm1`` for the segment that
learns and in ``_t`` for the next one.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hrm_agents.halting.q_scale import LOGIT, PLAIN, QScale


def continue_target(
    q_halt_t: Tensor,
    q_continue_t: Tensor,
    is_last_t: Tensor,
    *,
    scale: QScale = LOGIT,
    segment_cost: float = 0.0,
    gamma: float = 1.0,
) -> Tensor:
    """Target for Q_{t-1}(continue), float32 [B]: gamma * max_a Q_t(a) - segment_cost.

    The last segment must halt, so its value is Q_t(halt) alone. For logits the value is the sigmoid of the maximum,
    which with gamma 1 is the paper's target (arXiv 2506.21734, section 2).

    The authors' code passes whether segment t - 1 is the last, which has no choice left; its second-to-last segment
    still takes the maximum.

    Args:
        q_halt_t: [B], value of halting at segment t.
        q_continue_t: [B], value of continuing at segment t.
        is_last_t: bool [B], segment t is segment M.
        scale: of the Q-values.
        segment_cost: in units of reward.
        gamma: discount.

    Raises:
        ValueError: a cost with logits, whose targets must stay in [0, 1].
    """
    scale.check_cost(segment_cost)
    return gamma * _value(q_halt_t, q_continue_t, is_last_t, scale) - segment_cost


def _value(q_halt: Tensor, q_continue: Tensor, is_last: Tensor, scale: QScale) -> Tensor:
    """Value of a segment in units of reward, without gradient: the better choice, or halting if it is forced."""
    return scale.value(torch.where(is_last, q_halt, torch.maximum(q_halt, q_continue)).detach().float())


def gain_target(
    reward_tm1: Tensor,
    reward_t: Tensor,
    gain_t: Tensor,
    is_last_t: Tensor,
    *,
    scale: QScale = PLAIN,
    segment_cost: float = 0.0,
    gamma: float = 1.0,
    highest_reward: float = math.inf,
) -> Tensor:
    """Target for the gain of continuing at segment t - 1, float32 [B].

    g_{t-1} -> gamma * V_t - R_{t-1} with V_t = R_t + max(g_t - segment_cost, 0): what one more segment, and later ones
    that are still worth their cost, add to the reward of halting at once. The environment grades every segment, so both
    rewards are known and no value of halting has to be estimated. After segment M nothing can be gained. The agent
    should think on where the gain exceeds the cost.

    Where rewards have a maximum, V_t cannot exceed it. Without this bound, a gain that is wrongly above 0 for an answer
    that is already right feeds on itself: its target is almost as high as the estimate, and fades with 1 - gamma alone.

    As a logit, the gain is an expected *improvement* between 0 and 1: a target below 0 counts as 0, since the agent
    halts in either case, and the loss drives the logit of a right answer as low as it gets.

    Args:
        reward_tm1: [B], reward of halting at segment t - 1.
        reward_t: [B], reward of halting at segment t.
        gain_t: [B], estimated gain of continuing at segment t, on ``scale``.
        is_last_t: bool [B], segment t is segment M.
        scale: of the gain; with logits, rewards lie in [0, 1].
        segment_cost: in units of reward.
        gamma: discount.
        highest_reward: bound on V_t.
    """
    worth_t = (scale.value(gain_t.detach().float()) - segment_cost).clamp(min=0.0)
    value_t = (reward_t.float() + torch.where(is_last_t, 0.0, worth_t)).clamp(max=highest_reward)
    gain = gamma * value_t - reward_tm1.float()
    return gain.clamp(min=0.0) if scale.is_logit else gain


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
    """Targets for Q_t(continue) at all segments of ended episodes: TD(lambda) (Sutton and Barto 2018, chapter 12).

    G_t = gamma * ((1 - lambda) * max_a Q_{t+1}(a) + lambda * G_{t+1}) - segment_cost for t < T, where G_T is the
    reward of halting at segment T. As in :func:`continue_target`, the value of segment M is Q_M(halt) alone.

    Args:
        q_halt: [M, B], values of halting at segments 1 to M; entries after ``length`` are ignored.
        q_continue: [M, B], values of continuing, likewise.
        length: int [B], T, the segment at which each episode ended.
        final_reward: [B], reward of halting at T.
        scale: of the Q-values.
        trace_decay: lambda; 1 uses the return alone, 0 the next segment's value alone.
        segment_cost: in units of reward.
        gamma: discount.

    Returns:
        Targets float32 [M, B], and a mask bool [M, B] of the segments before T, which have a target.

    Raises:
        ValueError: a cost with logits, or ``trace_decay`` outside [0, 1].
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
    """Return from each segment of ended episodes, float32 [M, B]; zero after the end.

    G_T is ``final_reward`` at the last segment T, and G_t = gamma * G_{t+1} - segment_cost before it.

    Args:
        length: int [B], T.
        final_reward: [B], reward of halting at T.
        num_segments: M.
        segment_cost: in units of reward.
        gamma: discount.
    """
    unused = torch.zeros(num_segments, len(length), device=length.device)
    before, _ = lambda_returns(
        unused, unused, length, final_reward, scale=PLAIN, segment_cost=segment_cost, gamma=gamma
    )
    segment = torch.arange(1, num_segments + 1, device=length.device)[:, None]
    return torch.where(segment == length, final_reward.float(), before)


class PolicyGradient(NamedTuple):
    """Terms of :func:`policy_gradient`, float32 [M, B]: zero where the agent had no choice."""

    policy: Tensor
    """-(G_t - V_t) log pi(a_t): its gradient is that of REINFORCE."""
    value: Tensor
    """Half the squared error of V_t."""
    entropy: Tensor
    """Entropy of pi in nats, at most log 2."""


def policy_gradient(logit: Tensor, value: Tensor, length: Tensor, returns: Tensor, chosen: Tensor) -> PolicyGradient:
    """REINFORCE with a baseline (Williams 1992; Sutton and Barto 2018, section 13.4) on the choice to halt.

    The agent chose to continue at segments t < T, and to halt at T.

    Args:
        logit: [M, B], logit of the probability of halting at segments 1 to M; entries after ``length`` are ignored.
        value: [M, B], V_t, estimate of the return from segment t.
        length: int [B], T, the segment at which each episode ended.
        returns: [M, B], from :func:`episode_returns`.
        chosen: bool [M, B], segments where the agent chose; at others exploration or segment M forced the outcome.
    """
    segment = torch.arange(1, len(logit) + 1, device=length.device)[:, None]
    has_choice = chosen & (segment <= length)
    log_halt, log_continue = F.logsigmoid(logit), F.logsigmoid(-logit)
    log_pi = torch.where(segment == length, log_halt, log_continue)
    pi_halt = logit.sigmoid()
    terms = (
        -(returns - value).detach() * log_pi,
        0.5 * (value - returns.detach()).square(),
        -(pi_halt * log_halt + (1.0 - pi_halt) * log_continue),
    )
    return PolicyGradient(*(torch.where(has_choice, term, 0.0) for term in terms))
