"""Resuming a run (:meth:`hrm_agents.trainer.Trainer.resume`): its state as tensors and JSON, and all checks of it.

A state from a file is compared with the trainer that will load it, tensor by tensor, before any of it is used. The
``load_state_dict`` of each part checks the values that only this part understands.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hrm_agents.config import TrainConfig, from_dict, to_dict
from hrm_agents.environments import check_saved
from hrm_agents.errors import UserError, shown
from hrm_agents.records.checkpoint import load_state
from hrm_agents.records.identities import first_difference, saved_table
from hrm_envs import TaskSpec

#: Tensors by path, such as "algorithm/model/q_head.bias", and the rest as plain types for JSON.
State = tuple[dict[str, Tensor], dict[str, Any]]

#: Settings that a resumed run cannot change, since its state depends on them.
FIXED_SETTINGS = (
    ("run", "batch_size"),
    ("run", "seed"),
    ("run", "init_from"),
    ("halting", "rule"),
    ("halting", "target"),
    ("halting", "target_decay"),
)
#: Required keys of the JSON of a state.
KEYS = ("updates_done", "evaluated_at", "algorithm", "rollout", "monitor", "config", "task", "data_hash", "custom")
#: Tensors that may change their floating type: that of activations depends on the device of the run.
_ACTIVATIONS = ("rollout/carry/", "algorithm/halting/")
#: Tensors whose names and shapes each optimiser checks itself.
_MOMENTS = "algorithm/optimizers/"


def pack(state: Mapping[str, Any]) -> State:
    """Split nested dicts into tensors by path and a nested document of plain types."""
    tensors: dict[str, Tensor] = {}
    document: dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, Tensor):
            tensors[name] = value
        elif isinstance(value, Mapping):
            inner, document[name] = pack(value)
            tensors |= {f"{name}/{path}": tensor for path, tensor in inner.items()}
        else:
            document[name] = value
    return tensors, document


def unpack(state: State) -> dict[str, Any]:
    """The nested dicts that :func:`pack` split.

    Raises:
        TypeError: a path leads through a plain value.
    """
    tensors, document = state
    whole = _copied(document)
    for path, tensor in tensors.items():
        *outer, name = path.split("/")
        place = whole
        for part in outer:
            place = place.setdefault(part, {})
        place[name] = tensor
    return whole


def _copied(document: Any) -> Any:
    return {name: _copied(value) for name, value in document.items()} if isinstance(document, dict) else document


def saved_config(folder: Path) -> TrainConfig:
    """Read the settings of the run in ``folder``.

    Raises:
        UserError: the folder has no run to resume, or it is damaged.
    """
    return settings_of(load_state(folder)[1], folder)


def settings_of(document: dict[str, Any], folder: Path) -> TrainConfig:
    """The settings in the JSON of a training state.

    Raises:
        UserError: the JSON is incomplete, or its environment would import a module.
    """
    missing = [key for key in KEYS if key not in document]
    if missing:
        raise UserError(f"{folder}: the training state is incomplete, it lacks {missing[0]!r}")
    config: TrainConfig = from_dict(TrainConfig, document["config"], str(folder))
    check_saved(config.env.id, config.env.kwargs, str(folder))
    return config


def check_resumable(state: State, saved: TrainConfig, config: TrainConfig, out: Path) -> None:
    """Check that changed settings fit the state of the run.

    Raises:
        UserError: a setting that the state depends on has changed, or fewer updates are asked for than were done.
    """
    old, new = to_dict(saved), to_dict(config)
    if None not in (old["env"]["kwargs"].get("puzzles"), new["env"]["kwargs"].get("puzzles")):
        # The puzzles may have moved to another path: check_fits compares their hash.
        new["env"]["kwargs"]["puzzles"] = old["env"]["kwargs"]["puzzles"]
    # Another network has other settings, so its name comes first.
    fixed = [(name, old[name], new[name]) for name in ("model_name", "env", "model")]
    fixed += [(f"{group}.{name}", old[group][name], new[group][name]) for group, name in FIXED_SETTINGS]
    for name, before, after in fixed:
        change = _change(name, before, after)
        if change is not None:
            raise UserError(f"{out}: the run to resume has {change}: keep it, or start a new run")
    if config.q_scale() != saved.q_scale():
        kept = "bce" if saved.q_scale().is_logit else "mse"
        raise UserError(f"{out}: the Q-values of the run to resume are trained with {kept}: keep it")
    tensors, document = state
    rows = tensors["rollout/reset"].shape if "rollout/reset" in tensors else ()
    if tuple(rows) != (config.run.batch_size,):
        raise UserError(f"{out}: training state has {list(rows)} rows, its settings {config.run.batch_size}")
    done = document["updates_done"]
    if isinstance(done, int) and config.run.updates < done:
        raise UserError(
            f"{out}: the run has done {done} updates, more than --run.updates {config.run.updates} asks for"
        )


def _change(name: str, old: Any, new: Any) -> str | None:
    """Description of the first change of a setting, such as ``env.id='a', not 'b'``; None if it is unchanged."""
    if old == new:
        return None
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            if (change := _change(f"{name}.{key}", old.get(key), new.get(key))) is not None:
                return change
    return f"{name}={shown(old)}, not {shown(new)}"


def check_fits(state: State, spec: TaskSpec, data_hash: str, weights: Mapping[str, Tensor], where: str) -> None:
    """Check that a state is of the same task, puzzles and network, before the network is allocated.

    Args:
        state: tensors and document, from a file.
        spec: of the environment's task.
        data_hash: of its puzzles.
        weights: of the network that the state's settings describe; may be on the meta device.
        where: the folder, for messages.

    Raises:
        UserError: with the first difference.
    """
    tensors, document = state
    task = document["task"]
    difference = first_difference(saved_table(task, f"{where}: training state: task"), spec.id_table)
    if difference is not None:
        raise UserError(
            f"{where}: the task identities of {spec.name} are not those the run began with ({difference}): restore its "
            "tasks, or start a new run"
        )
    if not isinstance(task, dict) or (task.get("name"), task.get("grid_shape"), task.get("symbols")) != (
        spec.name,
        list(spec.grid_shape),
        list(spec.symbols),
    ):
        raise UserError(f"{where}: training state is of another task than {spec.name}")
    if document["data_hash"] != data_hash:
        raise UserError(f"{where}: the puzzles of {spec.name} are not those the run began with")
    prefix = "algorithm/model/"
    expected = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    found = {
        path.removeprefix(prefix): tuple(tensor.shape) for path, tensor in tensors.items() if path.startswith(prefix)
    }
    for name in sorted({**found, **expected}):
        if found.get(name) != expected.get(name):
            raise UserError(
                f"{where}: training state does not fit its settings: {shown(name)} has shape {found.get(name)}, "
                f"expected {expected.get(name)}"
            )


def check_like(state: State, own: State, where: str) -> None:
    """Check that the tensors of a state have the names, types and shapes of a trainer's own, and are finite.

    Args:
        state: from a file.
        own: of the newly made trainer that will load it.
        where: the file, for messages.

    Raises:
        UserError: with the first tensor or count that is wrong.
    """
    tensors, document = state
    _check_counts(document, where)
    found = {path for path in tensors if not path.startswith(_MOMENTS)}
    for path in sorted(found ^ set(own[0])):
        problem = "is missing" if path in own[0] else "is unknown"
        raise UserError(f"{where} does not fit this model: {shown(path)} {problem}")
    for path, like in own[0].items():
        tensor = tensors[path]
        both_floating = tensor.is_floating_point() and like.is_floating_point()
        same_type = tensor.dtype == like.dtype or (both_floating and path.startswith(_ACTIVATIONS))
        if not same_type or tensor.shape != like.shape:
            raise UserError(
                f"{where} does not fit this model: {path!r} is {tensor.dtype} {list(tensor.shape)}, not {like.dtype} "
                f"{list(like.shape)}"
            )
    for path, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise UserError(f"{where} is damaged: {shown(path)} holds a non-finite number")


def _check_counts(document: Mapping[str, Any], where: str) -> None:
    """Check the counts of updates in the parts of a run against each other.

    Raises:
        UserError: with the entry that is wrong.
    """
    done = document["updates_done"]
    watched = document["monitor"].get("done") if isinstance(document["monitor"], dict) else None
    learned = document["algorithm"].get("updates") if isinstance(document["algorithm"], dict) else None
    for name, value in (
        ("updates_done", done),
        ("evaluated_at", document["evaluated_at"]),
        ("monitor.done", watched),
        ("algorithm.updates", learned),
    ):
        if type(value) is not int or type(done) is not int or not 0 <= value <= done:
            raise UserError(f"{where} is damaged: {name} is {shown(value)} after {shown(done)} updates")
    if learned != done:
        raise UserError(f"{where} is damaged: it counts {done} updates, its algorithm {learned}")
