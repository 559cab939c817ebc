"""The symmetries of Sudoku: random symmetric copies, and a key that all copies of a puzzle share.

The group relabels digits, permutes bands, rows in a band, stacks and columns in a stack, and transposes if boxes are
square.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrm_envs.spec import Tokens
from hrm_envs.streams import Draws, mix
from hrm_envs.sudoku.layout import BLANK, Layout
from hrm_envs.task import PuzzleBatch

#: The bit that marks a blank in :func:`random_symmetry`; larger than any token.
_BLANK_BIT = 128

#: Rounds of colour refinement; in practice, more rounds distinguish no more puzzles.
_ROUNDS = 4
#: Puzzles refined together, so that their colours fit the cache.
_CHUNK = 256
_SALTS = mix(np.arange(1, 9, dtype=np.uint64))


def random_symmetry(layout: Layout, batch: PuzzleBatch, draws: Draws) -> PuzzleBatch:
    """A uniformly random symmetric copy of each puzzle and its solution.

    The givens of a puzzle must agree with its solution.
    """
    num, size = len(batch), layout.size
    rows, columns, digits = _random_orders(layout, draws)
    # Cell (i, j) comes from cell (rows[i], columns[j]), or from (columns[j], rows[i]) of a transposed copy.
    if layout.is_square:
        flip = draws.integers(2)
        rows = rows * (size + (1 - size) * flip)[:, None]
        columns = columns * (1 + (size - 1) * flip)[:, None]
    else:
        rows = rows * size
    rows += (np.arange(num) * layout.num_cells)[:, None]
    source = (rows[:, :, None] + columns[:, None, :]).reshape(num, -1)

    # One gather moves both arrays: a bit in the cells of the solution marks the blanks of the puzzle.
    cells = batch.solution | ((batch.puzzle == BLANK).view(np.uint8) * np.uint8(_BLANK_BIT))
    cells = cells.reshape(-1).take(source)
    names = np.zeros((num, size + 2), np.uint8)
    names[:, BLANK + 1 :] = digits + (BLANK + 1)
    own_names = (np.arange(num) * (size + 2))[:, None]
    solution = names.reshape(-1).take((cells & np.uint8(_BLANK_BIT - 1)) + own_names)
    puzzle = np.where(cells >= _BLANK_BIT, np.uint8(BLANK), solution)
    return PuzzleBatch(puzzle, solution, batch.task_id)


def _random_orders(layout: Layout, draws: Draws) -> tuple[NDArray[np.int64], ...]:
    """Random orders of rows, columns (within permuted bands and stacks) and digits: int64 ``[B, n]`` each.

    All three come from one sort of random words. The word of a row begins with the word of its band, so that bands
    stay together: 30 random bits of the band, 2 bits of its index (to break ties), 32 random bits of the row.
    """
    bands, rows_in_band, stacks, columns_in_stack = layout.axes
    bits = draws.bits(3 * layout.size + bands + stacks)
    words = bits[:, : 3 * layout.size].reshape(len(draws), 3, layout.size)
    group = bits[:, 3 * layout.size :] >> np.uint64(34) << np.uint64(2)
    group |= np.concatenate([np.arange(bands), np.arange(stacks)]).astype(np.uint64)
    group <<= np.uint64(32)
    words[:, :2] >>= np.uint64(32)
    words[:, 0] |= np.repeat(group[:, :bands], rows_in_band, axis=1)
    words[:, 1] |= np.repeat(group[:, bands:], columns_in_stack, axis=1)
    order = words.argsort(axis=2)
    return order[:, 0], order[:, 1], order[:, 2]


def class_key(layout: Layout, puzzle: Tokens) -> NDArray[np.uint64]:
    """A key uint64 ``[B]``, equal for symmetric copies of a puzzle (uint8 ``[B, S]``).

    Colour refinement (Weisfeiler and Leman 1968) on the graph of cells, rows, columns, boxes and digits: each node
    repeatedly gets a new colour, the hash of the sum of its neighbours' colours. A sum ignores order, so the key does
    not depend on the labels of digits or the order of lines. Puzzles of different classes nearly always get different
    keys, but this is not guaranteed.
    """
    keys = [_refine(layout, puzzle[i : i + _CHUNK]) for i in range(0, len(puzzle), _CHUNK)]
    return np.concatenate(keys) if keys else np.empty(0, np.uint64)


def _refine(layout: Layout, puzzle: Tokens) -> NDArray[np.uint64]:
    """:func:`class_key` for a few puzzles."""
    num, size = len(puzzle), layout.size
    bands, rows_in_band, stacks, columns_in_stack = layout.axes
    given = puzzle != BLANK
    # If boxes are square, rows and columns share a salt, so that transposing changes nothing.
    row_salt, box_salt, digit_salt, blank_salt = _SALTS[:4, None]
    column_salt = row_salt if layout.is_square else _SALTS[4, None]
    first = np.where(given, _SALTS[5], _SALTS[6])
    cell = first.reshape(num, size, size)
    # bool [B, n, S], the cells of each digit.
    stands = puzzle[:, None, :] == np.arange(BLANK + 1, size + 2, dtype=np.uint8)[:, None]
    for _ in range(_ROUNDS):
        row = mix(cell.sum(axis=2) + row_salt)
        column = mix(cell.sum(axis=1) + column_salt)
        boxed = cell.reshape(num, bands, rows_in_band, stacks, columns_in_stack)
        box = mix(boxed.sum(axis=(2, 4)) + box_salt[:, None])
        flat = cell.reshape(num, size * size)
        digit = np.empty((num, size + 2), np.uint64)
        digit[:, : BLANK + 1] = blank_salt
        for i in range(size):
            digit[:, BLANK + 1 + i] = mix(np.where(stands[:, i], flat, np.uint64(0)).sum(axis=1) + digit_salt)
        lines = row[:, :, None] + column[:, None, :]
        around = np.repeat(np.repeat(box, rows_in_band, axis=1), columns_in_stack, axis=2)
        # Each part is hashed before the sum, so that the colour of a row cannot equal that of a box.
        colour = lines + mix(around ^ box_salt)
        held = np.take_along_axis(digit, puzzle.astype(np.int64), axis=1)
        colour += mix(held ^ digit_salt).reshape(cell.shape)
        cell = mix(colour + mix(cell ^ blank_salt))
    return mix(cell.reshape(num, -1).sum(axis=1) + mix(digit[:, BLANK + 1 :]).sum(axis=1))
