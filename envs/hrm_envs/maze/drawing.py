"""Draws a maze."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrm_envs.maze.tokens import GOAL, PATH, START, WALL
from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import Point, blend, center, inset
from hrm_envs.rendering.theme import Color
from hrm_envs.spec import MARK_WRONG, PAD, Tokens

#: Size of the letters of S and G in pixels, where the cells have no room for it.
_SMALLEST_LETTER = 14.0
_Knot = tuple[Point, Color, float]


def draw_maze(board: Board) -> None:
    """Draw walls, S and G, and the path of the answer as one line through its cells.

    A dot marks cells that are new on the path, a ring those no longer on it, a cross wrong ones. The line is thinner
    and fainter where the agent's confidence is lower.
    """
    frame = board.frame
    board.legend = (("path", "path"), ("new", "new"), ("bad", "wrong"), ("dropped", "dropped"))
    shape = board.spec.grid_shape
    draw_walls(board, frame.puzzle.reshape(shape) == WALL)
    _draw_path(board, frame.answer.reshape(shape))
    revised = frame.changed & (frame.marks != MARK_WRONG)
    for index in range(board.spec.num_cells):
        at, answer, puzzle = center(board.rect(index)), int(frame.answer[index]), int(frame.puzzle[index])
        if frame.marks[index] == MARK_WRONG:
            board.strike(at, board.cell * 0.3, hollow=answer != PATH)
        elif revised[index] and answer == PATH:
            board.bead(at, board.cell)
        elif revised[index] and frame.previous_answer[index] == PATH and puzzle not in (START, GOAL):
            board.ghost(at, board.cell)
    for end in np.flatnonzero((frame.puzzle == START) | (frame.puzzle == GOAL)):
        draw_end(board, int(end))


def draw_walls(board: Board, wall: NDArray[np.bool_]) -> None:
    """Draw floor and walls; a corner of a wall is round if no neighbouring wall continues it."""
    canvas, cell = board.canvas, board.cell
    canvas.rect(inset(board.area, -min(cell * 0.12, 4)), board.theme.line, cell * 0.3)
    canvas.rect(board.area, board.theme.floor, cell * 0.28)
    around = np.pad(wall, 1)
    columns = wall.shape[1]
    for row, column in np.argwhere(wall):
        up, down = around[row, column + 1], around[row + 2, column + 1]
        left, right = around[row + 1, column], around[row + 1, column + 2]
        corners = (not (up or left), not (up or right), not (down or left), not (down or right))
        canvas.rect(board.rect(int(row * columns + column)), board.theme.wall, cell * 0.28, corners=corners)


def _draw_path(board: Board, answer: Tokens) -> None:
    """Draw the line through the path; width and colour change gradually from cell to cell."""
    ends = np.isin(board.frame.puzzle.reshape(answer.shape), (START, GOAL)) & (answer != PAD)
    on = np.pad((answer == PATH) | ends, ((0, 1), (0, 1)))  # neighbours of the last row and column
    columns = answer.shape[1]
    knots: list[_Knot] = []
    for row, column in np.argwhere(on):
        index = int(row * columns + column)
        here = _knot(board, index)
        knots.append(here)
        for neighbour, joined in ((index + 1, on[row, column + 1]), (index + columns, on[row + 1, column])):
            if joined:
                _draw_edge(board, here, _knot(board, neighbour))
    for at, color, width in knots:
        board.canvas.circle(at, width / 2, color)


def _knot(board: Board, index: int) -> _Knot:
    """Position, colour and width of the line in the middle of a cell."""
    sure = 1.0 if board.confidence is None else float(board.confidence[index])
    hue = board.theme.red if board.frame.marks[index] == MARK_WRONG else board.theme.blue
    return center(board.rect(index)), blend(board.theme.floor, hue, 0.4 + 0.6 * sure), board.cell * (0.26 + 0.14 * sure)


def _draw_edge(board: Board, a: _Knot, b: _Knot) -> None:
    """Draw the line between two neighbouring cells."""
    ((x0, y0), color_a, width_a), ((x1, y1), color_b, width_b) = a, b
    steps = 1 if a[1:] == b[1:] else max(2, min(12, round(board.cell / 5)))
    # Edges are horizontal or vertical.
    across_x, across_y = (0.0, 0.5) if y0 == y1 else (0.5, 0.0)
    for step in range(steps):
        sides: list[list[Point]] = []
        for t in (step / steps, (step + 1) / steps):
            x, y, width = x0 + (x1 - x0) * t, y0 + (y1 - y0) * t, width_a + (width_b - width_a) * t
            dx, dy = across_x * width, across_y * width
            sides.append([(x - dx, y - dy), (x + dx, y + dy)])
        board.canvas.polygon(sides[0] + sides[1][::-1], blend(color_a, color_b, (step + 0.5) / steps))


def draw_end(board: Board, index: int) -> None:
    """Draw S on a disc or G on a diamond, which differ at any size; on small cells they cover their neighbours."""
    canvas, theme, at = board.canvas, board.theme, center(board.rect(index))
    letter = max(board.cell * 0.5, min(_SMALLEST_LETTER, board.area[3] * 0.038))
    is_start = board.frame.puzzle[index] == START
    rim = letter * 0.12
    for grown, color in ((rim, theme.floor), (0.0, theme.ink)):
        if is_start:
            canvas.circle(at, letter * 0.92 + grown, color)
        else:
            (x, y), r = at, letter * 1.12 + grown * 2**0.5
            canvas.polygon([(x, y - r), (x + r, y), (x, y + r), (x - r, y)], color)
    canvas.text(at, "S" if is_start else "G", letter, theme.background, align="center")
