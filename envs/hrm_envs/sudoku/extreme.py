"""Hard 9x9 Sudoku: a fixed collection of puzzles, found by search and shipped with the package."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hrm_envs.limits import MAX_GUESSES
from hrm_envs.sudoku.generator import Range
from hrm_envs.sudoku.task import SudokuTask, checked_range
from hrm_envs.task import PuzzleBatch, Task

#: What ``python -m hrm_envs.sudoku.make_extreme`` writes; its layout is said there.
DATA_FILE = Path(__file__).parent / "data" / "extreme.npz"

StoredSplit = Literal["train", "test"]


@dataclass(frozen=True, eq=False)
class Collection:
    """The puzzles of one split. Read-only: they are shared by all who ask."""

    #: Puzzles and solutions, uint8 ``[B, 81]`` each.
    batch: PuzzleBatch
    #: int32 ``[B]``, guess counts, as :func:`hrm_envs.sudoku.solver.solve` gives them.
    guesses: NDArray[np.int32]
    #: int32 ``[B]``, equal for puzzles that descend from the same random puzzle.
    line: NDArray[np.int32]


@cache
def load_collection(split: StoredSplit) -> Collection:
    """The shipped puzzles of a split, read once per process."""
    with np.load(DATA_FILE, allow_pickle=False) as data:
        puzzle, solution, guesses, line = (
            data[f"{split}_{name}"] for name in ("puzzle", "solution", "guesses", "line")
        )
    for array in (puzzle, solution, guesses, line):
        array.flags.writeable = False
    return Collection(PuzzleBatch(puzzle, solution), guesses, line)


class SudokuExtremeTask(SudokuTask):
    """Hard 9x9 puzzles with one solution each and no needless clue: a fixed collection, 1020 to train and to test.

    They are this package's own, found by ``python -m hrm_envs.sudoku.make_extreme``: a search that starts from random
    puzzles, replaces clues and keeps what makes the solver guess more often. A quarter are left easy, as in the
    official set. At most 8 puzzles of a split descend from the same random puzzle (they often differ in a few clues
    only), none does of both splits; all are of distinct symmetry classes.

    Side by side with 1000 puzzles of the official Sudoku-Extreme training set, by the same rater:

    ================================= ============== ============== ==============
    .                                 train          test           official train
    ================================= ============== ============== ==============
    guess count: mean                 65.8           79.5           108.9
    guess count: median               51             52             80
    guess count: 10 to 90%            2 to 158       2 to 179       0 to 245
    guess count: most                 544            1590           1380
    share with at most 5 guesses      22%            23%            26%
    clues: mean, 10 to 90%            23.4, 22 to 25 23.4, 22 to 25 25.2, 23 to 27
    ================================= ============== ============== ==============

    Tokens, verifier and symmetries are those of :class:`SudokuTask`. The official puzzles themselves are played with
    the environment's keyword ``puzzles``.

    Args:
        difficulty: inclusive range of guess counts, to play only the puzzles within. None plays all.

    Raises:
        ValueError: the range is not one, or holds no puzzle.
    """

    def __init__(self, difficulty: Range | None = None) -> None:
        super().__init__(size=9)
        self.difficulty = checked_range("difficulty", difficulty, MAX_GUESSES)
        self.spec = replace(self.spec, name="Sudoku Extreme")
        if self.difficulty is not None and not any(len(self._rows(split)) for split in ("train", "test")):
            counts = {split: load_collection(split).guesses for split in ("train", "test")}
            spans = " and ".join(f"{found.min()} to {found.max()} ({split})" for split, found in counts.items())
            low, high = self.difficulty
            known = np.concatenate(list(counts.values())).astype(np.float64)
            nearest = int(known[np.maximum(low - known, known - high).argmin()])
            raise ValueError(
                f"difficulty={self.difficulty}: {self.spec.name} has no puzzle with so many guesses; "
                f"guess counts go from {spans}, the nearest is {nearest}"
            )

    def stored(self, split: StoredSplit) -> PuzzleBatch:
        """The puzzles of a split within the range of difficulty; may be none."""
        return load_collection(split).batch.take(self._rows(split))

    def sample(self, rng: np.random.Generator, num: int) -> PuzzleBatch:
        """Draw ``num`` of the stored puzzles, of both splits."""
        return Task.sample(self, rng, num)

    def _rows(self, split: StoredSplit) -> NDArray[np.intp]:
        """Which rows of a split's collection are within the range of difficulty."""
        low, high = self.difficulty or (0, np.iinfo(np.int32).max)
        guesses = load_collection(split).guesses
        return np.flatnonzero((low <= guesses) & (guesses <= high))
