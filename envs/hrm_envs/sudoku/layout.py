"""Layout and tokens of Sudoku grids with 4, 6, 9, 12 or 16 digits.

A grid of size ``n`` has ``n`` rows, ``n`` columns and ``n`` boxes of ``box_rows * box_columns = n`` cells. A *band* is
a row of boxes, a *stack* is a column of boxes, and a *unit* is a row, column or box. Cells are numbered in row-major
order, ``S = n * n``. Tokens: 0 is padding, 1 is a blank, ``digit + 1`` is a digit; ``V = n + 2``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import shown

#: The token of a cell without a digit.
BLANK = 1

#: Rows and columns of one box, by grid size.
BOX_SHAPES: dict[int, tuple[int, int]] = {4: (2, 2), 6: (2, 3), 9: (3, 3), 12: (3, 4), 16: (4, 4)}

_DIGITS = "123456789ABCDEFG"

#: Indexes a grid of shape ``[bands, rows in band, stacks, columns in stack, ...]``.
CellSlices = tuple[slice, slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Layout:
    """Which cells form the rows, columns and boxes of a grid. Get it from :func:`layout_for`."""

    #: Number of rows, columns, boxes and digits: ``n``.
    size: int
    #: Rows and columns of one box.
    box_shape: tuple[int, int]
    #: int64 ``[3n, n]``, the cells of each unit: rows, then columns, then boxes.
    units: NDArray[np.int64]
    #: float32 ``[S, 3n]``, 1 where a cell belongs to a unit.
    membership: NDArray[np.float32]
    #: float32 ``[256]``, the value ``2 ** (digit - 1)`` of each token; 0 for tokens that are not digits.
    digit_bits: NDArray[np.float32]
    #: bool ``[S, S]``, whether two different cells share a unit, so that their digits must differ.
    peers: NDArray[np.bool_]
    #: For rows, columns and boxes: ``n`` slices of the grid in the shape of :attr:`axes`. Each slice takes one cell of
    #: every unit of that kind, and together they take each cell once. Slices keep their axes, so that a result per
    #: unit broadcasts over the cells of the unit.
    families: tuple[tuple[CellSlices, ...], ...]

    @property
    def num_cells(self) -> int:
        """``S``, the number of cells."""
        return self.size * self.size

    @property
    def vocab_size(self) -> int:
        """``V``, the number of tokens."""
        return self.size + 2

    @property
    def symbols(self) -> tuple[str, ...]:
        """One character per token: a space for padding, a dot for a blank, the digits, of which A is ten."""
        return (" ", ".", *_DIGITS[: self.size])

    @property
    def axes(self) -> tuple[int, int, int, int]:
        """The grid ``[S]`` reshaped to bands, rows in a band, stacks and columns in a stack."""
        rows, columns = self.box_shape
        return (self.size // rows, rows, self.size // columns, columns)

    @property
    def is_square(self) -> bool:
        """Whether boxes are square, so that the transpose of a valid grid is valid."""
        return self.box_shape[0] == self.box_shape[1]

    @property
    def full_mask(self) -> int:
        """The candidate mask of all digits; bit ``digit - 1`` stands for a digit."""
        return (1 << self.size) - 1


def cell_name(cell: int, size: int) -> str:
    """The position of a cell, counted from 1: cell 0 is ``"row 1, column 1"``."""
    return f"row {cell // size + 1}, column {cell % size + 1}"


@cache
def layout_for(size: int) -> Layout:
    """The layout of grids with ``size`` digits.

    Raises:
        ValueError: unknown size.
    """
    if size not in BOX_SHAPES:
        raise ValueError(f"size={shown(size)}: a Sudoku has one of the sizes {', '.join(map(str, BOX_SHAPES))}")
    rows, columns = BOX_SHAPES[size]
    bands, stacks = size // rows, size // columns
    cells = np.arange(size * size).reshape(size, size)
    boxes = cells.reshape(bands, rows, stacks, columns).transpose(0, 2, 1, 3).reshape(size, size)
    units = np.concatenate([cells, cells.T, boxes])
    membership = np.zeros((size * size, len(units)), np.float32)
    np.put_along_axis(membership, units.T, 1, axis=0)
    digit_bits = np.zeros(256, np.float32)
    digit_bits[BLANK + 1 : size + 2] = 2.0 ** np.arange(size)
    peers = (membership @ membership.T > 0) & ~np.eye(size * size, dtype=np.bool_)
    for array in (units, membership, digit_bits, peers):
        array.flags.writeable = False

    every = slice(None)
    one = [slice(i, i + 1) for i in range(size)]
    families: tuple[tuple[CellSlices, ...], ...] = (
        tuple((every, every, one[s], one[c]) for s in range(stacks) for c in range(columns)),
        tuple((one[b], one[r], every, every) for b in range(bands) for r in range(rows)),
        tuple((every, one[r], every, one[c]) for r in range(rows) for c in range(columns)),
    )
    return Layout(size, (rows, columns), units, membership, digit_bits, peers, families)
