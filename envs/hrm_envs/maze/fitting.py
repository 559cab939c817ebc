"""Mazes that are smaller than the board of an environment, or not square: walls fill the rest."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from hrm_envs.maze.dialects import Grid
from hrm_envs.maze.tokens import WALL
from hrm_envs.spec import Tokens

_log = logging.getLogger(__name__)


def check_fits(grid: Tokens, shape: tuple[int, int]) -> None:
    """Check that a maze is no larger than the board.

    Args:
        grid: uint8 ``[r, c]``.
        shape: rows and columns of the board.

    Raises:
        ValueError: it is.
    """
    height, width = grid.shape
    if height > shape[0] or width > shape[1]:
        raise ValueError(
            f"the maze has {height} x {width} cells, more than the {shape[0]} x {shape[1]} of this environment (choose "
            f"size={max(height, width)})"
        )


def fitted(grids: Sequence[Grid], shape: tuple[int, int]) -> list[Grid]:
    """Add walls at the right and at the bottom of mazes that are smaller than the board, and say so.

    What lies outside a maze cannot be entered, so its shortest paths stay the same.
    """
    smaller = sorted({grid.puzzle.shape for grid in grids} - {shape})
    if smaller:
        number = sum(grid.puzzle.shape != shape for grid in grids)
        sizes = ", ".join(f"{height} x {width}" for height, width in smaller)
        _log.info("%d maze%s of %s cells: walls fill the board of %d x %d", number, "s" * (number > 1), sizes, *shape)
    return [Grid(_filled(grid.puzzle, shape), _filled(grid.drawn, shape)) for grid in grids]


def _filled(grid: Tokens, shape: tuple[int, int]) -> Tokens:
    height, width = grid.shape
    board = np.full(shape, WALL, np.uint8)
    board[:height, :width] = grid
    return board
