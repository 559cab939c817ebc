"""The training state of all rows, put together from and split over the processes of a run.

A checkpoint has the state of the joint batch, so a run may continue on another number of processes. Most of a state
is the same in all of them; the tensors with an axis of rows are not.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hrm_agents.distributed import Ranks, Rows
from hrm_agents.records.resume import State

#: The axis of the rows by path of a tensor, for tensors that have one.
RowAxes = Mapping[str, int]


def row_axes(tensors: Mapping[str, Tensor], halting: RowAxes) -> RowAxes:
    """The axis of the rows of each tensor of a training state that has one.

    Args:
        tensors: of the state, by path.
        halting: the same for the state of the halting learner alone.
    """
    learned = {f"algorithm/halting/{path}": axis for path, axis in halting.items()}
    return {path: 0 for path in tensors if path.startswith("rollout/")} | learned


def gathered(state: State, axes: RowAxes, ranks: Ranks) -> State | None:
    """The state of all rows: on the first process, None on others. All processes must call it."""
    tensors, document = state
    joint = {path: ranks.gather(tensors[path], axis) for path, axis in axes.items()}
    whole = {path: tensor for path, tensor in joint.items() if tensor is not None}
    return ({**tensors, **whole}, document) if ranks.is_first else None


def like_gathered(state: State, axes: RowAxes, ranks: Ranks) -> State:
    """Tensors of the types and shapes of :func:`gathered`, without values where they have rows; no exchange."""
    tensors, document = state
    shaped: dict[str, Tensor] = {}
    for path, axis in axes.items():
        shape = list(tensors[path].shape)
        shape[axis] *= ranks.size
        shaped[path] = torch.empty(shape, dtype=tensors[path].dtype, device="meta")
    return {**tensors, **shaped}, document


def rows_of(state: State, axes: RowAxes, rows: Rows) -> State:
    """The state of some rows."""
    tensors, document = state
    own = {path: tensors[path].narrow(axis, rows.start, len(rows)) for path, axis in axes.items()}
    return {**tensors, **own}, document
