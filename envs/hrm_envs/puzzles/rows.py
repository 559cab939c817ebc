"""Rows of a file: puzzles and solutions with their places, which errors name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hrm_envs.spec import PAD
from hrm_envs.task import PuzzleBatch, Task

#: How a task names a row that it rejects, and in how many it sees the same fault.
_NAMED = re.compile(r"puzzle ([0-9]+): (.*?)(?: \([0-9]+ in total\))?", re.DOTALL)
#: Number of rows read and checked at once.
CHUNK = 4096


class Places(NamedTuple):
    """Where the rows are, for error messages."""

    #: The file, as messages show it; empty for text that comes from no file.
    name: str
    #: The unit of the numbers, such as ``"line"``.
    unit: str
    numbers: Sequence[int]

    def of(self, row: int) -> str:
        """The place of a row."""
        return located(self.name, f"{self.unit} {self.numbers[row]}")

    def part(self, rows: slice) -> Places:
        """The places of some rows."""
        return self._replace(numbers=self.numbers[rows])


class Rows(NamedTuple):
    """Puzzles and solutions of a file."""

    #: uint8 ``[N, S]``.
    puzzle: NDArray[Any]
    #: uint8 ``[N, S]``; all padding where the file has no solution.
    solution: NDArray[Any]
    places: Places
    #: Lines that hold no puzzle: titles and comments, counted from 1.
    skipped: Sequence[int] = ()

    def chunks(self) -> list[Rows]:
        """The same rows, at most ``CHUNK`` at a time; the first chunk has the skipped lines."""
        cuts = [slice(start, start + CHUNK) for start in range(0, len(self.puzzle), CHUNK)]
        return [
            Rows(self.puzzle[cut], self.solution[cut], self.places.part(cut), () if cut.start else self.skipped)
            for cut in cuts
        ]


def located(name: str, message: str) -> str:
    """A message about a place in a file; ``name`` is empty for text that comes from no file."""
    if not name:
        return message
    return f"{name}{', ' if message.startswith(('line ', 'entry ', 'puzzle ')) else ': '}{message}"


def checked(rows: Rows, task: Task) -> PuzzleBatch:
    """Check the puzzles and solutions of rows, and solve the puzzles that have no solution.

    Raises:
        ValueError: the task rejects a row; the message names its place in the file.
    """
    known = (rows.solution != PAD).any(axis=1)
    solution = rows.solution.copy()

    def check(index: NDArray[np.intp]) -> None:
        task.check(PuzzleBatch(rows.puzzle[index], rows.solution[index]))

    def solve(index: NDArray[np.intp]) -> None:
        solution[index] = task.complete(rows.puzzle[index]).solution

    for function, index in ((check, np.flatnonzero(known)), (solve, np.flatnonzero(~known))):
        if len(index):
            _name_row(function, index, rows.places)
    return PuzzleBatch(rows.puzzle, solution)


def _name_row(function: Callable[[NDArray[np.intp]], None], index: NDArray[np.intp], places: Places) -> None:
    """Call a function on rows; if it raises ValueError, name the place of the first row that it rejects.

    Raises:
        ValueError: with that place, or as raised if the function rejects the rows only together.
    """
    try:
        function(index)
    except ValueError as error:
        named = _NAMED.fullmatch(str(error))
        if named is None and len(index) > 1:
            for half in np.array_split(index, 2):
                _name_row(function, half, places)
            raise
        row, reason = (0, str(error)) if named is None else (int(named[1]), named[2])
        raise ValueError(f"{places.of(int(index[row]))}: {reason}") from None
