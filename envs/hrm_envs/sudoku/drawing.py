"""Drawing of Sudoku puzzles."""

from __future__ import annotations

from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import Rect, inset
from hrm_envs.spec import PAD
from hrm_envs.sudoku.layout import BLANK


def draw_sudoku(board: Board, size: int, box_shape: tuple[int, int]) -> None:
    """Draw boxes of tiles, with givens in white on lighter tiles than the answer.

    Args:
        board: to draw on.
        size: number of digits, and of cells along a side.
        box_shape: rows and columns of a box.
    """
    canvas, cell = board.canvas, board.cell
    box_rows, box_columns = box_shape
    gap = cell * 0.055  # around boxes and tiles
    # Extends the area by the gaps at the outer sides of the outermost boxes.
    left, top, width, height = inset(board.area, -gap)
    box_width, box_height = width * box_columns / size, height * box_rows / size
    for row in range(0, size, box_rows):
        for column in range(0, size, box_columns):
            x, y = left + column / box_columns * box_width, top + row / box_rows * box_height
            box = inset((x, y, box_width, box_height), gap)
            canvas.rect(box, board.theme.strong, cell * 0.2)
            canvas.rect(inset(box, max(cell * 0.032, 1.5)), board.theme.panel, cell * 0.17)
            inner = inset(box, gap * 1.5)
            step = (inner[2] / box_columns, inner[3] / box_rows)
            for index in range(size):
                down, right = divmod(index, box_columns)
                rect = (inner[0] + right * step[0], inner[1] + down * step[1], step[0], step[1])
                _draw_cell(board, (row + down) * size + column + right, inset(rect, gap * 0.4))


def _draw_cell(board: Board, index: int, rect: Rect) -> None:
    frame, board.cell_rects[index] = board.frame, rect
    token, puzzle = int(frame.shown[index]), int(frame.puzzle[index])
    text = str(token - 1) if token > BLANK else ""
    # A given that the answer overwrote is drawn as part of the answer.
    given = puzzle != BLANK and puzzle != PAD and token == puzzle
    answered = frame.answer[index] != PAD
    sure = float(board.confidence[index]) if board.confidence is not None and answered else None
    board.tile(rect, text, given, int(frame.marks[index]), bool(frame.changed[index]), sure)
