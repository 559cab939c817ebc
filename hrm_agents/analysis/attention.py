"""Attention maps: where on the board a cell looks, in a chosen layer and head.

Calls of ``torch.nn.functional.scaled_dot_product_attention`` are intercepted and repeated with the identity in place of
the values: the result is the weights. So this works for every network that uses the function, whatever its layers,
positions and masks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hrm_agents.analysis.observing import Progress, observe, record_answers
from hrm_agents.errors import UserError
from hrm_agents.solving.solver import Solver

#: Positional arguments of ``scaled_dot_product_attention``.
ARGUMENTS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")


@dataclass(frozen=True)
class AttentionMap:
    """Attention of one cell to all cells of a board, in one layer and segment."""

    env_id: str
    #: Name of the module that attends, and the names of all that do.
    layer: str
    layers: tuple[str, ...]
    #: Rows and columns of the board.
    grid_shape: tuple[int, int]
    #: One per token.
    symbols: tuple[str, ...]
    #: Index of the puzzle, from 0, and of the cell, row-major.
    index: int
    cell: int
    #: From 1.
    segment: int
    #: uint8 ``[S]``, the puzzle and the answer of the segment.
    puzzle: NDArray[np.uint8]
    answer: NDArray[np.uint8]
    #: float32 ``[heads, S]``, in the last call of the layer in the segment.
    weights: NDArray[np.float32]
    #: float32 ``[heads]``, the rest: attention to the slots in front of the board.
    prefix: NDArray[np.float32]


def attention_map(
    solver: Solver,
    *,
    layer: str | None = None,
    cell: tuple[int, int] | None = None,
    index: int = 0,
    segments: int | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> AttentionMap:
    """Show where a cell of an unseen puzzle looks, in every head of a layer.

    Args:
        solver: the model and its environment.
        layer: name of the module that attends; the last one of a segment if omitted.
        cell: its row and column, from 1; the first cell whose token the model has to find if omitted.
        index: of the puzzle, from 0.
        segments: number of segments to think before looking; as in training if omitted.
        env_kwargs: keywords of the environment, changed or added.
        progress: called with the share done.

    Raises:
        UserError: as for :func:`hrm_agents.analysis.observing.observe`; or the network has no attention over the
            board, or no such layer; or there is no such cell or puzzle.
    """
    if index < 0:
        raise UserError(f"the index of a puzzle counts from 0, got {index}")

    # One puzzle at a time, so that the last calls are those of the puzzle in its last segment.
    with intercepted_attention(solver.model) as calls:
        found = observe(
            solver,
            record_answers,
            num_puzzles=index + 1,
            segments=segments,
            only_last=True,
            env_kwargs=env_kwargs,
            batch_size=1,
            progress=progress,
        )
    if index >= len(found.trace):
        raise UserError(f"there is no puzzle {index}: {found.env_id} has {len(found.trace)} here, counted from 0")
    num_cells = found.spec.num_cells
    layers = {name: call for name, call in calls.items() if call.query.shape[-2] >= num_cells}
    if not layers:
        raise UserError(f"{solver.name}: its network has no attention over the cells of the board")
    name = layer or next(reversed(layers))
    if name not in layers:
        raise UserError(f"there is no layer {name!r}: choose from {', '.join(layers)}")
    answer = found.records[0][-1, 0]
    chosen = _cell(cell, found.puzzle[-1], answer, found.spec.grid_shape)
    weights = layers[name].weights()[0, :, chosen - num_cells].float().cpu().numpy()
    return AttentionMap(
        env_id=found.env_id,
        layer=name,
        layers=tuple(layers),
        grid_shape=found.spec.grid_shape,
        symbols=found.spec.symbols,
        index=index,
        cell=chosen,
        segment=found.trace.success.shape[1],
        puzzle=found.puzzle[-1],
        answer=answer,
        weights=weights[:, -num_cells:],
        prefix=weights[:, :-num_cells].sum(axis=1),
    )


def _cell(
    place: tuple[int, int] | None, puzzle: NDArray[np.uint8], answer: NDArray[np.uint8], shape: tuple[int, int]
) -> int:
    """Index of a cell by its row and column; of the first one whose token the model had to find if None."""
    if place is None:
        return int((puzzle != answer).argmax())
    if not all(1 <= number <= size for number, size in zip(place, shape, strict=True)):
        raise UserError(f"there is no cell in row {place[0]}, column {place[1]}: the board is {shape[0]} x {shape[1]}")
    return (place[0] - 1) * shape[1] + place[1] - 1


class AttentionCall(NamedTuple):
    """Arguments of a call of ``scaled_dot_product_attention``."""

    #: ``[B, heads, T, e]``.
    query: Tensor
    key: Tensor
    #: All others but the values, such as a mask.
    settings: Mapping[str, Any]

    def weights(self) -> Tensor:
        """How much of each value goes into each result: ``[B, heads, T, T]``, with sums of 1 over the last axis."""
        positions = self.key.shape[-2]
        identity = torch.eye(positions, dtype=self.key.dtype, device=self.key.device)
        values = identity.expand(*self.key.shape[:-1], positions)
        return F.scaled_dot_product_attention(self.query, self.key, values, **self.settings)


@contextmanager
def intercepted_attention(model: nn.Module) -> Iterator[dict[str, AttentionCall]]:
    """Collect the last attention call of each module that makes one, by its name, in the order of these calls."""
    calls: dict[str, AttentionCall] = {}
    running: list[str] = []

    class Interceptor(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            if func is F.scaled_dot_product_attention and running:
                given = {**dict(zip(ARGUMENTS, args, strict=False)), **(kwargs or {})}
                query, key, _ = given.pop("query"), given.pop("key"), given.pop("value")
                calls.pop(running[-1], None)
                calls[running[-1]] = AttentionCall(query, key, given)
            return func(*args, **(kwargs or {}))

    def enter(name: str) -> Any:
        return lambda module, arguments: running.append(name)

    def leave(module: nn.Module, arguments: Any, output: Any) -> None:
        running.pop()

    handles = []
    for name, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(enter(name)))
        handles.append(module.register_forward_hook(leave, always_call=True))
    try:
        with Interceptor():
            yield calls
    finally:
        for handle in handles:
            handle.remove()
