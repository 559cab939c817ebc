"""One puzzle from the value of a field: text, a list of numbers, or a list of rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import shown
from hrm_envs.puzzles.files import parse_json
from hrm_envs.puzzles.numbers import numbers_as_tokens
from hrm_envs.spec import PAD, Tokens
from hrm_envs.task import Task

#: Names of fields that hold a puzzle, and of those that hold its solution, in lower case.
PUZZLE_NAMES = (
    "question", "questions", "quiz", "quizzes", "puzzle", "puzzles", "input", "inputs", "unsolved", "sudoku", "board",
    "grid", "mission", "maze", "value", "start_grid",
)  # fmt: skip
SOLUTION_NAMES = (
    "answer", "answers", "solution", "solutions", "output", "outputs", "label", "labels", "solved", "target",
)  # fmt: skip


class Names(NamedTuple):
    """The names of the fields of a record."""

    puzzle: str
    #: None if the record has no solution.
    solution: str | None


def find_names(fields: Sequence[str]) -> Names | None:
    """Which of the fields hold puzzle and solution, in any case; None if none holds a puzzle.

    Raises:
        ValueError: several fields could hold the puzzle, or the solution.
    """
    found = []
    for what, names in (("puzzle", PUZZLE_NAMES), ("solution", SOLUTION_NAMES)):
        fitting = [field for field in fields if field.strip().lower() in names]
        if len(fitting) > 1:
            raise ValueError(f"{shown(fitting)} could all hold the {what}: rename all but one")
        found.append(fitting[0] if fitting else None)
    return None if found[0] is None else Names(found[0], found[1])


def codes_of(task: Task) -> NDArray[np.uint8]:
    """The token of each character code; 0 for other characters, and for the last entry."""
    tokens = task.character_tokens
    codes = np.zeros(max(map(ord, tokens)) + 2, np.uint8)
    for character, token in tokens.items():
        codes[ord(character)] = token
    return codes


def characters(texts: Sequence[str], codes: NDArray[np.uint8]) -> Tokens:
    """The tokens of texts of the same length, uint8 ``[N, S]``; 0 where a character is unknown."""
    content = "".join(texts).encode("utf-32-le", "surrogatepass")
    points = np.frombuffer(content, "<u4").reshape(len(texts), -1)
    return codes[np.minimum(points, len(codes) - 1)]


def read_pair(names: Names, fields: Mapping[str, Any], task: Task, codes: NDArray[np.uint8]) -> tuple[Tokens, Tokens]:
    """The puzzle and the solution of a record, uint8 ``[S]`` each.

    Args:
        names: of the fields of both. Their values are text in the notation of the task, or lists of numbers, of
            characters or of rows; an empty solution counts as none.
        fields: all fields of the record, in which a task may look for more.
        task: reads the text and knows what numbers stand for.
        codes: from :func:`codes_of`.

    Returns:
        The tokens; the solution is all padding if there is none.

    Raises:
        ValueError: a value does not hold exactly one puzzle; the message names the field.
    """
    puzzle = _tidy(fields[names.puzzle])
    solution = None if names.solution is None else _tidy(fields.get(names.solution))
    if isinstance(puzzle, str):
        one, own = _read_text(puzzle, names.puzzle, task, codes)
        if solution is None:
            return one, own
        if not isinstance(solution, str):
            raise ValueError(f"{shown(names.puzzle)} is text, but {shown(names.solution)} is not")
        return one, _read_text(solution, str(names.solution), task, codes)[0]
    if isinstance(solution, str):
        raise ValueError(f"{shown(names.solution)} is text, but {shown(names.puzzle)} is not")
    grid = _read_numbers(puzzle, names.puzzle, task)
    answer = None if solution is None else _read_numbers(solution, str(names.solution), task)
    try:
        tokens, known = numbers_as_tokens(grid, answer, task, fields)
    except ValueError as error:
        raise ValueError(re.sub("^(puzzle|solution) 0: ", r"\1: ", str(error))) from error
    return tokens[0], known[0]


def _tidy(value: Any) -> Any:
    """A value as text or as lists of numbers; None if it is empty."""
    if isinstance(value, str):
        if not value.strip():
            return None
        return _tidy(parse_json(value)) if value.lstrip().startswith("[[") else value
    if isinstance(value, list) and value and all(isinstance(row, str) for row in value):
        return ("" if all(len(row) == 1 for row in value) else "\n").join(value)
    if isinstance(value, list) and value and all(_is_row_of_text(row) for row in value):
        return "\n".join((" " if any(len(cell) > 1 for cell in row) else "").join(row) for row in value)
    return value


def _is_row_of_text(row: Any) -> bool:
    return isinstance(row, list) and bool(row) and all(isinstance(cell, str) for cell in row)


def _read_numbers(value: Any, name: str, task: Task) -> NDArray[np.int64]:
    """Nested lists of integers, with 0 for null, as one grid ``[1, S]``."""
    cells = value if isinstance(value, list) else []
    while any(isinstance(cell, list) for cell in cells):
        if not all(isinstance(cell, list) for cell in cells) or len({len(cell) for cell in cells}) > 1:
            raise ValueError(f"{shown(name)}: its rows have different lengths")
        cells = [each for cell in cells for each in cell]
    if not cells or not all(cell is None or (type(cell) is int and abs(cell) < 2**31) for cell in cells):
        raise ValueError(f"{shown(name)}: expected text or a list of whole numbers, found {shown(value)}")
    if len(cells) != task.spec.num_cells:
        raise ValueError(f"{shown(name)}: has {len(cells)} cells; {task.spec.name} has {task.spec.num_cells}")
    return np.array([[cell or 0 for cell in cells]], np.int64)


def _read_text(text: str, name: str, task: Task, codes: NDArray[np.uint8]) -> tuple[Tokens, Tokens]:
    """The puzzle of a text, and the solution that the text may hold beside it."""
    size, columns = task.spec.num_cells, task.spec.grid_shape[1]
    tokens = characters([text], codes)[0] if len(text) == size else np.zeros(1, np.uint8)
    if tokens.all():
        return tokens, np.full_like(tokens, PAD)
    try:
        reading = task.read(text)
    except ValueError as error:
        if len(text) == size and "\n" not in text:
            cell = int((tokens == 0).argmax())
            row, column = divmod(cell, columns)
            raise ValueError(
                f"{shown(name)} holds {text[cell]!r} at row {row + 1}, column {column + 1} (character {cell + 1}); "
                f"cells are {''.join(task.character_tokens)!r}"
            ) from error
        reason = str(error) if "\n" in text.strip() else re.sub(r"^line 1(: |, )", "", str(error))
        raise ValueError(f"{shown(name)}: {reason}") from error
    if len(reading.puzzle) != 1:
        raise ValueError(f"{shown(name)} holds {len(reading.puzzle)} puzzles; expected one")
    return reading.puzzle[0], reading.solution[0]
