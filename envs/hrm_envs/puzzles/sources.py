"""A user's puzzles from arrays, text, files or official data sets, all checked."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import as_array, form, shown_path
from hrm_envs.puzzles.contents import read_content, read_text
from hrm_envs.puzzles.copies import warn_of_copies
from hrm_envs.puzzles.decoding import open_unpacked, unpack
from hrm_envs.puzzles.files import kind_of
from hrm_envs.puzzles.numbers import as_tokens, numbers_as_tokens
from hrm_envs.puzzles.official import find_splits, read_folder
from hrm_envs.puzzles.rows import Rows, checked
from hrm_envs.puzzles.splits import Split, in_split
from hrm_envs.spec import Tokens
from hrm_envs.task import PuzzleBatch, Task

#: A batch, an array of puzzles, a pair (puzzles, solutions), a path, text, or the content of a file.
PuzzlesLike = PuzzleBatch | NDArray[Any] | tuple[NDArray[Any], NDArray[Any]] | str | Path | bytes

#: Says what was read from files. Silent unless the program that uses this package listens.
_log = logging.getLogger(__name__)


def read_puzzles(
    source: PuzzlesLike,
    task: Task,
    split: Split = "all",
    num_puzzles: int | None = None,
    *,
    choose: bool = False,
) -> PuzzleBatch:
    """Read and check puzzles: each must be well formed, and each solution must pass the verifier.

    A folder with ``train`` and ``test`` is already split; one symmetry class in eight of ``train`` is for validation.
    All other sources are split by symmetry class, like generated puzzles. CSV files and folders are
    only checked as far as ``num_puzzles`` requires.

    Args:
        source: a PuzzleBatch; puzzles uint8 ``[N, S]``, ``[N, rows, columns]`` or one puzzle ``[S]``; a pair
            (puzzles, solutions); the path of a file or folder; the content of a file as bytes; or text in the notation
            of the task. A string that names a file that exists is its path. ``docs/files.md`` lists the formats of
            files; their content decides, not their suffix.
        task: the task that parses, checks and solves the puzzles.
        split: which puzzles to take.
        num_puzzles: maximum number of puzzles; the first ones are taken.
        choose: take only those that the keywords of the task ask for (:meth:`.Task.chosen`).

    Raises:
        ValueError: the source cannot be read, a puzzle is invalid, or none is in the split; the message gives the
            puzzle and the reason.
    """
    if isinstance(source, str) and _is_path(source):
        source = Path(source)
    parts, belongs = _parts(source, task, split)
    found: list[PuzzleBatch] = []
    seen, fitting, left = 0, 0, num_puzzles
    for batch in (batch for part in parts for batch in _read(part, task)):
        seen += len(batch)
        if choose:
            batch = batch.take(task.chosen(batch))
            fitting += len(batch)
        found.append(batch.take(belongs(batch.puzzle)).take(slice(left)))
        if left is not None:
            left -= len(found[-1])
            if left == 0:
                break
    if choose and fitting == 0:
        raise ValueError(f"none of the {seen} puzzles has the {' and '.join(task.chosen_by)} asked for")
    chosen = PuzzleBatch.concatenate(found)
    if not len(chosen):
        raise ValueError(
            f"none of the {seen} puzzles is in split {split!r} (splits are by symmetry class): "
            "pass more puzzles, or set split='all' to play them all"
        )
    _say_what_was_left_out(task, split, seen, fitting if choose else seen, len(chosen), left == 0)
    return chosen


def whole_split(source: PuzzlesLike) -> Split:
    """The split that has all of a user's puzzles: ``"test"`` of a folder that has it and ``train``, otherwise all."""
    path = Path(source) if isinstance(source, str) and _is_path(source) else source
    is_split = isinstance(path, Path) and kind_of(path) == "folder" and len(find_splits(path)) == 2
    return "test" if is_split else "all"


def _say_what_was_left_out(task: Task, split: Split, seen: int, fitting: int, chosen: int, enough: bool) -> None:
    """Say how many puzzles do not have what was asked for, or are in other splits."""
    if fitting < seen:
        _log.info("%d of %d puzzles have the %s asked for", fitting, seen, " and ".join(task.chosen_by))
    if chosen < fitting and not enough:
        _log.info("%d of %d puzzles are in split %r; split='all' has them all", chosen, fitting, split)


def _parts(
    source: PuzzlesLike, task: Task, split: Split
) -> tuple[list[PuzzlesLike], Callable[[Tokens], NDArray[np.bool_]]]:
    """The sources of a split, and what tells which of their puzzles (uint8 ``[B, S]``) belong to it."""
    if isinstance(source, Path) and kind_of(source) == "folder":
        splits = find_splits(source)
        if len(splits) == 2:
            named = {"test": ["test"], "all": ["train", "test"]}.get(split, ["train"])

            def belongs(puzzle: Tokens) -> NDArray[np.bool_]:
                held_out = in_split(task, puzzle, "validation")
                return {"train": ~held_out, "validation": held_out}.get(split, np.ones(len(puzzle), np.bool_))

            warn_of_copies(source, _rows(splits["train"], task), _rows(splits["test"], task), task)
            return [splits[name] for name in named], belongs
        if splits:
            return list(splits.values()), lambda puzzle: in_split(task, puzzle, split)
    return [source], lambda puzzle: in_split(task, puzzle, split)


def _read(source: PuzzlesLike, task: Task) -> Iterator[PuzzleBatch]:
    """All puzzles of a source; large sources come in several parts."""
    if isinstance(source, PuzzleBatch):
        yield _checked_batch(task, source)
    elif isinstance(source, tuple):
        if len(source) != 2:
            raise ValueError(f"puzzles: a tuple must be (puzzles, solutions), found {len(source)} entries")
        yield _checked_arrays(task, *source)
    elif isinstance(source, Path):
        yield from _checked_rows(_rows(source, task), shown_path(source), task)
    elif isinstance(source, bytes):
        yield from _checked_rows(read_content(BytesIO(unpack(source)), "", task), "", task)
    elif isinstance(source, str):
        yield from _checked_rows(_read_string(source, task), "", task)
    else:
        yield _checked_arrays(task, np.asarray(source), None)


def _rows(path: Path, task: Task) -> Iterator[Rows]:
    """All rows of a folder or a file, unchecked; large ones come in several parts."""
    kind, name = kind_of(path), shown_path(path)
    if kind == "absent":
        raise ValueError(f"puzzles={name!r}: there is no such file or folder")
    if kind == "other":
        raise ValueError(f"puzzles={name!r} is neither a regular file nor a readable folder")
    if kind == "folder":
        yield from read_folder(path, task.spec).chunks()
        return
    with open_unpacked(path) as file:
        yield from read_content(file, name, task)


def _read_string(text: str, task: Task) -> Iterator[Rows]:
    """Puzzles in a string that names no file; one that was meant as a path gets an error that says so."""
    try:
        yield from read_text(text, "", task)
    except ValueError as error:
        if _looks_like_path(text, task):
            raise ValueError(f"puzzles={shown_path(text)!r}: there is no such file or folder") from error
        raise


def _is_path(text: str) -> bool:
    """Whether a string names a file, folder, pipe or device that exists."""
    return "\n" not in text and kind_of(Path(text)) != "absent" and text != ""


def _looks_like_path(text: str, task: Task) -> bool:
    """Whether a string that holds no puzzle was probably meant as a path: it has a separator, or a suffix."""
    if "\n" in text or set(text) <= set(task.character_tokens):
        return False
    return bool(re.search(r"[/\\]|\.[A-Za-z]\w{0,9}$", text))


def _checked_rows(parts: Iterator[Rows], name: str, task: Task) -> Iterator[PuzzleBatch]:
    """The rows of a file as batches; when no more are wanted, says what was read."""
    count, skipped = 0, 0
    try:
        for rows in parts:
            count, skipped = count + len(rows.puzzle), skipped + len(rows.skipped)
            yield checked(rows, task)
    except GeneratorExit:
        _say_what_was_read(count, skipped, name, task)
        raise
    if count == 0:
        raise ValueError(f"puzzles={name!r} holds no puzzle")
    _say_what_was_read(count, skipped, name, task)


def _say_what_was_read(count: int, skipped: int, name: str, task: Task) -> None:
    """Say how many puzzles a file gave; text that comes from no file, whose ``name`` is empty, needs no word."""
    if name:
        more = f", {skipped} line{'s' * (skipped > 1)} skipped" if skipped else ""
        _log.info("read %d puzzle%s (%s) from %s%s", count, "s" * (count > 1), task.spec.name, name, more)


def _checked_arrays(task: Task, puzzle: NDArray[Any], solution: NDArray[Any] | None) -> PuzzleBatch:
    tokens, known = numbers_as_tokens(puzzle, solution, task)
    if solution is None:
        return task.complete(tokens)
    batch = PuzzleBatch(tokens, known)
    task.check(batch)
    return batch


def _checked_batch(task: Task, source: PuzzleBatch) -> PuzzleBatch:
    puzzle = as_tokens(source.puzzle, task.spec, "puzzle")
    solution = as_tokens(source.solution, task.spec, "solution")
    if len(puzzle) != len(solution):
        raise ValueError(f"{len(puzzle)} puzzles but {len(solution)} solutions")
    ids = _numbers("task_id", source.task_id, len(puzzle))
    if ids.min() < 0 or ids.max() >= task.spec.num_task_ids:
        raise ValueError(f"task_id: {task.spec.name} has identities 0 to {task.spec.num_task_ids - 1}")
    batch = PuzzleBatch(puzzle, solution, ids, _numbers("example", source.example, len(puzzle)))
    task.check(batch)
    return batch


def _numbers(name: str, values: NDArray[Any], num: int) -> NDArray[np.int32]:
    """One number per puzzle, int32."""
    array = as_array(name, values)
    if array.shape != (num,) or array.dtype.kind not in "ui":
        raise ValueError(f"{name}: expected one integer for each of {num} puzzles, found {form(array)}")
    if array.min() < 0 or array.max() >= 2**31:
        raise ValueError(f"{name}: expected numbers from 0 to 2**31 - 1, found {array.min()} to {array.max()}")
    return array.astype(np.int32)
