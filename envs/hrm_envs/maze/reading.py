"""Mazes in text files as people have them: blocks of lines, drawn with cells or with thin walls."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from hrm_envs.maze.dialects import Grid, read_cells
from hrm_envs.maze.fitting import check_fits, fitted
from hrm_envs.maze.rooms import is_rooms, rooms_to_cells
from hrm_envs.maze.tokens import PAD, PATH
from hrm_envs.task import Reading

_COMMENT = re.compile(r"\s*(;|//)")
_WORD = re.compile(r"[A-Za-z]{3,}")
#: Letters that come in rows in mazes.
_DRAWN = frozenset("oxwOXW")
#: Cells with something between them.
_SEPARATED = (re.compile(r"\s*\S(\s*[,;\t]\s*\S)*[,;]?\s*"), re.compile(r"[0-9A-Za-z]( [0-9A-Za-z])+ ?"))


def read_mazes(text: str, shape: tuple[int, int]) -> Reading:
    """Read all mazes of a text, which empty lines or titles separate.

    Args:
        text: the text of a file.
        shape: rows and columns of the board. Smaller mazes, and rectangles, get walls at the right and at the bottom.

    Raises:
        ValueError: a maze is malformed or larger than the board, or there is none; the message names the line and, for
            a character, the column, both counted from 1.
    """
    grids: list[Grid] = []
    starts: list[int] = []
    skipped: list[int] = []
    for line, rows in _blocks(text, skipped):
        found = _read_block(rows, line)
        try:
            check_fits(found.puzzle, shape)
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from None
        grids.append(found)
        starts.append(line)
    if not grids:
        raise ValueError("the text holds no maze: it is empty")
    grids = fitted(grids, shape)
    drawn = [found.drawn if (found.drawn == PATH).any() else np.full_like(found.drawn, PAD) for found in grids]
    puzzle, solution = (
        np.stack([each.reshape(-1) for each in part]) for part in ([found.puzzle for found in grids], drawn)
    )
    return Reading(puzzle, solution, starts, skipped)


def _blocks(text: str, skipped: list[int]) -> Iterator[tuple[int, list[str]]]:
    """The blocks of lines between empty lines and titles, with the number of their first line."""
    block: list[str] = []
    number = 0
    for number, line in enumerate(text.splitlines(), start=1):
        is_title = _is_title(line)
        if line and not is_title:
            block.append(line)
            continue
        if is_title:
            skipped.append(number)
        if block:
            yield number - len(block), block
        block = []
    if block:
        yield number - len(block) + 1, block


def _is_title(line: str) -> bool:
    """Whether a line is a comment, or has a word with small letters that no maze has in a row."""
    if _COMMENT.match(line):
        return True
    return any(word != word.upper() and len(set(word) - _DRAWN) > 2 for word in _WORD.findall(line))


def _read_block(rows: list[str], line: int) -> Grid:
    """One maze."""
    if is_rooms(rows):
        return read_cells(rooms_to_cells(rows, line), line)
    for separated in _SEPARATED:
        if len(rows[0]) > 2 and all(separated.fullmatch(row) for row in rows):
            rows = [re.sub(r"[\s,;]", "", row) for row in rows]
    _check_widths(rows, line)
    return read_cells(rows, line)


def _check_widths(rows: Sequence[str], line: int) -> None:
    """Check that all rows are as long as the first."""
    width = len(rows[0])
    for number, row in enumerate(rows):
        if len(row) != width:
            raise ValueError(
                f"line {line + number}, column {min(len(row), width) + 1}: the line has {len(row)} characters, line "
                f"{line} has {width} (write free cells as '.' if your editor strips trailing spaces)"
            )
