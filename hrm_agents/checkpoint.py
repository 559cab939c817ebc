"""Saving and loading, without pickle: nothing in a checkpoint is ever executed.

A checkpoint is a folder:

- ``model.safetensors``: the averaged weights, ready to use;
- ``config.json``: the network, the environment with its keywords, a hash of its puzzles, versions, results;
- ``training_state.safetensors``: all that resuming needs, tensors and (in the header) JSON; may be deleted.

Every file is written beside its place, flushed, and moved there in one step: a crash or a full disk leaves
the previous one whole.
"""

from __future__ import annotations

import json
import os
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
from hrm_agents.errors import UserError
from hrm_agents.identities import first_difference, saved_table
from hrm_agents.models.hrm import HRM, HRMConfig
from hrm_envs import IdTable

MODEL, CONFIG, STATE = "model.safetensors", "config.json", "training_state.safetensors"
FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint."""

    model: HRM
    #: The parsed ``config.json``.
    config: dict[str, Any]
    folder: Path


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``, wholly or not at all.

    Raises:
        UserError: the folder cannot be written or the disk is full; what was there before is untouched.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; free the disk or choose another place. "
            "What was there before is untouched"
        ) from error
    finally:
        # Gone after a success; left over after a failure, or where there is no such folder.
        with suppress(OSError):
            part.unlink()


def check_writable(path: Path) -> None:
    """Whether :func:`write_atomically` could write ``path``, found out before hours of work; nothing is changed.

    Raises:
        UserError: it could not.
    """
    probe = path.with_name(f".{path.name}.{os.getpid()}.probe")
    try:
        write_atomically(probe, b"")
    except UserError as error:
        raise UserError(str(error).replace(str(probe), str(path))) from error
    probe.unlink()


def save_model(folder: Path, model: HRM, config: Mapping[str, Any]) -> None:
    """Write ``model.safetensors`` and ``config.json``; ``config`` adds to the network's own settings."""
    tensors = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    write_atomically(folder / MODEL, save(tensors))
    document = {"format": FORMAT, "model": to_dict(model.config), **config}
    write_atomically(folder / CONFIG, (json.dumps(document, indent=2) + "\n").encode())


def read_config(folder: Path) -> dict[str, Any]:
    """The parsed ``config.json`` of a checkpoint folder.

    Raises:
        UserError: there is none, or it is no config of ours.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise UserError(f"{folder} is not a checkpoint: it has no {CONFIG}. Train one with: hrm-agents train")
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(config, dict) or "model" not in config or "format" not in config:
        raise UserError(f"{path} is not the config of an hrm-agents checkpoint")
    if config["format"] != FORMAT:
        raise UserError(f"{path} has format {config['format']}; this version of hrm-agents reads {FORMAT}")
    return config


def load(folder: Path, device: str | torch.device = "cpu") -> Checkpoint:
    """Load a checkpoint folder, strictly.

    Raises:
        UserError: a file is missing, truncated or foreign, or weights, config and table of identities do not fit.
    """
    device = resolve_device(device)
    config = read_config(folder)
    model_config: HRMConfig = from_dict(HRMConfig, config["model"], f"{folder / CONFIG}: model")
    tensors, _ = read_tensors(folder / MODEL)
    model = HRM(model_config)
    expected = model.state_dict()
    for name in sorted(set(expected) ^ set(tensors)):
        problem = "is missing" if name in expected else "is unknown"
        raise UserError(f"{folder / MODEL}: weight {name!r} {problem}; the file does not belong to this {CONFIG}")
    for name, tensor in expected.items():
        if tensors[name].shape != tensor.shape:
            raise UserError(
                f"{folder / MODEL}: weight {name!r} has shape {tuple(tensors[name].shape)}, "
                f"{CONFIG} says {tuple(tensor.shape)}"
            )
        if not tensors[name].is_floating_point() or not bool(tensors[name].isfinite().all()):
            raise UserError(f"{folder / MODEL}: weight {name!r} holds what is no finite number; the model has diverged")
    table = saved_table(config.get("task"), f"{folder / CONFIG}: task")
    named = 1 if table is None else len(table)
    if named != model_config.num_task_ids:
        raise UserError(
            f"{folder / CONFIG}: task.id_table names {named} task identities, the weights have "
            f"{model_config.num_task_ids}: take {CONFIG} and {MODEL} from one and the same run"
        )
    model.load_state_dict(tensors)
    return Checkpoint(model.to(device).eval(), config, folder)


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


def resolve_device(device: str | torch.device) -> str:
    """``"auto"`` as cuda, mps or cpu, whichever there is; other names as they are.

    Raises:
        UserError: torch does not have that device here.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if str(device).split(":")[0] not in ("cpu", "cuda", "mps"):
        raise UserError(f"device {str(device)!r}: choose cpu, cuda, mps or auto")
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].split(" device type at start of device string")[0]
        raise UserError(f"device {str(device)!r} is not available here: {reason}") from error
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
        raise UserError(f"{path} is truncated or not a safetensors file ({error})") from error


def save_state(folder: Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write ``training_state.safetensors``: tensors, and a JSON document in its header."""
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        plain[name] = tensor.detach().cpu().contiguous()
        place = plain[name].untyped_storage().data_ptr()
        if place in seen:  # safetensors refuses tensors that share memory
            plain[name] = plain[name].clone()
        seen.add(place)
    write_atomically(folder / STATE, save(plain, {"document": json.dumps(document)}))


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`save_state` wrote.

    Raises:
        UserError: there is none, or it is damaged.
    """
    if not (folder / STATE).is_file():
        raise UserError(f"{folder} holds no run to resume: {STATE} is missing")
    tensors, metadata = read_tensors(folder / STATE)
    try:
        document = json.loads(metadata["document"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / STATE} is not a training state of hrm-agents") from error
    return tensors, document
