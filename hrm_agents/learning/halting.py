"""What the Q-head learns under each halting rule, behind one interface.

The rules themselves are in :mod:`hrm_agents.halting.rules`; which learner goes with which is in
:meth:`hrm_agents.trainer.Trainer`.
"""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from hrm_agents.halting.targets import episode_returns, policy_gradient
from hrm_agents.learning.continue_value import ContinueValue, Prices, head_input, values
from hrm_agents.losses import q_loss
from hrm_agents.rollout import SegmentBatch


class HaltingLearner(Protocol):
    """A way to train the Q-head."""

    def losses(self, batch: SegmentBatch) -> dict[str, Tensor]:
        """Named losses, each summed over what there is to learn from this batch and divided by its rows.

        Call it once for each batch, in order.
        """
        ...

    def get_state(self) -> dict[str, Tensor]:
        """What it remembers from batch to batch."""
        ...

    def set_state(self, state: dict[str, Tensor]) -> None:
        """Go on from :meth:`get_state`."""
        ...


class ValueLearner:
    """Rule "q": Q(halt) learns what halting pays, Q(continue) what thinking on is worth.

    Args:
        continue_value: trains Q(continue).
        kind: as in :func:`hrm_agents.losses.q_loss`.
    """

    def __init__(self, continue_value: ContinueValue, kind: Literal["bce", "mse"]) -> None:
        self.continue_value, self._kind = continue_value, kind

    def losses(self, batch: SegmentBatch) -> dict[str, Tensor]:
        """See :class:`HaltingLearner`."""
        return {
            "q_halt_loss": q_loss(batch.decision.output.q_halt, batch.halt_reward, self._kind).mean(),
            "q_continue_loss": self.continue_value.loss(batch),
        }

    def get_state(self) -> dict[str, Tensor]:
        """What the source of the targets of Q(continue) remembers."""
        return self.continue_value.get_state()

    def set_state(self, state: dict[str, Tensor]) -> None:
        """Go on from :meth:`get_state`."""
        self.continue_value.set_state(state)


class HaltValueLearner:
    """Q(halt) alone learns what halting pays.

    Args:
        head: the Q-head.
        kind: as in :func:`hrm_agents.losses.q_loss`.
        monitor: train the Q-head but not the network before it. For rules that do not ask Q(halt): it then says how
            sure the model is of its answers, and the network learns what it would learn without.
    """

    def __init__(self, head: nn.Linear, kind: Literal["bce", "mse"], *, monitor: bool) -> None:
        self._head, self._kind, self._monitor = head, kind, monitor

    def losses(self, batch: SegmentBatch) -> dict[str, Tensor]:
        """See :class:`HaltingLearner`."""
        q_halt = values(self._head, head_input(batch))[0] if self._monitor else batch.decision.output.q_halt
        return {"q_halt_loss": q_loss(q_halt, batch.halt_reward, self._kind).mean()}

    def get_state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def set_state(self, state: dict[str, Tensor]) -> None:
        """Nothing to go on from."""


class PolicyLearner:
    """Rule "policy": when an episode ends, its choices are reinforced by what they earned.

    The first output of the Q-head is the logit of the chance of halting, the second the baseline V. The inputs of the
    Q-head are stored until the end, and train the Q-head alone: the gradient of the network before it would need all
    segments of the episode, where deep supervision keeps one. The choices were made with the weights of up to M - 1
    updates ago, which is taken for the same policy.

    Args:
        head: the Q-head.
        prices: of the segments.
        entropy_weight: of the entropy bonus.
        num_rows: ``B``.
    """

    def __init__(self, head: nn.Linear, prices: Prices, entropy_weight: float, num_rows: int) -> None:
        self._head, self._prices, self._entropy_weight = head, prices, entropy_weight
        device, shape = head.weight.device, (prices.max_segments, num_rows)
        #: Q-head inputs ``[M, B, d]`` and where the agent chose, bool ``[M, B]``; those beyond a row's present segment
        #: are left over from earlier episodes.
        self._states = torch.zeros(*shape, head.in_features, device=device)
        self._chosen = torch.zeros(shape, dtype=torch.bool, device=device)

    def losses(self, batch: SegmentBatch) -> dict[str, Tensor]:
        """See :class:`HaltingLearner`."""
        device, num_rows = self._states.device, len(batch.segment)
        rows = torch.arange(num_rows, device=device)
        self._states[batch.segment - 1, rows] = head_input(batch).float()
        self._chosen[batch.segment - 1, rows] = torch.from_numpy(batch.chosen).to(device)
        # Without an ended episode all is empty and the losses are zero, but the Q-head still has a gradient: an
        # optimiser that never saw one would have nothing to save for it.
        ended = torch.from_numpy(batch.terminated).to(device)
        length = batch.segment[ended]
        returns = episode_returns(
            length,
            batch.halt_reward[ended],
            self._prices.max_segments,
            segment_cost=self._prices.segment_cost,
            gamma=self._prices.gamma,
        )
        logit, value = values(self._head, self._states[:, ended])
        terms = policy_gradient(logit, value, length, returns, self._chosen[:, ended])
        return {
            "policy_loss": terms.policy.sum() / num_rows,
            "value_loss": terms.value.sum() / num_rows,
            "entropy_loss": -self._entropy_weight * terms.entropy.sum() / num_rows,
        }

    def get_state(self) -> dict[str, Tensor]:
        """The stored Q-head inputs, and which choices were the agent's."""
        return {"states": self._states, "chosen": self._chosen}

    def set_state(self, state: dict[str, Tensor]) -> None:
        """Go on from :meth:`get_state`."""
        self._states.copy_(state["states"])
        self._chosen.copy_(state["chosen"])
