"""The geometry and the alphabet of Sudoku boards with 4, 6 or 9 digits.

A board of size ``n`` has ``n`` rows, ``n`` columns and ``n`` boxes of ``box_rows * box_columns = n`` cells. A
*band* is a row of boxes, a *stack* a column of boxes. Cells are numbered in row-major order, ``S = n * n``.
A cell holds a token: 0 is padding, 1 a blank, ``digit + 1`` a digit; ``V = n + 2``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import shown

#: The token of a cell without a digit.
BLANK = 1

#: Rows and columns of one box, for each board size.
BOX_SHAPES: dict[int, tuple[int, int]] = {4: (2, 2), 6: (2, 3), 9: (3, 3)}

#: Indexes a board seen as ``[bands, rows in band, stacks, columns in stack, ...]``.
CellSlices = tuple[slice, slice, slice, slice]


@dataclass(frozen=True, eq=False)
class SudokuGeometry:
    """What cells belong together on a board of one size. Get it from :func:`geometry`."""

    #: Rows, columns, boxes and digits: ``n``.
    size: int
    #: Rows and columns of one box.
    box_shape: tuple[int, int]
    #: int64 ``[3n, n]``, the cells of every unit: rows first, then columns, then boxes.
    units: NDArray[np.int64]
    #: bool ``[S, S]``, two different cells share a unit, so they must hold different digits.
    peers: NDArray[np.bool_]
    #: For rows, columns and boxes: ``n`` slices of the five-axis board (see :attr:`axes`). Slice ``k`` takes
    #: one cell of every unit of that kind, all slices together take each cell once; slices keep their axes,
    #: so something computed per unit broadcasts back over the unit's cells.
    families: tuple[tuple[CellSlices, ...], ...]

    @property
    def num_cells(self) -> int:
        """``S``, the cells of the board."""
        return self.size * self.size

    @property
    def vocab_size(self) -> int:
        """``V``, the number of tokens."""
        return self.size + 2

    @property
    def symbols(self) -> tuple[str, ...]:
        """The text of every token: a space for padding, a dot for a blank, the digits."""
        return (" ", ".", *(str(digit) for digit in range(1, self.size + 1)))

    @property
    def axes(self) -> tuple[int, int, int, int]:
        """The board as bands, rows in a band, stacks, columns in a stack: reshape ``[S]`` to this."""
        rows, columns = self.box_shape
        return (self.size // rows, rows, self.size // columns, columns)

    @property
    def is_square(self) -> bool:
        """Whether boxes are square: only then does transposing a board give a board."""
        return self.box_shape[0] == self.box_shape[1]

    @property
    def full_mask(self) -> int:
        """The candidate mask with every digit: bit ``digit - 1`` stands for a digit."""
        return (1 << self.size) - 1


def cell_name(cell: int, size: int) -> str:
    """A cell as people count: ``"row 1, column 1"`` is cell 0."""
    return f"row {cell // size + 1}, column {cell % size + 1}"


@cache
def geometry(size: int) -> SudokuGeometry:
    """The geometry for ``size`` digits.

    Raises:
        ValueError: no board of that size is known.
    """
    if size not in BOX_SHAPES:
        raise ValueError(f"size={shown(size)}: a Sudoku has one of the sizes {', '.join(map(str, BOX_SHAPES))}")
    rows, columns = BOX_SHAPES[size]
    bands, stacks = size // rows, size // columns
    cells = np.arange(size * size).reshape(size, size)
    boxes = cells.reshape(bands, rows, stacks, columns).transpose(0, 2, 1, 3).reshape(size, size)
    units = np.concatenate([cells, cells.T, boxes])
    membership = np.zeros((len(units), size * size), np.int64)
    np.put_along_axis(membership, units, 1, axis=1)
    peers = (membership.T @ membership > 0) & ~np.eye(size * size, dtype=np.bool_)
    units.flags.writeable = peers.flags.writeable = False

    every = slice(None)
    one = [slice(i, i + 1) for i in range(size)]
    families: tuple[tuple[CellSlices, ...], ...] = (
        tuple((every, every, one[s], one[c]) for s in range(stacks) for c in range(columns)),
        tuple((one[b], one[r], every, every) for b in range(bands) for r in range(rows)),
        tuple((every, one[r], every, one[c]) for r in range(rows) for c in range(columns)),
    )
    return SudokuGeometry(size, (rows, columns), units, peers, families)
