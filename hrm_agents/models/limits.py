"""Largest network that can be configured, checked before anything is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hrm_agents.errors import shown
from hrm_agents.limits import Limits

#: A larger weight has exploded; those of a trained network are of order 1.
LARGEST_WEIGHT = 1e6

#: Far above what anybody trains; they keep a typing error, or a config from an untrusted source, from asking for more
#: memory or time than any machine has.
LIMITS: dict[str, Limits] = {
    # The width of the largest language models; one attention matrix then has 268 million weights.
    "hidden_size": Limits(1, 16_384),
    # Heads of size 16 at the largest width.
    "num_heads": Limits(1, 1024),
    # 512 blocks in all; HRM has 8, and the deepest language models about 130.
    "H_layers": Limits(1, 256),
    "L_layers": Limits(1, 256),
    # As many blocks as HRM has in both modules, and as many steps of one module.
    "num_layers": Limits(1, 512),
    "steps": Limits(1, 16_384),
    # 16,384 L steps per segment take minutes in a small network; HRM takes 4, TRM 18.
    "H_cycles": Limits(1, 64),
    "L_cycles": Limits(1, 256),
    # An MLP 43 times as wide as the state, where 8/3 is usual.
    "expansion": Limits(1e-6, 64.0),
    # Four times the largest width.
    "mlp_multiple": Limits(1, 65_536),
    # At 1 all frequencies are equal; language models with the longest contexts take 5e8.
    "rope_theta": Limits(1.0, 1e12),
    # As many as the largest learned prompts; every slot attends to all others.
    "prefix_slots": Limits(0, 1024),
    "puzzle_emb_len": Limits(1, 1024),
    # 64 slots at the largest width.
    "puzzle_emb_ndim": Limits(1, 2**20),
    # Below, float32 squares of small states underflow; above, eps alone would determine the norm.
    "rms_eps": Limits(1e-12, 1.0),
    # Tokens are uint8.
    "vocab_size": Limits(1, 256),
    # The ARC builders make a thousand augmentations of a thousand tasks: a million.
    "num_task_ids": Limits(1, 100_000_000),
    # Every cell attends to all others: 128 x 128 cells make 268 million pairs per head.
    "num_cells": Limits(1, 16_384),
    # Each is a full forward pass.
    "segments": Limits(1),
    # Environment steps; each keeps the activations of its segments.
    "bptt": Limits(1),
}


def check_setting(name: str, value: Any, limits: str | None = None) -> None:
    """Check the value of a setting of a network.

    Args:
        name: of the setting, for the message.
        value: to check.
        limits: key in :data:`LIMITS`, if it differs from ``name``.

    Raises:
        ValueError: not a number, not a whole number where one is needed (2.0 is not), or out of bounds.
    """
    LIMITS[limits or name].check(name, value, ValueError)


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Check that the value of a setting is one of ``choices``.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be {', '.join(choices[:-1])} or {choices[-1]}, got {shown(value)}")
