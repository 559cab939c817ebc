"""Text formats of Sudoku grids.

The parser reads two formats, which one text may mix: one line of ``S`` characters (81 for 9x9), or ``n`` lines of
``n`` characters, with optional spaces, ``|``, ``-``, ``+`` and ``=`` between cells and boxes. ``.``, ``0`` and ``_``
are blanks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrm_envs.spec import Tokens
from hrm_envs.sudoku.layout import BLANK, cell_name, layout_for

_BLANKS = ".0_"
_DECORATION = " \t|-+="


def parse_grids(text: str, size: int = 9) -> Tokens:
    """Read all grids of a text: tokens uint8 ``[B, S]``, in order.

    Empty lines, lines of separators and comments (``#``) are skipped.

    Raises:
        ValueError: unknown size, an invalid character, a line that is neither a row nor a grid, an incomplete grid, or
            no grid at all. The message names the line and, for a character, the column, both counted from 1.
    """
    num_cells = layout_for(size).num_cells
    token = {character: BLANK for character in _BLANKS}
    token.update({str(digit): digit + 1 for digit in range(1, size + 1)})
    grids: list[list[int]] = []
    rows: list[int] = []
    last = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("#"):
            continue
        cells: list[int] = []
        for column, character in enumerate(line, start=1):
            if character in _DECORATION:
                continue
            if character not in token:
                raise ValueError(
                    f"line {number}, column {column}: {character!r} is not a cell of a {size}x{size} Sudoku; "
                    f"cells are digits 1 to {size} and blanks . 0 _"
                )
            cells.append(token[character])
        if not cells:
            continue
        if len(cells) == size:
            rows += cells
            last = number
            if len(rows) == num_cells:
                grids.append(rows)
                rows = []
        elif len(cells) == num_cells and not rows:
            grids.append(cells)
        else:
            expected = f"{size}" if rows else f"{size} (a row) or {num_cells} (a grid)"
            raise ValueError(f"line {number}: has {len(cells)} cells, expected {expected}")
    if rows:
        raise ValueError(f"line {last}: the grid ends after {len(rows) // size} of {size} rows")
    if not grids:
        raise ValueError("the text holds no Sudoku grid")
    return np.array(grids, np.uint8)


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
