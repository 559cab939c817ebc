"""CSV files with a header, of any delimiter, read a few thousand rows at a time."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from hrm_envs.puzzles.rows import CHUNK, Places, Rows, located
from hrm_envs.puzzles.values import Names, characters, codes_of, find_names, read_pair
from hrm_envs.spec import Tokens
from hrm_envs.task import Task

_DELIMITERS = ",;\t|"


class Table(NamedTuple):
    """How the rows of a table are read."""

    delimiter: str
    #: Names of all columns.
    header: list[str]
    #: Index of the column of puzzles, and of that of solutions.
    puzzle: int
    solution: int | None


def find_table(line: str) -> Table | None:
    """The table whose header is ``line``; None if it is no header, or names no column of puzzles.

    Raises:
        ValueError: several columns could hold the puzzles.
    """
    for delimiter in _DELIMITERS:
        header = [name.strip().strip("\"'") for name in line.strip().split(delimiter)]
        if len(header) > 1 and (names := find_names(header)) is not None:
            solution = None if names.solution is None else header.index(names.solution)
            return Table(delimiter, header, header.index(names.puzzle), solution)
    return None


def read_table(text: TextIO, table: Table, name: str, task: Task) -> Iterator[Rows]:
    """The rows of a table below its header, at most ``CHUNK`` at a time; the iterator reads lazily.

    Args:
        text: the file, from its first line on.
        table: from :func:`find_table`.
        name: the file, as messages show it.
        task: whose puzzles the table holds.

    Raises:
        ValueError: a row is malformed; the message names the line, and the cell.
    """
    reader = csv.reader(text, delimiter=table.delimiter)
    columns = [table.puzzle, *([] if table.solution is None else [table.solution])]
    needed, codes = max(columns) + 1, codes_of(task)
    header_seen = False
    try:
        while rows := list(islice(_numbered(reader), CHUNK)):
            kept = rows if header_seen else rows[1:]
            header_seen = True
            for line, row in kept:
                # A comma at the end of a line adds an empty field.
                if len(row) < needed or any(row[len(table.header) :]):
                    problem = f"has {len(row)} fields, the header has {len(table.header)}"
                    raise ValueError(located(name, f"line {line}: {problem}"))
            if kept:
                places = Places(name, "line", [line for line, _ in kept])
                yield _read_rows([row for _, row in kept], table, places, task, codes)
    except csv.Error as error:
        raise ValueError(located(name, f"line {reader.line_num}: {error}")) from error


def _numbered(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the line on which it ends."""
    for row in reader:
        if any(row):
            yield reader.line_num, row  # type: ignore[attr-defined]


def _read_rows(rows: Sequence[list[str]], table: Table, places: Places, task: Task, codes: NDArray[np.uint8]) -> Rows:
    """The tokens of a few rows."""
    puzzle = _read_plain([row[table.puzzle] for row in rows], task, codes)
    solution = None
    if table.solution is not None:
        solution = _read_plain([row[table.solution] for row in rows], task, codes)
    elif puzzle is not None:
        solution = np.zeros_like(puzzle)
    if puzzle is not None and solution is not None:
        return Rows(puzzle, solution, places)
    return _read_any(rows, table, places, task, codes)


def _read_plain(texts: Sequence[str], task: Task, codes: NDArray[np.uint8]) -> Tokens | None:
    """The tokens of a column with one known character per cell, uint8 ``[N, S]``; None if it is not of this form."""
    size = task.spec.num_cells
    texts = [text if len(text) == size else text.strip() for text in texts]
    if set(map(len, texts)) != {size}:
        return None
    tokens = characters(texts, codes)
    return tokens if tokens.all() else None


def _read_any(rows: Sequence[list[str]], table: Table, places: Places, task: Task, codes: NDArray[np.uint8]) -> Rows:
    """As :func:`_read_rows`, for fields in any notation."""
    names = Names(table.header[table.puzzle], None if table.solution is None else table.header[table.solution])
    pairs = []
    for number, row in enumerate(rows):
        try:
            pairs.append(read_pair(names, dict(zip(table.header, row, strict=False)), task, codes))
        except ValueError as error:
            raise ValueError(f"{places.of(number)}: {error}") from error
    puzzle, solution = (np.stack(part) for part in zip(*pairs, strict=True))
    return Rows(puzzle, solution, places)
