"""The forward pass in training: whole or in micro-batches, with or without computing again what the backward needs.

Both save memory, since the activations that a backward pass needs take most of it in training.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from hrm_agents.errors import UserError
from hrm_agents.models.interface import SegmentModel, SegmentOutput, map_carry
from hrm_agents.models.layers import Block
from hrm_agents.policy import Forward
from hrm_agents.settings import RunConfig


def training_forward(model: SegmentModel, run: RunConfig) -> Forward:
    """One segment of a network, as the settings of a run ask for.

    Raises:
        UserError: the settings do not fit the network.
    """
    if run.recompute:
        _recompute_blocks(model)
    if run.micro_batch is not None:
        return MicroBatches(model, run.micro_batch, compiled=run.compile)
    return _compiled(model, model, run.compile)


class MicroBatches:
    """The forward pass of a batch, a part of its rows after the other.

    Only the part of a segment without gradient runs once. The part with gradient keeps its inputs alone, and runs again
    in the backward pass, which goes through the parts one by one: so the activations of a single part are in memory at
    any time. Rows do not depend on each other in a network, so that the batch has the same losses and gradients as in
    one piece, up to rounding.

    Args:
        model: the network.
        rows: of a part, at most; parts have the same size as far as possible.
        compiled: use ``torch.compile``.
    """

    def __init__(self, model: SegmentModel, rows: int, *, compiled: bool = False) -> None:
        self._rows = rows
        self._forward: Forward = _compiled(model, model, compiled)
        self._prepare: Callable[[Any, Tensor, Tensor | None], Any] = _compiled(model, model.prepare, compiled)
        self._finish: Forward = _compiled(model, model.finish, compiled)

    def __call__(self, carry: Any, puzzle: Tensor, task_id: Tensor | None = None) -> tuple[Any, SegmentOutput]:
        """See :meth:`hrm_agents.models.interface.SegmentModel.forward`."""
        num_parts = math.ceil(len(puzzle) / self._rows)
        if num_parts <= 1:
            return self._forward(carry, puzzle, task_id)
        carries, outputs = [], []
        for rows in torch.arange(len(puzzle)).tensor_split(num_parts):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            own = map_carry(lambda state, part=part: state[part], carry)
            next_carry, output = self._part(own, puzzle[part], None if task_id is None else task_id[part])
            carries.append(next_carry)
            outputs.append(output)
        joined = map_carry(lambda *states: torch.cat(states), *carries)
        return joined, SegmentOutput(*map(torch.cat, zip(*outputs, strict=True)))

    def _part(self, carry: Any, puzzle: Tensor, task_id: Tensor | None) -> tuple[Any, SegmentOutput]:
        if not torch.is_grad_enabled():
            return self._forward(carry, puzzle, task_id)
        with torch.no_grad():
            carry = self._prepare(carry, puzzle, task_id)
        result: tuple[Any, SegmentOutput] = checkpoint(self._finish, carry, puzzle, task_id, use_reentrant=False)
        return result


def _compiled(model: SegmentModel, function: Callable[..., Any], wanted: bool) -> Callable[..., Any]:
    """A function of a network, compiled if wanted.

    Task identities are looked up outside the graph: their sparse gradients would break it in two.
    """
    if not wanted:
        return function
    compiled = torch.compile(function)

    def call(carry: Any, puzzle: Tensor, task_id: Tensor | None = None) -> Any:
        return compiled(carry, puzzle, model.task_input(task_id))

    return call


def _recompute_blocks(model: SegmentModel) -> None:
    """Let every block keep its input alone for the backward pass.

    Raises:
        UserError: the network has none.
    """
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    if not blocks:
        raise UserError(f"run.recompute: {type(model).__name__} has no hrm_agents.models.layers.Block to compute again")
    for block in blocks:
        block.recompute = True
