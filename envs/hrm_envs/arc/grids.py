"""Grids on a square canvas, encoded as tokens.

Cells outside the grid are padding, and colour ``c`` is token ``c + 2``. End markers (token 1) fill the row below the
grid and the column right of it, if the canvas has room, and mark where the grid ends. This is the encoding of the HRM
paper's data set.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hrm_envs.spec import PAD, Tokens

#: Colours 0 to 9, uint8 ``[height, width]``.
Grid = NDArray[np.uint8]

END = 1
#: The token of colour 0.
FIRST_COLOUR = 2
NUM_COLOURS = 10
SYMBOLS = ("_", "|", *"0123456789")
#: The largest height and width of a grid.
LARGEST_GRID = 30


def place(grids: Sequence[Grid], side: int) -> Tokens:
    """Place grids in the upper left corner of canvases: uint8 ``[N, side * side]``.

    Raises:
        ValueError: a grid is larger than the canvas.
    """
    canvas = np.full((len(grids), side, side), PAD, np.uint8)
    for target, grid in zip(canvas, grids, strict=True):
        height, width = grid.shape
        if height > side or width > side:
            raise ValueError(f"a grid of {height} x {width} does not fit a canvas of {side} x {side}")
        target[:height, :width] = grid + FIRST_COLOUR
        target[height : height + 1, :width] = END
        target[:height, width : width + 1] = END
    return canvas.reshape(len(grids), side * side)


def corners(tokens: Tokens, side: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Origin (row, column) and size (height, width) of the grids on canvases uint8 ``[B, S]``, each ``[B, 2]``.

    The canvases must be well formed. A canvas without a coloured cell has origin (0, 0) and size (0, 0).
    """
    # The batch axis is last, because reductions over short inner axes are slow.
    grids = np.ascontiguousarray(tokens.T).reshape(side, side, len(tokens))
    lines = np.stack([grids.max(axis=1), grids.max(axis=0)]) >= FIRST_COLOUR
    return lines.argmax(axis=1).T, lines.sum(axis=1).T


def read_sizes(tokens: Tokens, side: int, origin: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """The size of the grid in each answer: height and width ``[B, 2]`` of the largest rectangle of colours.

    The rectangle begins at the origin. Among rectangles of equal area, the flattest counts. The size is (0, 0) if there
    is no colour at the origin.

    Args:
        tokens: uint8 ``[B, S]``, arbitrary answers.
        side: side length of the canvas.
        origin: (row, column) of the first cell of each grid, ``[B, 2]``; by default (0, 0).
    """
    coloured = (tokens >= FIRST_COLOUR).reshape(-1, side, side)
    if origin is not None:
        row, column = (origin[:, axis, None] + np.arange(side) for axis in (0, 1))
        inside = (row < side)[:, :, None] & (column < side)[:, None, :]
        # Move the origin to the corner. Cells from beyond the canvas have no colour.
        rows = np.minimum(row, side - 1)[:, :, None]
        columns = np.minimum(column, side - 1)[:, None, :]
        coloured = coloured[np.arange(len(tokens))[:, None, None], rows, columns] & inside
    # The colours of a row reach to its first gap, and a rectangle reaches as far as the shortest of its rows.
    gap = ~coloured
    reach = np.where(gap.any(axis=2), gap.argmax(axis=2), side)
    width = np.minimum.accumulate(reach, axis=1)
    height = (width * np.arange(1, side + 1)).argmax(axis=1)
    found = width[np.arange(len(tokens)), height]
    return np.stack([np.where(found > 0, height + 1, 0), found], axis=1)


def read_grid(tokens: Tokens, side: int, origin: tuple[int, int] = (0, 0)) -> Grid:
    """The grid in one answer uint8 ``[S]``, by the rule of :func:`read_sizes`; uint8 ``[0, 0]`` if there is none."""
    height, width = read_sizes(tokens[None], side, np.array([origin]))[0]
    row, column = origin
    return tokens.reshape(side, side)[row : row + height, column : column + width] - np.uint8(FIRST_COLOUR)
