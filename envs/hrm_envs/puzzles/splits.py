"""Which puzzles are for training, for choosing settings and for the report: splits by symmetry class.

Stored collections bring splits of their own (:meth:`hrm_envs.task.Task.stored`, :func:`.pool.stored_pool`), and so do
folders with ``train`` and ``test`` (:mod:`.sources`).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hrm_envs.spec import Tokens
from hrm_envs.streams import Words, mix
from hrm_envs.task import PuzzleBatch, Task

Split = Literal["train", "validation", "test", "train+validation", "all"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test", "train+validation", "all")
#: The splits that share no symmetry class.
DISJOINT: tuple[Split, ...] = SPLITS[:3]

#: One in this many symmetry classes is held out for the test split, and as many for the validation split.
HELD_OUT_SHARE = 8


def in_split(task: Task, puzzle: Tokens, split: Split) -> NDArray[np.bool_]:
    """Whether puzzles (uint8 ``[B, S]``) belong to ``split``, bool ``[B]``."""
    return keys_in_split(task.symmetry_key(puzzle), split)


def keys_in_split(keys: Words, split: Split) -> NDArray[np.bool_]:
    """Whether the symmetry classes with these keys (uint64 ``[B]``) belong to ``split``, bool ``[B]``."""
    place = mix(keys) % np.uint64(HELD_OUT_SHARE)
    return {
        "test": place == 0,
        "validation": place == 1,
        "train": place > 1,
        "train+validation": place > 0,
        "all": np.ones(len(keys), np.bool_),
    }[split]


def puzzle_classes(task: Task, batch: PuzzleBatch) -> Words:
    """Symmetry key and task identity of each puzzle, uint64 ``[B, 2]``: equal rows for symmetric copies of a puzzle."""
    return np.stack([task.symmetry_key(batch.puzzle), batch.task_id.astype(np.uint64)], axis=1)
