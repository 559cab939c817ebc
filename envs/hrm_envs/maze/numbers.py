"""Mazes as numbers: tokens, or digits such as 0 for a free cell and 1 for a wall."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import shown
from hrm_envs.maze.dialects import read_cells
from hrm_envs.maze.tokens import PATH

#: Names of fields with the cell of the start or the goal, as row and column counted from 0.
_ENDS = {
    "S": ("start", "begin", "entrance", "origin", "source"),
    "G": ("goal", "end", "exit", "finish", "target", "destination"),
}


def digits_to_tokens(
    puzzle: NDArray[Any], solution: NDArray[Any] | None, shape: tuple[int, int], fields: Mapping[str, Any]
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Tokens of mazes (integers ``[N, S]``) that are tokens or digits; a 0, which is no token of a maze, shows digits.

    In digits, one of 0 and 1 is a wall and the other free (the maze must tell which), 2 is the start and 3 the goal;
    ``fields`` may give the ends instead. A cell of the solution that differs from the puzzle is path.

    Raises:
        ValueError: the digits are no maze, or may be read in several ways.
    """
    if not (puzzle == 0).any() or puzzle.min() < 0 or puzzle.max() > 9:
        return puzzle, solution
    tokens = []
    for number, maze in enumerate(puzzle):
        cells = [[*map(str, row)] for row in maze.reshape(shape).tolist()]
        for character, names in _ENDS.items():
            _place(cells, character, [name for name in fields if name.strip().lower() in names], fields)
        try:
            tokens.append(read_cells(["".join(row) for row in cells], 1).puzzle.reshape(-1))
        except ValueError as error:
            reason = re.sub(r"^line [0-9]+(, column [0-9]+)?: ", "", str(error))
            raise ValueError(f"puzzle {number}: {reason}") from error
    made = np.array(tokens, np.int64)
    return made, None if solution is None else np.where(solution == puzzle, made, PATH)


def _place(cells: list[list[str]], character: str, names: list[str], fields: Mapping[str, Any]) -> None:
    """Write the start or the goal that a field gives into the cells."""
    if not names:
        return
    place = fields[names[0]]
    if len(names) > 1 or not isinstance(place, list) or len(place) != 2 or not all(type(i) is int for i in place):
        raise ValueError(f"{shown(names)}: expected one field with [row, column], counted from 0, found {shown(place)}")
    row, column = place
    if not (0 <= row < len(cells) and 0 <= column < len(cells[0])):
        raise ValueError(f"{shown(names[0])}: {place} is outside the maze of {len(cells)} x {len(cells[0])} cells")
    cells[row][column] = character
