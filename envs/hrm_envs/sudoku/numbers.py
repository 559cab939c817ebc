"""What the numbers of an array stand for: tokens, or digits with 0 for a blank."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_envs.sudoku.layout import BLANK, Layout
from hrm_envs.sudoku.verifier import all_units_complete


def digits_to_tokens(
    layout: Layout, puzzle: NDArray[Any], solution: NDArray[Any] | None
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Tokens of puzzles and solutions (integers ``[N, S]``) that are tokens or digits.

    Tokens have 1 for a blank and ``digit + 1`` for a digit; digits have 0 for a blank. So a 0 shows digits, and
    ``n + 1`` shows tokens. Solutions without ``n + 1`` are digits, because every solution has the digit ``n``. Anything
    that is neither is returned unchanged, for the check of tokens to refuse.

    Raises:
        ValueError: there are signs of both, or of neither and the puzzles are complete grids of digits.
    """
    numbers = puzzle if solution is None else np.concatenate([puzzle, solution])
    last = layout.size + 1
    if numbers.min() < 0 or numbers.max() > last:
        return puzzle, solution
    has_blank, has_last = bool((puzzle == 0).any()), bool((numbers == last).any())
    if has_blank and has_last:
        raise ValueError(
            f"the numbers have both 0 and {last}: write digits 1 to {layout.size} with 0 for a blank, or tokens, which "
            f"are the digit + 1, with {BLANK} for a blank"
        )
    if (
        not has_blank
        and not has_last
        and solution is None
        and all_units_complete(layout, puzzle.astype(np.uint8) + 1).all()
    ):
        raise ValueError(
            "the puzzles are complete grids of digits, or puzzles of tokens (digit + 1, with 1 for a blank): pass the "
            "solutions too, to tell which"
        )
    if not has_blank and (has_last or solution is None):
        return puzzle, solution
    return puzzle + 1, None if solution is None else solution + 1
