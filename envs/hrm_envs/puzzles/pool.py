"""The puzzle pool of an environment: stored by the task, or generated, distinct and split by symmetry class."""

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

#: One in this many symmetry classes is held out for the test split.
TEST_SHARE = 8
#: Sampling stops after this many consecutive rounds without a new puzzle.
_MAX_BARREN_ROUNDS = 8
#: Maximum number of puzzles sampled at once, to fail fast if fewer exist than requested.
_LARGEST_ROUND = 65_536
#: Maximum number of cells sampled at once, to bound the memory of hashing.
_LARGEST_ROUND_CELLS = 2**27

_cache: OrderedDict[tuple[object, ...], PuzzleBatch] = OrderedDict()
_CACHE_SIZE = 16


def in_split(task: Task, puzzle: Tokens, split: Split) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether puzzles (uint8 ``[B, S]``) belong to ``split``, bool ``[B]``."""
    if split == "all":
        return np.ones(len(puzzle), np.bool_)
    held_out = mix(task.symmetry_key(puzzle)) % np.uint64(TEST_SHARE) == 0
    return held_out if split == "test" else ~held_out


def make_pool(task: Task, split: Split, num_puzzles: int, seed: int = 0) -> PuzzleBatch:
    """Sample ``num_puzzles`` distinct puzzles of a split, determined by the arguments.

    Raises:
        ValueError: the task has fewer distinct puzzles, or the puzzles would take more than 2 GiB.
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
                f"settings, not {num_puzzles}: set num_puzzles={len(seen)} or less"
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
    """The puzzles of an environment: stored ones, or a random subset of them, or generated ones.

    Args:
        task: stores or generates the puzzles.
        split: the split.
        num_puzzles: number of puzzles; None uses all stored ones, or the default of the task.
        seed: seed of the subset, or of the generated puzzles.

    Raises:
        ValueError: there are fewer puzzles, or none.
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
    """:func:`hold_pool` with a cache for the process.

    ``identity`` distinguishes tasks and their settings. It is compared by value, not by its repr: two classes may have
    the same name, and a function may reuse the address of a deleted one.
    """
    key = (_frozen(identity), split, num_puzzles, seed)
    try:
        hash(key)
    except TypeError:  # a setting is not hashable
        return hold_pool(task, split, num_puzzles, seed)
    if key not in _cache:
        _cache[key] = hold_pool(task, split, num_puzzles, seed)
        if len(_cache) > _CACHE_SIZE:
            _cache.popitem(last=False)
    return _cache[key]


def _frozen(value: object) -> object:
    """A value with lists converted to tuples, which are hashable."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value
