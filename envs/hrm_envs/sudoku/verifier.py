"""Which cells of an answer break no rule: credit that needs no solution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrm_envs.spec import Tokens
from hrm_envs.sudoku.geometry import BLANK, SudokuGeometry


def lawful(board: SudokuGeometry, puzzle: Tokens, answer: Tokens) -> NDArray[np.bool_]:
    """Cells that break no rule, bool ``[B, S]``; all of them exactly for a right answer.

    A given must be kept. A blank must hold a digit that no other cell of its row, column or box holds.

    Args:
        board: rows, columns and boxes.
        puzzle: uint8 ``[B, S]``.
        answer: uint8 ``[B, S]``.
    """
    clash = ((answer[:, :, None] == answer[:, None, :]) & board.peers).any(axis=2)
    given = puzzle != BLANK
    return np.where(given, answer == puzzle, (answer > BLANK) & ~clash)
