"""Weights of the public HRM checkpoints: read from a file, and in this package's names. Nothing is downloaded."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from hrm_agents.models.hrm import HRM, HRMConfig

_WRAPPERS = ("_orig_mod.", "model.inner.", "model.", "inner.")
_TOP_LEVEL = {
    "H_init": "H_init",
    "L_init": "L_init",
    "embed_tokens.embedding_weight": "embedding.token",
    "embed_pos.embedding_weight": "embedding.position",
    "lm_head.weight": "answer_head.weight",
    "q_head.weight": "q_head.weight",
    "q_head.bias": "q_head.bias",
}
_IN_BLOCK = {
    "self_attn.qkv_proj.weight": "attention.qkv.weight",
    "self_attn.o_proj.weight": "attention.out.weight",
    "mlp.gate_up_proj.weight": "mlp.gate_up.weight",
    "mlp.down_proj.weight": "mlp.down.weight",
}
_TASK_TABLE = "puzzle_emb.weights"
#: How torch words that a pickle asks for more than tensors: a function or a class by its name, or a call of it.
_CODE = re.compile(r"(?:GLOBAL|Unsupported class) ([\w.]+)|[Tt]rying to (?:call|instantiate)")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a file that ``torch.save`` wrote, or from ``.safetensors`` or ``.npz``, on the CPU.

    Whatever else a file holds is never run.

    Raises:
        ValueError: the file is missing, of another kind, or holds something else than floating-point tensors.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    kind = {".safetensors": "safetensors", ".npz": "numpy"}.get(path.suffix.lower(), "torch")
    found: Any
    try:
        if kind == "safetensors":
            found = load_file(path)
        elif kind == "numpy":
            with np.load(path, allow_pickle=False) as arrays:
                found = {name: torch.from_numpy(np.array(arrays[name])) for name in arrays.files}
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a file of another kind makes of a reader is unforeseeable
        code = _CODE.search(str(error)) if kind == "torch" else None
        if code is not None:
            raise ValueError(
                f"{path} holds more than weights: loading it in full would run code ({code[1] or 'a call'}). It was "
                "not run; save the state_dict() alone and import that"
            ) from error
        raise ValueError(f"{path} is not a {kind} file, or is truncated; nothing in it was run") from error
    if not isinstance(found, Mapping):
        raise ValueError(f"{path} holds a {type(found).__name__}; expected weights by name, a state_dict()")
    for name, value in found.items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            what = str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{path}: {name!r} is {what}; expected weights by name, a state_dict()")
        if not isinstance(name, str) or value.ndim == 0 or value.numel() == 0:
            shape = tuple(value.shape)
            raise ValueError(f"{path}: {name!r} of shape {shape} is no weight of an HRM; expected a state_dict()")
        if not bool(value.isfinite().all()):
            raise ValueError(f"{path}: weight {name!r} holds what is no finite number; the model has diverged")
    if "H_init" in found and "answer_head.weight" in found:
        raise ValueError(f"{path} is a model of this package already: use its folder as it is")
    return dict(found)


def official_name(name: str) -> str:
    """Our name of the official parameter ``name``; the task table gets the name it has with several ids.

    Raises:
        ValueError: the name is not one of an HRM checkpoint.
    """
    original = name
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    if name == _TASK_TABLE:
        return "embedding.task.weight"
    if name in _TOP_LEVEL:
        return _TOP_LEVEL[name]
    level, _, rest = name.partition("_level.layers.")
    index, _, part = rest.partition(".")
    if level not in ("H", "L") or part not in _IN_BLOCK:
        raise ValueError(f"{original!r} is not a parameter of an HRM checkpoint")
    return f"{level}.blocks.{index}.{_IN_BLOCK[part]}"


def _original_name(name: str) -> str:
    """The official name, without wrappers, of our parameter ``name``."""
    level, in_block, rest = name.partition(".blocks.")
    index, _, part = rest.partition(".")
    names = {ours: theirs for theirs, ours in (_IN_BLOCK if in_block else _TOP_LEVEL).items()}
    return f"{level}_level.layers.{index}.{names[part]}" if in_block else names.get(name, _TASK_TABLE)


def num_task_rows(state_dict: Mapping[str, Tensor]) -> int:
    """Rows of the task table of an official checkpoint; 0 if it has none."""
    return next((len(tensor) for name, tensor in state_dict.items() if name.endswith(_TASK_TABLE)), 0)


def from_official(
    state_dict: Mapping[str, Tensor], config: HRMConfig, *, blank_task_ids: int | None = None
) -> tuple[HRMConfig, dict[str, Tensor]]:
    """Rename the weights of an official checkpoint for ``HRM.load_state_dict``.

    A checkpoint with a single task identity (Sudoku, Maze) has a one-row task table: the same as our
    learned prefix, which it becomes.

    Args:
        state_dict: official names, with or without an ``_orig_mod.`` prefix.
        config: grid, heads, cycles and rotary base, which the weights do not tell; vocabulary, hidden size, layers,
            MLP width, prefix and positions are overwritten with what the weights say.
        blank_task_ids: put a table of so many rows of zeros in the place of the checkpoint's.

    Returns:
        The completed config and a float32 state dict in our names.

    Raises:
        ValueError: a weight is missing, unknown or of the wrong shape, or the completed config is impossible.
    """
    ours = {official_name(name): tensor.detach().float() for name, tensor in state_dict.items()}
    for name in ("embedding.token", "H.blocks.0.mlp.down.weight"):
        if name not in ours or ours[name].ndim != 2:
            raise ValueError(f"weight {_original_name(name)!r} is missing or no matrix: this is no HRM checkpoint")
    vocab_size, hidden_size = ours["embedding.token"].shape
    width = ours["H.blocks.0.mlp.down.weight"].shape[1]
    num_task_ids, ndim, prefix_slots = 1, None, 0
    table = ours.get("embedding.task.weight")
    if table is not None and blank_task_ids is not None:
        table = ours["embedding.task.weight"] = table.new_zeros(blank_task_ids, *table.shape[1:])
    if table is not None:
        if table.ndim != 2:
            raise ValueError(f"weight {_TASK_TABLE!r} is no matrix: its shape is {tuple(table.shape)}")
        num_task_ids, ndim = table.shape
        prefix_slots = -(-ndim // hidden_size)
        if num_task_ids == 1:
            padded = table.new_zeros(prefix_slots * hidden_size)
            padded[:ndim] = ours.pop("embedding.task.weight")[0]
            ours["embedding.prefix"] = padded.view(prefix_slots, hidden_size)
    completed = dataclasses.replace(
        config,
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        H_layers=sum(name.startswith("H.") and name.endswith("qkv.weight") for name in ours),
        L_layers=sum(name.startswith("L.") and name.endswith("qkv.weight") for name in ours),
        expansion=1.5 * width / hidden_size,  # with multiple 1: exactly this width
        mlp_multiple=1,
        position="learned" if "embedding.position" in ours else "rope",
        num_task_ids=num_task_ids,
        puzzle_emb_ndim=ndim,
        prefix_slots=prefix_slots,
    )
    with torch.device("meta"):
        expected = HRM(completed).state_dict()
    for name in sorted(set(ours) ^ set(expected)):
        problem = "is missing" if name in expected else "is one too many"
        raise ValueError(f"weight {_original_name(name)!r} {problem}")
    for name, tensor in expected.items():
        if ours[name].shape != tensor.shape:
            raise ValueError(
                f"weight {_original_name(name)!r} has shape {tuple(ours[name].shape)}; the others, and a grid of "
                f"{completed.grid_shape[0]} x {completed.grid_shape[1]} cells, ask for {tuple(tensor.shape)}"
            )
    return completed, ours
