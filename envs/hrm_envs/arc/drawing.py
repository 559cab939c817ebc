"""Draws an ARC puzzle: the demonstrations above, the input and the answer to it below."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hrm_envs.arc.answer_drawing import draw_answer, find_viewport, set_legend
from hrm_envs.arc.grids import Grid, corners, read_grid
from hrm_envs.arc.palette import draw_grid, grid_rect, size_text, snap
from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import Canvas, Point, Rect, center, inset

_MAX_DEMONSTRATIONS = 5
#: Shares of the height that the demonstrations may take.
_BANDS = (0.4, 0.45, 0.5, 0.55, 0.6)
#: Demonstrations are omitted before their cells get smaller than this, in pixels.
_MIN_CELL = 1.6

Pair = tuple[Grid, Grid]


def draw_arc(board: Board, demonstrations: Sequence[Pair]) -> None:
    """Draw the demonstrations, the input, and the answer with a frame around the grid read from it.

    Inside the frame a dot marks changed cells, a cross wrong ones, and a dark rim is the wider the lower the agent's
    confidence. Cells outside the frame do not count and are drawn small. A cross in a ring marks cells that the answer
    lacks.

    Args:
        board: to draw on.
        demonstrations: (input, output) of each, uint8 ``[height, width]``; may be empty. At most five are drawn.
    """
    set_legend(board)
    unit = board.area[2] / 576
    x, y, width, height = board.area
    if len(demonstrations):
        band = height * _band(board, demonstrations, unit)
        _draw_demonstrations(board.canvas, demonstrations, (x, y, width, band), unit)
        y, height = y + band, height - band
    _draw_test(board, (x, y, width, height), unit)


def _band(board: Board, demonstrations: Sequence[Pair], unit: float) -> float:
    """The share of the height for the demonstrations with which the smallest cells of the image are largest.

    It depends on the puzzle alone, so that nothing moves during an episode: outputs of the demonstrations stand for the
    answer.
    """
    side, (x, y, width, height) = board.spec.grid_shape[0], board.area
    (row, column), _ = (found[0] for found in corners(board.frame.puzzle[None], side))
    grid = read_grid(board.frame.puzzle, side, (int(row), int(column)))
    output = [max(pair[1].shape[axis] for pair in demonstrations) for axis in (0, 1)]

    def smallest(share: float) -> float:
        band = height * share
        _, demonstration = _legible(demonstrations, _inside_titled((x, y, width, band), unit), unit)
        room = inset((x, y, width, height - band), 16 * unit)
        areas = _split(room, unit, stacked=False)
        return min(demonstration, _cell_size(grid.shape, areas[0], 34 * unit), _cell_size(output, areas[1], 34 * unit))

    return max(_BANDS, key=smallest)


def _draw_test(board: Board, panel: Rect, unit: float) -> None:
    """Draw the input and the answer, side by side or, if both are wide, one above the other."""
    canvas, viewport = board.canvas, find_viewport(board)
    canvas.rect(panel, canvas.theme.panel, 12 * unit)
    grid = read_grid(board.frame.puzzle, viewport.side, viewport.origin)
    room = inset(panel, 16 * unit)

    def cell_sizes(areas: tuple[Rect, Rect]) -> tuple[float, float]:
        return _cell_size(grid.shape, areas[0], 34 * unit), _cell_size(viewport.shape, areas[1], 64 * unit)

    beside, below = _split(room, unit, stacked=False), _split(room, unit, stacked=True)
    # Side by side unless both gain much, so that most images look alike.
    stacked = all(after > 1.15 * before for before, after in zip(cell_sizes(beside), cell_sizes(below), strict=True))
    left, right = areas = below if stacked else beside
    input_cell, cell = cell_sizes(areas)
    draw_grid(canvas, grid, grid_rect(center(left), grid.shape, input_cell))
    draw_answer(board, viewport, right, cell)
    for rect, name, more in ((left, "Input", size_text(grid)), (right, "Answer", viewport.caption)):
        _draw_title(canvas, (rect[0], rect[1] - 24 * unit), rect[2], unit, name, more)
    at = (center(left)[0], right[1] - 44 * unit) if stacked else (right[0] - 22 * unit, center(right)[1])
    _draw_arrow(canvas, at, 9 * unit, stacked)


def _split(room: Rect, unit: float, stacked: bool) -> tuple[Rect, Rect]:
    """The areas of the input and the larger one of the answer, with space for a title above each."""
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


def _cell_size(shape: Sequence[int], room: Rect, largest: float) -> float:
    """The side of the cells with which a grid of ``shape`` (rows, columns) fills ``room``."""
    return snap(min(room[2] / max(shape[1], 1), room[3] / max(shape[0], 1), largest))


def _draw_arrow(canvas: Canvas, at: Point, size: float, down: bool) -> None:
    """Draw an arrow head to the right, or down."""
    (x, y), h = at, size * 0.5
    across = [(x - size, y - h), (x, y + h), (x + size, y - h)]
    points = across if down else [(x - h, y - size), (x + h, y), (x - h, y + size)]
    canvas.line(points, canvas.theme.strong, max(size * 0.34, 1.0))


def _draw_title(canvas: Canvas, at: Point, width: float, unit: float, name: str, more: str) -> None:
    """Draw a name on the left and, if there is room, ``more`` on the right."""
    taken = canvas.text(at, name, 16 * unit, canvas.theme.ink, max_width=width)
    if more and width - taken > 12 * unit:
        room = width - taken - 10 * unit
        canvas.text((at[0] + width, at[1]), more, 15 * unit, canvas.theme.muted, "right", max_width=room)


# -- demonstrations --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Arrangement:
    """Slots for pairs, with the output below its input (``stacked``) or beside it."""

    #: Number of pairs.
    number: int
    columns: int
    stacked: bool
    #: Width and height of a slot, and the gap between the two grids in it.
    slot: tuple[float, float]
    gap: float

    def cell(self, pair: Pair) -> float:
        """The side of the cells with which ``pair`` fills its slot."""
        (height, width), (out_height, out_width) = (grid.shape for grid in pair)
        room_width, room_height = self.slot
        if self.stacked:
            return min(room_width / max(width, out_width), (room_height - self.gap) / (height + out_height))
        return min((room_width - self.gap) / (width + out_width), room_height / max(height, out_height))


def _arrange(pairs: Sequence[Pair], space: Rect, pad: float, gap: float) -> tuple[_Arrangement, float]:
    """The arrangement whose smallest cells are largest, and the side of these cells."""
    found: list[tuple[float, _Arrangement]] = []
    for rows in range(1, len(pairs) + 1):
        columns = math.ceil(len(pairs) / rows)
        slot = (space[2] + pad) / columns - 3 * pad, (space[3] + pad) / rows - 3 * pad
        for stacked in (True, False):
            arrangement = _Arrangement(len(pairs), columns, stacked, slot, gap)
            found.append((min(arrangement.cell(pair) for pair in pairs), arrangement))
    cell, best = max(found, key=lambda item: item[0])
    return best, cell


def _inside_titled(space: Rect, unit: float) -> Rect:
    """The part of ``space`` for the panels, below the title."""
    return space[0], space[1] + 26 * unit, space[2], space[3] - 38 * unit


def _legible(pairs: Sequence[Pair], space: Rect, unit: float) -> tuple[_Arrangement, float]:
    """The arrangement of as many pairs as stay legible, and the side of their smallest cells."""
    shown = pairs[:_MAX_DEMONSTRATIONS]
    arrangement, smallest = _arrange(shown, space, 8 * unit, 20 * unit)
    while smallest < _MIN_CELL and len(shown) > 1:
        shown = shown[:-1]
        arrangement, smallest = _arrange(shown, space, 8 * unit, 20 * unit)
    return arrangement, smallest


def _draw_demonstrations(canvas: Canvas, pairs: Sequence[Pair], space: Rect, unit: float) -> None:
    """Draw pairs in panels of equal size, as many as stay legible."""
    pad, gap, inner = 8 * unit, 20 * unit, _inside_titled(space, unit)
    arrangement, smallest = _legible(pairs, inner, unit)
    shown = pairs[: arrangement.number]
    more = len(pairs) - len(shown)
    _draw_title(canvas, (space[0], space[1] + 8 * unit), space[2], unit, "Examples", f"+{more} more" if more else "")
    width, height = arrangement.slot[0] + 2 * pad, arrangement.slot[1] + 2 * pad
    for number, pair in enumerate(shown):
        row, column = divmod(number, arrangement.columns)
        panel = (inner[0] + column * (width + pad), inner[1] + row * (height + pad), width, height)
        canvas.rect(panel, canvas.theme.panel, 10 * unit)
        # The grids of a pair have equal cells, and no pair is enlarged far beyond the others.
        cell = snap(min(arrangement.cell(pair), 2 * smallest, 26 * unit))
        _draw_pair(canvas, pair, center(panel), cell, gap, arrangement.stacked)


def _draw_pair(canvas: Canvas, pair: Pair, at: Point, cell: float, gap: float, stacked: bool) -> None:
    """Draw input, arrow and output, together centred on ``at``."""
    axis = 0 if stacked else 1
    before, after = (grid.shape[axis] * cell for grid in pair)
    start = at[1 - axis] - (before + gap + after) / 2

    def point(along: float) -> Point:
        return (at[0], along) if stacked else (along, at[1])

    for grid, middle in ((pair[0], start + before / 2), (pair[1], start + before + gap + after / 2)):
        draw_grid(canvas, grid, grid_rect(point(middle), grid.shape, cell))
    _draw_arrow(canvas, point(start + before + gap / 2), gap * 0.26, stacked)
