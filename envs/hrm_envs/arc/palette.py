"""The ten colours of ARC, and drawing of a grid in them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hrm_envs.arc.grids import Grid
from hrm_envs.rendering.canvas import SCALE, Canvas, Point, Rect, blend
from hrm_envs.rendering.theme import Color

#: Colours 0 to 9 as on the ARC website.
PALETTE: tuple[Color, ...] = (
    (0x00, 0x00, 0x00),
    (0x00, 0x74, 0xD9),
    (0xFF, 0x41, 0x36),
    (0x2E, 0xCC, 0x40),
    (0xFF, 0xDC, 0x00),
    (0xAA, 0xAA, 0xAA),
    (0xF0, 0x12, 0xBE),
    (0xFF, 0x85, 0x1B),
    (0x7F, 0xDB, 0xFF),
    (0x87, 0x0C, 0x25),
)
#: Of the lines between cells: lighter than colour 0 (black) and darker than colour 5 (grey).
GRID_LINE: Color = (72, 72, 76)
# Lines would cover too much of smaller cells, and mix with their colours.
_SMALLEST_LINED_CELL = 5.0


def size_text(grid: Grid) -> str:
    """Height and width of a grid, such as ``3 × 4``."""
    return f"{grid.shape[0]} \N{MULTIPLICATION SIGN} {grid.shape[1]}"


def grid_rect(at: Point, shape: Sequence[int], cell: float) -> Rect:
    """The rectangle of a grid of ``shape`` (rows, columns) centred at ``at``, aligned to drawn pixels."""
    width, height = shape[1] * cell, shape[0] * cell
    return round((at[0] - width / 2) * SCALE) / SCALE, round((at[1] - height / 2) * SCALE) / SCALE, width, height


def snap(cell: float) -> float:
    """Round a cell size down to whole drawn pixels, so that all cells and lines look alike."""
    return max(math.floor(cell * SCALE), 1) / SCALE


def draw_grid(canvas: Canvas, grid: Grid, rect: Rect, largest_cell: float | None = None) -> Rect:
    """Draw a grid as large as ``rect`` allows, centred, with thin lines around cells that are not tiny.

    Args:
        canvas: to draw on.
        grid: colours 0 to 9, uint8 ``[height, width]``; may be empty.
        rect: the space available.
        largest_cell: maximum side of a cell in pixels; None for no limit.

    Returns:
        The rectangle that the grid fills, of size 0 for an empty grid.
    """
    x, y, room_width, room_height = rect
    rows, columns = grid.shape
    if grid.size == 0:
        return x + room_width / 2, y + room_height / 2, 0.0, 0.0
    cell = min(room_width / columns, room_height / rows)
    if largest_cell is not None:
        cell = min(cell, largest_cell)
    width, height = cell * columns, cell * rows
    left, top = x + (room_width - width) / 2, y + (room_height - height) / 2
    for row in range(rows):
        for column in range(columns):
            box = (left + column * cell, top + row * cell, cell, cell)
            canvas.rect(box, PALETTE[grid[row, column]])
    if cell < _SMALLEST_LINED_CELL:
        return left, top, width, height
    # Lines get thinner and fainter with smaller cells, but no thinner than what rounding preserves.
    line = min(1.0, max(0.6, cell / 14))
    color = blend(PALETTE[0], GRID_LINE, cell / 6)
    for row in range(rows + 1):
        canvas.rect((left, top + row * cell - line / 2, width, line), color)
    for column in range(columns + 1):
        canvas.rect((left + column * cell - line / 2, top, line, height), color)
    return left, top, width, height
