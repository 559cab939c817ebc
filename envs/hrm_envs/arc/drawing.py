"""How an ARC puzzle looks: the demonstrations above, the input and the answer to it below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hrm_envs.arc.grids import END, FIRST_COLOUR, Grid, corners, read_grid
from hrm_envs.arc.palette import COLOURS, draw_grid
from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import (
    BACKGROUND,
    INK,
    LINE,
    MUTED,
    PANEL,
    RED,
    SCALE,
    STRONG,
    Canvas,
    Point,
    Rect,
    blend,
    center,
    inset,
)
from hrm_envs.spec import MARK_NONE, MARK_WRONG, PAD

_MOST_SHOWN = 5
#: Demonstrations are left out before their cells get smaller than this, in pixels.
_LEGIBLE = 1.6
#: Cells on show beyond the answer and the output, on each side; what lies further off is only counted.
_MARGIN = 3

Pair = tuple[Grid, Grid]


def draw_arc(board: Board, demonstrations: Sequence[Pair]) -> None:
    """Paint the demonstrations, the input, and the answer with a frame around the grid that is read from it.

    Inside the frame a changed cell wears a bead and a wrong one a cross. What the answer holds outside of the frame
    does not count and is shown small; rings with a cross are cells that the output has and the answer does not. The
    less sure the agent is of a cell, the wider its dark rim.

    Args:
        board: where, and what.
        demonstrations: (input, output) of each, uint8 ``[height, width]``; may be empty. Up to five are shown.
    """
    _explain(board)
    unit = board.area[2] / 576
    x, y, width, height = board.area
    if len(demonstrations):
        band = height * 0.4
        _draw_demonstrations(board.canvas, demonstrations, (x, y, width, band), unit)
        y, height = y + band, height - band
    _draw_test(board, (x, y, width, height), unit)


def _draw_test(board: Board, panel: Rect, unit: float) -> None:
    """The input and the answer, side by side, or one above the other if both are wide."""
    canvas, view = board.canvas, _view(board)
    canvas.rect(panel, PANEL, 12 * unit)
    grid = read_grid(board.frame.puzzle, view.side, view.origin)
    room = inset(panel, 16 * unit)

    def cells(split: tuple[Rect, Rect]) -> tuple[float, float]:
        return _cell(grid.shape, split[0], 34 * unit), _cell(view.shape, split[1], 64 * unit)

    beside, below = _split(room, unit, stacked=False), _split(room, unit, stacked=True)
    # Side by side unless both gain much: most pictures should look alike.
    stacked = all(after > 1.15 * before for before, after in zip(cells(beside), cells(below), strict=True))
    left, right = split = below if stacked else beside
    input_cell, cell = cells(split)
    draw_grid(canvas, grid, _around(center(left), grid.shape, input_cell))
    _draw_answer(board, view, right, cell)
    for rect, name, more in ((left, "Input", _size(grid)), (right, "Answer", view.caption)):
        _title(canvas, (rect[0], rect[1] - 24 * unit), rect[2], unit, name, more)
    at = (center(left)[0], right[1] - 44 * unit) if stacked else (right[0] - 22 * unit, center(right)[1])
    _arrow(canvas, at, 9 * unit, stacked)


def _split(room: Rect, unit: float, stacked: bool) -> tuple[Rect, Rect]:
    """The rectangles of the input and the answer, with space for a title above each.

    The answer is what people came for: it gets as much as leaves the input legible.
    """
    x, y, width, height = room
    title = 30 * unit
    if stacked:
        gap = 22 * unit
        upper = (height - 2 * title - gap) * 0.4
        lower = (height - 2 * title - gap) * 0.6
        return (x, y + title, width, upper), (x, y + height - lower, width, lower)
    share, gap = min(height - title, width * 0.58), 44 * unit
    left = (x, y + title, width - share - gap, height - title)
    return left, (x + width - share, y + title, share, height - title)


def _cell(shape: Sequence[int], room: Rect, largest: float) -> float:
    """Pixels of the cells of a grid of ``shape`` (rows, columns) that fills ``room``."""
    return _snapped(min(room[2] / max(shape[1], 1), room[3] / max(shape[0], 1), largest))


def _around(at: Point, shape: Sequence[int], cell: float) -> Rect:
    """The rectangle of a grid of ``shape`` with its middle at ``at``, as near as painted pixels allow."""
    width, height = shape[1] * cell, shape[0] * cell
    return round((at[0] - width / 2) * SCALE) / SCALE, round((at[1] - height / 2) * SCALE) / SCALE, width, height


def _snapped(cell: float) -> float:
    """A cell of whole painted pixels, so that all cells and all lines between them look alike."""
    return max(math.floor(cell * SCALE), 1) / SCALE


def _arrow(canvas: Canvas, at: Point, size: float, down: bool) -> None:
    """A small arrow head to the right, or down."""
    (x, y), h = at, size * 0.5
    points = (
        [(x - size, y - h), (x, y + h), (x + size, y - h)]
        if down
        else [(x - h, y - size), (x + h, y), (x - h, y + size)]
    )
    canvas.line(points, STRONG, max(size * 0.34, 1.0))


def _title(canvas: Canvas, at: Point, width: float, unit: float, name: str, more: str) -> None:
    """A name on the left and what else there is to say on the right."""
    taken = canvas.text(at, name, 16 * unit, INK, max_width=width)
    if more and width - taken > 12 * unit:
        room = width - taken - 10 * unit
        canvas.text((at[0] + width, at[1]), more, 15 * unit, MUTED, False, "right", max_width=room)


def _size(grid: Grid) -> str:
    return f"{grid.shape[0]} \N{MULTIPLICATION SIGN} {grid.shape[1]}"


# -- demonstrations --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Arrangement:
    """How pairs share a space: in ``rows`` of ``columns``, the output below its input (``stacked``) or beside it."""

    rows: int
    columns: int
    stacked: bool
    #: Pixels of a slot for one pair, and of the gap between its two grids.
    slot: tuple[float, float]
    gap: float

    def cell(self, pair: Pair) -> float:
        """Pixels of the cells if ``pair`` fills its slot."""
        (height, width), (out_height, out_width) = (grid.shape for grid in pair)
        room_width, room_height = self.slot
        if self.stacked:
            return min(room_width / max(width, out_width), (room_height - self.gap) / (height + out_height))
        return min((room_width - self.gap) / (width + out_width), room_height / max(height, out_height))


def _arrange(pairs: Sequence[Pair], space: Rect, pad: float, gap: float) -> tuple[_Arrangement, float]:
    """The arrangement whose smallest cells are largest, and their size in pixels."""
    found: list[tuple[float, _Arrangement]] = []
    for rows in range(1, len(pairs) + 1):
        columns = math.ceil(len(pairs) / rows)
        slot = (space[2] + pad) / columns - 3 * pad, (space[3] + pad) / rows - 3 * pad
        for stacked in (True, False):
            arrangement = _Arrangement(rows, columns, stacked, slot, gap)
            found.append((min(arrangement.cell(pair) for pair in pairs), arrangement))
    cell, best = max(found, key=lambda item: item[0])
    return best, cell


def _draw_demonstrations(canvas: Canvas, pairs: Sequence[Pair], space: Rect, unit: float) -> None:
    """Pairs in panels of equal size, with an arrow from each input to its output."""
    pad, gap = 8 * unit, 20 * unit
    title = 26 * unit
    inner: Rect = (space[0], space[1] + title, space[2], space[3] - title - 1.5 * pad)
    shown = pairs[:_MOST_SHOWN]
    arrangement, smallest = _arrange(shown, inner, pad, gap)
    while smallest < _LEGIBLE and len(shown) > 1:
        shown = shown[:-1]
        arrangement, smallest = _arrange(shown, inner, pad, gap)
    more = len(pairs) - len(shown)
    _title(canvas, (space[0], space[1] + 8 * unit), space[2], unit, "Examples", f"+{more} more" if more else "")
    width, height = arrangement.slot[0] + 2 * pad, arrangement.slot[1] + 2 * pad
    for number, pair in enumerate(shown):
        row, column = divmod(number, arrangement.columns)
        panel = (inner[0] + column * (width + pad), inner[1] + row * (height + pad), width, height)
        canvas.rect(panel, PANEL, 10 * unit)
        # Grids of one pair have cells of one size, and no pair is blown up far beyond the others.
        cell = _snapped(min(arrangement.cell(pair), 2 * smallest, 26 * unit))
        _draw_pair(canvas, pair, center(panel), cell, gap, arrangement.stacked)


def _draw_pair(canvas: Canvas, pair: Pair, at: Point, cell: float, gap: float, stacked: bool) -> None:
    """Input, arrow and output, the three of them centred on ``at``."""
    axis = 0 if stacked else 1
    before, after = (grid.shape[axis] * cell for grid in pair)
    start = at[1 - axis] - (before + gap + after) / 2
    for grid, middle in ((pair[0], start + before / 2), (pair[1], start + before + gap + after / 2)):
        draw_grid(canvas, grid, _around((at[0], middle) if stacked else (middle, at[1]), grid.shape, cell))
    middle = start + before + gap / 2
    _arrow(canvas, (at[0], middle) if stacked else (middle, at[1]), gap * 0.26, stacked)


# -- the answer ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _View:
    """The part of the canvas on which the answer is shown."""

    side: int
    #: Row and column where the input, and so the output, begins.
    origin: tuple[int, int]
    #: Rows and columns of the grid that is read from the answer.
    read: tuple[int, int]
    #: First row and column on show, and how many.
    first: tuple[int, int]
    shape: tuple[int, int]
    #: The size that is read and how many coloured cells lie outside of it.
    caption: str

    def reads(self, row: int, column: int) -> bool:
        """The cell belongs to the grid that is read."""
        down, along = row - self.origin[0], column - self.origin[1]
        return 0 <= down < self.read[0] and 0 <= along < self.read[1]


def _view(board: Board) -> _View:
    """What to show of the canvas: the output, the grid that is read, and a margin where something else is near."""
    frame, side = board.frame, board.spec.grid_shape[0]
    (row, column), _ = (found[0] for found in corners(frame.puzzle[None], side))
    grid = read_grid(frame.answer, side, (row, column))
    answer = frame.answer.reshape(side, side)
    read = np.zeros((side, side), np.bool_)
    read[row : row + grid.shape[0], column : column + grid.shape[1]] = True
    stray = int(((answer >= FIRST_COLOUR) & ~read).sum())
    filled = answer != PAD
    core = read | (frame.marks.reshape(side, side) != MARK_NONE)  # marks are where the output is
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
    caption = (_size(grid) if grid.size else "no grid") + (f"  +{stray} outside" if stray else "")
    return _View(
        side,
        (int(row), int(column)),
        (grid.shape[0], grid.shape[1]),
        (int(first[0]), int(first[1])),
        (height, width),
        caption if filled.any() else "",
    )


def _extent(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last (row, column) of the smallest rectangle around what is set; the first cell if nothing is."""
    set_cells = np.argwhere(mask) if mask.any() else np.zeros((1, 2), np.int64)
    return set_cells.min(axis=0), set_cells.max(axis=0)


def _draw_answer(board: Board, view: _View, room: Rect, cell: float) -> None:
    """The cells of ``view``, each ``cell`` pixels, in the middle of ``room``; a question mark before an answer."""
    frame, canvas, unit = board.frame, board.canvas, board.area[2] / 576
    board.places = {}
    if (frame.answer == PAD).all():
        blank = inset(room, min(room[2], room[3]) * 0.12)
        canvas.rect(blank, BACKGROUND, 8 * unit)
        canvas.rect(blank, LINE, 8 * unit, max(1.5 * unit, 0.8))
        canvas.text(center(blank), "?", min(blank[2], blank[3]) * 0.4, STRONG, align="center")
        return
    left, top, _, _ = _around(center(room), view.shape, cell)
    cells: list[tuple[int, Rect, bool]] = []
    for row, column in np.ndindex(*view.shape):
        at = (view.first[0] + row, view.first[1] + column)
        rect = (left + column * cell, top + row * cell, cell, cell)
        cells.append((at[0] * view.side + at[1], rect, view.reads(*at)))
    board.places = {index: rect for index, rect, _ in cells}
    for index, rect, read in cells:
        if not read:
            _draw_outside(canvas, int(frame.answer[index]), rect)
    grid = read_grid(frame.answer, view.side, view.origin)
    if grid.size:
        x, y = left + (view.origin[1] - view.first[1]) * cell, top + (view.origin[0] - view.first[0]) * cell
        framed = draw_grid(canvas, grid, (x, y, grid.shape[1] * cell, grid.shape[0] * cell))
        for index, rect, read in cells:
            if read:
                _draw_doubt(board, index, rect)
        line = max(2 * unit, 1.2)
        canvas.rect(inset(framed, -line * 1.2), INK, 0, line)
    for index, rect, read in cells:
        _draw_mark(board, index, rect, read)


def _draw_doubt(board: Board, index: int, rect: Rect) -> None:
    """A dark rim that is the wider the less sure the agent is of the cell."""
    if board.confidence is not None and board.confidence[index] < 1:
        board.canvas.rect(rect, BACKGROUND, 0, (1 - float(board.confidence[index])) * rect[2] * 0.32)


def _draw_outside(canvas: Canvas, token: int, rect: Rect) -> None:
    """A cell that is not read: a small faint square for a colour, a dot for an end marker."""
    if token >= FIRST_COLOUR:
        small = inset(rect, rect[2] * 0.24)
        canvas.rect(small, blend(PANEL, COLOURS[token - FIRST_COLOUR], 0.7))
        canvas.rect(small, LINE, 0, max(rect[2] * 0.03, 0.5))
    elif token == END:
        canvas.circle(center(rect), min(max(rect[2] * 0.08, 0.8), 2.5), LINE)


def _draw_mark(board: Board, index: int, rect: Rect, read: bool) -> None:
    """The mark of a cell, if it deserves one."""
    wrong, changed = board.frame.marks[index] == MARK_WRONG, bool(board.frame.changed[index])
    radius = min(rect[2] * 0.34, board.area[2] / 576 * 11)
    # In small cells this is the middle, in large ones the upper right corner, which leaves the colour visible.
    off = min(rect[2] / 2, radius * 1.5)
    at = (rect[0] + rect[2] - off, rect[1] + off)
    coloured = board.frame.answer[index] >= FIRST_COLOUR
    if wrong and (read or not coloured):
        _cross(board, at, radius, not coloured, changed)
    elif changed and read:
        _bead(board, at, radius)


def _bead(board: Board, at: Point, radius: float) -> None:
    """Changed: an amber bead with a dark rim, which keeps it apart from a yellow cell."""
    board.bead(at, radius / 0.24)


def _cross(board: Board, at: Point, radius: float, missing: bool, changed: bool) -> None:
    """Wrong: a cross with a dark rim, which keeps it apart from a red cell, or in a ring where there is no colour.

    A bead sits on a cross that is changed too.
    """
    if missing:
        board.strike(at, radius, hollow=True)
        return
    x, y = at
    arm = radius * 0.85
    for color, width in ((BACKGROUND, radius * 0.95), (RED, radius * 0.5)):
        for sign in (-1, 1):
            board.canvas.line([(x - arm, y - sign * arm), (x + arm, y + sign * arm)], color, max(width, 1.0))
    if changed:
        _bead(board, at, radius * 0.6)


def _explain(board: Board) -> None:
    """Put the marks in the key, and name the colours."""
    board.colours = {FIRST_COLOUR + number: color for number, color in enumerate(COLOURS)}
    board.key = (("revised", "changed"), ("false", "wrong"), ("absent", "missing"), ("outside", "not read"))
    coloured = board.frame.puzzle[board.frame.puzzle > FIRST_COLOUR]  # not black
    colour = int(np.bincount(coloured).argmax()) - FIRST_COLOUR if len(coloured) else 5

    def sample(name: str, rect: Rect) -> None:
        at, radius = center(rect), rect[2] * 0.3
        if name == "outside":
            _draw_outside(board.canvas, FIRST_COLOUR + colour, rect)
        elif name == "absent":
            _cross(board, at, radius, missing=True, changed=False)
        else:
            draw_grid(board.canvas, np.array([[colour]], np.uint8), rect)
            if name == "revised":
                _bead(board, at, radius)
            else:
                _cross(board, at, radius, missing=False, changed=False)

    for name, _ in board.key:
        board.samples[name] = partial(sample, name)
