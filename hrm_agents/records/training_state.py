"""All that the future of a run depends on, as tensors and JSON: what makes resuming bit-exact.

A state that was read from a file is checked against the trainer that is to take it, field by field, before any of it
is used: names, types, shapes and ranges.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hrm_agents.config import TrainConfig, from_dict, to_dict
from hrm_agents.environments import check_saved
from hrm_agents.errors import UserError, one_line
from hrm_agents.models.hrm import HRM, HRMConfig
from hrm_agents.records.checkpoint import load_state
from hrm_agents.records.identities import first_difference, saved_table
from hrm_envs import TaskSpec

if TYPE_CHECKING:
    from hrm_agents.trainer import Trainer

#: Tensors by name, and the rest as plain types.
State = tuple[dict[str, Tensor], dict[str, Any]]
#: Tensors that may come back in another floating type: activations have the type of the device that the run goes on.
_ACTIVATIONS = ("carry/", "continue/")


def capture(trainer: Trainer) -> State:
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
        "evaluated_at": trainer.evaluated_at,
        "first_loss": trainer.first_loss,
        "rollout_rng": rollout_rng,
        "monitor": trainer.monitor.get_state(),
        "config": to_dict(trainer.config),
        "task": dataclasses.asdict(trainer.env.task_spec),
        "data_hash": trainer.env.data_hash,
        "custom_rule": trainer.custom_rule,
    }


#: Settings that a resumed run cannot change: what it remembers depends on them.
FIXED_SETTINGS = (
    ("run", "batch_size"),
    ("run", "seed"),
    ("run", "init_from"),
    ("halting", "rule"),
    ("halting", "target"),
    ("halting", "target_decay"),
)

#: What the JSON of a captured state must hold.
KEYS = (
    "updates_done",
    "optimizer_step",
    "ema_updates",
    "evaluated_at",
    "first_loss",
    "rollout_rng",
    "monitor",
    "config",
    "task",
    "data_hash",
    "custom_rule",
)


def saved_config(folder: Path) -> TrainConfig:
    """The settings of the run in ``folder``.

    Raises:
        UserError: there is no run to resume, or it is damaged.
    """
    return settings_of(load_state(folder)[1], folder)


def settings_of(document: dict[str, Any], folder: Path) -> TrainConfig:
    """The settings in the JSON of a training state.

    Raises:
        UserError: the JSON is not whole, or names an environment whose making would import a module.
    """
    missing = [key for key in KEYS if key not in document]
    if missing:
        raise UserError(f"{folder}: the training state is not whole, it lacks {missing[0]!r}")
    config: TrainConfig = from_dict(TrainConfig, document["config"], str(folder))
    check_saved(config.env.id, config.env.kwargs, str(folder))
    return config


def check_resumable(state: State, saved: TrainConfig, config: TrainConfig, out: Path) -> None:
    """Refuse changed settings that the state of a run depends on, and fewer updates than it has done.

    Raises:
        UserError: naming the first of them.
    """
    for part in ("env", "model"):
        old, new = to_dict(getattr(saved, part)), to_dict(getattr(config, part))
        for name in old:
            if old[name] != new[name]:
                raise UserError(
                    f"{out}: the run to resume has {part}.{name}={_shown(old[name])}, not {_shown(new[name])}: other "
                    f"{part} settings need a new run"
                )
    for group, name in FIXED_SETTINGS:
        old, new = (getattr(getattr(settings, group), name) for settings in (saved, config))
        if old != new:
            raise UserError(
                f"{out}: the run to resume has {group}.{name}={_shown(old)}, not {_shown(new)}; keep it, or start a "
                "new run"
            )
    if config.q_loss() != saved.q_loss():
        raise UserError(f"{out}: the Q-values of the run to resume are trained with {saved.q_loss()}; keep that")
    tensors, document = state
    rows = tensors["carry/z_H"].shape[:1] if "carry/z_H" in tensors else ()
    if tuple(rows) != (config.run.batch_size,):
        raise UserError(f"{out}: training state has {list(rows)} rows, its settings say {config.run.batch_size}")
    done = document["updates_done"]
    if isinstance(done, int) and config.run.updates < done:
        raise UserError(
            f"{out}: the run has done {done} updates, more than --run.updates {config.run.updates} asks for"
        )


def _shown(value: Any) -> str:
    return one_line(repr(value), 100)


def check_fits(state: State, spec: TaskSpec, data_hash: str, sizes: HRMConfig, where: str) -> None:
    """Refuse a state of other tasks, other puzzles or another network, before the network is built.

    Args:
        state: tensors and document, from a file.
        spec: of the environment's task.
        data_hash: of its puzzles.
        sizes: of the network that the state's own settings ask for.
        where: the folder, for messages.

    Raises:
        UserError: naming the first difference.
    """
    tensors, document = state
    task = document["task"]
    difference = first_difference(saved_table(task, f"{where}: training state: task"), spec.id_table)
    if difference is not None:
        raise UserError(
            f"{where}: the task identities of {spec.name} are not those the run began with ({difference}): bring its "
            "tasks back, or start a new run"
        )
    if not isinstance(task, dict) or (task.get("name"), task.get("grid_shape"), task.get("symbols")) != (
        spec.name,
        list(spec.grid_shape),
        list(spec.symbols),
    ):
        raise UserError(f"{where}: training state is of another task than {spec.name}")
    if document["data_hash"] != data_hash:
        raise UserError(f"{where}: the puzzles of {spec.name} are not those the run began with")
    with torch.device("meta"):
        expected = {f"model/{name}": tuple(tensor.shape) for name, tensor in HRM(sizes).state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items() if name.startswith("model/")}
    for name in sorted({**found, **expected}):
        if found.get(name) != expected.get(name):
            raise UserError(
                f"{where}: training state does not fit its settings: {one_line(name)!r} has shape {found.get(name)}, "
                f"they ask for {expected.get(name)}"
            )


def restore(trainer: Trainer, state: State) -> None:
    """Put a freshly made trainer that a state fits (:func:`check_fits`) into it.

    Raises:
        UserError: the state is damaged.
    """
    tensors, document = state
    where = f"{trainer.out}: training state"
    _check_counts(document, where)
    _check_tensors(tensors, _expected(trainer, document), where)

    def part(prefix: str) -> dict[str, Tensor]:
        return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}

    try:
        trainer.model.load_state_dict(part("model/"))
        trainer.ema.load_state_dict({"updates": document["ema_updates"], "average": part("ema/")})
        for key in ("m", "v"):
            values = part(f"optimizer/{key}/")
            for name, parameter in trainer.model.dense_parameters().items():
                if name in values:
                    trainer.optimizer.state[parameter][key] = values[name].to(trainer.device)
        trainer.learner.set_state(part("continue/"))
        trainer.target_head.set_state(part("target/"))
        trainer.monitor.set_state(document["monitor"])
        trainer.rollout.set_state(tensors, document["rollout_rng"])
        torch.set_rng_state(tensors["torch_rng"])
    except (KeyError, ValueError, TypeError, OverflowError, AttributeError, RuntimeError) as error:
        # From the parts, each of which checks the values that only it understands.
        raise UserError(f"{where} is damaged: {type(error).__name__} {one_line(str(error))}") from error
    trainer.optimizer.param_groups[0]["step"] = document["optimizer_step"]
    trainer.evaluated_at, trainer.first_loss = document["evaluated_at"], document["first_loss"]
    trainer.updates_done = trainer.updates_saved = document["updates_done"]


def _expected(trainer: Trainer, document: Mapping[str, Any]) -> dict[str, Tensor]:
    """Tensors of the names, types and shapes that a state of this trainer must have."""
    expected, _ = capture(trainer)
    if document["optimizer_step"]:
        for name, parameter in trainer.model.dense_parameters().items():
            expected |= {f"optimizer/{key}/{name}": parameter for key in ("m", "v")}
    return expected


def _check_counts(document: Mapping[str, Any], where: str) -> None:
    """Check what is counted, which is the same number three times over, and the first loss.

    Raises:
        UserError: naming the entry.
    """
    done = document["updates_done"]
    for name in ("updates_done", "optimizer_step", "ema_updates", "evaluated_at"):
        value = document[name]
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if not fits or (value > done if name == "evaluated_at" else value != done):
            raise UserError(
                f"{where} is damaged: {name} is {one_line(repr(value), 60)} after {one_line(repr(done), 60)}"
            )
    watched = document["monitor"].get("done") if isinstance(document["monitor"], dict) else None
    if not isinstance(watched, int) or not 0 <= watched <= done:
        raise UserError(f"{where} is damaged: monitor.done is {one_line(repr(watched), 60)}")
    loss = document["first_loss"]
    if not (loss is None or (isinstance(loss, float) and abs(loss) < float("inf"))):
        raise UserError(f"{where} is damaged: first_loss is {one_line(repr(loss), 60)}")


def _check_tensors(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str) -> None:
    """Check names, types, shapes, and that all numbers are finite.

    Raises:
        UserError: naming the first tensor that does not fit.
    """
    for name in sorted(set(found) ^ set(expected)):
        problem = "is missing" if name in expected else "is unknown"
        raise UserError(f"{where} does not fit this model: {one_line(name)!r} {problem}")
    for name, like in expected.items():
        tensor = found[name]
        both_floating = tensor.is_floating_point() and like.is_floating_point()
        same_type = tensor.dtype == like.dtype or (both_floating and name.startswith(_ACTIVATIONS))
        if not same_type or tensor.shape != like.shape:
            raise UserError(
                f"{where} does not fit this model: {name!r} is {tensor.dtype} {list(tensor.shape)}, not {like.dtype} "
                f"{list(like.shape)}"
            )
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise UserError(f"{where} is ruined: {name!r} holds what is no finite number")
        if name.startswith("optimizer/v/") and bool((tensor < 0).any()):
            raise UserError(f"{where} is damaged: {name!r} holds a negative mean of squares")
