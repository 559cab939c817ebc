"""Hard 9x9 Sudoku: a fixed collection of puzzles, found by search and included in the package."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hrm_envs.limits import MAX_GUESSES
from hrm_envs.puzzles.splits import HELD_OUT_SHARE
from hrm_envs.sudoku.generator import Range
from hrm_envs.sudoku.task import SudokuTask, checked_range
from hrm_envs.task import STORED_SPLITS, PuzzleBatch, StoredSplit, Task

#: Written by ``python -m hrm_envs.sudoku.build_dataset``, which documents its arrays.
DATA_FILE = Path(__file__).parent / "data" / "extreme.npz"


@dataclass(frozen=True, eq=False)
class Collection:
    """The puzzles of one split, as read-only arrays that all callers share."""

    #: Puzzles and solutions, uint8 ``[B, 81]`` each.
    batch: PuzzleBatch
    #: int32 ``[B]``, guess counts of :func:`hrm_envs.sudoku.solver.solve`.
    guesses: NDArray[np.int32]
    #: int32 ``[B]``, equal for puzzles that descend from the same random puzzle.
    line: NDArray[np.int32]


@cache
def load_collection(split: StoredSplit) -> Collection:
    """The puzzles of a split, read once per process.

    Validation puzzles are those of every eighth line of the training puzzles in the file.
    """
    part = "test" if split == "test" else "train"
    with np.load(DATA_FILE, allow_pickle=False) as data:
        puzzle, solution, guesses, line = (data[f"{part}_{name}"] for name in ("puzzle", "solution", "guesses", "line"))
    if split != "test":
        # Puzzles of a line are alike: they go into a split together.
        chosen = (line % HELD_OUT_SHARE == 1) == (split == "validation")
        puzzle, solution, guesses, line = (array[chosen] for array in (puzzle, solution, guesses, line))
    for array in (puzzle, solution, guesses, line):
        array.flags.writeable = False
    return Collection(PuzzleBatch(puzzle, solution), guesses, line)


class SudokuExtremeTask(SudokuTask):
    """Hard minimal 9x9 puzzles with a unique solution: a fixed collection of 1020 for testing and 1020 for the rest.

    This package found them with ``python -m hrm_envs.sudoku.build_dataset``, a hill climbing that starts from random
    puzzles, replaces clues and keeps changes that make the solver guess more often. A quarter of the puzzles are easy,
    as in the official set. At most 8 puzzles descend from the same random puzzle (they often differ in only a few
    clues), and these are all in one split: 882 puzzles are for training and 138 for validation. All symmetry classes
    are distinct.

    Comparison with 1000 puzzles of the official Sudoku-Extreme training set, rated by the same solver:

    ================================= ============== ============== ==============
    .                                 train + valid. test           official train
    ================================= ============== ============== ==============
    guess count: mean                 65.8           79.5           108.9
    guess count: median               51             52             80
    guess count: 10 to 90%            2 to 158       2 to 179       0 to 245
    guess count: most                 544            1590           1380
    share with at most 5 guesses      22%            23%            26%
    clues: mean, 10 to 90%            23.4, 22 to 25 23.4, 22 to 25 25.2, 23 to 27
    ================================= ============== ============== ==============

    Tokens, verifier and symmetries are those of :class:`SudokuTask`. To play the official puzzles, use the
    environment's keyword ``puzzles``.

    Args:
        difficulty: inclusive range of guess counts, which selects puzzles, also those of the keyword ``puzzles``. None
            plays all.

    Raises:
        ValueError: the range is invalid or contains no puzzle.
    """

    def __init__(self, difficulty: Range | None = None) -> None:
        super().__init__(size=9)
        self.difficulty = checked_range("difficulty", difficulty, MAX_GUESSES)
        self.spec = replace(self.spec, name="Sudoku Extreme")
        if self.difficulty is not None and not any(len(self._rows(split)) for split in STORED_SPLITS):
            counts = {split: load_collection(split).guesses for split in STORED_SPLITS}
            spans = " and ".join(f"{found.min()} to {found.max()} ({split})" for split, found in counts.items())
            low, high = self.difficulty
            known = np.concatenate(list(counts.values())).astype(np.float64)
            nearest = int(known[np.maximum(low - known, known - high).argmin()])
            raise ValueError(
                f"difficulty={self.difficulty}: {self.spec.name} has no puzzle with so many guesses; "
                f"guess counts range from {spans}, the nearest is {nearest}"
            )

    def stored(self, split: StoredSplit) -> PuzzleBatch:
        """The puzzles of a split within the difficulty range; possibly none."""
        return load_collection(split).batch.take(self._rows(split))

    #: Draws from the stored puzzles.
    sample = Task.sample

    def _rows(self, split: StoredSplit) -> NDArray[np.intp]:
        """Indices of the puzzles of a split within the difficulty range."""
        low, high = self.difficulty or (0, np.iinfo(np.int32).max)
        guesses = load_collection(split).guesses
        return np.flatnonzero((low <= guesses) & (guesses <= high))
