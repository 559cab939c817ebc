"""Text of Sudoku grids: :mod:`.reading` reads it in the forms that people use, :func:`format_grid` writes it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hrm_envs.spec import Tokens
from hrm_envs.sudoku.layout import BLANK, cell_name, layout_for
from hrm_envs.sudoku.lines import BLANKS
from hrm_envs.sudoku.reading import read_grids


def character_tokens(size: int) -> Mapping[str, int]:
    """The token of each character of a cell in text.

    Raises:
        ValueError: unknown size.
    """
    digits = {symbol: token for token, symbol in enumerate(layout_for(size).symbols) if token > BLANK}
    small = {symbol.lower(): token for symbol, token in digits.items()}
    return {**dict.fromkeys(BLANKS, BLANK), **digits, **small}


def parse_grids(text: str, size: int = 9) -> Tokens:
    """Read all puzzles of a text: tokens uint8 ``[B, S]``, in order.

    Raises:
        ValueError: as :func:`.reading.read_grids`, or unknown size.
    """
    return read_grids(text, layout_for(size), character_tokens(size)).puzzle


def format_grid(grid: NDArray[np.integer]) -> str:
    """A grid (tokens ``[S]``) as lines with separators between the boxes and ``.`` for blanks.

    Raises:
        ValueError: the grid has an unknown size or an invalid token.
    """
    texts = _cell_texts(grid)
    size = round(len(texts) ** 0.5)
    box_rows, box_columns = layout_for(size).box_shape
    lines = []
    for row in range(size):
        if row and row % box_rows == 0:
            rule = "-" * (2 * box_columns - 1)
            lines.append("-+-".join([rule] * (size // box_columns)))
        cells = texts[row * size : (row + 1) * size]
        boxes = [" ".join(cells[i : i + box_columns]) for i in range(0, size, box_columns)]
        lines.append(" | ".join(boxes))
    return "\n".join(lines)


def _cell_texts(grid: NDArray[np.integer]) -> list[str]:
    """One character per cell of a grid (tokens ``[S]``)."""
    if grid.ndim != 1:
        raise ValueError(f"expected one grid of shape [S], not an array of shape {list(grid.shape)}")
    size = round(len(grid) ** 0.5)
    if size * size != len(grid):
        raise ValueError(f"a grid of {len(grid)} cells is not square")
    symbols = layout_for(size).symbols
    bad = np.flatnonzero((grid < BLANK) | (grid >= len(symbols)))
    if bad.size:
        cell = int(bad[0])
        raise ValueError(f"{cell_name(cell, size)}: token {grid[cell]} is not in 1..{len(symbols) - 1}")
    return [symbols[token] for token in grid.tolist()]
