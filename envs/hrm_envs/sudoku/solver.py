"""A Sudoku solver for many puzzles at once, which also rates them.

A search node is a column of candidate masks: ``masks`` is uint16 ``[S, N]``, cell by node, where bit
``digit - 1`` says that the digit is still possible. Nodes come last so that every step of the inference is a
bitwise operation on long contiguous vectors, for all nodes at once.

The inference is naked singles (a cell with one candidate takes it from its peers) and hidden singles (a digit
with one place left in a unit goes there). Where both are at rest the solver branches on the cell with the
fewest candidates, the first such cell in row-major order, with one child per candidate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrm_envs.spec import Tokens
from hrm_envs.sudoku.geometry import SudokuGeometry

Masks = NDArray[np.uint16]

#: Nodes worked on together: enough to hide numpy's overhead per call, few enough to stay in the L2 cache.
CHUNK = 1024

#: Guesses after which the search for a puzzle from outside is given up: one to three seconds. The hardest of the
#: official Sudoku-Extreme sample takes 1,380, the hardest published puzzle tried 1,870; one without a solution may take
#: millions.
MOST_GUESSES = 50_000
#: Guesses that a batch may take beyond these for each of its puzzles; the mean of Sudoku-Extreme is 109.
_SHARE = 1000

_ONE = np.uint16(1)
_POPCOUNT = np.array([bin(mask).count("1") for mask in range(1 << 9)], np.uint8)


class SearchTooLongError(ValueError):
    """A search was given up.

    Attributes:
        row: the puzzle that took the most guesses.
        guesses: how many.
    """

    def __init__(self, row: int, guesses: int) -> None:
        super().__init__(
            f"the search for the solution of puzzle {row} was given up after {guesses:,} guesses, those of the others "
            "not counted"
        )
        self.row, self.guesses = row, guesses


@dataclass(frozen=True)
class SolverResult:
    """What the solver found, row by row."""

    #: uint8 ``[B]``, solutions found; the search for a puzzle ends when it has ``limit`` of them.
    count: NDArray[np.uint8]
    #: uint8 ``[B, S]``, tokens of a solution; 0 where there is none.
    solution: Tokens
    #: int32 ``[B]``, the guess count: how many nodes the search branched at. For a puzzle with at most one
    #: solution this is the number of inner nodes of its whole search tree, the cost of *proving* the solution
    #: unique, whatever the order of search and the rest of the batch. 0 means solved (or refuted) by singles
    #: alone. Where the search ended early, at ``limit`` solutions, it is the branchings done so far.
    guesses: NDArray[np.int32]

    @property
    def is_unique(self) -> NDArray[np.bool_]:
        """bool ``[B]``, exactly one solution (for ``limit >= 2``)."""
        return self.count == 1


def candidate_masks(board: SudokuGeometry, puzzle: Tokens) -> Masks:
    """The masks uint16 ``[S, B]`` of puzzles uint8 ``[B, S]``: givens have one candidate, other cells all."""
    table = np.full(256, board.full_mask, np.uint16)
    table[2 : board.vocab_size] = _ONE << np.arange(board.size, dtype=np.uint16)
    return table[np.ascontiguousarray(puzzle.T)]


def mask_tokens(masks: Masks) -> Tokens:
    """The tokens uint8 ``[N, S]`` of solved nodes uint16 ``[S, N]``."""
    # The digit of a mask with one bit is the number of bits up to and including it.
    return np.ascontiguousarray((_POPCOUNT[masks - _ONE] + 2).T)


def is_single(masks: Masks) -> NDArray[np.bool_]:
    """Which masks hold at most one candidate (bool, same shape)."""
    return (masks & (masks - _ONE)) == 0


def _infer(board: SudokuGeometry, masks: Masks) -> tuple[Masks, NDArray[np.bool_]]:
    """One round of naked and hidden singles: the new masks ``[S, N]`` and which nodes are refuted ``[N]``."""
    num = masks.shape[1]
    cells = masks.reshape(*board.axes, num)
    decided = np.where(is_single(masks), masks, np.uint16(0)).reshape(cells.shape)
    taken, hidden = np.zeros_like(cells), np.zeros_like(cells)
    # Bits that show a contradiction, gathered over the whole board.
    wrong = np.zeros(num, np.uint16)
    for family in board.families:
        once, fixed = cells[family[0]].copy(), decided[family[0]].copy()
        twice, clash = np.zeros_like(once), np.zeros_like(once)
        for members in family[1:]:
            cell, digit = cells[members], decided[members]
            twice |= once & cell
            once |= cell
            clash |= fixed & digit
            fixed |= digit
        taken |= fixed
        hidden |= once & ~twice
        # A digit fixed at two cells of a unit, or without a place in it.
        clash |= once ^ np.uint16(board.full_mask)
        wrong |= np.bitwise_or.reduce(clash.reshape(-1, num), axis=0)
    new = np.where(decided != 0, cells, cells & ~taken)
    places = new & hidden
    # Two digits that both have this cell as their only place.
    crowded = places & (places - _ONE)
    wrong |= np.bitwise_or.reduce(crowded.reshape(-1, num), axis=0)
    new = np.where(places != 0, places, new).reshape(masks.shape)
    return new, (wrong != 0) | ~new.all(axis=0)


def propagate(board: SudokuGeometry, masks: Masks) -> tuple[Masks, NDArray[np.bool_]]:
    """Apply singles until nothing changes.

    Returns:
        The masks ``[S, N]`` at rest and bool ``[N]``, the nodes found contradictory (their masks mean
        nothing). A node that is not contradictory and has one candidate in each cell is a solution.
    """
    result = np.empty_like(masks)
    refuted = np.zeros(masks.shape[1], np.bool_)
    running = np.arange(masks.shape[1])
    while running.size:
        new, wrong = _infer(board, masks)
        going = (new != masks).any(axis=0) & ~wrong
        done = running[~going]
        result[:, done] = new[:, ~going]
        refuted[done] = wrong[~going]
        running, masks = running[going], new[:, going]
    return result, refuted


def _children(masks: Masks) -> tuple[Masks, NDArray[np.intp]]:
    """One child per candidate of each node's branching cell: masks ``[S, C]`` and parent indices ``[C]``.

    First children come last, for the stack to give them out first: a search that ends at its first solution
    should not have followed all branches side by side.
    """
    counts = _POPCOUNT[masks]
    counts[counts < 2] = 255
    cell = counts.argmin(axis=0)
    options = masks[cell, np.arange(masks.shape[1])]
    bits = np.arange(options.max(initial=1).item().bit_length(), dtype=np.uint16)
    parent, bit = np.nonzero((options[:, None] >> bits) & _ONE)
    sibling = np.arange(len(parent)) - np.searchsorted(parent, parent)
    order = (-sibling).argsort(kind="stable")
    parent, bit = parent[order], bit[order]
    children = masks[:, parent]
    children[cell[parent], np.arange(len(parent))] = _ONE << bit.astype(np.uint16)
    return children, parent


def solve(board: SudokuGeometry, puzzle: Tokens, limit: int = 2, most_guesses: int | None = None) -> SolverResult:
    """Search puzzles (uint8 ``[B, S]``) for up to ``limit`` solutions each.

    Raises:
        SearchTooLongError: see :func:`search`.
    """
    guesses, owner, found = search(board, candidate_masks(board, puzzle), limit, most_guesses)
    solution = np.zeros((len(puzzle), board.num_cells), np.uint8)
    solution[owner] = found
    count = np.minimum(np.bincount(owner, minlength=len(puzzle)), limit)
    return SolverResult(count.astype(np.uint8), solution, guesses)


def search(
    board: SudokuGeometry, masks: Masks, limit: int, most_guesses: int | None = None
) -> tuple[NDArray[np.int32], NDArray[np.int64], Tokens]:
    """Search from nodes (uint16 ``[S, B]``), each until it has at least ``limit`` solutions or all it has.

    Up to ``CHUNK`` nodes are in work at a time, of any start and at any stage of their inference. A node
    that comes to rest makes room for the newest one on the stack: depth first, so memory stays bounded.

    Args:
        board: the geometry.
        masks: the nodes to start from.
        limit: solutions to find for each.
        most_guesses: give up when a start has branched at more nodes, or all ``B`` together at more than these and
            1000 for each start; by default never.

    Returns:
        guesses: int32 ``[B]``, how many nodes the search from each start branched at.
        owner: int64 ``[F]``, which start each solution found belongs to, in the order they were found.
        found: uint8 ``[F, S]``, the solutions.

    Raises:
        SearchTooLongError: the search was given up.
    """
    num = masks.shape[1]
    count = np.zeros(num, np.int64)
    guesses = np.zeros(num, np.int64)
    found: list[tuple[NDArray[np.int64], Tokens]] = []
    stack = _blocks(masks, np.arange(num))
    masks, owner = np.empty((board.num_cells, 0), np.uint16), np.empty(0, np.int64)
    while stack or owner.size:
        blocks, width = [(masks, owner)], len(owner)
        while stack and width < CHUNK:
            blocks.append(stack.pop())
            width += len(blocks[-1][1])
        if len(blocks) > 1:
            masks = np.concatenate([block for block, _ in blocks], axis=1)
            owner = np.concatenate([block for _, block in blocks])
            # Nodes of puzzles that have their solutions already need no more work.
            wanted = count[owner] < limit
            if not wanted.all():
                masks, owner = masks[:, wanted], owner[wanted]
                if not owner.size:
                    continue
        new, refuted = _infer(board, masks)
        going = (new != masks).any(axis=0) & ~refuted
        rested = np.flatnonzero(~going & ~refuted)
        if rested.size:
            at_rest, rest_owner = new[:, rested], owner[rested]
            solved = is_single(at_rest).all(axis=0)
            if solved.any():
                found.append((rest_owner[solved], mask_tokens(at_rest[:, solved])))
                count += np.bincount(rest_owner[solved], minlength=num)
            branching = ~solved & (count[rest_owner] < limit)
            rest_owner = rest_owner[branching]
            guesses += np.bincount(rest_owner, minlength=num)
            if most_guesses is not None and (
                guesses.max() > most_guesses or guesses.sum() > most_guesses + _SHARE * num
            ):
                raise SearchTooLongError(int(guesses.argmax()), int(guesses.max()))
            children, parent = _children(at_rest[:, branching])
            stack += _blocks(children, rest_owner[parent])
        masks, owner = new[:, going], owner[going]
    owners = np.concatenate([np.empty(0, np.int64), *(owner for owner, _ in found)])
    boards = np.concatenate([np.empty((0, board.num_cells), np.uint8), *(tokens for _, tokens in found)])
    return guesses.astype(np.int32), owners, boards


def _blocks(masks: Masks, owner: NDArray[np.int64]) -> list[tuple[Masks, NDArray[np.int64]]]:
    """Nodes ``[S, N]`` and the puzzles they belong to ``[N]`` in pieces to be put to work one by one."""
    step = CHUNK // 8
    return [(masks[:, i : i + step], owner[i : i + step]) for i in range(0, len(owner), step)]
