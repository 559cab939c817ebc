"""Saving and loading without pickle: nothing in a checkpoint is ever imported or called.

A checkpoint is a folder:

- ``model.safetensors``: the averaged weights, ready to use;
- ``training_state.safetensors``: everything needed to resume, tensors and (in the header) JSON; may be deleted;
- ``config.json``: the network, the environment with its keywords, a hash of its puzzles, versions, results, and the
  SHA-256 of the other two, with which it is written in one :func:`~hrm_agents.records.commit.commit`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hrm_agents.errors import UserError, one_line, shown, shown_path
from hrm_agents.models.interface import SegmentModel
from hrm_agents.models.limits import LARGEST_WEIGHT
from hrm_agents.records.commit import commit, finish_commit, is_digest, is_unfinished, verified
from hrm_agents.records.described import DescribedNetwork, description_of
from hrm_agents.records.files import read_json, reason
from hrm_agents.records.identities import first_difference, saved_table
from hrm_envs import IdTable, parse_json

MODEL, CONFIG, STATE = "model.safetensors", "config.json", "training_state.safetensors"
FORMAT = 2
#: Arguments of the trainer that take a user's own part, whose code a checkpoint cannot hold.
OWN_PARTS = {"model", "optimizers", "rule"}


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint."""

    model: SegmentModel
    config: dict[str, Any]
    """The parsed ``config.json``."""
    folder: Path


def save_model(folder: Path, model: SegmentModel, config: Mapping[str, Any]) -> None:
    """Write a model without a training state.

    Args:
        folder: of the checkpoint.
        model: its weights and settings are saved.
        config: further entries of ``config.json``.

    Raises:
        UserError: the folder cannot be written; the previous checkpoint is unchanged.
    """
    _commit(folder, {MODEL: _weights(model.state_dict())}, {**description_of(model), **config})


def save_run(
    folder: Path,
    weights: Mapping[str, Tensor],
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    document: Mapping[str, Any],
) -> None:
    """Write a model and its training state, both or neither.

    Args:
        folder: of the run.
        weights: the averaged weights by name.
        config: ``config.json``, with :func:`description_of` the network.
        tensors: of the training state.
        document: the rest of the training state, as plain types for JSON.

    Raises:
        UserError: the folder cannot be written; the previous checkpoint is unchanged.
    """
    _commit(folder, {STATE: _state(tensors, document), MODEL: _weights(weights)}, config)


def copy_checkpoint(source: Path, target: Path, changes: Mapping[str, Any]) -> None:
    """Copy a checkpoint to another folder, by hard links where possible.

    Args:
        source: folder of the checkpoint.
        target: folder of the copy; an older checkpoint in it is replaced.
        changes: entries of ``config.json`` that differ in the copy.

    Raises:
        UserError: ``source`` is not a checkpoint, or ``target`` cannot be written.
    """
    config = read_config(source)
    files = {name: verified(source, config["files"], name, CONFIG) for name in config["files"]}
    _commit(target, files, {**config, **changes})


def read_config(folder: Path) -> dict[str, Any]:
    """Read the ``config.json`` of a checkpoint folder.

    Raises:
        UserError: it is missing, or not the config of a checkpoint.
    """
    path = folder / CONFIG
    try:
        found = path.is_file()
    except OSError as error:  # such as a name that is too long
        raise UserError(f"{shown_path(folder)} is not a checkpoint: {reason(error)}") from error
    if not found:
        raise UserError(f"{folder} is not a checkpoint: it has no {CONFIG}. Train one with: hrm-agents train")
    config = read_json(path)
    if not isinstance(config, dict) or "model" not in config or "format" not in config:
        raise UserError(f"{path} is not the config of an hrm-agents checkpoint")
    if config["format"] != FORMAT:
        raise UserError(f"{path} has format {shown(config['format'])}; this version reads {FORMAT}")
    files = config.get("files")
    if not isinstance(files, dict) or not set(files) <= {MODEL, STATE} or not all(map(is_digest, files.values())):
        raise UserError(f"{path}: 'files' must give the SHA-256 of {MODEL}, and of {STATE} if there is one")
    return config


def load(folder: Path, device: str | torch.device = "cpu", model: SegmentModel | None = None) -> Checkpoint:
    """Load a checkpoint folder.

    Shapes are compared with the config before any weight is allocated.

    Args:
        folder: of the checkpoint.
        device: of the loaded network.
        model: takes the weights, instead of the network that the config describes.

    Raises:
        UserError: a file is missing, damaged or foreign, or weights, config and table of identities do not match.
    """
    device = resolve_device(device)
    config = read_config(folder)
    check_own_parts_given(config.get("custom", {}), {"model": model}, folder)
    if model is None:
        described = DescribedNetwork.read(config, str(folder / CONFIG))
        drawn, build = described.draw(), described.build
    else:
        drawn, build = model, lambda: model
    path = verified(folder, config["files"], MODEL, CONFIG)
    _check_weights(path, drawn.state_dict())
    table = saved_table(config.get("task"), f"{folder / CONFIG}: task")
    named = 1 if table is None else len(table)
    if named != drawn.sizes.num_task_ids:
        raise UserError(
            f"{folder / CONFIG}: task.id_table names {named} task identities, the weights have "
            f"{drawn.sizes.num_task_ids}: take {CONFIG} and {MODEL} from the same run"
        )
    tensors, _ = read_tensors(path)
    for name, tensor in tensors.items():
        if tensor.numel() and not float(tensor.abs().max()) <= LARGEST_WEIGHT:
            raise UserError(
                f"{path}: weight {name!r} holds a number that is not finite or exceeds {LARGEST_WEIGHT:g}; the model "
                "has diverged"
            )
    loaded = build()
    loaded.load_state_dict(tensors)
    return Checkpoint(loaded.to(device).eval(), config, folder)


def _check_weights(path: Path, expected: Mapping[str, Tensor]) -> None:
    """Compare names, shapes and types of the weights in a file with those of a network, without reading the weights.

    Raises:
        UserError: they differ.
    """
    with _opened(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
        types = {name: part.get_dtype() for name, part in slices.items()}
    for name in sorted(set(expected) ^ set(shapes)):
        problem = "is missing" if name in expected else "is unknown"
        raise UserError(f"{path}: weight {shown(name)} {problem}; the file does not belong to this {CONFIG}")
    for name, tensor in expected.items():
        if shapes[name] != tuple(tensor.shape):
            raise UserError(f"{path}: weight {name!r} has shape {shapes[name]}, {CONFIG} says {tuple(tensor.shape)}")
        if types[name] not in ("F32", "F16", "BF16", "F64"):
            raise UserError(f"{path}: weight {name!r} has type {types[name]}, expected a float type")


def warm_start(model: SegmentModel, folder: Path, id_table: IdTable | None = None) -> None:
    """Copy the weights of a checkpoint into ``model``; grid sizes may differ if no weight depends on them.

    Args:
        model: takes the weights.
        folder: of the checkpoint.
        id_table: of the task identities of ``model``, None if it has none. It must equal the checkpoint's: shapes
            alone do not show that an embedding belongs to the same task.

    Raises:
        UserError: the checkpoint cannot be loaded, its task identities differ, or a weight is missing or of another
            shape.
    """
    loaded, mine = load(folder), model.state_dict()
    difference = first_difference(saved_table(loaded.config.get("task"), f"{folder / CONFIG}: task"), id_table)
    if difference is not None:
        raise UserError(
            f"cannot start from {folder}: its task identities are not this environment's ({difference}); use the "
            "environment keywords of that run, or start without run.init_from"
        )
    weights = loaded.model.state_dict()
    for name in sorted(set(mine) | set(weights)):
        theirs = tuple(weights[name].shape) if name in weights else "none"
        ours = tuple(mine[name].shape) if name in mine else "none"
        if theirs != ours:
            raise UserError(
                f"cannot start from {folder}: weight {name!r} has shape {theirs} there and {ours} here; "
                "use the same --model options (learned positions fit one grid size only)"
            )
    model.load_state_dict(weights)


def check_own_parts_given(custom: Any, given: Mapping[str, Any], folder: Path) -> None:
    """Check that the user's own parts (:data:`OWN_PARTS`) that a run was trained with are given.

    Args:
        custom: from the checkpoint: a description of each part, by argument.
        given: from the caller, by argument; None for a missing part.
        folder: of the checkpoint, for messages.

    Raises:
        UserError: a part is missing, or ``custom`` is damaged.
    """
    is_valid = (
        isinstance(custom, dict) and set(custom) <= OWN_PARTS and all(isinstance(text, str) for text in custom.values())
    )
    if not is_valid:
        raise UserError(f"{folder}: 'custom' must map some of {', '.join(sorted(OWN_PARTS))} to text")
    for argument, value in given.items():
        if value is None and argument in custom:
            raise UserError(
                f"{folder} was trained with its own {argument} ({one_line(str(custom[argument]))}), whose code a "
                f"checkpoint cannot hold: pass it in Python, as {argument}=..."
            )


def resolve_device(device: str | torch.device) -> str:
    """Name of a torch device; ``"auto"`` chooses cuda, mps or cpu, the first that is available.

    Raises:
        UserError: the device is unknown or not available.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if str(device).split(":")[0] not in ("cpu", "cuda", "mps"):
        raise UserError(f"unknown device {shown(str(device))}; choose from cpu, cuda, mps, auto")
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        problem = one_line(str(error).partition("\n")[0].split(". ")[0], 120)
        raise UserError(f"device {shown(str(device))} is not available here: {problem}") from error
    return str(device)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file, and the metadata of its header.

    Raises:
        UserError: it is missing, truncated or of another format.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing")
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file.

    Raises:
        UserError: it cannot be read, also by the caller inside the ``with`` block.
    """
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is truncated or not a safetensors file ({one_line(str(error))})") from error


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and the document of a training state that :func:`save_run` wrote.

    Raises:
        UserError: it is missing or damaged.
    """
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder} holds no run to resume: it has no {CONFIG}, so no checkpoint in it is complete")
    digests = read_config(folder)["files"]
    if STATE not in digests:
        raise UserError(f"{folder} holds no run to resume: its checkpoint has no {STATE}")
    path = verified(folder, digests, STATE, CONFIG)
    tensors, metadata = read_tensors(path)
    try:
        document = parse_json(metadata["document"])
        if not isinstance(document, dict):
            raise TypeError(document)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a training state of hrm-agents") from error
    return tensors, document


def _weights(weights: Mapping[str, Tensor]) -> bytes:
    return save({name: tensor.detach().contiguous().cpu() for name, tensor in weights.items()})


def _state(tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> bytes:
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        plain[name] = tensor.detach().cpu().contiguous()
        place = plain[name].untyped_storage().data_ptr()
        if place in seen:  # safetensors refuses tensors that share memory
            plain[name] = plain[name].clone()
        seen.add(place)
    return save(plain, {"document": json.dumps(document)})


def _commit(folder: Path, files: Mapping[str, bytes | Path], config: Mapping[str, Any]) -> None:
    """Replace the checkpoint in ``folder``, after completing an earlier save that was killed."""
    if is_unfinished(folder, (MODEL, STATE)) and (folder / CONFIG).is_file():
        finish_commit(folder, read_config(folder)["files"])
    commit(folder, files, CONFIG, {**config, "format": FORMAT})
