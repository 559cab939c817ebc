"""How large a network may be, and checks of what a user or a file asks for, before anything is built."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from typing import Any, NamedTuple

#: Longest text of a value, and of a path, in an error.
_VALUE, _PATH = 60, 120


class Limit(NamedTuple):
    """The least and the most that a setting may be, both included."""

    least: float
    most: float


#: A weight beyond this has exploded; those of a trained network are of the order of 1.
LARGEST_WEIGHT = 1e6

#: They lie far above what anybody trains, and keep a slip of the keyboard, or a config from a stranger, from asking
#: for more memory or time than any machine has.
LIMITS: dict[str, Limit] = {
    # The width of the largest language models; one matrix of an attention then has 268 million weights.
    "hidden_size": Limit(1, 16_384),
    # Heads of 16 numbers at the largest width.
    "num_heads": Limit(1, 1024),
    # 512 blocks in all; HRM has 8, and the deepest language models about 130.
    "H_layers": Limit(1, 256),
    "L_layers": Limit(1, 256),
    # 16,384 steps of L per segment, minutes of thought for a small net; HRM takes 4, TRM 18.
    "H_cycles": Limit(1, 64),
    "L_cycles": Limit(1, 256),
    # An MLP 43 times as wide as the state, where 8/3 is usual.
    "expansion": Limit(1e-6, 64.0),
    # Four times the largest width.
    "mlp_multiple": Limit(1, 65_536),
    # At 1 all frequencies are the same; language models with the longest texts take 5e8.
    "rope_theta": Limit(1.0, 1e12),
    # As many vectors as the largest learned prompts; every slot attends to all others.
    "prefix_slots": Limit(0, 1024),
    # 64 slots at the largest width.
    "puzzle_emb_ndim": Limit(1, 2**20),
    # Below, float32 squares of small states vanish; above, the norm would be made of it alone.
    "rms_eps": Limit(1e-12, 1.0),
    # Tokens are uint8.
    "vocab_size": Limit(1, 256),
    # The ARC builders make a thousand augmentations of a thousand tasks: a million.
    "num_task_ids": Limit(1, 100_000_000),
    # A cell attends to all others: 128 x 128 cells have 268 million pairs a head.
    "num_cells": Limit(1, 16_384),
}


class _Brief(reprlib.Repr):
    """A repr of bounded length and depth, whatever it is asked to show."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxother = _VALUE

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write very long integers out, and takes its time over long ones.
        bits = x.bit_length()
        return repr(x) if bits < 100 else f"an integer of {bits * 0.30103:.0f} digits"


def shown(value: Any) -> str:
    """``repr(value)`` for the text of an error: one line of at most 60 characters."""
    text = " ".join(_Brief().repr(value).split())
    return text if len(text) <= _VALUE else f"{text[: _VALUE - 4]} ..."


def shown_path(path: Any) -> str:
    """A path for the text of an error: in one line, and of a long one the end."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(path))
    return text if len(text) <= _PATH else f"...{text[-_PATH:]}"


def check_whole(name: str, value: Any, limit: str | None = None) -> int:
    """``value``, a whole number within the limits of ``name``.

    Args:
        name: of the setting, for the message.
        value: what it was set to.
        limit: the entry of :data:`LIMITS`, where that has another name.

    Raises:
        ValueError: it is no ``int`` (a bool is none either, nor is 2.0) or out of bounds.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} must be a whole number, got {shown(value)}")
    _check_bounds(name, value, LIMITS[limit or name])
    return value


def check_real(name: str, value: Any) -> float:
    """``value``, a number within the limits of ``name``.

    Raises:
        ValueError: it is no ``int`` or ``float`` (a bool is none either), not a positive finite one, or out of bounds.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{name} must be a number, got {shown(value)}")
    if not 0.0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number, got {shown(value)}")
    _check_bounds(name, value, LIMITS[name])
    return value


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """``value``, one of ``choices``.

    Raises:
        ValueError: it is none of them.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be {', '.join(choices[:-1])} or {choices[-1]}, got {shown(value)}")
    return value


def _check_bounds(name: str, value: float, limit: Limit) -> None:
    low, high = (f"{bound:,}" if isinstance(bound, int) else f"{bound:g}" for bound in limit)
    if value < limit.least:
        raise ValueError(f"{name} must be at least {low}, got {shown(value)}")
    if value > limit.most:
        raise ValueError(f"{name} must be at most {high}, got {shown(value)}")
