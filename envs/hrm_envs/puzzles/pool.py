"""The puzzle pool of an environment: stored by the task, or generated, distinct and split by symmetry class."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import whole_number
from hrm_envs.limits import most_puzzles
from hrm_envs.spec import Tokens
from hrm_envs.streams import mix
from hrm_envs.task import PuzzleBatch, Task

Split = Literal["train", "validation", "test", "train+validation", "all"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test", "train+validation", "all")
#: The splits that share no symmetry class.
DISJOINT: tuple[Split, ...] = SPLITS[:3]

#: One in this many symmetry classes is held out for the test split, and as many for the validation split.
HELD_OUT_SHARE = 8
#: Number in the seed of generated puzzles, so that each split draws its own.
_STREAM: dict[Split, int] = {"train": 0, "test": 1, "all": 2, "validation": 3, "train+validation": 4}
#: The search for puzzles ends after this many consecutive rounds without a new one.
_MAX_BARREN_ROUNDS = 8
#: The search for new classes ends when a round finds no larger share than this of those that are missing.
_FEW_NEW = 0.03
#: Maximum number of puzzles sampled at once, to fail fast if fewer exist than requested.
_LARGEST_ROUND = 65_536
#: Maximum number of cells sampled at once, to bound the memory of hashing.
_LARGEST_ROUND_CELLS = 2**27

_cache: OrderedDict[tuple[object, ...], PuzzleBatch] = OrderedDict()
_CACHE_SIZE = 16


def in_split(task: Task, puzzle: Tokens, split: Split) -> NDArray[np.bool_]:
    """Whether puzzles (uint8 ``[B, S]``) belong to ``split``, bool ``[B]``."""
    place = mix(task.symmetry_key(puzzle)) % np.uint64(HELD_OUT_SHARE)
    return {
        "test": place == 0,
        "validation": place == 1,
        "train": place > 1,
        "train+validation": place > 0,
        "all": np.ones(len(puzzle), np.bool_),
    }[split]


def held_out_of(task: Task, puzzle: Tokens) -> NDArray[np.bool_]:
    """Which training puzzles (uint8 ``[B, S]``) of a collection that has its own test puzzles serve for validation."""
    return in_split(task, puzzle, "validation")


def puzzle_classes(task: Task, batch: PuzzleBatch) -> list[tuple[int, int]]:
    """Symmetry class and task identity of each puzzle: equal for those that are the same up to symmetry."""
    return list(zip(task.symmetry_key(batch.puzzle).tolist(), batch.task_id.tolist(), strict=True))


def make_pool(task: Task, split: Split, num_puzzles: int, seed: int = 0) -> PuzzleBatch:
    """Sample ``num_puzzles`` distinct puzzles of a split, determined by the arguments.

    Each is of another symmetry class as long as new classes are found; only then do further puzzles of the same classes
    follow.

    Raises:
        ValueError: the task has fewer distinct puzzles, or the puzzles would take more than 2 GiB.
    """
    whole_number("num_puzzles", num_puzzles, 1, most_puzzles(task.spec.num_cells))
    largest_round = min(_LARGEST_ROUND, _LARGEST_ROUND_CELLS // task.spec.num_cells)
    first, further = _Found(num_puzzles), _Found(num_puzzles)
    classes: set[tuple[int, int]] = set()
    new_classes, barren, round_ = True, 0, 0
    while (missing := num_puzzles - len(first)) > (0 if new_classes else len(further)):
        if barren == _MAX_BARREN_ROUNDS:
            exist = len(first) + len(further)
            raise ValueError(
                f"{task.spec.name} has only {exist} distinct puzzles in split {split!r} with these "
                f"settings, not {num_puzzles}: set num_puzzles={exist} or less"
            )
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM[split], round_)))
        draws = missing * (HELD_OUT_SHARE if split in ("test", "validation") else 1)
        batch = task.sample(rng, min(max(64, draws), largest_round))
        batch = batch.take(in_split(task, batch.puzzle, split))
        is_new = np.zeros(len(batch), np.bool_)
        for place, name in enumerate(puzzle_classes(task, batch)):
            is_new[place] = name not in classes and len(classes) < num_puzzles
            classes.add(name)
        found = first.add(batch.take(is_new)) + further.add(batch.take(~is_new), known=first.names)
        # The last classes of a small space would cost more draws than all the others.
        new_classes = bool(np.count_nonzero(is_new) > _FEW_NEW * missing)
        barren = 0 if found else barren + 1
        round_ += 1
    return PuzzleBatch.concatenate([*first.parts, *further.parts]).take(slice(num_puzzles))


class _Found:
    """Distinct puzzles, in the order in which they were drawn."""

    def __init__(self, most: int) -> None:
        self.parts: list[PuzzleBatch] = []
        self.names: set[bytes] = set()
        self._most = most

    def __len__(self) -> int:
        return len(self.names)

    def add(self, batch: PuzzleBatch, known: Collection[bytes] = ()) -> int:
        """Keep the puzzles that are new, here and in ``known``; returns how many."""
        fresh = []
        for place, row in enumerate(batch.puzzle):
            name = row.tobytes() + batch.task_id[place].tobytes()
            if name not in self.names and name not in known and len(self.names) < self._most:
                self.names.add(name)
                fresh.append(place)
        self.parts.append(batch.take(np.array(fresh, np.int64)))
        return len(fresh)


def stored_pool(task: Task, split: Split) -> PuzzleBatch | None:
    """All stored puzzles of a split, in the task's order; None if the task stores none.

    A task that stores no validation puzzles has one class in eight of its training puzzles held out for them, whether
    anybody asks for the validation split or not.
    """
    train, validation, test = (task.stored(name) for name in ("train", "validation", "test"))
    if train is not None and validation is None:
        held_out = held_out_of(task, train.puzzle)
        train, validation = train.take(~held_out), train.take(held_out)
    wanted = {
        "train": [train],
        "validation": [validation],
        "test": [test],
        "train+validation": [train, validation],
        "all": [train, validation, test],
    }[split]
    found = [part for part in wanted if part is not None]
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
