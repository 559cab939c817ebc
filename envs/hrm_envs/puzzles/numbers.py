"""Arrays of numbers as tokens, with every cell checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import as_array, shown, type_name
from hrm_envs.limits import most_puzzles
from hrm_envs.spec import PAD, TaskSpec, Tokens
from hrm_envs.task import Task


def numbers_as_tokens(
    puzzle: Any, solution: Any, task: Task, fields: Mapping[str, Any] | None = None
) -> tuple[Tokens, Tokens]:
    """Puzzles and solutions as tokens, uint8 ``[N, S]``.

    Args:
        puzzle: integers ``[N, S]``, ``[N, rows, columns]`` or one puzzle: tokens, or what the task takes for them.
        solution: the same; None if there are no solutions, which gives padding.
        task: says what the numbers stand for.
        fields: further fields of the record of one puzzle, if any.

    Raises:
        ValueError: the shape or a number does not fit the task; the message names the row and the cell.
    """
    cells = _as_cells(puzzle, task.spec, "puzzle")
    answers = None if solution is None else _as_cells(solution, task.spec, "solution")
    if answers is not None and len(answers) != len(cells):
        raise ValueError(f"{len(cells)} puzzles but {len(answers)} solutions")
    cells, answers = task.from_numbers(cells, answers, fields or {})
    tokens = _as_tokens(cells, task.spec, "puzzle")
    return tokens, np.full_like(tokens, PAD) if answers is None else _as_tokens(answers, task.spec, "solution")


def as_tokens(array: Any, spec: TaskSpec, name: str) -> Tokens:
    """Tokens of puzzles as uint8 ``[N, S]``.

    Raises:
        ValueError: the shape or a token does not fit the task; the message names the row and the cell.
    """
    return _as_tokens(_as_cells(array, spec, name), spec, name)


def _as_cells(array: Any, spec: TaskSpec, name: str) -> NDArray[Any]:
    """Integers as ``[N, S]``."""
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
    return array


def _as_tokens(array: NDArray[Any], spec: TaskSpec, name: str) -> Tokens:
    """Integers ``[N, S]`` as tokens."""
    bad = np.argwhere((array < 0) | (array >= spec.vocab_size))
    if len(bad):
        row, cell = map(int, bad[0])
        place = f"cell (row {cell // spec.grid_shape[1] + 1}, column {cell % spec.grid_shape[1] + 1})"
        raise ValueError(f"{name} {row}: {place} holds {array[row, cell]}; tokens are 0 to {spec.vocab_size - 1}")
    return array.astype(np.uint8)
