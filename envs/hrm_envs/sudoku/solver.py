"""A batched Sudoku solver, which also rates puzzles.

A search node is a column of candidate masks: ``masks`` is uint16 ``[S, N]`` (cells by nodes), where bit ``digit - 1``
means that the digit is still possible. The node axis is last, so that inference works on long contiguous vectors.

Inference uses naked singles (a cell with one candidate removes it from its peers) and hidden singles (a digit with one
possible cell in a unit is placed there). When neither changes anything, the solver branches on the first cell, in
row-major order, with the fewest candidates, with one child per candidate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrm_envs.spec import Tokens
from hrm_envs.sudoku.layout import Layout

Masks = NDArray[np.uint16]

#: Nodes processed together: enough to hide numpy's overhead per call, few enough to fit the L2 cache.
CHUNK = 1024

#: Maximum guess count for a user's puzzle, reached in one to three seconds. The hardest puzzle of the official
#: Sudoku-Extreme sample takes 1,380, the hardest published puzzle tried 1,870; a puzzle without a solution may take
#: millions.
MOST_GUESSES = 50_000
#: Additional guesses that a batch may take, per puzzle; the mean of Sudoku-Extreme is 109.
_SHARE = 1000

_ONE = np.uint16(1)
_POPCOUNT = np.array([bin(mask).count("1") for mask in range(1 << 16)], np.uint8)


class SearchTooLongError(ValueError):
    """The search exceeded its limit of guesses.

    Attributes:
        row: the puzzle that took the most guesses.
        guesses: its guess count.
    """

    def __init__(self, row: int, guesses: int) -> None:
        super().__init__(f"gave up the search for the solution of puzzle {row} after {guesses:,} guesses")
        self.row, self.guesses = row, guesses


@dataclass(frozen=True)
class SolverResult:
    """The solver's result for each puzzle."""

    #: uint8 ``[B]``, number of solutions found; the search for a puzzle stops at ``limit``.
    count: NDArray[np.uint8]
    #: uint8 ``[B, S]``, tokens of a solution; 0 if there is none.
    solution: Tokens
    #: int32 ``[B]``, the guess count: the number of nodes where the search branched. For a puzzle with at most one
    #: solution, this is the number of inner nodes of the complete search tree, the cost of *proving* the solution
    #: unique, independent of the search order and the rest of the batch. 0 means that singles solve (or refute) the
    #: puzzle. If the search stopped at ``limit`` solutions, it counts the branchings so far.
    guesses: NDArray[np.int32]

    @property
    def is_unique(self) -> NDArray[np.bool_]:
        """bool ``[B]``, whether there is exactly one solution (for ``limit >= 2``)."""
        return self.count == 1


def candidate_masks(layout: Layout, puzzle: Tokens) -> Masks:
    """The masks uint16 ``[S, B]`` of puzzles uint8 ``[B, S]``: one candidate for givens, all for other cells."""
    table = np.full(256, layout.full_mask, np.uint16)
    table[2 : layout.vocab_size] = _ONE << np.arange(layout.size, dtype=np.uint16)
    return table[np.ascontiguousarray(puzzle.T)]


def mask_tokens(masks: Masks) -> Tokens:
    """The tokens uint8 ``[N, S]`` of solved nodes uint16 ``[S, N]``."""
    # The digit of a one-bit mask is the position of its bit.
    return np.ascontiguousarray((_POPCOUNT[masks - _ONE] + 2).T)


def is_single(masks: Masks) -> NDArray[np.bool_]:
    """Which masks hold at most one candidate (bool, same shape)."""
    return (masks & (masks - _ONE)) == 0


def _infer(layout: Layout, masks: Masks) -> tuple[Masks, NDArray[np.bool_]]:
    """One round of naked and hidden singles: the new masks ``[S, N]`` and the refuted nodes, bool ``[N]``."""
    num = masks.shape[1]
    cells = masks.reshape(*layout.axes, num)
    decided = np.where(is_single(masks), masks, np.uint16(0)).reshape(cells.shape)
    taken, hidden = np.zeros_like(cells), np.zeros_like(cells)
    # Bits that show a contradiction, collected over the whole grid.
    wrong = np.zeros(num, np.uint16)
    for family in layout.families:
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
        # A digit fixed in two cells of a unit, or not possible in any.
        clash |= once ^ np.uint16(layout.full_mask)
        wrong |= np.bitwise_or.reduce(clash.reshape(-1, num), axis=0)
    new = np.where(decided != 0, cells, cells & ~taken)
    places = new & hidden
    # Two digits for which this is the only possible cell.
    crowded = places & (places - _ONE)
    wrong |= np.bitwise_or.reduce(crowded.reshape(-1, num), axis=0)
    new = np.where(places != 0, places, new).reshape(masks.shape)
    return new, (wrong != 0) | ~new.all(axis=0)


def propagate(layout: Layout, masks: Masks) -> tuple[Masks, NDArray[np.bool_]]:
    """Apply singles until nothing changes.

    Returns:
        The final masks ``[S, N]``, and bool ``[N]``, the refuted nodes, whose masks are undefined. A node that is not
        refuted and has one candidate in each cell is a solution.
    """
    result = np.empty_like(masks)
    refuted = np.zeros(masks.shape[1], np.bool_)
    running = np.arange(masks.shape[1])
    while running.size:
        new, wrong = _infer(layout, masks)
        going = (new != masks).any(axis=0) & ~wrong
        done = running[~going]
        result[:, done] = new[:, ~going]
        refuted[done] = wrong[~going]
        running, masks = running[going], new[:, going]
    return result, refuted


def _children(masks: Masks) -> tuple[Masks, NDArray[np.intp]]:
    """One child per candidate of each node's branching cell: masks ``[S, C]`` and parent indices ``[C]``.

    First children come last, so that the stack returns them first: the search is depth-first.
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


def solve(layout: Layout, puzzle: Tokens, limit: int = 2, most_guesses: int | None = None) -> SolverResult:
    """Search puzzles (uint8 ``[B, S]``) for up to ``limit`` solutions each.

    Raises:
        SearchTooLongError: see :func:`search`.
    """
    guesses, owner, found = search(layout, candidate_masks(layout, puzzle), limit, most_guesses)
    solution = np.zeros((len(puzzle), layout.num_cells), np.uint8)
    solution[owner] = found
    count = np.minimum(np.bincount(owner, minlength=len(puzzle)), limit)
    return SolverResult(count.astype(np.uint8), solution, guesses)


def search(
    layout: Layout, masks: Masks, limit: int, most_guesses: int | None = None
) -> tuple[NDArray[np.int32], NDArray[np.int64], Tokens]:
    """Search from nodes (uint16 ``[S, B]``), each until at least ``limit`` solutions are found or none are left.

    Up to ``CHUNK`` nodes are processed at a time, from any start and at any stage of inference. A finished node makes
    room for the newest node on the stack. The search is depth-first, so memory stays bounded.

    Args:
        layout: rows, columns and boxes.
        masks: the nodes to start from.
        limit: number of solutions to find for each.
        most_guesses: stop with an error when the guess count of one start exceeds this, or the total exceeds this plus
            1000 per start; None never stops.

    Returns:
        guesses: int32 ``[B]``, the guess count of each start.
        owner: int64 ``[F]``, the start of each solution, in the order of discovery.
        found: uint8 ``[F, S]``, the solutions.

    Raises:
        SearchTooLongError: the search exceeded ``most_guesses``.
    """
    num = masks.shape[1]
    count = np.zeros(num, np.int64)
    guesses = np.zeros(num, np.int64)
    found: list[tuple[NDArray[np.int64], Tokens]] = []
    stack = _blocks(masks, np.arange(num))
    masks, owner = np.empty((layout.num_cells, 0), np.uint16), np.empty(0, np.int64)
    while stack or owner.size:
        blocks, width = [(masks, owner)], len(owner)
        while stack and width < CHUNK:
            blocks.append(stack.pop())
            width += len(blocks[-1][1])
        if len(blocks) > 1:
            masks = np.concatenate([block for block, _ in blocks], axis=1)
            owner = np.concatenate([block for _, block in blocks])
            # Drop nodes of puzzles that already have enough solutions.
            wanted = count[owner] < limit
            if not wanted.all():
                masks, owner = masks[:, wanted], owner[wanted]
                if not owner.size:
                    continue
        new, refuted = _infer(layout, masks)
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
    solutions = np.concatenate([np.empty((0, layout.num_cells), np.uint8), *(tokens for _, tokens in found)])
    return guesses.astype(np.int32), owners, solutions


def _blocks(masks: Masks, owner: NDArray[np.int64]) -> list[tuple[Masks, NDArray[np.int64]]]:
    """Split nodes ``[S, N]`` and their owners ``[N]`` into blocks for the stack."""
    step = CHUNK // 8
    return [(masks[:, i : i + step], owner[i : i + step]) for i in range(0, len(owner), step)]
