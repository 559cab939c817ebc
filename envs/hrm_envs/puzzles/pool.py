"""The puzzle pool of an environment: stored by the task, or generated and distinct."""

from __future__ import annotations

from collections import OrderedDict
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import whole_number
from hrm_envs.limits import most_puzzles
from hrm_envs.puzzles.splits import HELD_OUT_SHARE, Split, in_split, keys_in_split, puzzle_classes
from hrm_envs.task import PuzzleBatch, Task

#: Number in the seed of generated puzzles, so that each split draws its own.
_STREAM: dict[Split, int] = {"train": 0, "test": 1, "all": 2, "validation": 3, "train+validation": 4}
#: The search for puzzles ends after this many consecutive rounds without a new one.
_MAX_BARREN_ROUNDS = 8
#: The search for new classes ends when at most this share of the puzzles drawn is of a new class. The last classes of a
#: small space are rare: finding them all would take more draws than everything else.
_FEW_NEW = 0.08
#: Number of puzzles that it takes to measure this share.
_ENOUGH = 32
#: Maximum number of puzzles sampled at once, to fail fast if fewer exist than requested.
_LARGEST_ROUND = 65_536
#: Maximum number of cells sampled at once, to bound the memory of hashing.
_LARGEST_ROUND_CELLS = 2**27

_cache: OrderedDict[tuple[object, ...], PuzzleBatch] = OrderedDict()
_CACHE_SIZE = 16


def make_pool(task: Task, split: Split, num_puzzles: int, seed: int = 0) -> PuzzleBatch:
    """Sample ``num_puzzles`` distinct puzzles of a split, determined by the arguments.

    Every puzzle is of another symmetry class as long as the search finds new classes. If it ends before, the pool has
    one puzzle of each class found, then further puzzles of these classes.

    Raises:
        ValueError: the task has fewer distinct puzzles, or the puzzles would take more than 2 GiB.
    """
    whole_number("num_puzzles", num_puzzles, 1, most_puzzles(task.spec.num_cells))
    largest_round = min(_LARGEST_ROUND, _LARGEST_ROUND_CELLS // task.spec.num_cells)
    draws_per_puzzle = HELD_OUT_SHARE if split in ("test", "validation") else 1
    found: list[PuzzleBatch] = []
    classes = np.zeros((0, 2), np.uint64)
    first: NDArray[np.intp] = np.zeros(0, np.intp)
    more_classes, tried, new, barren = True, 0, 0, 0
    for round_ in count():
        num_found, num_classes = len(classes), len(first)
        missing = num_puzzles - (num_classes if more_classes else num_found)
        if missing <= 0:
            break
        if barren == _MAX_BARREN_ROUNDS:
            raise ValueError(_too_few(task, split, num_puzzles, num_found))
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM[split], round_)))
        batch = task.sample(rng, min(max(64, missing * draws_per_puzzle), largest_round))
        drawn = puzzle_classes(task, batch)
        chosen = keys_in_split(drawn[:, 0], split)
        pool = PuzzleBatch.concatenate([*found, batch.take(chosen)])
        distinct = _first_of_each(np.concatenate([pool.puzzle, pool.task_id[:, None].view(np.uint8)], axis=1))
        found = [pool.take(distinct)]
        classes = np.concatenate([classes, drawn[chosen]])[distinct]
        first = _first_of_each(classes)
        tried += np.count_nonzero(chosen)
        new += len(first) - num_classes
        if tried >= _ENOUGH:
            more_classes, tried, new = new > _FEW_NEW * tried, 0, 0
        barren = 0 if len(classes) > num_found else barren + 1
    further = np.delete(np.arange(len(classes)), first)
    return found[0].take(np.concatenate([first, further])[:num_puzzles])


def _first_of_each(rows: NDArray[Any]) -> NDArray[np.intp]:
    """Indices of the first of each group of equal rows of ``[N, K]``, ascending."""
    names = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1] * rows.itemsize)))[:, 0]
    return np.sort(np.unique(names, return_index=True)[1])


def _too_few(task: Task, split: Split, num_puzzles: int, exist: int) -> str:
    if not exist:
        return f"{task.spec.name} has no puzzle in split {split!r} with these settings"
    return (
        f"{task.spec.name} has only {exist} distinct puzzles in split {split!r} with these "
        f"settings, not {num_puzzles}: set num_puzzles={exist} or less"
    )


def stored_pool(task: Task, split: Split) -> PuzzleBatch | None:
    """All stored puzzles of a split, in the task's order; None if the task stores none.

    A task that stores no validation puzzles has one class in eight of its training puzzles held out for them, whether
    anybody asks for the validation split or not.
    """
    if split == "test":
        return task.stored("test")
    train, validation = task.stored("train"), task.stored("validation")
    if validation is None and train is not None and split in ("train", "validation"):
        held_out = in_split(task, train.puzzle, "validation")
        train, validation = train.take(~held_out), train.take(held_out)
    parts = {
        "train": [train],
        "validation": [validation],
        "train+validation": [train, validation],
        "all": [train, validation, task.stored("test") if split == "all" else None],
    }[split]
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
        return make_pool(task, split, num_puzzles or default_size(task, split), seed)
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


def default_size(task: Task, split: Split) -> int:
    """How many puzzles an environment holds if neither the user nor a collection says so."""
    sizes = task.default_num_puzzles
    if split == "validation":
        return sizes.get("validation", sizes["test"])
    return sizes["test" if split == "test" else "train"]


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
