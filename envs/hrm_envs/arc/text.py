"""ARC puzzles and answers as text: grids of digits, without the canvas around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_envs.arc.grids import NUM_COLOURS, Grid, corners, place, read_grid
from hrm_envs.spec import PAD, Tokens
from hrm_envs.text_form import TextForm, read_rows

_DIGITS = tuple(map(str, range(NUM_COLOURS)))


class ARCText(TextForm):
    """The text form of ARC tasks."""

    canvas: int

    @property
    def rules(self) -> str:
        """What a player has to do."""
        return (
            "Each example turns an input grid into an output grid by the same rule. Write the output of the puzzle: "
            "rows of digits from 0 to 9, which are colours. It may be smaller or larger than the input."
        )

    def grid_to_text(self, tokens: Tokens, puzzle: Tokens) -> str:
        """The grid that is read from a canvas, at the position of the puzzle's grid; "no grid" if there is none."""
        return _text(read_grid(tokens, self.canvas, self._origin(puzzle)))

    def answer_from_text(self, text: str, puzzle: Tokens) -> Tokens:
        """Read a grid of any size, and place it on the canvas where the puzzle's grid is.

        Raises:
            ValueError: a cell is no digit, rows differ in length, or the grid does not fit; the message names line and
                cell, both counted from 1.
        """
        row, column = self._origin(puzzle)
        most = self.canvas - row, self.canvas - column
        found: list[list[int]] = []
        for number, cells in read_rows(text, _DIGITS):
            if found and len(cells) != len(found[0]):
                raise ValueError(f"line {number}: {len(cells)} cells, expected {len(found[0])} as in the first row")
            if len(cells) > most[1] or len(found) == most[0]:
                raise ValueError(
                    f"line {number}: the grid is larger than {most[0]} x {most[1]}, the room on the canvas"
                )
            found.append(cells)
        if not found:
            raise ValueError("the answer has 0 rows, expected at least 1")
        corner = place([np.array(found, np.uint8)], self.canvas).reshape(self.canvas, self.canvas)
        answer = np.full_like(corner, PAD)
        answer[row:, column:] = corner[: most[0], : most[1]]
        return answer.reshape(-1)

    def context_to_text(self, obs: Mapping[str, NDArray[Any]]) -> str:
        """The demonstrations, which the observation has with ``demonstrations=K``."""
        if "demonstrations" not in obs:
            return "No examples are shown: make the environment with demonstrations=10 to see them."
        pairs = obs["demonstrations"].reshape(-1, 2, self.spec.num_cells)[obs["demonstration_mask"] == 1]
        return "\n\n".join(
            f"Example {number}, input:\n{self.grid_to_text(pair[0], pair[0])}\noutput:\n"
            f"{self.grid_to_text(pair[1], pair[1])}"
            for number, pair in enumerate(pairs, 1)
        )

    def _origin(self, puzzle: Tokens) -> tuple[int, int]:
        """Row and column of the first cell of a puzzle's grid."""
        (row, column), _ = (found[0] for found in corners(puzzle[None], self.canvas))
        return int(row), int(column)


def _text(grid: Grid) -> str:
    return "\n".join("".join(map(str, row)) for row in grid.tolist()) or "no grid"
