"""Saving and loading, without pickle: nothing in a checkpoint is ever imported or called.

A checkpoint is a folder:

- ``model.safetensors``: the averaged weights, ready to use;
- ``training_state.safetensors``: all that resuming needs, tensors and (in the header) JSON; may be deleted;
- ``config.json``: the network, the environment with its keywords, a hash of its puzzles, versions, results, and the
  SHA-256 of the other two.

A save writes the two under other names first, then moves ``config.json`` into place, which commits them all at once,
then gives the two their names. A reader takes of each file the version that ``config.json`` vouches for, so a crash or
a full disk at any moment leaves either the previous checkpoint or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hrm_agents.config import from_dict, to_dict
from hrm_agents.errors import UserError, one_line
from hrm_agents.models.hrm import HRM, HRMConfig
from hrm_agents.models.interface import SegmentModel
from hrm_agents.models.limits import LARGEST_WEIGHT
from hrm_agents.records.files import read_json, write_atomically
from hrm_agents.records.identities import first_difference, saved_table
from hrm_envs import IdTable, parse_json

MODEL, CONFIG, STATE = "model.safetensors", "config.json", "training_state.safetensors"
FORMAT = 2
#: Arguments of the trainer that take a part of the user's own, whose code no checkpoint can hold.
OWN_PARTS = {"model", "optimizers", "rule"}


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint."""

    model: SegmentModel
    #: The parsed ``config.json``.
    config: dict[str, Any]
    folder: Path


def save_model(folder: Path, model: SegmentModel, config: Mapping[str, Any]) -> None:
    """Write ``model.safetensors`` and ``config.json``; ``config`` adds to the network's own settings.

    Raises:
        UserError: the folder cannot be written; the previous checkpoint is whole.
    """
    _commit(folder, {MODEL: _weights(model.state_dict())}, {"model": to_dict(model.config), **config})


def save_run(
    folder: Path,
    weights: Mapping[str, Tensor],
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    document: Mapping[str, Any],
) -> None:
    """Write a model and the training state that belongs to it, both or neither.

    Args:
        folder: of the run.
        weights: the averaged weights, by name.
        config: ``config.json``, with the network's settings as ``model``.
        tensors: the training state.
        document: the rest of it, as plain types for JSON.

    Raises:
        UserError: the folder cannot be written; the previous checkpoint is whole.
    """
    _commit(folder, {STATE: _state(tensors, document), MODEL: _weights(weights)}, config)


def copy_checkpoint(source: Path, target: Path, changes: Mapping[str, Any]) -> None:
    """Keep the checkpoint in ``source`` in another folder too; on one file system the copy takes no space.

    Args:
        source: folder of the checkpoint.
        target: folder of the copy; an older checkpoint in it is replaced.
        changes: entries of ``config.json`` that differ in the copy.

    Raises:
        UserError: ``source`` is no checkpoint, or ``target`` cannot be written.
    """
    config = read_config(source)
    files = {name: _verified(source, config, name) for name in config["files"]}
    _commit(target, files, {**config, **changes})


def read_config(folder: Path) -> dict[str, Any]:
    """The parsed ``config.json`` of a checkpoint folder.

    Raises:
        UserError: there is none, or it is no config of ours.
    """
    path = folder / CONFIG
    try:
        found = path.is_file()
    except OSError as error:  # such as a name that is too long
        raise UserError(f"{one_line(str(folder))} is not a checkpoint: {error.strerror}") from error
    if not found:
        raise UserError(f"{folder} is not a checkpoint: it has no {CONFIG}. Train one with: hrm-agents train")
    config = read_json(path)
    if not isinstance(config, dict) or "model" not in config or "format" not in config:
        raise UserError(f"{path} is not the config of an hrm-agents checkpoint")
    if config["format"] != FORMAT:
        raise UserError(f"{path} has format {one_line(str(config['format']), 40)}; this version reads {FORMAT}")
    files = config.get("files")
    if not isinstance(files, dict) or not set(files) <= {MODEL, STATE} or not all(map(_is_digest, files.values())):
        raise UserError(f"{path}: 'files' must give the SHA-256 of {MODEL}, and of {STATE} if there is one")
    return config


def load(folder: Path, device: str | torch.device = "cpu", model: SegmentModel | None = None) -> Checkpoint:
    """Load a checkpoint folder, strictly.

    Shapes are compared with the config before anything is allocated for them.

    Args:
        folder: of the checkpoint.
        device: where the network goes.
        model: takes the weights, in place of the HRM that the config describes.

    Raises:
        UserError: a file is missing, damaged or foreign, or weights, config and table of identities do not fit.
    """
    device = resolve_device(device)
    config = read_config(folder)
    check_own_parts_given(config.get("custom", {}), {"model": model}, folder)
    if model is None:
        settings: HRMConfig = from_dict(HRMConfig, config["model"], f"{folder / CONFIG}: model")
        try:
            with torch.device("meta"):
                expected = HRM(settings).state_dict()
        except (RuntimeError, OverflowError, ValueError) as error:
            raise UserError(f"{folder / CONFIG}: model: {one_line(str(error))}") from error
    else:
        settings, expected = model.config, model.state_dict()
    path = _verified(folder, config, MODEL)
    _check_weights(path, expected)
    table = saved_table(config.get("task"), f"{folder / CONFIG}: task")
    named = 1 if table is None else len(table)
    if named != settings.num_task_ids:
        raise UserError(
            f"{folder / CONFIG}: task.id_table names {named} task identities, the weights have "
            f"{settings.num_task_ids}: take {CONFIG} and {MODEL} from one and the same run"
        )
    tensors, _ = read_tensors(path)
    for name, tensor in tensors.items():
        if tensor.numel() and not float(tensor.abs().max()) <= LARGEST_WEIGHT:
            raise UserError(
                f"{path}: weight {name!r} holds a non-finite number, or one beyond {LARGEST_WEIGHT:g}; the model has "
                "diverged"
            )
    model = HRM(settings) if model is None else model
    model.load_state_dict(tensors)
    return Checkpoint(model.to(device).eval(), config, folder)


def _check_weights(path: Path, expected: Mapping[str, Tensor]) -> None:
    """Compare names, shapes and types of the weights in a file with those of a network; none is read.

    Raises:
        UserError: they differ.
    """
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            types = {name: file.get_slice(name).get_dtype() for name in shapes}
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is truncated or not a safetensors file ({one_line(str(error))})") from error
    for name in sorted(set(expected) ^ set(shapes)):
        problem = "is missing" if name in expected else "is unknown"
        raise UserError(f"{path}: weight {one_line(repr(name))} {problem}; the file does not belong to this {CONFIG}")
    for name, tensor in expected.items():
        if shapes[name] != tuple(tensor.shape):
            raise UserError(f"{path}: weight {name!r} has shape {shapes[name]}, {CONFIG} says {tuple(tensor.shape)}")
        if types[name] not in ("F32", "F16", "BF16", "F64"):
            raise UserError(f"{path}: weight {name!r} is of type {types[name]}, which no weight has")


def warm_start(model: HRM, folder: Path, id_table: IdTable | None = None) -> None:
    """Copy the weights of a checkpoint into ``model``, which may be of another grid size if no weight depends on it.

    Args:
        model: takes the weights.
        folder: the checkpoint.
        id_table: what the task identities of ``model`` stand for, None if it has none. The checkpoint's must stand
            for the same: shapes alone would let the embedding of one task pass for that of another.

    Raises:
        UserError: the checkpoint cannot be loaded, its task identities stand for something else, or a weight is
            missing or of another shape.
    """
    loaded, mine = load(folder), model.state_dict()
    difference = first_difference(saved_table(loaded.config.get("task"), f"{folder / CONFIG}: task"), id_table)
    if difference is not None:
        raise UserError(
            f"cannot start from {folder}: its task identities are not this environment's ({difference}); take the "
            "environment keywords of that run, or start without run.init_from"
        )
    weights = loaded.model.state_dict()
    for name in sorted(set(mine) | set(weights)):
        theirs = tuple(weights[name].shape) if name in weights else "none"
        ours = tuple(mine[name].shape) if name in mine else "none"
        if theirs != ours:
            raise UserError(
                f"cannot start from {folder}: weight {name!r} has shape {theirs} there and {ours} here; "
                "take the same --model options (learned positions fit one grid size only)"
            )
    model.load_state_dict(weights)


def check_own_parts_given(custom: Any, given: Mapping[str, Any], folder: Path) -> None:
    """Refuse to continue without the user's own parts (:data:`OWN_PARTS`) that a run was trained with.

    Args:
        custom: from the checkpoint: what each part calls itself, by argument.
        given: from the caller, by argument; None for what is missing.
        folder: of the checkpoint, for messages.

    Raises:
        UserError: one is needed and was not given, or ``custom`` is damaged.
    """
    fits = isinstance(custom, dict) and set(custom) <= OWN_PARTS and all(isinstance(v, str) for v in custom.values())
    if not fits:
        raise UserError(f"{folder}: 'custom' must map some of {', '.join(sorted(OWN_PARTS))} to text")
    for argument, value in given.items():
        if value is None and argument in custom:
            raise UserError(
                f"{folder} was trained with its own {argument} ({one_line(str(custom[argument]))}), whose code a "
                f"checkpoint cannot hold: pass it in Python, as {argument}=..."
            )


def resolve_device(device: str | torch.device) -> str:
    """``"auto"`` as cuda, mps or cpu, whichever there is; other names as they are.

    Raises:
        UserError: torch does not have that device here.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if str(device).split(":")[0] not in ("cpu", "cuda", "mps"):
        raise UserError(f"device {one_line(str(device), 40)!r}: choose cpu, cuda, mps or auto")
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = one_line(str(error).partition("\n")[0].split(". ")[0], 120)
        raise UserError(f"device {one_line(str(device), 40)!r} is not available here: {reason}") from error
    return str(device)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file and its header's metadata.

    Raises:
        UserError: it is missing, truncated or something else.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is truncated or not a safetensors file ({one_line(str(error))})") from error


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The training state that :func:`save_run` wrote: tensors, and the document.

    Raises:
        UserError: there is none, or it is damaged.
    """
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder} holds no run to resume: it has no {CONFIG}, so no checkpoint in it is complete")
    config = read_config(folder)
    if STATE not in config["files"]:
        raise UserError(f"{folder} holds no run to resume: its checkpoint has no {STATE}")
    path = _verified(folder, config, STATE)
    tensors, metadata = read_tensors(path)
    try:
        document = parse_json(metadata["document"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a training state of hrm-agents") from error
    if not isinstance(document, dict):
        raise UserError(f"{path} is not a training state of hrm-agents")
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
    """Replace a checkpoint: the files first, each from its bytes or from another file, then the config that counts."""
    _finish_commit(folder)
    pending = {name: _pending(folder, name) for name in files}
    try:
        for name, content in files.items():
            if isinstance(content, Path):
                _link(content, pending[name])
            else:
                write_atomically(pending[name], content)
        digests = {
            name: _digest(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()
            for name, content in files.items()
        }
        document = {**config, "format": FORMAT, "files": digests}
        # Like its neighbours it takes the place of a link: what that points to may belong to another run.
        write_atomically(folder / CONFIG, (json.dumps(document, indent=2) + "\n").encode(), through_links=False)
    except UserError:
        # Not after an interrupt, which may have come once the config was in place.
        for path in pending.values():
            with suppress(OSError):
                path.unlink()
        raise
    for name in files:
        _settle(folder, name)


def _finish_commit(folder: Path) -> None:
    """Give the files that the config vouches for their names, if a save was killed before it did so."""
    waiting = [name for name in (MODEL, STATE) if _pending(folder, name).is_file()]
    if not waiting or not (folder / CONFIG).is_file():
        return
    files = read_config(folder)["files"]
    for name in waiting:
        if name in files and _digest(_pending(folder, name)) == files[name]:
            _settle(folder, name)


def _settle(folder: Path, name: str) -> None:
    """Give a file that the config vouches for its name."""
    pending = _pending(folder, name)
    try:
        os.replace(pending, folder / name)
        pending.unlink(missing_ok=True)  # a move between two links to one file does nothing
    except OSError as error:
        raise UserError(f"cannot write {folder / name}: {error.strerror or error}") from error


def _verified(folder: Path, config: Mapping[str, Any], name: str) -> Path:
    """The file of that name that the config vouches for.

    Raises:
        UserError: there is none.
    """
    path, pending = folder / name, _pending(folder, name)
    for place in (pending, path):
        if place.is_file() and name in config["files"] and _digest(place) == config["files"][name]:
            return place
    if not path.is_file():
        raise UserError(f"{path} is missing")
    raise UserError(
        f"{path} is damaged or of another run: its SHA-256 is not the one in {CONFIG}; restore both from one copy"
    )


def _pending(folder: Path, name: str) -> Path:
    """Where a file waits for the config that vouches for it."""
    return folder / f".{name}.next"


def _link(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}; choose another place") from error


def _digest(path: Path) -> str:
    sha = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                sha.update(chunk)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    return sha.hexdigest()


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")
