"""The Sudoku task: fill the blanks so that every row, column and box holds each digit once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import choice, shown, whole_number
from hrm_envs.limits import MAX_GUESSES
from hrm_envs.spec import MARK_NONE, MARK_RIGHT, MARK_WRONG, PAD, TaskSpec, Tokens
from hrm_envs.streams import Draws
from hrm_envs.sudoku.formats import character_tokens, format_grid
from hrm_envs.sudoku.generator import Range, generate
from hrm_envs.sudoku.layout import BLANK, cell_name, layout_for
from hrm_envs.sudoku.numbers import digits_to_tokens
from hrm_envs.sudoku.reading import read_grids
from hrm_envs.sudoku.solver import MOST_GUESSES, SearchTooLongError, solve
from hrm_envs.sudoku.symmetry import class_key, random_symmetry
from hrm_envs.sudoku.verifier import legal_cells, verify_grids
from hrm_envs.task import PuzzleBatch, Reading, Task, Verdict

if TYPE_CHECKING:
    from hrm_envs.rendering.board import Board

#: Maximum number of empty cells with a unique solution: the minimum number of clues is 4, 8 and 17 (McGuire et al.
#: 2014 for 9x9); 32 and 55 are the fewest known for 12x12 and 16x16.
MAX_EMPTY_CELLS: dict[int, int] = {4: 12, 6: 28, 9: 64, 12: 112, 16: 201}

#: Default range of empty cells. Random digging ends at 10 to 12 on 4x4, 24 to 28 on 6x6 and 53 to 60 on 9x9.
DEFAULT_EMPTY_CELLS: dict[int, Range] = {4: (4, 11), 6: (8, 24), 9: (20, 35), 12: (30, 60), 16: (50, 100)}

#: Default number of puzzles of the train split, which takes about two seconds to generate (20 to 60 on 12x12, 16x16).
DEFAULT_TRAIN_PUZZLES: dict[int, int] = {4: 10_000, 6: 10_000, 9: 4000, 12: 1000, 16: 500}

#: Levels of 9x9: empty cells, guess counts, and number of puzzles by split (harder ones take longer to generate).
LEVELS: dict[str, tuple[Range, Range, dict[str, int]]] = {
    "singles": ((45, 54), (0, 0), {"train": 1000, "test": 1000}),
    "easy": ((50, 54), (1, 3), {"train": 1000, "test": 250}),
    "medium": ((52, 56), (4, 9), {"train": 500, "test": 50}),
    "hard": ((54, 56), (10, 1000), {"train": 100, "test": 20}),
}

#: Maximum number of puzzles per call of the generator.
_BATCH = 4096
#: Sampling stops after this many consecutive batches without a puzzle in range.
_MAX_BARREN_BATCHES = 8


class SudokuTask(Task):
    """Sudoku puzzles with a unique solution.

    Tokens: 0 padding, 1 blank, ``digit + 1`` a digit; ``V = size + 2``. Difficulty is the *guess count* of
    :func:`hrm_envs.sudoku.solver.solve`: how often a solver that infers naked and hidden singles must branch to prove
    the solution unique. The number of clues says little about difficulty.

    Args:
        size: number of digits: 4 (2x2 boxes), 6 (2 rows and 3 columns), 9 (3x3), 12 (3 rows and 4 columns) or 16 (4x4).
        level: a named difficulty for 9x9, see below. None uses only ``empty_cells``. These three also choose among
            the puzzles of the environment's keyword ``puzzles``.
        empty_cells: inclusive range of the number of blanks, drawn uniformly for each puzzle. Overrides the level.
        difficulty: inclusive range of guess counts. Overrides the level. None accepts any puzzle.
        score: the cells that earn partial credit: ``"solution"``, blanks that equal the solution; ``"rules"``, cells
            that break no rule, which needs no solution (see :func:`.verifier.legal_cells`).

    The levels, with the mean guess count of a sample and the time to generate 1000 puzzles on one CPU core:

    ========= =========== ============= ===== ============
    level     empty cells guess count   mean  s per 1000
    ========= =========== ============= ===== ============
    (none)    20 to 35    any           0.0   0.7
    singles   45 to 54    0             0     2.5
    easy      50 to 54    1 to 3        1.5   19
    medium    52 to 56    4 to 9        4.9   100
    hard      54 to 56    10 to 1000    12.0  490
    ========= =========== ============= ===== ============

    For comparison, the Sudoku-Extreme training set of the HRM paper has 56 empty cells and a mean guess count of 109
    (median 80).

    Raises:
        ValueError: unknown size, level or score, or a range that no puzzle can satisfy.
    """

    chosen_by = ("level", "empty_cells", "difficulty")

    def __init__(
        self,
        size: int = 9,
        level: str | None = None,
        empty_cells: Range | None = None,
        difficulty: Range | None = None,
        score: Literal["solution", "rules"] = "solution",
    ) -> None:
        size = whole_number("size", size)
        self.layout = layout_for(size)
        choice("score", score, ("solution", "rules"))
        self.grades_without_solution = score == "rules"
        level_empty, level_difficulty = DEFAULT_EMPTY_CELLS[size], None
        train = DEFAULT_TRAIN_PUZZLES[size]
        self.default_num_puzzles = {"train": train, "test": min(1000, train)}
        if level is not None:
            choice("level", level, tuple(LEVELS))
            if size != 9:
                raise ValueError(f"levels are for size 9, not {size}: use empty_cells and difficulty instead")
            level_empty, level_difficulty, default_num = LEVELS[level]
            self.default_num_puzzles = dict(default_num)
        self.empty_cells = checked_range("empty_cells", empty_cells, MAX_EMPTY_CELLS[size]) or level_empty
        self.difficulty = checked_range("difficulty", difficulty, MAX_GUESSES) or level_difficulty
        self._asks_for_empty_cells = level is not None or empty_cells is not None
        self.spec = TaskSpec(f"Sudoku {size}x{size}", (size, size), self.layout.symbols)

    def sample(self, rng: np.random.Generator, num: int) -> PuzzleBatch:
        """Generate ``num`` puzzles.

        Raises:
            ValueError: many consecutive tries gave no puzzle within the ranges of empty cells and guess counts.
        """
        found: list[PuzzleBatch] = []
        missing, barren, tries = num, 0, min(_BATCH, num)
        while missing > 0:
            batch = generate(self.layout, rng, tries, self.empty_cells, self.difficulty)
            found.append(batch.take(slice(0, missing)))
            missing -= len(found[-1])
            barren = 0 if len(batch) else barren + 1
            if barren == _MAX_BARREN_BATCHES:
                raise ValueError(
                    f"{self.spec.name}: no puzzle with empty_cells={self.empty_cells} and "
                    f"difficulty={self.difficulty} in {barren} batches: widen the ranges"
                )
            # The success rate of this round decides how many puzzles the next round tries.
            share = max(len(batch) / tries, 1 / 16)
            tries = min(_BATCH, max(32, int(missing / share)))
        return PuzzleBatch.concatenate(found)

    def verify(self, batch: PuzzleBatch, answer: Tokens) -> Verdict:
        """Grade answers by the rules of Sudoku; see :func:`.verifier.verify_grids`."""
        return verify_grids(self.layout, batch, answer, score_by_rules=self.grades_without_solution)

    def augment(self, batch: PuzzleBatch, draws: Draws) -> PuzzleBatch:
        """A random symmetric copy of each row, see :func:`.symmetry.random_symmetry`."""
        withheld = (batch.solution == PAD).all(axis=1)
        if not withheld.any():
            return random_symmetry(self.layout, batch, draws)
        # The givens move with the solution, so a missing solution is replaced by the puzzle.
        stand_in = np.where(withheld[:, None], batch.puzzle, batch.solution)
        moved = random_symmetry(self.layout, replace(batch, solution=stand_in), draws)
        return replace(moved, solution=np.where(withheld[:, None], np.uint8(PAD), moved.solution))

    def symmetry_key(self, puzzle: Tokens) -> NDArray[np.uint64]:
        """A key uint64 ``[B]`` that all symmetric copies of a puzzle share; see :func:`.symmetry.class_key`."""
        return class_key(self.layout, puzzle)

    @property
    def rules(self) -> str:
        """What a player has to do."""
        rows, columns = self.layout.box_shape
        digits = " ".join(self.spec.symbols[BLANK + 1 :])
        return (
            f"Replace each . so that every row, every column and every box of {rows} rows and {columns} columns holds "
            f"each of {digits} once."
        )

    @property
    def answer_tokens(self) -> Tokens:
        """The digits."""
        return np.arange(BLANK + 1, BLANK + 1 + self.layout.size, dtype=np.uint8)

    def editable(self, puzzle: Tokens) -> NDArray[np.bool_]:
        """The blanks."""
        return puzzle == BLANK

    def complete(self, puzzle: Tokens) -> PuzzleBatch:
        """Check and solve a user's puzzles (``[B, S]`` or one ``[S]``).

        Raises:
            ValueError: wrong number of cells, a token that is neither blank nor digit, conflicting givens, no
                solution, several solutions, or none found within 50,000 guesses, far more than any known puzzle takes.
                The message names the puzzle (if there are several) and the cell or reason.
        """
        rows = np.atleast_2d(np.asarray(puzzle))
        cells, size = self.layout.num_cells, self.layout.size
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
            same = (row[:, None] == row) & self.layout.peers & (row != BLANK)
            for first, second in np.argwhere(same):
                pair = f"{cell_name(first, size)} and {cell_name(second, size)}"
                raise ValueError(f"{where[i]}{pair} both hold {row[first] - 1}")
        tokens = rows.astype(np.uint8)
        try:
            result = solve(self.layout, tokens, most_guesses=MOST_GUESSES)
        except SearchTooLongError as error:
            raise ValueError(
                f"{where[error.row]}no solution found within {error.guesses:,} guesses: pass the solution too, or a "
                "puzzle with more givens"
            ) from error
        for i in np.flatnonzero(~result.is_unique):
            what = "several solutions" if result.count[i] else "no solution"
            raise ValueError(f"{where[i]}the puzzle has {what}")
        return PuzzleBatch(tokens, result.solution)

    def chosen(self, batch: PuzzleBatch) -> NDArray[np.bool_]:
        """Which puzzles are in the ranges of empty cells and guess counts that were asked for, bool ``[B]``."""
        found = np.ones(len(batch), np.bool_)
        if self._asks_for_empty_cells:
            found &= _within((batch.puzzle == BLANK).sum(axis=1), self.empty_cells)
        if self.difficulty is not None:
            found[found] = _within(solve(self.layout, batch.puzzle[found]).guesses, self.difficulty)
        return found

    def parse(self, text: str) -> Tokens:
        """Read puzzles from text, uint8 ``[N, S]``; see :func:`hrm_envs.sudoku.reading.read_grids`."""
        return self.read(text).puzzle

    def read(self, text: str) -> Reading:
        """Read puzzles from text, with solutions if it has them; see :func:`hrm_envs.sudoku.reading.read_grids`."""
        return read_grids(text, self.layout, self.character_tokens)

    @property
    def character_tokens(self) -> Mapping[str, int]:
        """Digits, and the characters for a blank."""
        return character_tokens(self.layout.size)

    def from_numbers(
        self, puzzle: NDArray[Any], solution: NDArray[Any] | None, fields: Mapping[str, Any]
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Tokens from tokens or from digits with 0 for a blank; see :func:`.numbers.digits_to_tokens`."""
        return digits_to_tokens(self.layout, puzzle, solution)

    def format(self, tokens: Tokens) -> str:
        """One grid of digits with separators between the boxes, which :meth:`parse` reads back."""
        return format_grid(tokens)

    def mark(self, batch: PuzzleBatch, answer: Tokens) -> NDArray[np.uint8]:
        """As :meth:`.Task.mark`; with ``score="rules"``, a cell is right if it breaks no rule."""
        if not self.grades_without_solution:
            return super().mark(batch, answer)
        asked = (batch.puzzle == BLANK) | (answer != batch.puzzle)
        marks = np.where(legal_cells(self.layout, batch.puzzle, answer), MARK_RIGHT, MARK_WRONG)
        return np.where(asked & (answer != PAD), marks, MARK_NONE).astype(np.uint8)

    def draw(self, board: Board) -> None:
        """Draw boxes, digits and marks; see :func:`hrm_envs.sudoku.drawing.draw_sudoku`."""
        from hrm_envs.sudoku.drawing import draw_sudoku

        draw_sudoku(board, self.layout.size, self.layout.box_shape)


def _within(numbers: NDArray[np.integer], bounds: Range) -> NDArray[np.bool_]:
    return (bounds[0] <= numbers) & (numbers <= bounds[1])


def checked_range(name: str, value: Range | None, limit: int) -> Range | None:
    """A user's inclusive range as a tuple of two integers; None stays None.

    Args:
        name: argument name for error messages.
        value: two integers.
        limit: the upper bound.

    Raises:
        ValueError: not two integers, or not ``0 <= low <= high <= limit``.
    """
    if value is None:
        return None
    is_row = value.ndim == 1 if isinstance(value, np.ndarray) else isinstance(value, tuple | list)
    if not is_row or len(value) != 2:
        raise ValueError(f"{name} must be two integers (low, high), not {shown(value)}")
    low, high = (whole_number(name, end, 0, limit) for end in value)
    if low > high:
        raise ValueError(f"{name}={(low, high)} must satisfy low <= high")
    return low, high
