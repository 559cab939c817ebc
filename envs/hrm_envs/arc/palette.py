"""The ten colours of ARC, and one grid painted with them."""

from __future__ import annotations

from hrm_envs.arc.grids import Grid
from hrm_envs.rendering.canvas import Canvas, Color, Rect, blend

#: Colours 0 to 9 as the ARC sites show them.
COLOURS: tuple[Color, ...] = (
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
#: Between cells: lighter than black, so that a black grid still shows its cells, and darker than colour 5.
GRID_LINE: Color = (72, 72, 76)
# In smaller cells there would be as much line as colour.
_SMALLEST_LINED_CELL = 3.0


def draw_grid(canvas: Canvas, grid: Grid, rect: Rect, largest_cell: float | None = None) -> Rect:
    """Paint a grid with thin lines around its cells (unless they are tiny), as large as ``rect`` allows, centred in it.

    Args:
        canvas: what to paint on.
        grid: colours 0 to 9, uint8 ``[height, width]``; an empty one paints nothing.
        rect: the room there is, in pixels.
        largest_cell: a cell's side is at most this many pixels; None for no limit.

    Returns:
        The rectangle that the grid fills; without width and height for an empty grid.
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
            canvas.rect(box, COLOURS[grid[row, column]])
    if cell < _SMALLEST_LINED_CELL:
        return left, top, width, height
    # In small cells a full line would hide the colours, so lines get thinner and fainter with the cells. None is
    # thinner than half a pixel, which rounding to painted pixels could make nothing of.
    line = min(1.0, max(0.6, cell / 14))
    color = blend(COLOURS[0], GRID_LINE, cell / 6)
    for row in range(rows + 1):
        canvas.rect((left, top + row * cell - line / 2, width, line), color)
    for column in range(columns + 1):
        canvas.rect((left + column * cell - line / 2, top, line, height), color)
    return left, top, width, height
