"""A user's puzzles from arrays, text, files or official data sets, all checked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import as_array, form, shown, shown_path, type_name
from hrm_envs.limits import most_puzzles
from hrm_envs.puzzles.arrays import load_arrays
from hrm_envs.puzzles.files import kind_of, read_text
from hrm_envs.puzzles.official import CHUNK, Rows, find_splits, read_csv, read_folder
from hrm_envs.puzzles.splits import Split, in_split
from hrm_envs.spec import TaskSpec, Tokens
from hrm_envs.task import PuzzleBatch, Task

#: A batch, an array of puzzles, a pair (puzzles, solutions), a path, or text.
PuzzlesLike = PuzzleBatch | NDArray[Any] | tuple[NDArray[Any], NDArray[Any]] | str | Path

_SUFFIXES = (".npz", ".npy", ".txt", ".csv")


def read_puzzles(source: PuzzlesLike, task: Task, split: Split = "all", num_puzzles: int | None = None) -> PuzzleBatch:
    """Read and check puzzles: each must be well formed, and each solution must pass the verifier.

    A folder with ``train`` and ``test`` is already split; one symmetry class in eight of ``train`` is for validation.
    All other sources are split by symmetry class, like generated puzzles. CSV files and folders are
    only checked as far as ``num_puzzles`` requires.

    Args:
        source: a PuzzleBatch; puzzles uint8 ``[N, S]``, ``[N, rows, columns]`` or one puzzle ``[S]``; a pair
            (puzzles, solutions); the path of an ``.npz`` (``inputs`` and optionally ``labels``), ``.npy``, ``.csv`` or
            text file; a folder built by HRM's scripts, or with ``train.csv`` and ``test.csv``; or text in the notation
            of the task.
        task: the task that parses, checks and solves the puzzles.
        split: which puzzles to take.
        num_puzzles: maximum number of puzzles; the first ones are taken.

    Raises:
        ValueError: the source cannot be read, a puzzle is invalid, or none is in the split; the message gives the
            puzzle and the reason.
    """
    if isinstance(source, str) and _looks_like_path(source, task):
        source = Path(source)
    parts = [source]

    def chosen(puzzle: Tokens) -> NDArray[np.bool_]:
        return in_split(task, puzzle, split)

    if isinstance(source, Path) and kind_of(source) == "folder":
        splits = find_splits(source)
        if len(splits) == 2:
            named = {"test": ["test"], "all": ["train", "test"]}.get(split, ["train"])
            parts = [splits[name] for name in named]

            def chosen(puzzle: Tokens) -> NDArray[np.bool_]:
                held_out = in_split(task, puzzle, "validation")
                return {"train": ~held_out, "validation": held_out}.get(split, np.ones(len(puzzle), np.bool_))

        elif splits:
            parts = list(splits.values())
    found: list[PuzzleBatch] = []
    seen, left = 0, num_puzzles
    for batch in (batch for part in parts for batch in _read(part, task)):
        seen += len(batch)
        found.append(batch.take(chosen(batch.puzzle)).take(slice(left)))
        if left is not None:
            left -= len(found[-1])
            if left == 0:
                break
    if not any(map(len, found)):
        raise ValueError(
            f"none of the {seen} puzzles is in split {split!r} (splits are by symmetry class): "
            "pass more puzzles, or set split='all' to play them all"
        )
    return PuzzleBatch.concatenate(found)


def _read(source: PuzzlesLike, task: Task) -> Iterator[PuzzleBatch]:
    """All puzzles of a source; large sources come in several parts."""
    if isinstance(source, PuzzleBatch):
        yield _checked(task, source.puzzle, source.solution, source.task_id, source.example)
    elif isinstance(source, tuple):
        if len(source) != 2:
            raise ValueError(f"puzzles: a tuple must be (puzzles, solutions), found {len(source)} entries")
        yield _checked(task, *source)
    elif isinstance(source, Path):
        yield from _read_path(source, task)
    elif isinstance(source, str):
        yield task.complete(task.parse(source))
    else:
        yield _checked(task, np.asarray(source), None)


def _read_path(path: Path, task: Task) -> Iterator[PuzzleBatch]:
    """All puzzles of a folder or a file; large ones come in several parts."""
    kind, where = kind_of(path), f"puzzles={shown_path(path)!r}"
    if kind == "absent":
        raise ValueError(f"{where}: there is no such file or folder")
    if kind == "other":
        raise ValueError(f"{where} is neither a regular file nor a readable folder")
    if kind == "folder":
        yield from _checked_folder(path, task)
    elif path.suffix.lower() == ".csv":
        yield from _checked_csv(path, task)
    else:
        try:
            batch = _read_file(path, task)
        except ValueError as error:
            raise ValueError(str(error) if shown_path(path) in str(error) else f"{where}: {error}") from error
        yield batch


def _looks_like_path(text: str, task: Task) -> bool:
    if "\n" in text:
        return False
    is_place = os.path.isdir(text) or ("/" in text and "/" not in task.spec.symbols)
    return is_place or text.lower().endswith(_SUFFIXES)


def _read_file(path: Path, task: Task) -> PuzzleBatch:
    if path.suffix.lower() not in (".npz", ".npy"):
        return task.complete(task.parse(read_text(path)))
    arrays = load_arrays(path)
    if set(arrays) == {""}:  # an .npy file, regardless of its suffix
        arrays = {"inputs": arrays[""]}
    if "inputs" not in arrays:
        raise ValueError(
            f"puzzles={shown_path(path)!r} holds {shown(sorted(arrays))}; expected 'inputs' and optionally 'labels'"
        )
    return _checked(task, arrays["inputs"], arrays.get("labels"))


def _checked_csv(path: Path, task: Task) -> Iterator[PuzzleBatch]:
    """The rows of a CSV file, in chunks."""
    empty = True
    for rows in read_csv(path, task.spec):
        empty = False
        yield _checked_rows(rows, task)
    if empty:
        raise ValueError(f"puzzles={shown_path(path)!r} has no rows below its header")


def _checked_folder(folder: Path, task: Task) -> Iterator[PuzzleBatch]:
    """The puzzles of a built folder, in chunks."""
    puzzle, solution, places = read_folder(folder, task.spec)
    puzzle = as_tokens(puzzle, task.spec, f"{shown_path(folder)}, puzzle")
    solution = as_tokens(solution, task.spec, f"{shown_path(folder)}, solution")
    for start in range(0, len(puzzle), CHUNK):
        chunk = slice(start, start + CHUNK)
        yield _checked_rows(Rows(puzzle[chunk], solution[chunk], places._replace(numbers=places.numbers[chunk])), task)


def _checked_rows(rows: Rows, task: Task) -> PuzzleBatch:
    """Rows of a file as a batch; if the task rejects one, the error names its position in the file."""
    batch = PuzzleBatch(rows.puzzle, rows.solution)
    try:
        task.check(batch)
    except ValueError:
        for row in range(len(batch)):
            try:
                task.check(batch.take(slice(row, row + 1)))
            except ValueError as error:
                reason = str(error).removeprefix("puzzle 0: ").removesuffix(" (1 in total)")
                raise ValueError(f"{rows.places.of(row)}: {reason}") from None
        raise
    return batch


def _checked(
    task: Task,
    puzzle: NDArray[Any],
    solution: NDArray[Any] | None,
    task_id: NDArray[Any] | None = None,
    example: NDArray[Any] | None = None,
) -> PuzzleBatch:
    puzzle = as_tokens(puzzle, task.spec, "puzzle")
    if solution is None:
        return task.complete(puzzle)
    solution = as_tokens(solution, task.spec, "solution")
    if len(puzzle) != len(solution):
        raise ValueError(f"{len(puzzle)} puzzles but {len(solution)} solutions")
    ids = _numbers("task_id", task_id, len(puzzle))
    if ids.min() < 0 or ids.max() >= task.spec.num_task_ids:
        raise ValueError(f"task_id: {task.spec.name} has identities 0 to {task.spec.num_task_ids - 1}")
    numbers = _numbers("example", example, len(puzzle))
    batch = PuzzleBatch(puzzle, solution, ids, numbers)
    task.check(batch)
    return batch


def _numbers(name: str, values: NDArray[Any] | None, num: int) -> NDArray[np.int32]:
    """One number per puzzle, int32; zeros if ``values`` is None."""
    if values is None:
        return np.zeros(num, np.int32)
    array = as_array(name, values)
    if array.shape != (num,) or array.dtype.kind not in "ui":
        raise ValueError(f"{name}: expected one integer for each of {num} puzzles, found {form(array)}")
    if array.min() < 0 or array.max() >= 2**31:
        raise ValueError(f"{name}: expected numbers from 0 to 2**31 - 1, found {array.min()} to {array.max()}")
    return array.astype(np.int32)


def as_tokens(array: NDArray[Any], spec: TaskSpec, name: str) -> Tokens:
    """An integer array of puzzles as uint8 ``[N, S]``.

    Raises:
        ValueError: the shape or a token does not fit the task; the message names the row and the cell.
    """
    array = as_array(name, array)
    if array.dtype.kind not in "ui":
        raise ValueError(f"{name}: expected integer tokens, found {type_name(array)}")
    rows, columns = spec.grid_shape
    found = array.shape
    if array.shape[-2:] == (rows, columns):
        array = array.reshape(*array.shape[:-2], rows * columns)
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2 or array.shape[1] != rows * columns or len(array) == 0:
        raise ValueError(
            f"{name}: {spec.name} has {rows} x {columns} = {rows * columns} cells; found shape {shown(found)}"
        )
    if len(array) > most_puzzles(rows * columns):
        raise ValueError(f"{name}: {len(array):,} puzzles; at most {most_puzzles(rows * columns):,} are allowed")
    bad = np.argwhere((array < 0) | (array >= spec.vocab_size))
    if len(bad):
        row, cell = bad[0]
        raise ValueError(
            f"{name} {row}: cell (row {cell // columns + 1}, column {cell % columns + 1}) holds "
            f"{array[row, cell]}; tokens are 0 to {spec.vocab_size - 1}"
        )
    return array.astype(np.uint8)
