"""Draws the answer to an ARC puzzle: the grid read from it, its marks, and what lies outside the grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hrm_envs.arc.grids import END, FIRST_COLOUR, corners, read_grid
from hrm_envs.arc.palette import GRID_LINE, PALETTE, draw_grid, grid_rect, size_text
from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import SCALE, Canvas, Point, Rect, blend, center, inset
from hrm_envs.spec import MARK_NONE, MARK_WRONG, PAD

#: Cells on show around the answer and the output on each side; colours further away are only counted.
_MARGIN = 3


@dataclass(frozen=True)
class Viewport:
    """The visible part of the tokens of an answer."""

    side: int
    #: Row and column where the input, and so the output, starts.
    origin: tuple[int, int]
    #: Rows and columns of the grid that is read from the answer.
    read: tuple[int, int]
    #: First visible row and column, and the number of visible rows and columns.
    first: tuple[int, int]
    shape: tuple[int, int]
    #: The size that is read and the number of coloured cells outside it.
    caption: str

    def reads(self, row: int, column: int) -> bool:
        """Whether a cell belongs to the grid that is read."""
        down, along = row - self.origin[0], column - self.origin[1]
        return 0 <= down < self.read[0] and 0 <= along < self.read[1]


def find_viewport(board: Board) -> Viewport:
    """The part to show: the output, the grid that is read, and a margin for other tokens near them."""
    frame, side = board.frame, board.spec.grid_shape[0]
    (row, column), _ = (found[0] for found in corners(frame.puzzle[None], side))
    grid = read_grid(frame.answer, side, (row, column))
    answer = frame.answer.reshape(side, side)
    read = np.zeros((side, side), np.bool_)
    read[row : row + grid.shape[0], column : column + grid.shape[1]] = True
    stray = int(((answer >= FIRST_COLOUR) & ~read).sum())
    filled = answer != PAD
    core = read | (frame.marks.reshape(side, side) != MARK_NONE)  # marks cover the output
    if not core.any():
        core = filled if filled.any() else frame.puzzle.reshape(side, side) != PAD
    first, last = _extent(core)
    if filled.any():
        low, high = _extent(filled)
        first = np.maximum(np.minimum(first, low), first - _MARGIN)
        last = np.minimum(np.maximum(last, high), last + _MARGIN)
    if frame.cursor is not None:
        at = np.array(divmod(frame.cursor, side))
        first, last = np.minimum(first, at), np.maximum(last, at)
    height, width = (int(length) for length in last - first + 1)
    caption = (size_text(grid) if grid.size else "no grid") + (f"  +{stray} outside" if stray else "")
    return Viewport(
        side,
        (int(row), int(column)),
        (grid.shape[0], grid.shape[1]),
        (int(first[0]), int(first[1])),
        (height, width),
        caption if filled.any() else "",
    )


def _extent(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last (row, column) of the bounding box of a mask; those of the first cell if it is empty."""
    cells = np.argwhere(mask) if mask.any() else np.zeros((1, 2), np.int64)
    return cells.min(axis=0), cells.max(axis=0)


def draw_answer(board: Board, viewport: Viewport, room: Rect, cell: float) -> None:
    """Draw the visible cells, each ``cell`` pixels, in the middle of ``room``; before an answer, a question mark."""
    frame, canvas, unit = board.frame, board.canvas, board.area[2] / 576
    board.cell_rects = {}
    if (frame.answer == PAD).all():
        blank = inset(room, min(room[2], room[3]) * 0.12)
        canvas.rect(blank, board.theme.background, 8 * unit)
        canvas.rect(blank, board.theme.line, 8 * unit, max(1.5 * unit, 0.8))
        canvas.text(center(blank), "?", min(blank[2], blank[3]) * 0.4, board.theme.strong, "center")
        return
    left, top, _, _ = grid_rect(center(room), viewport.shape, cell)
    cells: list[tuple[int, Rect, bool]] = []
    for row, column in np.ndindex(*viewport.shape):
        at = (viewport.first[0] + row, viewport.first[1] + column)
        rect = (left + column * cell, top + row * cell, cell, cell)
        cells.append((at[0] * viewport.side + at[1], rect, viewport.reads(*at)))
    board.cell_rects = {index: rect for index, rect, _ in cells}
    for index, rect, read in cells:
        if not read:
            _draw_outside(canvas, int(frame.answer[index]), rect)
    grid = read_grid(frame.answer, viewport.side, viewport.origin)
    if grid.size:
        (row, column), (first_row, first_column) = viewport.origin, viewport.first
        x, y = left + (column - first_column) * cell, top + (row - first_row) * cell
        framed = draw_grid(canvas, grid, (x, y, grid.shape[1] * cell, grid.shape[0] * cell))
        for index, rect, read in cells:
            rim = 0.0 if board.confidence is None else (1 - float(board.confidence[index])) * rect[2] * 0.32
            if read and rim * SCALE >= 1:
                canvas.rect(rect, GRID_LINE, 0, rim)
        line = max(2 * unit, 1.2)
        canvas.rect(inset(framed, -line * 1.2), board.theme.ink, 0, line)
    for index, rect, read in cells:
        _draw_mark(board, index, rect, read)


def _draw_outside(canvas: Canvas, token: int, rect: Rect) -> None:
    """Draw a cell that is not read: a small faint square for a colour, a dot for an end marker."""
    if token >= FIRST_COLOUR:
        small = inset(rect, rect[2] * 0.24)
        canvas.rect(small, blend(canvas.theme.panel, PALETTE[token - FIRST_COLOUR], 0.7))
        canvas.rect(small, canvas.theme.line, 0, max(rect[2] * 0.03, 0.5))
    elif token == END:
        canvas.circle(center(rect), min(max(rect[2] * 0.08, 0.8), 2.5), canvas.theme.line)


def _draw_mark(board: Board, index: int, rect: Rect, read: bool) -> None:
    """Draw the mark of a cell, if any."""
    wrong, changed = board.frame.marks[index] == MARK_WRONG, bool(board.frame.changed[index])
    radius = min(rect[2] * 0.34, board.area[2] / 576 * 11)
    # In the middle of small cells; in the upper right corner of large ones, where it leaves the colour visible.
    off = min(rect[2] / 2, radius * 1.5)
    at = (rect[0] + rect[2] - off, rect[1] + off)
    coloured = board.frame.answer[index] >= FIRST_COLOUR
    if wrong and not coloured:
        board.strike(at, radius, hollow=True)
    elif wrong and read:
        _draw_cross(board, at, radius)
        if changed:
            _draw_dot(board, at, radius * 0.6)
    elif changed and read:
        _draw_dot(board, at, radius)


def _draw_dot(board: Board, at: Point, radius: float) -> None:
    """Changed: an amber dot with a dark rim, visible on a yellow cell."""
    board.bead(at, radius / 0.24)


def _draw_cross(board: Board, at: Point, radius: float) -> None:
    """Wrong: a red cross with a dark rim, visible on a red cell."""
    for color, width in ((board.theme.background, radius * 0.95), (board.theme.red, radius * 0.5)):
        board.canvas.cross(at, radius * 0.85, color, max(width, 1.0))


def set_legend(board: Board) -> None:
    """Set the legend and the colours of tokens."""
    board.token_colors = {FIRST_COLOUR + number: color for number, color in enumerate(PALETTE)}
    board.legend = (("revised", "changed"), ("false", "wrong"), ("absent", "missing"), ("outside", "not read"))
    coloured = board.frame.puzzle[board.frame.puzzle > FIRST_COLOUR]  # not black
    colour = int(np.bincount(coloured).argmax()) - FIRST_COLOUR if len(coloured) else 5

    def draw_icon(name: str, rect: Rect) -> None:
        at, radius = center(rect), rect[2] * 0.3
        if name == "outside":
            _draw_outside(board.canvas, FIRST_COLOUR + colour, rect)
        elif name == "absent":
            board.strike(at, radius, hollow=True)
        else:
            draw_grid(board.canvas, np.array([[colour]], np.uint8), rect)
            (_draw_dot if name == "revised" else _draw_cross)(board, at, radius)

    board.icons = {name: partial(draw_icon, name) for name, _ in board.legend}
