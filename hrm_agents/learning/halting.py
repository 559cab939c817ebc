"""What the Q-head learns about halting.

The table of which learner goes with which rule is :mod:`hrm_agents.learning.halting_rules`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hrm_agents.errors import UserError
from hrm_agents.halting.q_scale import QScale
from hrm_agents.halting.targets import episode_returns, gain_target, policy_gradient
from hrm_agents.learning.continue_value import ContinueValue, Objective, TargetHead, head_input, values
from hrm_agents.rollout import SegmentBatch
from hrm_agents.transfer import to_device


class HaltingLearner(ABC):
    """A way to train the Q-head."""

    @abstractmethod
    def losses(self, batch: SegmentBatch) -> dict[str, Tensor]:
        """Named losses, each summed over what there is to learn from this batch and divided by its rows.

        Call it once for each batch, in order.

        Raises:
            UserError: a reward is outside what the Q-values can stand for.
        """

    def after_step(self) -> None:
        """Called after each optimiser step."""

    @property
    def row_axes(self) -> Mapping[str, int]:
        """The axis of the rows in each tensor of :meth:`state_dict` that has rows, by path, as "outer/inner"."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What it remembers from batch to batch, as tensors in nested dicts; nothing by default."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""


def halt_loss(q_halt: Tensor, batch: SegmentBatch, scale: QScale) -> Tensor:
    """The loss of Q(halt), whose target is what halting pays: mean over the rows.

    Args:
        q_halt: ``[B]``.
        batch: the segments.
        scale: of Q(halt).

    Raises:
        UserError: Q(halt) is a logit and a reward is outside [0, 1].
    """
    paid = batch.host.halt_reward
    if scale.is_logit and not ((paid >= 0.0) & (paid <= 1.0)).all():
        raise UserError("the environment pays rewards outside [0, 1]: train with --halting.q-loss mse")
    return scale.loss(q_halt, batch.halt_reward).mean()


class ValueLearner(HaltingLearner):
    """Rule "q": Q(halt) learns what halting pays, Q(continue) what thinking on is worth.

    Args:
        continue_value: trains Q(continue).
        target_head: the values that it takes its targets from.
        scale: of both values.
    """

    def __init__(self, continue_value: ContinueValue, target_head: TargetHead, scale: QScale) -> None:
        self.continue_value, self.target_head, self._scale = continue_value, target_head, scale

    def losses(self, batch: SegmentBatch) -> dict[str, Tensor]:
        """See :class:`HaltingLearner`."""
        return {
            "q_halt_loss": halt_loss(batch.decision.output.q_halt, batch, self._scale),
            "q_continue_loss": self.continue_value.loss(batch),
        }

    def after_step(self) -> None:
        """Let the slow copy of the Q-head follow it."""
        self.target_head.update()

    @property
    def row_axes(self) -> Mapping[str, int]:
        """See :class:`HaltingLearner`."""
        return {f"continue_value/{name}": axis for name, axis in self.continue_value.row_axes.items()}

    def state_dict(self) -> dict[str, Any]:
        """What the source of the targets of Q(continue) remembers, and the slow copy of the Q-head."""
        return {"continue_value": self.continue_value.state_dict(), "target_head": self.target_head.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self.continue_value.load_state_dict(state["continue_value"])
        self.target_head.load_state_dict(state["target_head"])


class HaltValueLearner(HaltingLearner):
    """Q(halt) alone learns what halting pays.

    Args:
        head: the Q-head.
        scale: of Q(halt).
        monitor: train the Q-head but not the network before it. For rules that do not ask Q(halt): it then says how
            sure the model is of its answers, and the network learns what it would learn without.
    """

    def __init__(self, head: nn.Linear, scale: QScale, *, monitor: bool) -> None:
        self._head, self._scale, self._monitor = head, scale, monitor

    def losses(self, batch: SegmentBatch) -> dict[str, Tensor]:
        """See :class:`HaltingLearner`."""
        q_halt = values(self._head, head_input(batch))[0] if self._monitor else batch.decision.output.q_halt
        return {"q_halt_loss": halt_loss(q_halt, batch, self._scale)}


class GainLearner(HaltingLearner):
    """Rule "gain": Q(halt) learns what halting pays, the second output what thinking on adds to it.

    The gain of a segment is learned at the next one, from the verdicts on both answers
    (:func:`hrm_agents.halting.targets.gain_target`), with the stored input of the Q-head: it trains the Q-head alone.
    Where the agent halted there is no next segment; exploration keeps some of these episodes going. As a logit, the
    gain of an answer that already earns the highest reward is nothing, and no next segment is needed to know.

    Args:
        head: the Q-head.
        objective: what returns are; its scale is that of Q(halt).
        scale: of the gain.
        num_rows: ``B``.
    """

    def __init__(self, head: nn.Linear, objective: Objective, scale: QScale, num_rows: int) -> None:
        self._head, self._objective, self._scale = head, objective, scale
        device = head.weight.device
        #: Of the segment before: Q-head inputs ``[B, d]``, what halting would have paid ``[B]``, and rows that go on.
        self._state_tm1 = torch.zeros(num_rows, head.in_features, device=device)
        self._reward_tm1 = torch.zeros(num_rows, device=device)
        self._open = torch.zeros(num_rows, dtype=torch.bool, device=device)

    def losses(self, batch: SegmentBatch) -> dict[str, Tensor]:
        """See :class:`HaltingLearner`."""
        output, objective = batch.decision.output, self._objective
        target = gain_target(
            self._reward_tm1,
            batch.halt_reward,
            output.q_continue,
            batch.segment >= objective.max_segments,
            scale=self._scale,
            segment_cost=objective.segment_cost,
            gamma=objective.gamma,
            highest_reward=1.0 if objective.scale.is_logit else math.inf,
        )
        _, gain_tm1 = values(self._head, self._state_tm1)
        gain_loss = torch.where(self._open, self._scale.loss(gain_tm1, target), 0.0).mean()
        self._state_tm1, self._reward_tm1 = head_input(batch).float(), batch.halt_reward
        self._open = to_device(~batch.terminated, self._open.device)
        if self._scale.is_logit:
            _, gain = values(self._head, self._state_tm1)
            settled = ~self._open & (batch.halt_reward >= objective.gamma)
            nothing = self._scale.loss(gain, torch.zeros_like(gain))
            gain_loss = gain_loss + torch.where(settled, nothing, 0.0).mean()
        return {"q_halt_loss": halt_loss(output.q_halt, batch, objective.scale), "gain_loss": gain_loss}

    @property
    def row_axes(self) -> Mapping[str, int]:
        """See :class:`HaltingLearner`."""
        return {"state": 0, "reward": 0, "open": 0}

    def state_dict(self) -> dict[str, Any]:
        """What was stored of the last segment."""
        return {"state": self._state_tm1, "reward": self._reward_tm1, "open": self._open}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        self._state_tm1.copy_(state["state"])
        self._reward_tm1.copy_(state["reward"])
        self._open.copy_(state["open"])


class PolicyLearner(HaltingLearner):
    """Rule "policy": when an episode ends, its choices are reinforced by what they earned.

    The first output of the Q-head is the logit of the chance of halting, the second the baseline V. The inputs of the
    Q-head are stored until the end, and train the Q-head alone: the gradient of the network before it would need all
    segments of the episode, where deep supervision keeps one. The choices were made with the weights of up to M - 1
    updates ago, which is taken for the same policy.

    Args:
        head: the Q-head.
        objective: what the return of an episode is; its scale plays no part.
        entropy_weight: of the entropy bonus.
        num_rows: ``B``.
    """

    def __init__(self, head: nn.Linear, objective: Objective, entropy_weight: float, num_rows: int) -> None:
        self._head, self._objective, self._entropy_weight = head, objective, entropy_weight
        device, shape = head.weight.device, (objective.max_segments, num_rows)
        #: Q-head inputs ``[M, B, d]`` and where the agent chose, bool ``[M, B]``; those beyond a row's present segment
        #: are left over from earlier episodes.
        self._states = torch.zeros(*shape, head.in_features, device=device)
        self._chosen = torch.zeros(shape, dtype=torch.bool, device=device)

    def losses(self, batch: SegmentBatch) -> dict[str, Tensor]:
        """See :class:`HaltingLearner`."""
        device, num_rows = self._states.device, len(batch.segment)
        rows = torch.arange(num_rows, device=device)
        self._states[batch.segment - 1, rows] = head_input(batch).float()
        self._chosen[batch.segment - 1, rows] = to_device(batch.chosen, device)
        # Without an ended episode all is empty and the losses are zero, but the Q-head still has a gradient: an
        # optimiser that never saw one would have nothing to save for it.
        # Numbers of rows: a mask would wait for the device to count them.
        ended = to_device(np.flatnonzero(batch.terminated), device)
        length = batch.segment[ended]
        returns = episode_returns(
            length,
            batch.halt_reward[ended],
            self._objective.max_segments,
            segment_cost=self._objective.segment_cost,
            gamma=self._objective.gamma,
        )
        logit, value = values(self._head, self._states[:, ended])
        terms = policy_gradient(logit, value, length, returns, self._chosen[:, ended])
        return {
            "policy_loss": terms.policy.sum() / num_rows,
            "value_loss": terms.value.sum() / num_rows,
            "entropy_loss": -self._entropy_weight * terms.entropy.sum() / num_rows,
        }

    @property
    def row_axes(self) -> Mapping[str, int]:
        """See :class:`HaltingLearner`."""
        return {"states": 1, "chosen": 1}

    def state_dict(self) -> dict[str, Tensor]:
        """The stored Q-head inputs, and which choices were the agent's."""
        return {"states": self._states, "chosen": self._chosen}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from :meth:`state_dict`."""
        self._states.copy_(state["states"])
        self._chosen.copy_(state["chosen"])
