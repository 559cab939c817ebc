"""Random Sudoku puzzles with a unique solution, generated in batches and rated by the solver.

A puzzle starts as a random complete grid. Cells are then emptied in random order, except those whose removal would
allow a second solution or exceed the requested difficulty.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrm_envs.spec import Tokens
from hrm_envs.sudoku.layout import BLANK, Layout
from hrm_envs.sudoku.solver import CHUNK, candidate_masks, is_single, mask_tokens, propagate, solve
from hrm_envs.task import PuzzleBatch

#: An inclusive range of integers.
Range = tuple[int, int]

#: Steps that :func:`harden` tries per puzzle.
_HARDEN_STEPS = 300


def random_grids(layout: Layout, rng: np.random.Generator, num: int) -> Tokens:
    """Random complete grids uint8 ``[num, S]``.

    Each grid grows from an empty one: assign a random candidate to a random cell among those with the fewest
    candidates, infer singles, repeat. Grids that reach a contradiction are discarded. Every grid can occur, and all
    symmetric copies of a grid are equally likely, because no step prefers a digit or a position. The distribution over
    classes is not exactly uniform: on 4x4, a grid of one class is 1.5 times as likely as a grid of the other.
    """
    grids: list[Tokens] = []
    missing = num
    while missing > 0:
        # A third more than needed, because some reach a contradiction.
        grown = _grow_grids(layout, rng, min(CHUNK, missing + missing // 3 + 4))
        grids.append(grown[:missing])
        missing -= len(grids[-1])
    return np.concatenate(grids) if grids else np.zeros((0, layout.num_cells), np.uint8)


def _grow_grids(layout: Layout, rng: np.random.Generator, num: int) -> Tokens:
    """Grow ``num`` grids and return those that became complete, in the order of completion."""
    masks = candidate_masks(layout, np.full((num, layout.num_cells), BLANK, np.uint8))
    bits = np.uint16(1) << np.arange(layout.size, dtype=np.uint16)
    complete = []
    while masks.shape[1]:
        alive = masks.shape[1]
        options = (masks[:, :, None] & bits) != 0
        counts = options.sum(axis=2)
        # A random number in [0, 1) breaks ties among cells with equally many candidates.
        rank = np.where(counts > 1, counts + rng.random(counts.shape), np.inf)
        cell = rank.argmin(axis=0)
        column = np.arange(alive)
        digit = np.where(options[cell, column], rng.random((alive, layout.size)), -1).argmax(axis=1)
        masks[cell, column] = bits[digit]
        masks, refuted = propagate(layout, masks)
        done = is_single(masks).all(axis=0)
        complete.append(mask_tokens(masks[:, done & ~refuted]))
        masks = masks[:, ~done & ~refuted]
    return np.concatenate(complete)


def dig(
    layout: Layout,
    rng: np.random.Generator,
    solution: Tokens,
    empty_cells: NDArray[np.int64],
    max_guesses: int | None = None,
) -> tuple[Tokens, NDArray[np.int32]]:
    """Empty cells of complete grids while each puzzle keeps a unique solution.

    Each grid has its own random order of cells, which are tried until ``empty_cells`` (``[B]``) are empty or the order
    ends; a cell that cannot be emptied stays. A puzzle that has lost uniqueness does not regain it by losing more
    givens, so a whole run of cells is tried at once: the run doubles when it succeeds and halves when it fails.

    Args:
        layout: rows, columns and boxes.
        rng: random generator.
        solution: complete grids uint8 ``[B, S]``.
        empty_cells: maximum number of empty cells of each puzzle, ``[B]``.
        max_guesses: maximum guess count.

    Returns:
        The puzzles uint8 ``[B, S]`` and their guess counts int32 ``[B]``.
    """
    num, cells = solution.shape
    order = rng.random(solution.shape).argsort(axis=1)
    puzzle = solution.copy()
    guesses = np.zeros(num, np.int32)
    tried = np.zeros(num, np.int64)
    emptied = np.zeros(num, np.int64)
    # Half of a grid can nearly always be emptied at once; later, long runs nearly always fail, and slowly.
    run = np.minimum(empty_cells, cells // 2)
    longest = cells // 16 + 1
    places = np.arange(cells)
    active = np.flatnonzero(empty_cells > 0)
    while active.size:
        run[active] = np.minimum(run[active], np.minimum(empty_cells - emptied, cells - tried)[active])
        begin = tried[active, None]
        in_run = (places >= begin) & (places < begin + run[active, None])
        candidate = puzzle[active]
        row, place = np.nonzero(in_run)
        candidate[row, order[active[row], place]] = BLANK
        result = solve(layout, candidate)
        good = result.is_unique if max_guesses is None else result.is_unique & (result.guesses <= max_guesses)

        kept, failed = active[good], active[~good]
        puzzle[kept] = candidate[good]
        guesses[kept] = result.guesses[good]
        emptied[kept] += run[kept]
        tried[kept] += run[kept]
        # If a run of one cell fails, that cell stays.
        tried[failed] += run[failed] == 1
        run[kept] = np.minimum(run[kept] * 2, longest)
        run[failed] = np.maximum(run[failed] // 2, 1)
        active = active[(emptied[active] < empty_cells[active]) & (tried[active] < cells)]
    return puzzle, guesses


def harden(
    layout: Layout,
    rng: np.random.Generator,
    batch: PuzzleBatch,
    guesses: NDArray[np.int32],
    difficulty: Range,
) -> tuple[Tokens, NDArray[np.int32]]:
    """Raise the difficulty, beyond what digging usually reaches, by moving one given at a time.

    A step fills one random empty cell and empties one random given. It is accepted if the solution stays unique and
    the puzzle is not easier (nor harder than the range allows). The number of empty cells does not change.

    Args:
        layout: rows, columns and boxes.
        rng: random generator.
        batch: puzzles with a unique solution.
        guesses: their guess counts ``[B]``.
        difficulty: inclusive range of guess counts; puzzles within it are left unchanged.

    Returns:
        The puzzles uint8 ``[B, S]`` and their guess counts int32 ``[B]``; some may still be too easy.
    """
    puzzle, guesses = batch.puzzle.copy(), guesses.copy()
    # A step needs a given to remove and an empty cell to fill.
    blanks = (puzzle == BLANK).sum(axis=1)
    movable = (blanks > 0) & (blanks < layout.num_cells)
    for _ in range(_HARDEN_STEPS):
        active = np.flatnonzero(movable & (guesses < difficulty[0]))
        if not active.size:
            break
        candidate = puzzle[active]
        blank = candidate == BLANK
        luck = rng.random(candidate.shape)
        fill = np.where(blank, luck, -1).argmax(axis=1)
        empty = np.where(blank, -1, luck).argmax(axis=1)
        row = np.arange(len(active))
        candidate[row, fill] = batch.solution[active, fill]
        candidate[row, empty] = BLANK
        result = solve(layout, candidate)
        good = result.is_unique & (result.guesses >= guesses[active]) & (result.guesses <= difficulty[1])
        puzzle[active[good]] = candidate[good]
        guesses[active[good]] = result.guesses[good]
    return puzzle, guesses


def generate(
    layout: Layout,
    rng: np.random.Generator,
    num: int,
    empty_cells: Range,
    difficulty: Range | None = None,
) -> PuzzleBatch:
    """Try to generate ``num`` puzzles. Puzzles outside a range are dropped, so fewer (even none) may be returned.

    Args:
        layout: rows, columns and boxes.
        rng: random generator.
        num: number of tries.
        empty_cells: inclusive range; each puzzle draws its target uniformly from it, and may miss the target but not
            the range.
        difficulty: inclusive range of guess counts, or None for any.
    """
    solution = random_grids(layout, rng, num)
    low, high = empty_cells
    target = rng.integers(low, high + 1, size=num)
    puzzle, guesses = dig(layout, rng, solution, target, None if difficulty is None else difficulty[1])
    good = (puzzle == BLANK).sum(axis=1) >= low
    batch, guesses = PuzzleBatch(puzzle[good], solution[good]), guesses[good]
    if difficulty is None or difficulty[0] == 0:
        return batch
    puzzle, guesses = harden(layout, rng, batch, guesses, difficulty)
    return PuzzleBatch(puzzle, batch.solution).take(guesses >= difficulty[0])
