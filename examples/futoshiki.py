"""Futoshiki, a puzzle family of your own in one file.

Every row and column holds each digit once, and every sign between two neighbours holds.

    cd examples && python futoshiki.py && hrm-agents train futoshiki:Examples/Futoshiki-4x4-v0
"""

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from hrm_envs import PuzzleBatch, Task, TaskSpec, Verdict, register_task
from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import inset
from hrm_envs.spec import PAD, Tokens
from hrm_envs.testing import check_task

DIGITS = 4
SIDE = 2 * DIGITS - 1
"""Cells along a side: digits where row and column are even, signs between two digits, nothing elsewhere."""
SYMBOLS = (" ", ".", *"1234", "-", "<", ">", "^", "v")
"""A token is an index into this tuple, so digit d is token BLANK + d. Signs point at the smaller neighbour."""
BLANK, NOTHING, LEFT, RIGHT, UP, DOWN = (SYMBOLS.index(symbol) for symbol in ".-<>^v")
DIRECTIONS = {LEFT: (-1, 0), RIGHT: (1, 0), UP: (0, -1), DOWN: (0, 1)}
"""Where each sign points, as (x, y)."""


def with_signs(digits: NDArray[np.integer]) -> Tokens:
    """Squares of digit tokens ``[B, DIGITS, DIGITS]`` to whole grids with all signs, uint8 ``[B, S]``."""
    grid = np.full((len(digits), SIDE, SIDE), NOTHING, np.uint8)
    grid[:, ::2, ::2] = digits
    grid[:, ::2, 1::2] = np.where(digits[:, :, :-1] < digits[:, :, 1:], LEFT, RIGHT)
    grid[:, 1::2, ::2] = np.where(digits[:, :-1] < digits[:, 1:], UP, DOWN)
    return grid.reshape(len(digits), -1)


def all_squares() -> Tokens:
    """All 576 squares that hold each digit once in every row and column, with all signs: uint8 ``[576, S]``."""
    tokens = range(BLANK + 1, BLANK + 1 + DIGITS)
    rows = list(permutations(tokens))
    # Add row after row, and keep the squares whose columns repeat no digit.
    squares: list[list[tuple[int, ...]]] = [[]]
    for _ in range(DIGITS):
        extended = [[*square, row] for square in squares for row in rows]
        squares = [square for square in extended if columns_differ(square)]
    return with_signs(np.array(squares))


def columns_differ(square: list[tuple[int, ...]]) -> bool:
    """Whether no column holds a digit twice."""
    columns = zip(*square, strict=True)
    return all(len(set(column)) == len(column) for column in columns)


SQUARES = all_squares()
IS_DIGIT = (SQUARES[0] > BLANK) & (SQUARES[0] < NOTHING)
"""Which cells hold digits, bool ``[S]``."""
EMPTY = np.where(IS_DIGIT, BLANK, NOTHING).astype(np.uint8)
"""The grid without clues, uint8 ``[S]``."""
CLUE_CELLS = np.flatnonzero(SQUARES[0] != NOTHING)
"""The cells of digits and signs: all that a puzzle can show."""


class Futoshiki(Task):
    """4x4 Futoshiki with one solution each, on a grid of 7x7 cells."""

    spec = TaskSpec("Futoshiki 4x4", (SIDE, SIDE), SYMBOLS)
    default_num_puzzles = {"train": 10_000, "test": 1000}  # noqa: RUF012

    def sample(self, rng: np.random.Generator, num: int) -> PuzzleBatch:
        """Start from full grids and remove clues in random order, as long as the solution stays the only one."""
        num = min(num, 1024)  # limits the memory; the caller asks again for the rest
        rows = np.arange(num)
        full = SQUARES[rng.integers(len(SQUARES), size=num)]
        order = rng.permuted(np.tile(CLUE_CELLS, (num, 1)), axis=1)
        # After 40 attempts no clue is left that could be removed. Fewer attempts leave an easier puzzle.
        num_attempts = rng.integers(20, len(CLUE_CELLS) + 1, num)

        puzzle = full.copy()
        # How many clues of each puzzle each square contradicts, [num, 576]; solutions contradict none.
        contradicted = (full[:, None] != SQUARES).sum(axis=2, dtype=np.int8)
        for attempt, cell in enumerate(order.T):
            without_clue = contradicted - (SQUARES.T[cell] != full[rows, cell, None])
            has_one_solution = (without_clue == 0).sum(axis=1) == 1
            removed = (attempt < num_attempts) & has_one_solution
            contradicted[removed] = without_clue[removed]
            puzzle[rows[removed], cell[removed]] = EMPTY[cell[removed]]
        # The answer fills in the digits; signs that the puzzle does not show stay away.
        solution = np.where(IS_DIGIT, full, puzzle)
        return PuzzleBatch(puzzle, solution)

    def verify(self, batch: PuzzleBatch, answer: Tokens) -> Verdict:
        """Accept every answer that keeps the clues and the rules; the score is the share of blanks filled right."""
        digits = answer.reshape(-1, SIDE, SIDE)[:, ::2, ::2]

        blank = batch.puzzle == BLANK
        clues_kept = (blank | (answer == batch.puzzle)).all(axis=1)
        no_clue = batch.puzzle == EMPTY
        signs_hold = (no_clue | (with_signs(digits) == batch.puzzle)).all(axis=1)
        lines = np.concatenate([digits, digits.transpose(0, 2, 1)], axis=1)  # rows, then columns
        each_digit = np.arange(BLANK + 1, BLANK + 1 + DIGITS)
        lines_complete = (np.sort(lines, axis=2) == each_digit).all(axis=(1, 2))
        success = clues_kept & signs_hold & lines_complete

        num_right = (blank & (answer == batch.solution)).sum(axis=1)
        share_right = num_right / np.maximum(blank.sum(axis=1), 1)
        score = np.where(success, 1, clues_kept * share_right)
        return Verdict(success, score.astype(np.float32))

    def draw(self, board: Board) -> None:
        """Draw digits on tiles and signs as arrow heads, red where the digits beside them contradict them."""
        left, top, size, _ = board.area
        tile = size / (1.5 * DIGITS - 0.5)  # the gaps between tiles are half as wide as tiles
        board.canvas.rect(inset(board.area, -tile * 0.15), board.theme.panel, tile * 0.2)
        for cell in range(SIDE * SIDE):
            row, column = divmod(cell, SIDE)
            center = (left + (0.75 * column + 0.5) * tile, top + (0.75 * row + 0.5) * tile)
            if IS_DIGIT[cell]:
                draw_digit(board, cell, center, tile)
                continue
            clue = int(board.frame.puzzle[cell])
            if clue in DIRECTIONS:
                draw_sign(board, cell, center, tile)
            if board.frame.shown[cell] not in (PAD, clue):
                board.strike(center, tile * 0.1)  # the answer overwrote a cell that holds no digit


def draw_digit(board: Board, cell: int, center: tuple[float, float], tile: float) -> None:
    """Draw a tile with the digit of the cell, if it has one."""
    x, y = center
    frame = board.frame
    token, clue = int(frame.shown[cell]), int(frame.puzzle[cell])
    text = board.symbol(token).strip(".")
    keeps_clue = token == clue != BLANK
    confidence = None if board.confidence is None else float(board.confidence[cell])
    rect = (x - tile / 2, y - tile / 2, tile, tile)
    board.tile(rect, text, keeps_clue, int(frame.marks[cell]), bool(frame.changed[cell]), confidence)


def draw_sign(board: Board, cell: int, center: tuple[float, float], tile: float) -> None:
    """Draw the puzzle's sign as an arrow head."""
    sign = int(board.frame.puzzle[cell])
    dx, dy = DIRECTIONS[sign]
    to_neighbour = abs(dx) + SIDE * abs(dy)  # in cells: one to the right, or one row down
    before = int(board.frame.shown[cell - to_neighbour])
    after = int(board.frame.shown[cell + to_neighbour])
    both_filled = BLANK < before < NOTHING and BLANK < after < NOTHING
    broken = both_filled and (before < after) != (sign in (LEFT, UP))

    x, y = center
    tip = (x + dx * tile * 0.1, y + dy * tile * 0.1)
    back, half_width = tile * 0.1, tile * 0.16
    ends = [(x - dx * back + side * dy * half_width, y - dy * back + side * dx * half_width) for side in (-1, 1)]
    board.canvas.line([ends[0], tip, ends[1]], board.theme.red if broken else board.theme.ink, tile * 0.05)


register_task("Examples/Futoshiki-4x4-v0", Futoshiki, max_segments=8)

if __name__ == "__main__":
    check_task(Futoshiki())
    print("Futoshiki keeps all rules of a task")
