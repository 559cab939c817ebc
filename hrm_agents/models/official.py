"""Conversion of public HRM checkpoints to the parameter names of this package. Nothing is downloaded."""

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from hrm_agents.errors import shown
from hrm_agents.models.hrm import HRM, HRMConfig
from hrm_agents.models.weight_files import read_weights

__all__ = ["from_official", "num_task_rows", "official_name", "read_weights"]

_WRAPPERS = ("_orig_mod.", "module.", "model.", "inner.")
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


def official_name(name: str) -> str:
    """Convert an official parameter name to ours; the task table gets its name in models of several task ids.

    Raises:
        ValueError: not a parameter of an HRM checkpoint.
    """
    original = name
    while (wrapper := next(filter(name.startswith, _WRAPPERS), None)) is not None:
        name = name.removeprefix(wrapper)
    if name == _TASK_TABLE:
        return "embedding.task.weight"
    if name in _TOP_LEVEL:
        return _TOP_LEVEL[name]
    level, _, rest = name.partition("_level.layers.")
    index, _, part = rest.partition(".")
    if level not in ("H", "L") or part not in _IN_BLOCK:
        raise ValueError(f"{shown(original)} is not a parameter of an HRM checkpoint")
    return f"{level}.blocks.{index}.{_IN_BLOCK[part]}"


def _original_name(name: str) -> str:
    """Convert one of our parameter names to the official one, without a prefix."""
    level, in_block, rest = name.partition(".blocks.")
    index, _, part = rest.partition(".")
    names = {ours: theirs for theirs, ours in (_IN_BLOCK if in_block else _TOP_LEVEL).items()}
    return f"{level}_level.layers.{index}.{names[part]}" if in_block else names.get(name, _TASK_TABLE)


def num_task_rows(state_dict: Mapping[str, Tensor]) -> int:
    """Number of rows of the task table of an official checkpoint; 0 without a table."""
    return next((len(tensor) for name, tensor in state_dict.items() if name.endswith(_TASK_TABLE)), 0)


def from_official(
    state_dict: Mapping[str, Tensor], config: HRMConfig, *, blank_task_ids: int | None = None
) -> tuple[HRMConfig, dict[str, Tensor]]:
    """Convert the weights of an official checkpoint for ``HRM.load_state_dict``.

    The one-row task table of a checkpoint with a single task identity (Sudoku, Maze) becomes our learned prefix.

    Args:
        state_dict: official names, with or without the prefixes of ``torch.compile``, of data-parallel training and of
            the modules around the network.
        config: grid, heads, cycles and rotary base, which the weights do not determine. Vocabulary, hidden size,
            layers, MLP width, prefix and positions are taken from the weights.
        blank_task_ids: replace the task table by one of this many rows of zeros.

    Returns:
        The completed config and a float32 state dict in our names.

    Raises:
        ValueError: a weight is missing, unknown or has the wrong shape, or the completed config is invalid.
    """
    ours: dict[str, Tensor] = {}
    for original, tensor in state_dict.items():
        name = official_name(original)
        if name in ours:
            raise ValueError(f"weight {shown(_original_name(name))} occurs twice, with and without a prefix")
        ours[name] = tensor.detach()
    for name in ("embedding.token", "H.blocks.0.mlp.down.weight"):
        if name not in ours or ours[name].ndim != 2:
            raise ValueError(
                f"weight {shown(_original_name(name))} is missing or not a matrix: this is not an HRM checkpoint"
            )
    vocab_size, hidden_size = ours["embedding.token"].shape
    width = ours["H.blocks.0.mlp.down.weight"].shape[1]
    num_task_ids, ndim, prefix_slots = 1, None, 0
    table = ours.get("embedding.task.weight")
    if table is not None:
        if table.ndim != 2:
            raise ValueError(f"weight {_TASK_TABLE!r} is not a matrix: its shape is {tuple(table.shape)}")
        ndim = table.shape[1]
        num_task_ids = len(table) if blank_task_ids is None else blank_task_ids
        prefix_slots = -(-ndim // hidden_size)
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
    if table is not None:
        ours |= _task_embedding(ours.pop("embedding.task.weight"), completed, blank=blank_task_ids is not None)
    for name in sorted(set(ours) ^ set(expected)):
        problem = "is missing" if name in expected else "is unexpected"
        raise ValueError(f"weight {shown(_original_name(name))} {problem}")
    for name, tensor in expected.items():
        if ours[name].shape != tensor.shape:
            raise ValueError(
                f"weight {shown(_original_name(name))} has shape {shown(tuple(ours[name].shape))}; the others, and a "
                f"grid of {completed.grid_shape[0]} x {completed.grid_shape[1]} cells, require {tuple(tensor.shape)}"
            )
    return completed, {name: tensor.float() for name, tensor in ours.items()}


def _task_embedding(table: Tensor, config: HRMConfig, *, blank: bool) -> dict[str, Tensor]:
    """The task table of a checkpoint, or zeros, under its name in a model of ``config``."""
    if config.num_task_ids > 1:
        rows = config.num_task_ids
        return {"embedding.task.weight": table.new_zeros(rows, config.task_emb_ndim) if blank else table}
    prefix = table.new_zeros(config.prefix_slots * config.hidden_size)
    if not blank:
        prefix[: table.shape[1]] = table[0]
    return {"embedding.prefix": prefix.view(config.prefix_slots, config.hidden_size)}
