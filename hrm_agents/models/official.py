"""Weights of the public HRM checkpoints in this package's names. Names only: nothing is downloaded."""

import dataclasses
from collections.abc import Mapping

from torch import Tensor

from hrm_agents.models.hrm import HRMConfig

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


def official_name(name: str) -> str:
    """Our name of the official parameter ``name``; the task table gets the name it has with several ids.

    Raises:
        KeyError: the name is not one of an HRM checkpoint.
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
        raise KeyError(f"not a parameter of an HRM checkpoint: {original}")
    return f"{level}.blocks.{index}.{_IN_BLOCK[part]}"


def from_official(state_dict: Mapping[str, Tensor], config: HRMConfig) -> tuple[HRMConfig, dict[str, Tensor]]:
    """Rename the weights of an official checkpoint for ``HRM.load_state_dict``.

    A checkpoint with a single task identity (Sudoku, Maze) has a one-row task table: the same as our
    learned prefix, which it becomes.

    Args:
        state_dict: official names, with or without an ``_orig_mod.`` prefix.
        config: grid, heads, cycles and positions, which the weights do not tell; vocabulary,
            hidden size, layers, MLP width and prefix are overwritten with what the weights say.

    Returns:
        The completed config and a float32 state dict in our names.

    Raises:
        KeyError: a weight is missing or unknown.
        ValueError: the completed config is impossible.
    """
    ours = {official_name(name): tensor.detach().float() for name, tensor in state_dict.items()}
    vocab_size, hidden_size = ours["embedding.token"].shape
    width = ours["H.blocks.0.mlp.down.weight"].shape[1]
    num_task_ids, ndim, prefix_slots = 1, None, 0
    table = ours.get("embedding.task.weight")
    if table is not None:
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
        num_task_ids=num_task_ids,
        puzzle_emb_ndim=ndim,
        prefix_slots=prefix_slots,
    )
    return completed, ours
