"""Hill climbing for hard Sudoku puzzles, by guess count.

Random puzzles are easy: even for minimal ones, the solver usually proves uniqueness with a few guesses. Hard puzzles
lie near other hard puzzles. Each step removes one to three clues of a puzzle, adds others until the solution is unique
again, and removes clues that became redundant. The result replaces the puzzle if it is harder.

A *line* is a random puzzle with all its descendants. A pool is a set of lines that never mix. From time to time, the
easier half of the lines is dropped, so that the others get more tries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrm_envs.spec import Tokens
from hrm_envs.sudoku.generator import dig, random_grids
from hrm_envs.sudoku.layout import BLANK, Layout
from hrm_envs.sudoku.solver import candidate_masks, search, solve

#: Share of empty cells to dig before redundant clues are removed; beyond this, digging is slow.
_DUG_SHARE = 2 / 3
#: Probabilities of removing 1, 2 or 3 clues. One is cheapest per harder puzzle, but its neighbourhood is small.
_DROP_SHARES = (0.75, 0.2, 0.05)
#: Probability of adding as many clues as were removed; otherwise one more, which makes others redundant.
_SAME_NUMBER = 0.75
#: Changes that leave more solutions than this are skipped: listing them costs more than another try.
_MAX_SOLUTIONS = 64
#: Maximum number of neighbours rated per puzzle and step.
_MAX_NEIGHBOURS = 24
#: Numbers of steps after which the easier half of the lines is dropped.
_HALVINGS = (4, 8, 14)


@dataclass(frozen=True)
class Found:
    """Puzzles found by a pool, minimal and with a unique solution."""

    #: uint8 ``[B, S]``, tokens.
    puzzle: Tokens
    #: uint8 ``[B, S]``, tokens.
    solution: Tokens
    #: int32 ``[B]``, guess counts.
    guesses: NDArray[np.int32]
    #: int64 ``[B]``, the line of each puzzle.
    line: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.puzzle)

    def take(self, index: NDArray[np.int64]) -> Found:
        """The rows selected by ``index``."""
        return Found(self.puzzle[index], self.solution[index], self.guesses[index], self.line[index])

    @staticmethod
    def concatenate(parts: list[Found]) -> Found:
        """All rows, in order."""
        arrays = [(part.puzzle, part.solution, part.guesses, part.line) for part in parts]
        return Found(*map(np.concatenate, zip(*arrays, strict=True)))


class Pool:
    """A set of lines that climb to higher guess counts.

    Args:
        layout: rows, columns and boxes.
        rng: random generator; the same state gives the same puzzles.
        lines: number of random puzzles to start from.
    """

    def __init__(self, layout: Layout, rng: np.random.Generator, lines: int) -> None:
        self.layout, self.rng = layout, rng
        grids = random_grids(layout, rng, lines)
        dug, _ = dig(layout, rng, grids, np.full(lines, int(layout.num_cells * _DUG_SHARE)))
        #: The hardest puzzle of each line that is still climbing.
        self.best = self._rated(minimise(layout, rng, dug), np.arange(lines))
        #: All puzzles found so far, of all lines.
        self.found = self.best
        self.steps = 0
        self._width = lines

    def halve(self) -> None:
        """Drop the easier half of the lines."""
        order = (-self.best.guesses).argsort(kind="stable")
        self.best = self.best.take(np.sort(order[: (len(order) + 1) // 2]))

    def step(self, runners_up: int = 0) -> None:
        """Try neighbours of the best puzzle of each line, and replace it with the hardest one if that is harder.

        Args:
            runners_up: number of further neighbours to keep per line, hardest first, if their guess count is at least
                half that of the best puzzle.
        """
        if self.steps in _HALVINGS:
            self.halve()
        self.steps += 1
        tried = np.repeat(np.arange(len(self.best)), max(1, self._width // len(self.best)))
        children, parent = neighbours(self.layout, self.rng, self.best.puzzle[tried], self.best.solution[tried])
        row = tried[parent]
        guesses = solve(self.layout, children).guesses
        order = np.lexsort((guesses, row))
        # Number of harder children of the same row.
        place = np.searchsorted(row[order], row[order], side="right") - 1 - np.arange(len(row))
        old = self.best.guesses[row[order]]
        hardest = order[(place == 0) & (guesses[order] > old)]
        close = order[(place <= runners_up) & (2 * guesses[order] >= old)] if runners_up else hardest
        if not len(close):
            return
        row = row[close]
        new = self._rated(minimise(self.layout, self.rng, children[close]), self.best.line[row])
        # Removing a clue can change the order in which the solver guesses, and so the count.
        harder = new.guesses > self.best.guesses[row]
        self.found = Found.concatenate([self.found, new if runners_up else new.take(np.flatnonzero(harder))])
        everything, lines = Found.concatenate([self.best, new]), np.arange(len(self.best))
        owner = np.append(lines, row)
        # By line, then guess count; among equally hard puzzles, the first comes last.
        order = np.lexsort((-np.arange(len(owner)), everything.guesses, owner))
        self.best = everything.take(order[np.searchsorted(owner[order], lines, side="right") - 1])

    def _rated(self, puzzle: Tokens, line: NDArray[np.int64]) -> Found:
        result = solve(self.layout, puzzle)
        return Found(puzzle, result.solution, result.guesses, line)


def minimise(layout: Layout, rng: np.random.Generator, puzzle: Tokens) -> Tokens:
    """Remove redundant clues in random order: minimal puzzles, uint8 ``[B, S]``.

    Args:
        layout: rows, columns and boxes.
        rng: random generator, which draws the order.
        puzzle: puzzles uint8 ``[B, S]`` with a unique solution.
    """
    puzzle = puzzle.copy()
    row, cell = np.nonzero(puzzle != BLANK)
    order = rng.permutation(len(row))
    row, cell = row[order], cell[order]
    while row.size:
        # A clue is redundant if no other digit fits its cell. Needed clues stay needed when others are removed, so
        # only redundant ones are checked again, after the first of each puzzle is removed.
        masks = candidate_masks(layout, puzzle[row])
        at = np.arange(len(row))
        masks[cell, at] ^= np.uint16(layout.full_mask)
        _, needed, _ = search(layout, masks, limit=1)
        redundant = np.ones(len(row), np.bool_)
        redundant[needed] = False
        row, cell = row[redundant], cell[redundant]
        _, first = np.unique(row, return_index=True)
        puzzle[row[first], cell[first]] = BLANK
        row, cell = np.delete(row, first), np.delete(cell, first)
    return puzzle


def neighbours(
    layout: Layout, rng: np.random.Generator, puzzle: Tokens, solution: Tokens
) -> tuple[Tokens, NDArray[np.int64]]:
    """Neighbours with a unique solution: one to three clues replaced by as many, or by one more.

    All new clues but the last come from the solution of the puzzle. The last is any clue that holds in exactly one of
    the remaining solutions, so the solution of a neighbour may differ.

    Args:
        layout: rows, columns and boxes.
        rng: random generator.
        puzzle: puzzles uint8 ``[B, S]`` with a unique solution.
        solution: their solutions uint8 ``[B, S]``.

    Returns:
        uint8 ``[C, S]``, the neighbours, and int64 ``[C]``, the row that each came from; some rows may have none.
    """
    changed = _exchange(rng, puzzle, solution)
    _, owner, found = search(layout, candidate_masks(layout, changed), _MAX_SOLUTIONS)
    order = owner.argsort(kind="stable")
    begin = np.searchsorted(owner[order], np.arange(len(puzzle) + 1))
    places = np.arange(layout.num_cells) * layout.vocab_size
    children, parents = [], []
    for i, row in enumerate(changed):
        solutions = found[order[begin[i] : begin[i + 1]]]
        if not 1 < len(solutions) < _MAX_SOLUTIONS:
            continue
        times = np.bincount((places + solutions).ravel(), minlength=layout.num_cells * layout.vocab_size)
        for choice in rng.permutation(np.flatnonzero(times == 1))[:_MAX_NEIGHBOURS]:
            cell, token = divmod(int(choice), layout.vocab_size)
            if token == puzzle[i, cell]:
                continue  # the puzzle itself, possibly with one redundant clue
            child = row.copy()
            child[cell] = token
            children.append(child)
            parents.append(i)
    return np.array(children, np.uint8).reshape(-1, layout.num_cells), np.array(parents, np.int64)


def _exchange(rng: np.random.Generator, puzzle: Tokens, solution: Tokens) -> Tokens:
    """Remove one to three clues and add as many others of the solution, or one less: uint8 ``[B, S]``."""
    num = len(puzzle)
    drop = rng.choice([1, 2, 3], size=num, p=_DROP_SHARES)
    put = drop - (rng.random(num) < _SAME_NUMBER)
    given = puzzle != BLANK
    luck = rng.random(puzzle.shape)
    # Random ranks of the cells among the clues, and among the blanks.
    clue_rank = np.where(given, luck, 2).argsort(axis=1).argsort(axis=1)
    blank_rank = np.where(given, 2, luck).argsort(axis=1).argsort(axis=1)
    changed = np.where(blank_rank < put[:, None], solution, puzzle)
    return np.where(clue_rank < drop[:, None], BLANK, changed).astype(np.uint8)
