"""JSON documents and JSON lines: records with a puzzle and a solution, or plain lists of puzzles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hrm_envs.checks import shown
from hrm_envs.puzzles.files import parse_json
from hrm_envs.puzzles.rows import Places, Rows, located
from hrm_envs.puzzles.values import Names, codes_of, find_names, read_pair
from hrm_envs.task import Task

#: A record: the names of its fields, and the fields.
Record = tuple[Names, dict[str, Any]]
#: The name of the only field of a puzzle that is no record.
_ONLY = Names("the puzzle", None)


def looks_like_json(text: str) -> bool:
    """Whether a text is meant as JSON: it begins like an object, or like a list of anything but a bare word."""
    start = text.lstrip()[:200]
    if start.startswith("["):
        return start[1:].lstrip()[:1] in ('"', "[", "{", "]", "-", *"0123456789")
    return start.startswith("{")


def read_document(text: str, name: str, task: Task) -> Rows:
    """The puzzles of a JSON document, or of a text with one document per line.

    A document is a record (an object with a field such as ``puzzle``), a puzzle, a list of either, an object that
    holds lists of puzzles and solutions, or an object with one such entry.

    Args:
        text: the file's content.
        name: the file, as messages show it.
        task: whose puzzles the document holds.

    Raises:
        ValueError: the text is not valid JSON, or a puzzle is malformed; the message names the line or the entry.
    """
    try:
        unit, numbered = "entry", list(enumerate(_entries(parse_json(text), task), 1))
    except RecursionError as error:
        raise ValueError(located(name, "it is nested too deeply")) from error
    except ValueError as error:
        lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        if len(lines) < 2 or not _is_json(lines[0][1]):
            raise ValueError(located(name, f"it cannot be read as JSON: {error}")) from error
        unit, numbered = (
            "line",
            [(number, entry) for number, line in lines for entry in _line(line, number, name, task)],
        )
    if not numbered:
        raise ValueError(located(name, "it holds no puzzle"))
    places = Places(name, unit, [number for number, _ in numbered])
    codes, pairs = codes_of(task), []
    for row, (_, (names, fields)) in enumerate(numbered):
        try:
            pairs.append(read_pair(names, fields, task, codes))
        except ValueError as error:
            raise ValueError(f"{places.of(row)}: {error}") from error
    puzzle, solution = (np.stack(part) for part in zip(*pairs, strict=True))
    return Rows(puzzle, solution, places)


def _is_json(line: str) -> bool:
    try:
        parse_json(line)
    except ValueError:
        return False
    return True


def _line(line: str, number: int, name: str, task: Task) -> list[Record]:
    try:
        return list(_entries(parse_json(line), task))
    except ValueError as error:
        raise ValueError(located(name, f"line {number}: {error}")) from error


def _entries(document: Any, task: Task) -> Iterator[Record]:
    """The records of a document.

    Raises:
        ValueError: it holds something else.
    """
    if _is_puzzle(document, task):
        yield _ONLY, {_ONLY.puzzle: document}
    elif isinstance(document, list):
        for entry in document:
            yield from _entries(entry, task)
    elif isinstance(document, dict):
        yield from _of_object(document, task)
    else:
        raise ValueError(f"expected puzzles, found {shown(document)}")


def _of_object(fields: dict[str, Any], task: Task) -> Iterator[Record]:
    names = find_names(list(fields))
    if names is None:
        inner = [value for value in fields.values() if isinstance(value, list | dict)]
        if len(inner) != 1:
            raise ValueError(
                f"no field holds a puzzle: {shown(sorted(fields))}; name it 'puzzle', and its solution 'solution'"
            )
        yield from _entries(inner[0], task)
    elif isinstance(fields[names.puzzle], list) and not _is_puzzle(fields[names.puzzle], task):
        puzzles, solutions = fields[names.puzzle], None if names.solution is None else fields[names.solution]
        if solutions is None:
            yield from _entries(puzzles, task)
            return
        if not isinstance(solutions, list) or len(solutions) != len(puzzles):
            raise ValueError(f"{shown(names.puzzle)} and {shown(names.solution)} must be lists of the same length")
        for puzzle, solution in zip(puzzles, solutions, strict=True):
            yield names, {names.puzzle: puzzle, str(names.solution): solution}
    else:
        yield names, fields


def _is_puzzle(value: Any, task: Task) -> bool:
    """Whether a value is one puzzle: text, a list of all cells, or a list of all rows."""
    rows, columns = task.spec.grid_shape
    if isinstance(value, str):
        return True
    if not isinstance(value, list) or not value:
        return False
    if all(isinstance(row, list) for row in value):
        return {len(row) for row in value} == {columns} and len(value) == rows and not isinstance(value[0][0], list)
    if all(isinstance(row, str) for row in value):
        return len(value) == rows and {len(row) for row in value} == {columns}
    return all(cell is None or type(cell) is int for cell in value)
