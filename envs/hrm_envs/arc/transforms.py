"""Batched augmentation of grids on canvases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrm_envs.arc.augmentation import INVERSE, NUM_SYMMETRIES, AugmentationTable, turn
from hrm_envs.arc.grids import END, FIRST_COLOUR, SYMBOLS, corners
from hrm_envs.spec import Tokens


def _compositions() -> NDArray[np.int64]:
    """``[8, 8]``: the symmetry equal to symmetry ``a`` followed by ``b``."""
    grid = np.arange(6, dtype=np.uint8).reshape(2, 3)
    images = [turn(grid, k) for k in range(NUM_SYMMETRIES)]
    number = {(image.shape, image.tobytes()): k for k, image in enumerate(images)}
    both = [[turn(image, b) for b in range(NUM_SYMMETRIES)] for image in images]
    return np.array([[number[image.shape, image.tobytes()] for image in row] for row in both])


_THEN = _compositions()
_INVERSE = np.array(INVERSE)


class Transforms:
    """Changes the augmentation and the position of grids on their canvases.

    Args:
        side: side length of the canvas.
        table: the augmentation of each task identity.
    """

    def __init__(self, side: int, table: AugmentationTable) -> None:
        self.side, self._table = side, table

    def _symmetry(self, before: NDArray[np.int32], after: NDArray[np.int32]) -> NDArray[np.int64]:
        return _THEN[_INVERSE[self._table.symmetry[before]], self._table.symmetry[after]]

    def size_after(
        self, size: NDArray[np.int64], before: NDArray[np.int32], after: NDArray[np.int32]
    ) -> NDArray[np.int64]:
        """Height and width ``[B, 2]`` of grids of ``size`` ``[B, 2]`` after :meth:`apply`."""
        return np.where(swaps(self._symmetry(before, after))[:, None], size[:, ::-1], size)

    def apply(
        self, tokens: Tokens, before: NDArray[np.int32], after: NDArray[np.int32], origin: NDArray[np.int64]
    ) -> Tokens:
        """Canvases uint8 ``[B, S]`` with the augmentation of each grid changed from ``before`` to ``after``.

        Args:
            tokens: uint8 ``[B, S]``, well-formed canvases, see :func:`hrm_envs.arc.grids.corners`.
            before: task identities ``[B]`` of the current augmentations.
            after: task identities ``[B]`` of the new augmentations.
            origin: (row, column) of the first cells afterwards, ``[B, 2]``; the grids must fit.
        """
        mine, theirs = self._table.colours[before], self._table.colours[after]
        tokens_of = np.zeros((len(tokens), len(SYMBOLS)), np.uint8)
        tokens_of[:, END] = END
        # mine[colour] is the current colour, theirs[colour] the new one.
        np.put_along_axis(tokens_of, mine + FIRST_COLOUR, theirs + np.uint8(FIRST_COLOUR), axis=1)
        return place_turned(tokens, self.side, self._symmetry(before, after), origin, tokens_of)


def swaps(symmetry: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether height and width are swapped: by a quarter turn or a transposition, but not both."""
    return (symmetry % 2 == 1) != (symmetry >= 4)


def place_turned(
    tokens: Tokens,
    side: int,
    symmetry: NDArray[np.int64],
    origin: NDArray[np.int64],
    tokens_of: NDArray[np.uint8] | None = None,
) -> Tokens:
    """Canvases with each grid turned by ``symmetry`` ``[B]`` and moved to ``origin`` ``[B, 2]``.

    Args:
        tokens: uint8 ``[B, S]``.
        side: side length of the canvas.
        symmetry: see :func:`hrm_envs.arc.augmentation.turn`.
        origin: (row, column) of the first cell.
        tokens_of: the new token of each token, uint8 ``[B, V]``; by default unchanged.
    """
    old_origin, old_size = corners(tokens, side)
    size = np.where(swaps(symmetry)[:, None], old_size[:, ::-1], old_size)
    # Cell (i, j) of the turned grid comes from cell `base + by_row * i + by_column * j` of the flat canvas: the
    # symmetry determines only the first corner and the two steps.
    turns, transposed = symmetry % 4, symmetry >= 4
    height, width = (np.where(transposed, old_size[:, 1 - axis], old_size[:, axis]) for axis in (0, 1))
    down = np.where(transposed, 1, side)  # a step down, or to the right, in the grid before its turn
    right = np.where(transposed, side, 1)
    far_down, far_right = down * (height - 1), right * (width - 1)
    base = np.choose(turns, [0 * down, far_right, far_down + far_right, far_down])
    by_row = np.choose(turns, [down, -right, -down, right])
    by_column = np.choose(turns, [right, down, -right, -down])
    base = base + old_origin[:, 0] * side + old_origin[:, 1] + np.arange(len(tokens)) * side * side

    cells = np.arange(side)
    i, j = cells - origin[:, :1], cells - origin[:, 1:]
    in_row, in_column = (i >= 0) & (i < size[:, :1]), (j >= 0) & (j < size[:, 1:])
    # Cells outside the grid read its first cell, and are overwritten below.
    rows = np.where(in_row, by_row[:, None] * i, 0) + base[:, None]
    columns = np.where(in_column, by_column[:, None] * j, 0)
    moved = tokens.reshape(-1).take(rows[:, :, None] + columns[:, None, :])
    if tokens_of is not None:
        first = np.arange(len(tokens), dtype=np.int64)[:, None, None] * tokens_of.shape[1]
        moved = tokens_of.reshape(-1).take(moved + first)
    # A product is fastest, because padding is 0. The end markers are set afterwards.
    moved *= (in_row[:, :, None] & in_column[:, None, :]).view(np.uint8)
    moved[in_row[:, :, None] & (j == size[:, 1:])[:, None, :]] = END
    moved[(i == size[:, :1])[:, :, None] & in_column[:, None, :]] = END
    return moved.reshape(len(tokens), side * side)
