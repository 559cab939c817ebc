"""Futoshiki, a puzzle family of your own in one file: every row and column holds each digit once, every sign holds.

cd examples && python futoshiki.py && hrm-agents train futoshiki:Examples/Futoshiki-4x4-v0
"""

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from hrm_envs import PuzzleBatch, Task, TaskSpec, Verdict, register_task
from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import INK, PANEL, RED, inset
from hrm_envs.spec import PAD, Tokens
from hrm_envs.testing import check_task

DIGITS = 4
#: Cells along a side: digits stand where row and column are even, signs between two digits, nothing elsewhere.
SIDE = 2 * DIGITS - 1
#: A token is a place in this list; digit d has token BLANK + d. The signs < > ^ v point at the smaller neighbour.
SYMBOLS = (" ", ".", *"1234", "-", "<", ">", "^", "v")
BLANK, NOTHING, LEFT, RIGHT, UP, DOWN = (SYMBOLS.index(symbol) for symbol in ".-<>^v")
POINTS = {LEFT: (-1, 0), RIGHT: (1, 0), UP: (0, -1), DOWN: (0, 1)}


def with_signs(digits: NDArray[np.integer]) -> Tokens:
    """Squares of tokens ``[B, DIGITS, DIGITS]`` with the sign between every two neighbours: uint8 ``[B, S]``."""
    grid = np.full((len(digits), SIDE, SIDE), NOTHING, np.uint8)
    grid[:, ::2, ::2] = digits
    grid[:, ::2, 1::2] = np.where(digits[:, :, :-1] < digits[:, :, 1:], LEFT, RIGHT)
    grid[:, 1::2, ::2] = np.where(digits[:, :-1] < digits[:, 1:], UP, DOWN)
    return grid.reshape(len(digits), -1)


def all_squares() -> Tokens:
    """Each of the 576 squares that have every digit once in every row and column, with all signs: uint8 ``[N, S]``."""
    rows = list(permutations(range(BLANK + 1, BLANK + 1 + DIGITS)))
    squares: list[list[tuple[int, ...]]] = [[]]
    for _ in range(DIGITS):
        squares = [
            [*square, row] for square in squares for row in rows
            if all(len({*column}) == len(column) for column in zip(*square, row, strict=True))
        ]  # fmt: skip
    return with_signs(np.array(squares))


SQUARES = all_squares()
#: The grid without clues, and the cells that can hold one.
EMPTY = np.where((SQUARES > BLANK) & (SQUARES < NOTHING), BLANK, NOTHING)[0].astype(np.uint8)
CLUES = np.flatnonzero(SQUARES[0] != NOTHING)


class Futoshiki(Task):
    """4x4 Futoshiki with one solution each, on a grid of 7x7 cells."""

    spec = TaskSpec("Futoshiki 4x4", (SIDE, SIDE), SYMBOLS)
    default_num_puzzles = {"train": 10_000, "test": 1000}  # noqa: RUF012

    def sample(self, rng: np.random.Generator, num: int) -> PuzzleBatch:
        """Start from all clues and take some away in random order, as long as no second square fits the rest."""
        num = min(num, 1024)  # whoever wants more asks again
        rows, full = np.arange(num), SQUARES[rng.integers(len(SQUARES), size=num)]
        order = rng.permuted(np.tile(CLUES, (num, 1)), axis=1)
        # After 40 tries no clue is left that could go; after fewer the puzzle is an easier one.
        tries = rng.integers(20, len(CLUES) + 1, num)
        puzzle = full.copy()
        # How many clues of each puzzle each square breaks, [num, 576].
        broken = (full[:, None] != SQUARES).sum(axis=2, dtype=np.int8)
        for attempt, clue in enumerate(order.T):
            fewer = broken - (SQUARES.T[clue] != full[rows, clue, None])
            gone = (attempt < tries) & ((fewer == 0).sum(axis=1) == 1)
            broken[gone] = fewer[gone]
            puzzle[rows[gone], clue[gone]] = EMPTY[clue[gone]]
        return PuzzleBatch(puzzle, np.where(EMPTY == BLANK, full, puzzle))

    def verify(self, batch: PuzzleBatch, answer: Tokens) -> Verdict:
        """Right if clues stay, digits differ along lines and signs hold; the score is the share of blanks filled."""
        digits = answer.reshape(-1, SIDE, SIDE)[:, ::2, ::2]
        each = np.arange(BLANK + 1, BLANK + 1 + DIGITS)
        lines = np.concatenate([digits, digits.transpose(0, 2, 1)], axis=1)
        blank = batch.puzzle == BLANK
        kept = (blank | (answer == batch.puzzle)).all(axis=1)
        hold = ((batch.puzzle == EMPTY) | (with_signs(digits) == batch.puzzle)).all(axis=1)
        success = kept & hold & (np.sort(lines, axis=2) == each).all(axis=(1, 2))
        filled = (blank & (answer == batch.solution)).sum(axis=1) / np.maximum(blank.sum(axis=1), 1)
        return Verdict(success, np.where(success, 1, kept * filled).astype(np.float32))

    def draw(self, board: Board) -> None:
        """Tiles for digits and arrow heads for signs, which turn red where the digits beside them break them."""
        frame, (left, top, size, _), sure = board.frame, board.area, board.confidence
        tile = size / (1.5 * DIGITS - 0.5)  # gaps are half as wide as tiles
        board.canvas.rect(inset(board.area, -tile * 0.15), PANEL, tile * 0.2)
        for index, token in enumerate(frame.shown.tolist()):
            row, column = divmod(index, SIDE)
            x, y = left + (0.75 * column + 0.5) * tile, top + (0.75 * row + 0.5) * tile
            clue = int(frame.puzzle[index])
            if EMPTY[index] == BLANK:
                rect, text = (x - tile / 2, y - tile / 2, tile, tile), board.symbol(token).strip(".")
                mark, changed = int(frame.marks[index]), bool(frame.changed[index])
                confidence = None if sure is None else float(sure[index])
                board.tile(rect, text, token == clue != BLANK, mark, changed, confidence)
                continue
            if clue in POINTS:
                dx, dy = POINTS[clue]
                before, after = (int(frame.shown[index + way * (abs(dx) + SIDE * abs(dy))]) for way in (-1, 1))
                filled = BLANK < before < NOTHING and BLANK < after < NOTHING
                color = RED if filled and (before < after) != (clue in (LEFT, UP)) else INK
                tip, far, wide = (x + dx * tile * 0.1, y + dy * tile * 0.1), tile * 0.1, tile * 0.16
                ends = [(x - dx * far + way * dy * wide, y - dy * far + way * dx * wide) for way in (-1, 1)]
                board.canvas.line([ends[0], tip, ends[1]], color, tile * 0.05)
            if token not in (PAD, clue):
                board.strike((x, y), tile * 0.1)  # the answer rewrites what is not its to write


register_task("Examples/Futoshiki-4x4-v0", Futoshiki, max_segments=8)

if __name__ == "__main__":
    check_task(Futoshiki())
    print("Futoshiki keeps all rules of a task")
