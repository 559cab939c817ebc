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

Observations = Mapping[str, NDArray[Any]]
Forward = Callable[[Any, Tensor, Tensor | None], tuple[Any, SegmentOutput]]


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
        return {"answer": self.answer.cpu().numpy(), "halt": self.halt.cpu().numpy()}


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
        index = torch.from_numpy(kept).to(self.device)
        return map_carry(lambda state: state[index], carry)

    def put_rows(self, carry: Any, replaced: NDArray[np.bool_], states: Any) -> Any:
        """Replace the carry of the rows in ``replaced``, bool ``[B]``, by ``states``, with a row for each of them."""
        index = torch.from_numpy(replaced).to(self.device)
        return map_carry(lambda old, new: old.index_put((index,), new), carry, states)

    def observe(self, obs: Observations) -> tuple[Tensor, Tensor]:
        """Puzzles uint8 ``[B, S]`` and task identities int64 ``[B]`` of an observation, on the model's device."""
        puzzle = torch.from_numpy(np.ascontiguousarray(obs["puzzle"])).to(self.device)
        task_id = torch.from_numpy(np.asarray(obs["task_id"], np.int64)).reshape(-1).to(self.device)
        return puzzle, task_id

    def act(
        self,
        obs: Observations,
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
            obs: a batched observation of the environment.
            carry: after the previous segment.
            reset: bool ``[B]``, rows that begin with the initial carry; None reads them from the observation.
            min_segments: int ``[B]``, do not halt before this segment (exploration in training).
            draws: float32 ``[B]``, uniform in [0, 1), for rules that sample in training; None makes every rule
                deterministic.
        """
        if reset is None:
            reset = np.asarray(obs["segment"]).reshape(-1) == 0
        if reset.any():
            carry = self.model.reset_carry(carry, torch.from_numpy(reset).to(self.device))
        puzzle, task_id = self.observe(obs)
        carry, output = self.forward(carry, puzzle, task_id)
        answer = output.logits.detach().argmax(-1).to(torch.uint8)
        segment = torch.from_numpy(obs["segment"].reshape(-1).astype(np.int64) + 1).to(self.device)
        halt = self.rule.decide(
            Thought(
                q_halt=output.q_halt.detach(),
                q_continue=output.q_continue.detach(),
                segment=segment,
                answer=answer,
                last_answer=torch.from_numpy(np.ascontiguousarray(obs["answer"])).to(self.device),
                draw=None if draws is None else torch.from_numpy(draws).to(self.device),
            )
        )
        if min_segments is not None:
            halt = halt & (segment >= torch.from_numpy(np.asarray(min_segments)).to(self.device))
        return Decision(answer, halt, carry, output)
