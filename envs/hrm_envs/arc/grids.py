"""Grids on a square canvas, as tokens: what the agent reads and writes.

A cell outside the grid is padding; colour ``c`` is token ``c + 2``; end markers (token 1) run one row below the grid
and one column right of it, where the canvas has room for them: they say where the grid ends. The scheme is that of
the HRM paper's data set.
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
    """Grids in the upper left corner of canvases: uint8 ``[N, side * side]``.

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
    """Where well-formed grids lie (uint8 ``[B, S]``): (row, column) of the first cell and (height, width), ``[B, 2]``.

    A canvas without a coloured cell has origin (0, 0) and size (0, 0).
    """
    # Batch last, for speed: reductions over short inner axes are slow.
    grids = np.ascontiguousarray(tokens.T).reshape(side, side, len(tokens))
    lines = np.stack([grids.max(axis=1), grids.max(axis=0)]) >= FIRST_COLOUR
    return lines.argmax(axis=1).T, lines.sum(axis=1).T


def read_sizes(tokens: Tokens, side: int, origin: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """How the grids in answers are read: the height and width ``[B, 2]`` of the largest rectangle of colours.

    The rectangle's first cell is the origin; of several of the same area the flattest counts. (0, 0) where there is
    no colour at the origin.

    Args:
        tokens: uint8 ``[B, S]``, answers of any kind.
        side: of the canvas.
        origin: (row, column) where each grid begins, ``[B, 2]``; (0, 0) if not given.
    """
    coloured = (tokens >= FIRST_COLOUR).reshape(-1, side, side)
    if origin is not None:
        row, column = (origin[:, axis, None] + np.arange(side) for axis in (0, 1))
        inside = (row < side)[:, :, None] & (column < side)[:, None, :]
        # Moves the origin to the corner; what came from beyond the canvas is no colour.
        rows = np.minimum(row, side - 1)[:, :, None]
        columns = np.minimum(column, side - 1)[:, None, :]
        coloured = coloured[np.arange(len(tokens))[:, None, None], rows, columns] & inside
    # The colours in a row reach as far as its first gap, and a rectangle as far as the shortest of its rows.
    gap = ~coloured
    reach = np.where(gap.any(axis=2), gap.argmax(axis=2), side)
    width = np.minimum.accumulate(reach, axis=1)
    height = (width * np.arange(1, side + 1)).argmax(axis=1)
    found = width[np.arange(len(tokens)), height]
    return np.stack([np.where(found > 0, height + 1, 0), found], axis=1)


def read_grid(tokens: Tokens, side: int, origin: tuple[int, int] = (0, 0)) -> Grid:
    """The grid in one answer uint8 ``[S]``, as :func:`read_sizes` reads it; uint8 ``[0, 0]`` if there is none."""
    height, width = read_sizes(tokens[None], side, np.array([origin]))[0]
    row, column = origin
    return tokens.reshape(side, side)[row : row + height, column : column + width] - np.uint8(FIRST_COLOUR)
