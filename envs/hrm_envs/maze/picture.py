"""Mazes in pictures: black walls, white free cells, a green start and a red goal."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from hrm_envs.maze.dialects import read_cells
from hrm_envs.maze.fitting import fitted
from hrm_envs.spec import Tokens

_log = logging.getLogger(__name__)

#: Channels of at most ``_DARK`` are black, of at least ``_LIGHT`` white.
_DARK, _LIGHT = 80, 176
#: By how much the channel of a colour exceeds the others.
_MARGIN = 60


def read_maze(pixels: NDArray[np.uint8], shape: tuple[int, int]) -> Tokens:
    """The maze of a picture with one pixel, or a block of pixels of one colour, per cell: uint8 ``[R, C]``.

    A picture whose sides are not in the ratio of the board is a smaller maze if its cells, which are square, fit.

    Args:
        pixels: uint8 ``[height, width, 3]``.
        shape: rows and columns of the board.

    Raises:
        ValueError: the picture has other cells, a cell or a colour is not clear, or the maze is malformed.
    """
    size = _size(pixels, shape)
    colours = _cells(pixels, size)
    kinds, place = np.unique(colours.reshape(-1, 3), axis=0, return_inverse=True)
    characters = [_character(kind) for kind in kinds.astype(int)]
    cells = place.reshape(size)
    for number, character in enumerate(characters):
        if not character:
            row, column = np.argwhere(cells == number)[0]
            raise ValueError(
                f"row {row + 1}, column {column + 1}: the colour {_name(kinds[number])} is neither black (wall), white "
                "(free), green (start) nor red (goal)"
            )
    maze = read_cells(["".join(characters[number] for number in row) for row in cells], 1)
    named = {"#": "wall", " ": "free", "S": "start", "G": "goal"}
    _log.info("colours: %s", ", ".join(f"{_name(k)} is {named[c]}" for k, c in zip(kinds, characters, strict=True)))
    return fitted([maze], shape)[0].puzzle


def _size(pixels: NDArray[np.uint8], shape: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the maze in a picture."""
    height, width = pixels.shape[:2]
    rows, columns = _natural(pixels)
    is_smaller = height * shape[1] != width * shape[0] and rows <= shape[0] and columns <= shape[1]
    return (rows, columns) if is_smaller and height * columns == width * rows else shape


def _cells(pixels: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The colour of each cell, uint8 ``[R, C, 3]``."""
    height, width = pixels.shape[:2]
    rows, columns = shape
    if height % rows or width % columns:
        raise ValueError(
            f"the picture has {height} x {width} pixels, which are not blocks for {rows} x {columns} cells"
            f"{_seems(pixels)}"
        )
    blocks = pixels.reshape(rows, height // rows, columns, width // columns, 3)
    colours = blocks[:, 0, :, 0]
    uneven = (blocks != colours[:, None, :, None]).any(axis=(1, 3, 4))
    if uneven.any():
        row, column = np.argwhere(uneven)[0]
        raise ValueError(
            f"row {row + 1}, column {column + 1}: the block of {height // rows} x {width // columns} pixels has "
            f"several colours{_seems(pixels)}"
        )
    return colours


def _seems(pixels: NDArray[np.uint8]) -> str:
    rows, columns = _natural(pixels)
    return f"; it seems to have {rows} x {columns}"


def _natural(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    """Rows and columns that a picture seems to have: the largest blocks that divide all of its changes of colour."""
    sizes = []
    for axis in (0, 1):
        changes = np.flatnonzero((np.diff(pixels.astype(np.int16), axis=axis) != 0).any(axis=(1 - axis, 2))) + 1
        block = int(np.gcd.reduce([*changes.tolist(), pixels.shape[axis]]))
        sizes.append(pixels.shape[axis] // block)
    return sizes[0], sizes[1]


def _character(colour: NDArray[np.int_]) -> str:
    """The character of a colour in a text of a maze; empty if unclear."""
    red, green, blue = colour.tolist()
    if max(colour) <= _DARK:
        return "#"
    if min(colour) >= _LIGHT:
        return " "
    if green - max(red, blue) >= _MARGIN:
        return "S"
    return "G" if red - max(green, blue) >= _MARGIN else ""


def _name(colour: NDArray[np.uint8]) -> str:
    return "#" + "".join(f"{int(channel):02x}" for channel in colour)
