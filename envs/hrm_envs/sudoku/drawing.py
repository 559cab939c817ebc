"""How a Sudoku looks."""

from __future__ import annotations

from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import PANEL, STRONG, Rect, inset
from hrm_envs.spec import PAD
from hrm_envs.sudoku.geometry import BLANK


def draw_sudoku(board: Board, size: int, box_shape: tuple[int, int]) -> None:
    """Paint a Sudoku: framed boxes of tiles, givens in heavy letters, the answer in light ones.

    Args:
        board: where, and what.
        size: digits, and cells along a side.
        box_shape: rows and columns of a box.
    """
    canvas, cell = board.canvas, board.cell
    box_rows, box_columns = box_shape
    gap = cell * 0.055  # of a box to the edge of its share of the board, and of a tile to its neighbours
    # The empty sides of the outermost boxes would inset the board, so it is drawn that much larger.
    left, top, width, height = inset(board.area, -gap)
    box_width, box_height = width * box_columns / size, height * box_rows / size
    for row in range(0, size, box_rows):
        for column in range(0, size, box_columns):
            x, y = left + column / box_columns * box_width, top + row / box_rows * box_height
            box = inset((x, y, box_width, box_height), gap)
            canvas.rect(box, STRONG, cell * 0.2)
            canvas.rect(inset(box, max(cell * 0.032, 1.5)), PANEL, cell * 0.17)
            inner = inset(box, gap * 1.5)
            step = (inner[2] / box_columns, inner[3] / box_rows)
            for index in range(size):
                down, right = divmod(index, box_columns)
                rect = (inner[0] + right * step[0], inner[1] + down * step[1], step[0], step[1])
                _draw_cell(board, (row + down) * size + column + right, inset(rect, gap * 0.4))


def _draw_cell(board: Board, index: int, rect: Rect) -> None:
    frame, board.places[index] = board.frame, rect
    token, puzzle = int(frame.shown[index]), int(frame.puzzle[index])
    text = str(token - 1) if token > BLANK else ""
    # A given that the answer overwrote is no longer shown as given.
    given = puzzle != BLANK and puzzle != PAD and token == puzzle
    answered = frame.answer[index] != PAD
    sure = float(board.confidence[index]) if board.confidence is not None and answered else None
    board.tile(rect, text, given, int(frame.marks[index]), bool(frame.changed[index]), sure)
