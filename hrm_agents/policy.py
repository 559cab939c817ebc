"""Policy: one segment from an observation and a carry to an action."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrm_agents.halting.decisions import GreaterValue, HaltingRule, Thought
from hrm_agents.models.interface import SegmentModel, SegmentOutput, map_carry
from hrm_agents.transfer import to_device, to_host

Observations = Mapping[str, NDArray[Any]]
Forward = Callable[[Any, Tensor, Tensor | None], tuple[Any, SegmentOutput]]


class Observed(NamedTuple):
    """A batched observation on the model's device, ``B`` rows of ``S`` cells."""

    puzzle: Tensor
    """uint8 ``[B, S]``."""
    task_id: Tensor
    """int64 ``[B]``."""
    segment: Tensor
    """int64 ``[B]``, number of the segment that begins, from 1."""
    last_answer: Tensor
    """uint8 ``[B, S]``, the answer of the segment before; zeros if there was none."""


class Decision(NamedTuple):
    """Result of one segment, for ``B`` rows of ``S`` cells."""

    answer: Tensor
    """uint8 ``[B, S]``, the most probable token of each cell."""
    halt: Tensor
    """bool ``[B]``, whether to halt and be graded on the answer."""
    carry: Any
    """Detached memory after the segment."""
    output: SegmentOutput
    """Logits and Q-values, with gradients unless the caller disabled them."""

    def action(self) -> dict[str, NDArray[Any]]:
        """The action for the vector environment."""
        answer, halt = to_host(self.answer, self.halt)
        return {"answer": answer, "halt": halt}


class HRMPolicy:
    """Acts with a model, for any number of rows.

    Args:
        model: the network.
        forward: the model's forward, for example compiled; the model itself if None.
        rule: decides when to halt; the paper's rule if None. Use a checkpoint with the rule that it was trained for.
    """

    def __init__(self, model: SegmentModel, forward: Forward | None = None, rule: HaltingRule | None = None) -> None:
        self.model = model
        self.rule: HaltingRule = GreaterValue() if rule is None else rule
        self.forward: Forward = model if forward is None else forward

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return next(self.model.parameters()).device

    def initial_carry(self, num_rows: int) -> Any:
        """Carry of ``num_rows`` episodes before their first segment."""
        return self.model.initial_carry(num_rows)

    def keep_rows(self, carry: Any, kept: NDArray[np.bool_]) -> Any:
        """Carry of the rows in ``kept``, bool ``[B]``, to continue with a smaller batch."""
        if kept.all():
            return carry
        index = to_device(kept, self.device)
        return map_carry(lambda state: state[index], carry)

    def put_rows(self, carry: Any, replaced: NDArray[np.bool_], states: Any) -> Any:
        """Replace the carry of the rows in ``replaced``, bool ``[B]``, by ``states``, with a row for each of them."""
        index = to_device(replaced, self.device)
        return map_carry(lambda old, new: old.index_put((index,), new), carry, states)

    def observe(self, obs: Observations) -> Observed:
        """Copy a batched observation to the model's device."""
        arrays = (
            obs["puzzle"],
            np.asarray(obs["task_id"], np.int64).reshape(-1),
            np.asarray(obs["segment"], np.int64).reshape(-1) + 1,
            obs["answer"],
        )
        return Observed(*(to_device(array, self.device) for array in arrays))

    def act(
        self,
        obs: Observations | Observed,
        carry: Any,
        reset: NDArray[np.bool_] | None = None,
        min_segments: NDArray[Any] | None = None,
        draws: NDArray[np.float32] | None = None,
    ) -> Decision:
        """Run one segment and decide whether to halt.

        Rows at the start of an episode begin with the initial carry. By default these are the rows where the
        observation counts no segment yet, which is right in every autoreset mode, whereas ``terminated`` is a step
        early under NEXT_STEP.

        Args:
            obs: a batched observation of the environment, or what :meth:`observe` made of it.
            carry: after the previous segment.
            reset: bool ``[B]``, rows that begin with the initial carry; None reads them from the observation.
            min_segments: int ``[B]``, do not halt before this segment (exploration in training).
            draws: float32 ``[B]``, uniform in [0, 1), for rules that sample in training; None makes every rule
                deterministic.
        """
        observed = obs if isinstance(obs, Observed) else self.observe(obs)
        if reset is None:
            carry = self.model.reset_carry(carry, observed.segment == 1)
        elif reset.any():
            carry = self.model.reset_carry(carry, to_device(reset, self.device))
        carry, output = self.forward(carry, observed.puzzle, observed.task_id)
        answer = output.logits.detach().argmax(-1).to(torch.uint8)
        halt = self.rule.decide(
            Thought(
                q_halt=output.q_halt.detach(),
                q_continue=output.q_continue.detach(),
                segment=observed.segment,
                answer=answer,
                last_answer=observed.last_answer,
                draw=None if draws is None else to_device(draws, self.device),
            )
        )
        if min_segments is not None:
            halt = halt & (observed.segment >= to_device(np.asarray(min_segments), self.device))
        return Decision(answer, halt, carry, output)
