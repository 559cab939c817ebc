"""Search for hard Sudoku puzzles: pools of puzzles that climb, step by step, to higher guess counts.

Random puzzles are easy: even without a needless clue the solver proves most of them unique with a few guesses.
Hard ones are found near other hard ones. So a step takes one to three clues away from a puzzle, puts others in
their place until the solution is unique again, and drops the clues that became needless; the result replaces the
puzzle if it is harder.

A *line* is a random puzzle and everything that descends from it. A pool is a set of lines that never mix; all that
lines of a pool share is that the easier half of them is given up now and then, for the others to get more tries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrm_envs.spec import Tokens
from hrm_envs.sudoku.generator import dig, random_grids
from hrm_envs.sudoku.geometry import BLANK, SudokuGeometry
from hrm_envs.sudoku.solver import candidate_masks, search, solve

#: Share of empty cells to dig before needless clues are dropped: beyond this, digging is slow.
_DUG_SHARE = 2 / 3
#: How often 1, 2 or 3 clues are taken away. One is cheapest per harder puzzle, but its neighbourhood is small.
_DROP_SHARES = (0.75, 0.2, 0.05)
#: How often as many clues come back; otherwise there is one more, and some others become needless.
_SAME_NUMBER = 0.75
#: Changes that leave more solutions than this are passed over: listing them costs more than another try.
_MAX_SOLUTIONS = 64
#: Neighbours rated per puzzle and step, at most.
_MAX_NEIGHBOURS = 24
#: After so many steps the easier half of the lines is given up.
_HALVINGS = (4, 8, 14)


@dataclass(frozen=True)
class Found:
    """What a pool came by: puzzles with one solution each and no needless clue."""

    #: uint8 ``[B, S]``, tokens.
    puzzle: Tokens
    #: uint8 ``[B, S]``, tokens.
    solution: Tokens
    #: int32 ``[B]``, guess counts.
    guesses: NDArray[np.int32]
    #: int64 ``[B]``, the line of the pool that each belongs to.
    line: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.puzzle)

    def take(self, index: NDArray[np.int64]) -> Found:
        """The rows that ``index`` selects."""
        return Found(self.puzzle[index], self.solution[index], self.guesses[index], self.line[index])

    @staticmethod
    def concatenate(parts: list[Found]) -> Found:
        """All rows, in order."""
        return Found(
            np.concatenate([part.puzzle for part in parts]),
            np.concatenate([part.solution for part in parts]),
            np.concatenate([part.guesses for part in parts]),
            np.concatenate([part.line for part in parts]),
        )


class Pool:
    """Lines that climb to higher guess counts.

    Args:
        board: the geometry.
        rng: the source of all randomness: the same generator state gives the same puzzles.
        lines: random puzzles to start from.
    """

    def __init__(self, board: SudokuGeometry, rng: np.random.Generator, lines: int) -> None:
        self.board, self.rng = board, rng
        grids = random_grids(board, rng, lines)
        dug, _ = dig(board, rng, grids, np.full(lines, int(board.num_cells * _DUG_SHARE)))
        #: The hardest puzzle of each line that is still climbing.
        self.best = self._rated(minimise(board, rng, dug), np.arange(lines))
        #: Everything found so far, of all lines.
        self.found = self.best
        self.steps = 0
        self._width = lines

    def halve(self) -> None:
        """Give the easier half of the lines up."""
        order = (-self.best.guesses).argsort(kind="stable")
        self.best = self.best.take(np.sort(order[: (len(order) + 1) // 2]))

    def step(self, runners_up: int = 0) -> None:
        """Try neighbours of every line's best puzzle, and move each line to its hardest one if that is harder.

        Args:
            runners_up: how many more of the neighbours of each best puzzle to keep among those found, the hardest
                ones, as long as they need at least half as many guesses as it.
        """
        if self.steps in _HALVINGS:
            self.halve()
        self.steps += 1
        tried = np.repeat(np.arange(len(self.best)), max(1, self._width // len(self.best)))
        children, parent = neighbours(self.board, self.rng, self.best.puzzle[tried], self.best.solution[tried])
        row = tried[parent]
        guesses = solve(self.board, children).guesses
        order = np.lexsort((guesses, row))
        # How many children of the same row are harder.
        place = np.searchsorted(row[order], row[order], side="right") - 1 - np.arange(len(row))
        old = self.best.guesses[row[order]]
        hardest = order[(place == 0) & (guesses[order] > old)]
        close = order[(place <= runners_up) & (2 * guesses[order] >= old)] if runners_up else hardest
        if not len(close):
            return
        row = row[close]
        new = self._rated(minimise(self.board, self.rng, children[close]), self.best.line[row])
        # Dropping a clue can change the order in which the solver guesses, and with it the count.
        harder = new.guesses > self.best.guesses[row]
        self.found = Found.concatenate([self.found, new if runners_up else new.take(np.flatnonzero(harder))])
        everything, lines = Found.concatenate([self.best, new]), np.arange(len(self.best))
        owner = np.append(lines, row)
        # By line, then guess count; of equally hard ones the first is last.
        order = np.lexsort((-np.arange(len(owner)), everything.guesses, owner))
        self.best = everything.take(order[np.searchsorted(owner[order], lines, side="right") - 1])

    def _rated(self, puzzle: Tokens, line: NDArray[np.int64]) -> Found:
        result = solve(self.board, puzzle)
        return Found(puzzle, result.solution, result.guesses, line)


def minimise(board: SudokuGeometry, rng: np.random.Generator, puzzle: Tokens) -> Tokens:
    """Drop needless clues in random order: uint8 ``[B, S]``, puzzles in which every clue is needed.

    Args:
        board: the geometry.
        rng: draws the order.
        puzzle: puzzles uint8 ``[B, S]`` with one solution each.
    """
    puzzle = puzzle.copy()
    row, cell = np.nonzero(puzzle != BLANK)
    order = rng.permutation(len(row))
    row, cell = row[order], cell[order]
    while row.size:
        # A clue is needless if nothing else fits in its cell. One that is needed stays so when others go, so
        # only the needless ones are looked at again, after the first of each puzzle is gone.
        masks = candidate_masks(board, puzzle[row])
        at = np.arange(len(row))
        masks[cell, at] ^= np.uint16(board.full_mask)
        _, needed, _ = search(board, masks, limit=1)
        needless = np.ones(len(row), np.bool_)
        needless[needed] = False
        row, cell = row[needless], cell[needless]
        _, first = np.unique(row, return_index=True)
        puzzle[row[first], cell[first]] = BLANK
        row, cell = np.delete(row, first), np.delete(cell, first)
    return puzzle


def neighbours(
    board: SudokuGeometry, rng: np.random.Generator, puzzle: Tokens, solution: Tokens
) -> tuple[Tokens, NDArray[np.int64]]:
    """Puzzles with one solution each, near others: one to three clues replaced by as many, or by one more.

    All clues but the last come from the puzzle's own solution. The last one is any clue of which the list of the
    solutions that are left says that it holds in one of them only: so the new puzzle may have another solution.

    Args:
        board: the geometry.
        rng: the source of all randomness.
        puzzle: puzzles uint8 ``[B, S]`` with one solution each.
        solution: their solutions uint8 ``[B, S]``.

    Returns:
        uint8 ``[C, S]``, the neighbours, and int64 ``[C]``, the row each came from; none for some rows.
    """
    changed = _exchange(rng, puzzle, solution)
    _, owner, found = search(board, candidate_masks(board, changed), _MAX_SOLUTIONS)
    order = owner.argsort(kind="stable")
    begin = np.searchsorted(owner[order], np.arange(len(puzzle) + 1))
    places = np.arange(board.num_cells) * board.vocab_size
    children, parents = [], []
    for i, row in enumerate(changed):
        solutions = found[order[begin[i] : begin[i + 1]]]
        if not 1 < len(solutions) < _MAX_SOLUTIONS:
            continue
        times = np.bincount((places + solutions).ravel(), minlength=board.num_cells * board.vocab_size)
        for choice in rng.permutation(np.flatnonzero(times == 1))[:_MAX_NEIGHBOURS]:
            cell, token = divmod(int(choice), board.vocab_size)
            if token == puzzle[i, cell]:
                continue  # the puzzle itself, or one with its clues and a needless one
            child = row.copy()
            child[cell] = token
            children.append(child)
            parents.append(i)
    return np.array(children, np.uint8).reshape(-1, board.num_cells), np.array(parents, np.int64)


def _exchange(rng: np.random.Generator, puzzle: Tokens, solution: Tokens) -> Tokens:
    """Take one to three clues away and put others of the solution back, as many or one less: uint8 ``[B, S]``."""
    num = len(puzzle)
    drop = rng.choice([1, 2, 3], size=num, p=_DROP_SHARES)
    put = drop - (rng.random(num) < _SAME_NUMBER)
    given = puzzle != BLANK
    luck = rng.random(puzzle.shape)
    # The rank of each cell among the clues, and among the blanks, in a random order.
    clue_rank = np.where(given, luck, 2).argsort(axis=1).argsort(axis=1)
    blank_rank = np.where(given, 2, luck).argsort(axis=1).argsort(axis=1)
    changed = np.where(blank_rank < put[:, None], solution, puzzle)
    return np.where(clue_rank < drop[:, None], BLANK, changed).astype(np.uint8)
