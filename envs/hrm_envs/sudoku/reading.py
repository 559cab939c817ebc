"""Sudokus in text files as people have them: lines and grids, with titles, comments, frames and solutions.

A line is one of these (:mod:`.lines`):

- a *comment* (it begins with ``#``, ``;`` or ``//``), a section header such as ``[Puzzle]``, or a *title* (words, or a
  number);
- a *grid*: all ``S`` cells in one word, in ``S`` words of one cell, or in ``n`` words of ``n`` cells. Anything else on
  the line is a note; a second grid is the solution of the first;
- a *row* of ``n`` cells; ``n`` rows are a grid. Empty lines may separate its bands;
- a *rule* of a frame.

A line of ``n`` dashes, stars or underscores may be a row of blanks or a rule: the number of rows, or else the blanks of
the other rows, must tell. A complete grid that solves the grid before it is its solution.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hrm_envs.spec import PAD
from hrm_envs.sudoku.layout import BLANK, Layout
from hrm_envs.sudoku.lines import BLANKS, Cells, Line, classify
from hrm_envs.task import Reading

#: What to do about grids whose digits begin with 0.
_LETTERS = "write the digits as 1 to 9 and A, B, ..., or as numbers from 1 on"
_SECTION = re.compile(r"\s*\[\s*([A-Za-z][\w ]*)\]\s*")


class Numbered(NamedTuple):
    """A line of a stretch of rows."""

    number: int
    line: Line
    #: Whether an empty line is before it.
    after_gap: bool


class Grid(NamedTuple):
    """A grid, and the line on which it begins."""

    number: int
    cells: Cells


def read_grids(text: str, layout: Layout, tokens: Mapping[str, int]) -> Reading:
    """Read all puzzles of a text.

    Args:
        text: the text of a file.
        layout: size and boxes of the Sudokus.
        tokens: the token of each character of a cell.

    Raises:
        ValueError: a line with cells is neither a row nor a grid, a grid is incomplete, or there is none. The message
            names the line and, for a character, the column, both counted from 1.
    """
    grids: list[Grid] = []
    solutions: dict[int, Cells] = {}
    skipped: list[int] = []
    stretch: list[Numbered] = []
    after_gap, section = False, "puzzle"
    blanks: frozenset[str] = frozenset()
    for number, content in enumerate(text.splitlines(), start=1):
        header = _SECTION.fullmatch(content)
        section = header[1].strip().lower() if header else section
        if header or section not in ("puzzle", "puzzles"):
            line = Line("title")
        else:
            line = _classify(number, content, layout, tokens)
        if layout.size > 9 and line.kind in ("row", "grid"):
            blanks |= line.blanks
            if "0" in blanks and len(blanks) > 1:
                raise ValueError(f"line {number}: 0 and {min(blanks - {'0'})} are blanks, or 0 is a digit: {_LETTERS}")
        if line.kind in ("row", "either"):
            stretch.append(Numbered(number, line, after_gap))
            after_gap = False
            continue
        after_gap |= line.kind == "empty"
        if line.kind in ("comment", "title"):
            skipped.append(number)
        if line.kind in ("grid", "title"):
            grids += _join_rows(stretch, layout)
            stretch = []
        if line.kind == "grid":
            grids.append(Grid(number, line.cells[0]))
            if len(line.cells) > 1:
                solutions[len(grids) - 1] = _solution(number, line.cells)
    grids += _join_rows(stretch, layout)
    if not grids:
        raise ValueError(_why_none(text, skipped, layout))
    return _reading(grids, solutions, skipped)


def _classify(number: int, content: str, layout: Layout, tokens: Mapping[str, int]) -> Line:
    """As :func:`.lines.classify`; errors name the line."""
    plain = content.strip()
    cells = [tokens.get(character, PAD) for character in plain] if len(plain) == layout.num_cells else []
    if cells and PAD not in cells and set(cells) != {BLANK}:
        return Line("grid", [cells], frozenset(plain) & frozenset(BLANKS))
    try:
        return classify(content, layout, tokens)
    except ValueError as error:
        raise ValueError(f"line {number}{error}") from None


def _solution(number: int, cells: Sequence[Cells]) -> Cells:
    """The second grid of a line, which must be the solution of the first.

    Raises:
        ValueError: it is not, or there is a third.
    """
    if len(cells) > 2 or not _solves(cells[1], cells[0]):
        raise ValueError(f"line {number}: holds {len(cells)} grids, which are not a puzzle and its solution")
    return cells[1]


def _solves(answer: Cells, puzzle: Cells) -> bool:
    """Whether a grid is complete and keeps the givens of a puzzle; whether it breaks rules is checked later."""
    return BLANK not in answer and all(cell in (BLANK, own) for cell, own in zip(puzzle, answer, strict=True))


def _join_rows(stretch: list[Numbered], layout: Layout) -> list[Grid]:
    """The grids that a stretch of rows forms.

    Raises:
        ValueError: a grid is incomplete, or it is open what a line of blanks is.
    """
    if not stretch:
        return []
    rows = _decide(stretch, layout)
    size, grids = layout.size, []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        for place, row in enumerate(part):
            if place % layout.box_shape[0] and row.after_gap:
                raise ValueError(f"line {row.number}: the grid has an empty line after {place} of {size} rows")
        if len(part) < size:
            raise ValueError(f"line {part[-1].number}: the grid ends after {len(part)} of {size} rows")
        grids.append(Grid(part[0].number, [cell for row in part for cell in row.line.cells[0]]))
    return grids


def _decide(stretch: list[Numbered], layout: Layout) -> list[Numbered]:
    """The rows of a stretch: without the lines of blanks if these are rules, and with them if they are rows."""
    sure = [row for row in stretch if row.line.kind == "row"]
    open_ = [row for row in stretch if row.line.kind == "either"]
    if not open_:
        return stretch
    as_rules = bool(sure) and len(sure) % layout.size == 0
    as_rows = len(stretch) % layout.size == 0
    if as_rules and as_rows:
        blanks = frozenset().union(*(row.line.blanks for row in sure))
        as_rows = all(row.line.blanks <= blanks for row in open_)
        as_rules = bool(blanks) and not any(row.line.blanks & blanks for row in open_)
    if as_rules == as_rows:
        if not as_rules and not sure:
            return []
        raise ValueError(
            f"line {open_[0].number}: may be a row of blanks or a rule between boxes, and the other rows do not tell "
            "which; write blanks as . or 0"
        )
    return sure if as_rules else stretch


def _why_none(text: str, skipped: list[int], layout: Layout) -> str:
    """The error for a text without a grid; a lone number was probably meant as cells."""
    lines = text.splitlines()
    for number in skipped:
        if (found := lines[number - 1].strip()).isdecimal():
            expected = f"{layout.size} (a row) or {layout.num_cells} (a grid)"
            return f"line {number}: has {len(found)} cells, expected {expected}"
    return f"the text holds no Sudoku grid of {layout.size}x{layout.size}"


def _reading(grids: list[Grid], solutions: dict[int, Cells], skipped: list[int]) -> Reading:
    """The puzzles with their solutions; a complete grid that solves the one before it is no puzzle of its own."""
    kept: list[int] = []
    for index, grid in enumerate(grids):
        before = kept[-1] if kept else None
        waits = before is not None and before not in solutions and BLANK in grids[before].cells
        if before is not None and waits and _solves(grid.cells, grids[before].cells):
            solutions[before] = grid.cells
        else:
            kept.append(index)
    num_cells = len(grids[0].cells)
    return Reading(
        np.array([grids[index].cells for index in kept], np.uint8),
        np.array([solutions.get(index, [PAD] * num_cells) for index in kept], np.uint8),
        [grids[index].number for index in kept],
        skipped,
    )
