"""Whether a model and an environment are of the same task."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hrm_agents.errors import UserError
from hrm_agents.models.interface import SegmentModel
from hrm_agents.records import checkpoint
from hrm_agents.records.identities import first_difference, saved_table
from hrm_envs import TaskSpec


def check_task(model: SegmentModel, config: Mapping[str, Any], spec: TaskSpec, folder: Path) -> None:
    """Check that an environment has the model's grid, alphabet and task identities.

    Args:
        model: the network.
        config: contents of its checkpoint's ``config.json``.
        spec: of the environment's task.
        folder: of the checkpoint, for messages.

    Raises:
        UserError: naming both sizes, or the first identity that differs.
    """
    mine = (tuple(model.sizes.grid_shape), model.sizes.vocab_size)
    theirs = (tuple(spec.grid_shape), spec.vocab_size)
    if mine != theirs:
        raise UserError(
            f"{folder} was trained on grids of {mine[0][0]} x {mine[0][1]} with {mine[1]} tokens; {spec.name} has "
            f"{theirs[0][0]} x {theirs[0][1]} with {theirs[1]}: choose a checkpoint of that task"
        )
    # Embeddings of the same shape may belong to other tasks, or to other augmented copies.
    difference = first_difference(saved_table(config.get("task"), f"{folder / checkpoint.CONFIG}: task"), spec.id_table)
    if difference is not None:
        raise UserError(
            f"{folder} was trained with other task identities than {spec.name} has here ({difference}): use the "
            "environment's keywords of training, or choose a checkpoint of these tasks"
        )
