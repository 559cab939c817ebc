"""Verification of Sudoku answers by the rules, so that every right answer is accepted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrm_envs.spec import Tokens
from hrm_envs.sudoku.layout import BLANK, Layout
from hrm_envs.task import PuzzleBatch, Verdict


def verify_grids(layout: Layout, batch: PuzzleBatch, answer: Tokens, *, score_by_rules: bool) -> Verdict:
    """Success if the givens are kept and every row, column and box holds each digit once.

    The score is the share of right cells among the blanks and the changed givens, which count as wrong. Without changed
    givens, this is the share of blanks that equal the solution. A puzzle without blanks scores 1 if it is unchanged and
    0 otherwise.

    Args:
        layout: rows, columns and boxes.
        batch: the puzzles; their solutions count for the score alone.
        answer: uint8 ``[B, S]``.
        score_by_rules: the score is the share of all cells that break no rule, for which no solution is needed.
    """
    blank = batch.puzzle == BLANK
    asked = blank | (answer != batch.puzzle)
    success = all_units_complete(layout, answer) & (asked == blank).all(axis=1)
    if score_by_rules:
        return Verdict(success, legal_cells(layout, batch.puzzle, answer).mean(axis=1, dtype=np.float32))
    right = blank & (answer == batch.solution)
    num_asked = asked.view(np.uint8).sum(axis=1, dtype=np.uint16)
    num_right = right.view(np.uint8).sum(axis=1, dtype=np.uint16)
    score = num_right / np.maximum(num_asked, 1).astype(np.float32)
    score[success] = 1.0
    return Verdict(success, score)


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
