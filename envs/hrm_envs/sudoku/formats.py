"""Sudoku boards as text: reading and writing.

Two ways of writing a board are read, and may be mixed in one text: a line of ``S`` characters (81 for 9x9),
and a grid of ``n`` lines of ``n`` characters, which may have spaces, ``|``, ``-``, ``+`` and ``=`` as
decoration between cells and boxes. ``.``, ``0`` and ``_`` are blanks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrm_envs.spec import Tokens
from hrm_envs.sudoku.geometry import BLANK, cell_name, geometry

_BLANKS = ".0_"
_DECORATION = " \t|-+="


def parse_boards(text: str, size: int = 9) -> Tokens:
    """Read every board of a text: tokens uint8 ``[B, S]``, in order.

    Lines that are empty, all decoration, or begin with ``#`` (comments) are skipped.

    Raises:
        ValueError: unknown size, a character that is no cell, a line that is neither a row nor a board, a
            grid that ends early or is interrupted, or no board at all. The text names the line and, for a
            character, the column, both from 1.
    """
    board = geometry(size)
    token = {character: BLANK for character in _BLANKS}
    token.update({str(digit): digit + 1 for digit in range(1, size + 1)})
    boards: list[list[int]] = []
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
            if len(rows) == board.num_cells:
                boards.append(rows)
                rows = []
        elif len(cells) == board.num_cells and not rows:
            boards.append(cells)
        else:
            expected = f"{size}" if rows else f"{size} (a row) or {board.num_cells} (a board)"
            raise ValueError(f"line {number}: has {len(cells)} cells, expected {expected}")
    if rows:
        raise ValueError(f"line {last}: the grid ends after {len(rows) // size} of {size} rows")
    if not boards:
        raise ValueError("the text holds no Sudoku board")
    return np.array(boards, np.uint8)


def format_grid(board: NDArray[np.integer]) -> str:
    """A board (tokens ``[S]``) as a grid of lines with separators between the boxes, ``.`` for blanks.

    Raises:
        ValueError: the board has an unknown width or a token without a text.
    """
    texts = _cell_texts(board)
    size = round(len(texts) ** 0.5)
    box_rows, box_columns = geometry(size).box_shape
    lines = []
    for row in range(size):
        if row and row % box_rows == 0:
            rule = "-" * (2 * box_columns - 1)
            lines.append("-+-".join([rule] * (size // box_columns)))
        cells = texts[row * size : (row + 1) * size]
        boxes = [" ".join(cells[i : i + box_columns]) for i in range(0, size, box_columns)]
        lines.append(" | ".join(boxes))
    return "\n".join(lines)


def _cell_texts(board: NDArray[np.integer]) -> list[str]:
    """One character per cell of a board (tokens ``[S]``)."""
    if board.ndim != 1:
        raise ValueError(f"expected one board of shape [S], not an array of shape {list(board.shape)}")
    size = round(len(board) ** 0.5)
    if size * size != len(board):
        raise ValueError(f"a board of {len(board)} cells is not square")
    symbols = geometry(size).symbols
    bad = np.flatnonzero((board < BLANK) | (board >= len(symbols)))
    if bad.size:
        cell = int(bad[0])
        raise ValueError(f"{cell_name(cell, size)}: token {board[cell]} is not in 1..{len(symbols) - 1}")
    return [symbols[token] for token in board.tolist()]
