"""The rules of Sudoku, checked on answers without a solution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrm_envs.spec import Tokens
from hrm_envs.sudoku.layout import BLANK, Layout


def all_units_complete(layout: Layout, answer: Tokens) -> NDArray[np.bool_]:
    """Whether every row, column and box of answers (uint8 ``[B, S]``) holds each digit once, bool ``[B]``."""
    # Digit d counts 2**(d - 1), anything else 0: n cells add up to 2**n - 1 only if they hold n digits.
    sums = layout.digit_bits.take(answer) @ layout.membership
    return (sums == np.float32(layout.full_mask)).all(axis=1)


def legal_cells(layout: Layout, puzzle: Tokens, answer: Tokens) -> NDArray[np.bool_]:
    """Cells that break no rule, bool ``[B, S]``; a right answer has only legal cells.

    A given must be kept. A blank must hold a digit that no other cell of its row, column or box holds.

    Args:
        layout: rows, columns and boxes.
        puzzle: uint8 ``[B, S]``.
        answer: uint8 ``[B, S]``.
    """
    clash = ((answer[:, :, None] == answer[:, None, :]) & layout.peers).any(axis=2)
    given = puzzle != BLANK
    return np.where(given, answer == puzzle, (answer > BLANK) & ~clash)
