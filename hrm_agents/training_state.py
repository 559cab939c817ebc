"""All that the future of a run depends on, as tensors and JSON: what makes resuming bit-exact."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hrm_agents.config import to_dict
from hrm_agents.errors import UserError
from hrm_agents.identities import first_difference, saved_table

if TYPE_CHECKING:
    from hrm_agents.trainer import Trainer


def capture(trainer: Trainer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state of a run after its last update: tensors by name, and the rest as plain types."""
    tensors, rollout_rng = trainer.rollout.get_state()
    for name, tensor in trainer.model.state_dict().items():
        tensors[f"model/{name}"] = tensor
    for name, average in trainer.ema.state_dict()["average"].items():
        tensors[f"ema/{name}"] = average
    for name, parameter in trainer.model.dense_parameters().items():
        for key, value in trainer.optimizer.state[parameter].items():
            tensors[f"optimizer/{key}/{name}"] = value
    for name, tensor in trainer.learner.get_state().items():
        tensors[f"continue/{name}"] = tensor
    for name, tensor in trainer.target_head.get_state().items():
        tensors[f"target/{name}"] = tensor
    tensors["torch_rng"] = torch.get_rng_state()
    return tensors, {
        "updates_done": trainer.updates_done,
        "optimizer_step": trainer.optimizer.param_groups[0]["step"],
        "ema_updates": trainer.ema.updates,
        "rollout_rng": rollout_rng,
        "monitor": trainer.monitor.get_state(),
        "config": to_dict(trainer.config),
        "task": dataclasses.asdict(trainer.env.task_spec),
        "data_hash": trainer.env.data_hash,
    }


#: What the JSON of a captured state must hold. "task" may be absent: runs from before there were identities lack it.
KEYS = ("updates_done", "optimizer_step", "ema_updates", "rollout_rng", "monitor", "config", "data_hash")


def restore(trainer: Trainer, tensors: dict[str, Tensor], document: dict[str, Any]) -> None:
    """Put a freshly made trainer with the same settings into a captured state.

    Raises:
        UserError: the state is of other task identities, other puzzles or of another model.
    """
    saved = saved_table(document.get("task"), f"{trainer.out}: training state: task")
    difference = first_difference(saved, trainer.env.task_spec.id_table)
    if difference is not None:
        raise UserError(
            f"{trainer.out}: the task identities of {trainer.config.env.id} are not those the run began with "
            f"({difference}): bring its tasks back, or start a new run"
        )
    if document["data_hash"] != trainer.env.data_hash:
        raise UserError(f"{trainer.out}: the puzzles of {trainer.config.env.id} are not those the run began with")

    def part(prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    parameters = trainer.model.dense_parameters()
    try:
        trainer.model.load_state_dict(part("model/"))
        trainer.ema.load_state_dict({"updates": document["ema_updates"], "average": part("ema/")})
        if document["optimizer_step"]:
            for key in ("m", "v"):
                values = part(f"optimizer/{key}/")
                for name, parameter in parameters.items():
                    trainer.optimizer.state[parameter][key] = values[name].to(trainer.device)
        trainer.learner.set_state(part("continue/"))
        trainer.target_head.set_state(part("target/"))
        trainer.monitor.set_state(document["monitor"])
        trainer.rollout.set_state(tensors, document["rollout_rng"])
        torch.set_rng_state(tensors["torch_rng"])
    except (KeyError, ValueError, RuntimeError) as error:
        raise UserError(f"{trainer.out}: the training state does not fit this model: {error}") from error
    trainer.optimizer.param_groups[0]["step"] = document["optimizer_step"]
    trainer.updates_done = trainer.updates_saved = document["updates_done"]
