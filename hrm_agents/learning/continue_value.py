"""Three ways to train Q(continue), behind one interface.

The Q-head reads one vector of the planner's state, so a Q-value can be recomputed and trained after its segment from
this vector alone. :class:`OnePass` and :class:`EpisodeReturns` store the vector and train the Q-head on it, but not
the network before it. :class:`SecondForward` trains both, at the cost of a second forward pass.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from hrm_agents.halting.q_scale import QScale
from hrm_agents.halting.targets import continue_target, lambda_returns
from hrm_agents.policy import Forward
from hrm_agents.rollout import SegmentBatch
from hrm_agents.transfer import to_device


@dataclass(frozen=True)
class Objective:
    """The return that Q-values estimate, and their scale."""

    scale: QScale
    """Logits or plain values."""
    max_segments: int
    """M."""
    segment_cost: float = 0.0
    """Cost of one more segment, in units of reward."""
    gamma: float = 1.0
    """Discount from segment to segment."""


class ContinueValue(ABC):
    """A way to train Q(continue)."""

    @abstractmethod
    def loss(self, batch: SegmentBatch) -> Tensor:
        """Loss of Q(continue), summed over its targets in this batch and divided by the number of rows.

        Call it once per batch, in order.
        """

    #: The axis of the rows in each tensor of :meth:`state_dict` that has rows.
    row_axes: ClassVar[Mapping[str, int]] = {}

    def state_dict(self) -> dict[str, Tensor]:
        """State from batch to batch; empty by default."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from :meth:`state_dict`."""


class TargetHead:
    """A moving average of the Q-head, for more stable targets (Polyak averaging, Lillicrap et al. 2016).

    Args:
        head: the Q-head.
        decay: weight of the old average at each :meth:`update`; None uses the Q-head itself.
    """

    def __init__(self, head: nn.Linear, decay: float | None) -> None:
        self._head, self._decay = head, decay
        self._slow = head if decay is None else copy.deepcopy(head).requires_grad_(False)

    @torch.no_grad()
    def __call__(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Q(halt) and Q(continue) of Q-head inputs."""
        return values(self._slow, state)

    @torch.no_grad()
    def update(self) -> None:
        """Update the average; call it after each optimiser step."""
        if self._decay is not None:
            for slow, fast in zip(self._slow.parameters(), self._head.parameters(), strict=True):
                slow.lerp_(fast, 1.0 - self._decay)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights; empty without an average."""
        return {} if self._decay is None else dict(self._slow.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from :meth:`state_dict`."""
        if self._decay is not None:
            self._slow.load_state_dict(state)


def values(head: nn.Linear, state: Tensor) -> tuple[Tensor, Tensor]:
    """Q(halt) and Q(continue), float32 ``[...]``, of Q-head inputs ``[..., d]``."""
    q_halt, q_continue = nn.functional.linear(state.float(), head.weight, head.bias).unbind(-1)
    return q_halt, q_continue


def head_input(batch: SegmentBatch) -> Tensor:
    """Input of the Q-head in the segment, ``[B, d]``, without gradient."""
    return batch.decision.output.q_input.detach()


class SecondForward(ContinueValue):
    """Targets from a second forward pass over the next segment (arXiv 2506.21734, section 2).

    It takes a third of the training time. Q(continue) is trained at every segment, even where the agent halted.

    Args:
        forward: one segment of the network.
        target: gives the values to bootstrap from.
        objective: what Q-values estimate.
    """

    def __init__(self, forward: Forward, target: TargetHead, objective: Objective) -> None:
        self._forward, self._target, self.objective = forward, target, objective

    @torch.no_grad()
    def targets(self, batch: SegmentBatch) -> Tensor:
        """Targets for Q(continue), float32 ``[B]``."""
        _, output = self._forward(batch.decision.carry, batch.puzzle, batch.task_id)
        return continue_target(
            *self._target(output.q_input),
            is_last_t=batch.segment + 1 >= self.objective.max_segments,
            scale=self.objective.scale,
            gamma=self.objective.gamma,
            segment_cost=self.objective.segment_cost,
        )

    def loss(self, batch: SegmentBatch) -> Tensor:
        """See :class:`ContinueValue`."""
        return self.objective.scale.loss(batch.decision.output.q_continue, self.targets(batch)).mean()


class OnePass(ContinueValue):
    """Targets from the next segment of training, applied to the stored Q-head input of the previous one.

    Needs no second forward pass. A segment where the agent halted has no next one: its Q(continue) learns from episodes
    that exploration continues.

    Args:
        head: the Q-head.
        target: gives the values to bootstrap from.
        objective: what Q-values estimate.
        num_rows: ``B``.
    """

    row_axes: ClassVar[Mapping[str, int]] = {"state": 0, "open": 0}

    def __init__(self, head: nn.Linear, target: TargetHead, objective: Objective, num_rows: int) -> None:
        self._head, self._target, self.objective = head, target, objective
        device = head.weight.device
        #: Of the previous segment: Q-head inputs ``[B, d]``, and rows bool ``[B]`` whose episode continues.
        self._state_tm1 = torch.zeros(num_rows, head.in_features, device=device)
        self._open = torch.zeros(num_rows, dtype=torch.bool, device=device)

    def loss(self, batch: SegmentBatch) -> Tensor:
        """See :class:`ContinueValue`."""
        state_t = head_input(batch)
        targets = continue_target(
            *self._target(state_t),
            is_last_t=batch.segment >= self.objective.max_segments,
            scale=self.objective.scale,
            gamma=self.objective.gamma,
            segment_cost=self.objective.segment_cost,
        )
        _, q_continue_tm1 = values(self._head, self._state_tm1)
        loss = torch.where(self._open, self.objective.scale.loss(q_continue_tm1, targets), 0.0).mean()
        self._state_tm1 = state_t
        self._open = to_device(~batch.terminated, state_t.device)
        return loss

    def state_dict(self) -> dict[str, Tensor]:
        """The stored Q-head inputs, and the rows whose episode continues."""
        return {"state": self._state_tm1, "open": self._open}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from :meth:`state_dict`."""
        device = self._head.weight.device
        self._state_tm1, self._open = state["state"].to(device), state["open"].to(device)


class EpisodeReturns(ContinueValue):
    """Targets from TD(lambda) over each episode when it ends (:func:`hrm_agents.halting.targets.lambda_returns`).

    With ``trace_decay`` 1 they are the return (Monte Carlo), with 0 those of :class:`OnePass`, computed with the
    weights at the end of the episode.

    Args:
        head: the Q-head.
        target: gives the values to bootstrap from.
        objective: what Q-values estimate.
        trace_decay: lambda in [0, 1].
        num_rows: ``B``.
    """

    row_axes: ClassVar[Mapping[str, int]] = {"states": 1}

    def __init__(
        self, head: nn.Linear, target: TargetHead, objective: Objective, trace_decay: float, num_rows: int
    ) -> None:
        self._head, self._target, self.objective, self._trace_decay = head, target, objective, trace_decay
        shape = (objective.max_segments, num_rows, head.in_features)
        #: Q-head inputs ``[M, B, d]``; entries beyond a row's current segment are from earlier episodes.
        self._states = torch.zeros(shape, device=head.weight.device)

    def loss(self, batch: SegmentBatch) -> Tensor:
        """See :class:`ContinueValue`."""
        rows = torch.arange(len(batch.segment), device=self._states.device)
        self._states[batch.segment - 1, rows] = head_input(batch).float()
        if not batch.terminated.any():
            return self._states.new_zeros(())
        # Numbers of rows: a mask would wait for the device to count them.
        ended = to_device(np.flatnonzero(batch.terminated), self._states.device)
        states = self._states[:, ended]
        targets, mask = lambda_returns(
            *self._target(states),
            length=batch.segment[ended],
            final_reward=batch.halt_reward[ended],
            scale=self.objective.scale,
            trace_decay=self._trace_decay,
            gamma=self.objective.gamma,
            segment_cost=self.objective.segment_cost,
        )
        each = self.objective.scale.loss(values(self._head, states)[1], targets)
        return torch.where(mask, each, 0.0).sum() / len(batch.segment)

    def state_dict(self) -> dict[str, Tensor]:
        """The stored Q-head inputs."""
        return {"states": self._states}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from :meth:`state_dict`."""
        self._states.copy_(state["states"])
