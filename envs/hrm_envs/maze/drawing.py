"""How a maze looks."""

from __future__ import annotations

import numpy as np

from hrm_envs.board import Board
from hrm_envs.canvas import BACKGROUND, BLUE, INK, PANEL, RED, Color, Point, blend, center, inset
from hrm_envs.task import MARK_WRONG, PAD, Tokens

_WALL, _START, _GOAL, _PATH = 1, 3, 4, 5
_FLOOR: Color = (22, 29, 46)
_BRICK: Color = (61, 74, 105)


def draw_maze(board: Board) -> None:
    """Paint a maze: walls, S and G, and the path of the answer as one line through its cells.

    Cells new on the path wear a bead, cells that left it a hollow dot, wrong ones a cross. The less sure the
    agent is of a cell, the thinner and fainter the line there.
    """
    frame = board.frame
    board.key = (("path", "path"), ("new", "new"), ("bad", "wrong"), ("dropped", "dropped"))
    shape = board.spec.grid_shape
    _draw_walls(board, frame.puzzle.reshape(shape) == _WALL)
    _draw_path(board, frame.answer.reshape(shape))
    revised = frame.changed & (frame.marks != MARK_WRONG)
    for index in range(board.spec.num_cells):
        at, answer, puzzle = center(board.rect(index)), int(frame.answer[index]), int(frame.puzzle[index])
        if frame.marks[index] == MARK_WRONG:
            if answer != _PATH:  # a cell left out of the path, or something else written over the maze
                board.canvas.circle(at, board.cell * 0.3, blend(_FLOOR, RED, 0.45))
            board.strike(at, board.cell * 0.9)
        elif revised[index] and answer == _PATH:
            board.bead(at, board.cell)
        elif revised[index] and frame.previous_answer[index] == _PATH and puzzle not in (_START, _GOAL):
            board.ghost(at, board.cell)
    for index in np.flatnonzero((frame.puzzle == _START) | (frame.puzzle == _GOAL)):
        _draw_end(board, int(index))


def _draw_walls(board: Board, wall: Tokens | np.ndarray) -> None:
    """Floor and walls; a wall is rounded where no neighbour continues it."""
    canvas, cell = board.canvas, board.cell
    canvas.rect(inset(board.area, -min(cell * 0.12, 5)), PANEL, cell * 0.3)
    canvas.rect(board.area, _FLOOR, cell * 0.28)
    around = np.pad(wall, 1)
    rows, columns = wall.shape
    for row, column in np.argwhere(wall):
        up, down = around[row, column + 1], around[row + 2, column + 1]
        left, right = around[row + 1, column], around[row + 1, column + 2]
        corners = (not (up or left), not (up or right), not (down or left), not (down or right))
        canvas.rect(board.rect(int(row * columns + column)), _BRICK, cell * 0.28, corners=corners)


def _draw_path(board: Board, answer: Tokens) -> None:
    """The line through the path cells, cell by cell: each owns the half edges that meet in it."""
    canvas, cell, marks = board.canvas, board.cell, board.frame.marks
    on = (answer == _PATH) | ((answer != PAD) & np.isin(board.frame.puzzle.reshape(answer.shape), (_START, _GOAL)))
    around = np.pad(on, 1)
    columns = answer.shape[1]
    strokes: list[tuple[list[Point], Color, float]] = []
    for row, column in np.argwhere(on):
        index = int(row * columns + column)
        x, y = center(board.rect(index))
        sure = 1.0 if board.confidence is None else float(board.confidence[index])
        color = blend(_FLOOR, RED if marks[index] == MARK_WRONG else BLUE, 0.35 + 0.65 * sure)
        width = cell * (0.2 + 0.2 * sure)
        for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            if around[row + 1 + down, column + 1 + right]:
                strokes.append(([(x, y), (x + right * cell / 2, y + down * cell / 2)], color, width))
        strokes.append(([(x, y), (x, y)], color, width))
    for points, color, width in strokes:
        canvas.line(points, color, width)


def _draw_end(board: Board, index: int) -> None:
    """S on a disc, G on a diamond: two outlines that no size confuses."""
    x, y = center(board.rect(index))
    is_start = board.frame.puzzle[index] == _START
    r = board.cell * (0.46 if is_start else 0.56)
    if is_start:
        board.canvas.circle((x, y), r, INK)
    else:
        board.canvas.polygon([(x, y - r), (x + r, y), (x, y + r), (x - r, y)], INK)
    board.canvas.text((x, y), "S" if is_start else "G", board.cell * 0.5, BACKGROUND, align="center")
