"""The puzzles that an environment holds: stored by the task, or made once, distinct, and split by symmetry class."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import numpy as np

from hrm_envs.checks import whole_number
from hrm_envs.limits import most_puzzles
from hrm_envs.spec import Tokens
from hrm_envs.streams import mix
from hrm_envs.task import PuzzleBatch, Task

Split = Literal["train", "test", "all"]
SPLITS: tuple[Split, ...] = ("train", "test", "all")

#: One symmetry class in this many is held out for the test split.
TEST_SHARE = 8
#: Sampling stops when this many rounds in a row bring nothing new.
_MAX_BARREN_ROUNDS = 8
#: Most puzzles asked of a task at once, so that giving up on more than exist does not take minutes.
_LARGEST_ROUND = 65_536
#: And most cells, so that hashing them does not take many gigabytes.
_LARGEST_ROUND_CELLS = 2**27

_cache: OrderedDict[tuple[object, ...], PuzzleBatch] = OrderedDict()
_CACHE_SIZE = 16


def in_split(task: Task, puzzle: Tokens, split: Split) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which puzzles (uint8 ``[B, S]``) belong to ``split``: bool ``[B]``."""
    if split == "all":
        return np.ones(len(puzzle), np.bool_)
    held_out = mix(task.symmetry_key(puzzle)) % np.uint64(TEST_SHARE) == 0
    return held_out if split == "test" else ~held_out


def make_pool(task: Task, split: Split, num_puzzles: int, seed: int = 0) -> PuzzleBatch:
    """Sample ``num_puzzles`` distinct puzzles of a split. The same arguments give the same puzzles.

    Raises:
        ValueError: the task runs out of distinct puzzles, or so many would take more than 2 GiB.
    """
    whole_number("num_puzzles", num_puzzles, 1, most_puzzles(task.spec.num_cells))
    largest_round = min(_LARGEST_ROUND, _LARGEST_ROUND_CELLS // task.spec.num_cells)
    found: list[PuzzleBatch] = []
    seen: set[bytes] = set()
    barren = round_ = 0
    while len(seen) < num_puzzles:
        if barren == _MAX_BARREN_ROUNDS:
            raise ValueError(
                f"{task.spec.name} has only {len(seen)} distinct puzzles in split {split!r} with these "
                f"settings, not {num_puzzles}: ask for fewer with num_puzzles={len(seen)}"
            )
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(SPLITS.index(split), round_)))
        wanted = num_puzzles - len(seen)
        draws = wanted * (TEST_SHARE if split == "test" else 1)
        batch = task.sample(rng, min(max(64, draws), largest_round))
        batch = batch.take(in_split(task, batch.puzzle, split))
        fresh = []
        for i, row in enumerate(batch.puzzle):
            name = row.tobytes() + batch.task_id[i].tobytes()
            if name not in seen and len(seen) < num_puzzles:
                seen.add(name)
                fresh.append(i)
        found.append(batch.take(np.array(fresh, np.int64)))
        barren = 0 if fresh else barren + 1
        round_ += 1
    return PuzzleBatch.concatenate(found)


def stored_pool(task: Task, split: Split) -> PuzzleBatch | None:
    """All stored puzzles of a split, in the task's order; None if the task stores none."""
    parts = [task.stored("train") if split != "test" else None, task.stored("test") if split != "train" else None]
    found = [part for part in parts if part is not None]
    return PuzzleBatch.concatenate(found) if found else None


def hold_pool(task: Task, split: Split, num_puzzles: int | None, seed: int = 0) -> PuzzleBatch:
    """The puzzles of an environment: the stored ones (a random choice of them, if fewer are asked for) or new ones.

    Args:
        task: makes or stores them.
        split: which.
        num_puzzles: how many; all stored ones, or the task's own default, if None.
        seed: of the choice, or of the new puzzles.

    Raises:
        ValueError: there are not so many, or none.
    """
    stored = stored_pool(task, split)
    if stored is None:
        defaults = task.default_num_puzzles
        return make_pool(task, split, num_puzzles or defaults["train" if split == "all" else split], seed)
    if len(stored) == 0:
        raise ValueError(f"{task.spec.name} holds no puzzle in split {split!r} with these settings")
    if num_puzzles is None or num_puzzles == len(stored):
        return stored
    if num_puzzles > len(stored):
        raise ValueError(
            f"{task.spec.name} holds {len(stored)} puzzles in split {split!r} with these settings, not {num_puzzles}"
        )
    chosen = np.random.default_rng(seed).permutation(len(stored))[:num_puzzles]
    return stored.take(np.sort(chosen))


def cached_pool(task: Task, identity: object, split: Split, num_puzzles: int | None, seed: int) -> PuzzleBatch:
    """:func:`hold_pool`, remembered for the process.

    ``identity`` tells tasks with other settings apart. It is compared by value, never by its text: two classes may
    share a name, and a function may get the address of one that is gone.
    """
    key = (_frozen(identity), split, num_puzzles, seed)
    try:
        hash(key)
    except TypeError:  # a setting without a value to compare by
        return hold_pool(task, split, num_puzzles, seed)
    if key not in _cache:
        _cache[key] = hold_pool(task, split, num_puzzles, seed)
        if len(_cache) > _CACHE_SIZE:
            _cache.popitem(last=False)
    return _cache[key]


def _frozen(value: object) -> object:
    """A value with its lists made tuples, so that it can be hashed."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value
