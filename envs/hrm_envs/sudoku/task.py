"""Sudoku as a reasoning task: fill the blanks so that every row, column and box holds each digit once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import choice, shown, whole_number
from hrm_envs.limits import MAX_GUESSES
from hrm_envs.spec import MARK_NONE, MARK_RIGHT, MARK_WRONG, PAD, TaskSpec, Tokens
from hrm_envs.streams import Draws
from hrm_envs.sudoku.formats import format_grid, parse_boards
from hrm_envs.sudoku.generator import Range, generate
from hrm_envs.sudoku.geometry import BLANK, cell_name, geometry
from hrm_envs.sudoku.solver import MOST_GUESSES, SearchTooLongError, solve
from hrm_envs.sudoku.symmetry import class_key, random_symmetry
from hrm_envs.sudoku.verifier import lawful
from hrm_envs.task import PuzzleBatch, Task, Verdict

if TYPE_CHECKING:
    from hrm_envs.rendering.board import Board

#: Empty cells that no puzzle with one solution exceeds: the fewest clues are 4, 8 and 17 (McGuire et al.
#: 2014 for 9x9).
MAX_EMPTY_CELLS: dict[int, int] = {4: 12, 6: 28, 9: 64}

#: Empty cells unless told otherwise. Random digging ends between 10 and 12 on 4x4, 24 and 28 on 6x6, 53 and
#: 60 on 9x9.
DEFAULT_EMPTY_CELLS: dict[int, Range] = {4: (4, 11), 6: (8, 24), 9: (20, 35)}

#: Puzzles of the train split unless told otherwise: as many as are made in about two seconds.
DEFAULT_TRAIN_PUZZLES: dict[int, int] = {4: 10_000, 6: 10_000, 9: 4000}

#: Levels of 9x9: empty cells, guess counts, and the puzzles of each split (harder ones take longer to make).
LEVELS: dict[str, tuple[Range, Range, dict[str, int]]] = {
    "singles": ((45, 54), (0, 0), {"train": 1000, "test": 1000}),
    "easy": ((50, 54), (1, 3), {"train": 1000, "test": 250}),
    "medium": ((52, 56), (4, 9), {"train": 500, "test": 50}),
    "hard": ((54, 56), (10, 1000), {"train": 100, "test": 20}),
}

#: Puzzles that come out of the generator in one go, at most.
_BATCH = 1024
#: Sampling gives up after this many batches in a row without a puzzle in range.
_MAX_BARREN_BATCHES = 8


class SudokuTask(Task):
    """Sudoku puzzles with one solution each.

    Tokens: 0 padding, 1 blank, ``digit + 1`` a digit; ``V = size + 2``. Difficulty is the *guess count* of
    :func:`hrm_envs.sudoku.solver.solve`: how often a solver that infers naked and hidden singles has to
    branch to prove the solution unique. Clue counts say little about it.

    Args:
        size: digits: 4 (2x2 boxes), 6 (boxes of 2 rows and 3 columns) or 9 (3x3).
        level: a named difficulty of 9x9, see below. None draws by ``empty_cells`` alone.
        empty_cells: inclusive range of blanks; each puzzle draws its own number, uniformly. Overrides the
            level's.
        difficulty: inclusive range of guess counts. Overrides the level's. None takes any puzzle.
        score: what earns partial credit. ``"solution"``: blanks filled as in the solution. ``"rules"``: cells that
            break no rule, which needs no solution, see :func:`.verifier.lawful`.

    The levels, with the mean guess count of a sample and the time to make 1000 puzzles on one CPU core:

    ========= =========== ============= ===== ============
    level     empty cells guess count   mean  s per 1000
    ========= =========== ============= ===== ============
    (none)    20 to 35    any           0.0   0.7
    singles   45 to 54    0             0     2.5
    easy      50 to 54    1 to 3        1.5   19
    medium    52 to 56    4 to 9        4.9   100
    hard      54 to 56    10 to 1000    12.0  490
    ========= =========== ============= ===== ============

    For comparison, the Sudoku-Extreme training set of the HRM paper has 56 empty cells and a mean of 109
    (median 80) by the same count.

    Raises:
        ValueError: unknown size or level, or a range that no puzzle can meet.
    """

    def __init__(
        self,
        size: int = 9,
        level: str | None = None,
        empty_cells: Range | None = None,
        difficulty: Range | None = None,
        score: Literal["solution", "rules"] = "solution",
    ) -> None:
        size = whole_number("size", size)
        self.board = geometry(size)
        choice("score", score, ("solution", "rules"))
        self.grades_without_solution = score == "rules"
        level_empty, level_difficulty = DEFAULT_EMPTY_CELLS[size], None
        self.default_num_puzzles = {"train": DEFAULT_TRAIN_PUZZLES[size], "test": 1000}
        if level is not None:
            choice("level", level, tuple(LEVELS))
            if size != 9:
                raise ValueError(f"levels are for size 9, not {size}: use empty_cells and difficulty instead")
            level_empty, level_difficulty, default_num = LEVELS[level]
            self.default_num_puzzles = dict(default_num)
        self.empty_cells = checked_range("empty_cells", empty_cells, MAX_EMPTY_CELLS[size]) or level_empty
        self.difficulty = checked_range("difficulty", difficulty, MAX_GUESSES) or level_difficulty
        self.spec = TaskSpec(f"Sudoku {size}x{size}", (size, size), self.board.symbols)

        powers = np.zeros(256, np.float32)
        powers[2 : size + 2] = 2.0 ** np.arange(size)
        self._powers = powers
        membership = np.zeros((self.board.num_cells, 3 * size), np.float32)
        np.put_along_axis(membership, self.board.units.T, 1, axis=0)
        self._membership = membership

    def sample(self, rng: np.random.Generator, num: int) -> PuzzleBatch:
        """Draw ``num`` puzzles.

        Raises:
            ValueError: a long run of tries brought no puzzle with as many empty cells and guesses as asked
            for.
        """
        found: list[PuzzleBatch] = []
        missing, barren, tries = num, 0, min(_BATCH, num)
        while missing > 0:
            batch = generate(self.board, rng, tries, self.empty_cells, self.difficulty)
            found.append(batch.take(slice(0, missing)))
            missing -= len(found[-1])
            barren = 0 if len(batch) else barren + 1
            if barren == _MAX_BARREN_BATCHES:
                raise ValueError(
                    f"{self.spec.name}: no puzzle with empty_cells={self.empty_cells} and "
                    f"difficulty={self.difficulty} in {barren} batches: widen the ranges"
                )
            # The next round tries as many as this round's share of hits suggests.
            share = max(len(batch) / tries, 1 / 16)
            tries = min(_BATCH, max(32, int(missing / share)))
        return PuzzleBatch.concatenate(found)

    def verify(self, batch: PuzzleBatch, answer: Tokens) -> Verdict:
        """Judge answers: success if the givens are kept and every row, column and box holds each digit once.

        The score is the share of right cells among the blanks and the givens that were changed (a changed
        given is wrong): without changed givens, the share of blanks that equal the solution. A puzzle
        without blanks scores 1 if it is left alone and 0 otherwise. With ``score="rules"`` it is the share of all
        cells that break no rule.
        """
        # Digit d counts 2**(d - 1), anything else 0: n cells add up to 2**n - 1 only if they hold n digits.
        units = self._powers.take(answer) @ self._membership
        complete = (units == np.float32(self.board.full_mask)).all(axis=1)
        blank = batch.puzzle == BLANK
        asked = blank | (answer != batch.puzzle)
        success = complete & (asked == blank).all(axis=1)
        if self.grades_without_solution:
            return Verdict(success, lawful(self.board, batch.puzzle, answer).mean(axis=1, dtype=np.float32))
        right = blank & (answer == batch.solution)
        num_asked = asked.view(np.uint8).sum(axis=1, dtype=np.uint8)
        num_right = right.view(np.uint8).sum(axis=1, dtype=np.uint8)
        score = num_right / np.maximum(num_asked, 1).astype(np.float32)
        score[success] = 1.0
        return Verdict(success, score)

    def augment(self, batch: PuzzleBatch, draws: Draws) -> PuzzleBatch:
        """A random symmetric copy of each row, see :func:`.symmetry.random_symmetry`."""
        withheld = (batch.solution == PAD).all(axis=1)
        if not withheld.any():
            return random_symmetry(self.board, batch, draws)
        # The givens move with the solution, so where there is none they stand in for it.
        stand_in = np.where(withheld[:, None], batch.puzzle, batch.solution)
        moved = random_symmetry(self.board, replace(batch, solution=stand_in), draws)
        return replace(moved, solution=np.where(withheld[:, None], np.uint8(PAD), moved.solution))

    def symmetry_key(self, puzzle: Tokens) -> NDArray[np.uint64]:
        """A number ``[B]`` that all symmetric copies of a puzzle share; see :func:`.symmetry.class_key`."""
        return class_key(self.board, puzzle)

    @property
    def answer_tokens(self) -> Tokens:
        """The digits."""
        return np.arange(BLANK + 1, BLANK + 1 + self.board.size, dtype=np.uint8)

    def editable(self, puzzle: Tokens) -> NDArray[np.bool_]:
        """The blanks."""
        return puzzle == BLANK

    def complete(self, puzzle: Tokens) -> PuzzleBatch:
        """Check puzzles (``[B, S]`` or one ``[S]``) that came from outside and solve them.

        Raises:
            ValueError: wrong width, a token that is neither blank nor digit, givens that clash, no solution,
                several, or none found in 50,000 guesses, which is far more than any known puzzle takes. The text
                names the puzzle (where there are several) and the cell or reason.
        """
        rows = np.atleast_2d(np.asarray(puzzle))
        cells, size = self.board.num_cells, self.board.size
        if rows.ndim != 2 or rows.shape[1] != cells:
            raise ValueError(f"{self.spec.name} puzzles have {cells} cells, not {list(np.shape(puzzle))}")
        if not np.issubdtype(rows.dtype, np.integer):
            raise ValueError(f"a {self.spec.name} puzzle holds integer tokens, not {rows.dtype}")
        where = [f"puzzle {i}: " if len(rows) > 1 else "" for i in range(len(rows))]
        for i, cell in np.argwhere((rows < BLANK) | (rows > size + 1)):
            raise ValueError(
                f"{where[i]}{cell_name(cell, size)} holds token {rows[i, cell]}; "
                f"expected {BLANK} (blank) or 2 to {size + 1} (digit + 1)"
            )
        for i, row in enumerate(rows):
            same = (row[:, None] == row) & self.board.peers & (row != BLANK)
            for first, second in np.argwhere(same):
                pair = f"{cell_name(first, size)} and {cell_name(second, size)}"
                raise ValueError(f"{where[i]}{pair} both hold {row[first] - 1}")
        tokens = rows.astype(np.uint8)
        try:
            result = solve(self.board, tokens, most_guesses=MOST_GUESSES)
        except SearchTooLongError as error:
            raise ValueError(
                f"{where[error.row]}the search for its solution was given up after {error.guesses:,} guesses: "
                "give the solution beside it, or a puzzle with more givens"
            ) from error
        for i in np.flatnonzero(~result.is_unique):
            what = "several solutions" if result.count[i] else "no solution"
            raise ValueError(f"{where[i]}the puzzle has {what}")
        return PuzzleBatch(tokens, result.solution)

    def parse(self, text: str) -> Tokens:
        """Read puzzles from text, uint8 ``[N, S]``; see :func:`hrm_envs.sudoku.formats.parse_boards`."""
        return parse_boards(text, self.board.size)

    def format(self, tokens: Tokens) -> str:
        """One board as a grid of digits with its boxes set apart; :meth:`parse` reads it back."""
        return format_grid(tokens)

    def mark(self, batch: PuzzleBatch, answer: Tokens) -> NDArray[np.uint8]:
        """As :meth:`.Task.mark`; with ``score="rules"`` a cell is right where it breaks no rule."""
        if not self.grades_without_solution:
            return super().mark(batch, answer)
        asked = (batch.puzzle == BLANK) | (answer != batch.puzzle)
        marks = np.where(lawful(self.board, batch.puzzle, answer), MARK_RIGHT, MARK_WRONG)
        return np.where(asked & (answer != PAD), marks, MARK_NONE).astype(np.uint8)

    def draw(self, board: Board) -> None:
        """Paint boxes, digits and marks; see :func:`hrm_envs.sudoku.drawing.draw_sudoku`."""
        from hrm_envs.sudoku.drawing import draw_sudoku

        draw_sudoku(board, self.board.size, self.board.box_shape)


def checked_range(name: str, value: Range | None, limit: int) -> Range | None:
    """A range given by the user, as a tuple of two integers; None stays None.

    Args:
        name: what to call it in an error.
        value: two integers, both bounds inclusive.
        limit: the largest value that makes sense.

    Raises:
        ValueError: it is not two integers, or not ``0 <= low <= high <= limit``.
    """
    if value is None:
        return None
    is_row = value.ndim == 1 if isinstance(value, np.ndarray) else isinstance(value, tuple | list)
    if not is_row or len(value) != 2:
        raise ValueError(f"{name} must be two integers (low, high), not {shown(value)}")
    low, high = (whole_number(name, end, 0, limit) for end in value)
    if low > high:
        raise ValueError(f"{name}={(low, high)} must meet low <= high")
    return low, high
