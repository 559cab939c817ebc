"""Drafts of ARC grids, which are painted with a cursor and resized, in batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import IntEnum
from typing import Any, Literal, get_args

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from hrm_envs.arc import ARCTask
from hrm_envs.arc.grids import END, FIRST_COLOUR, NUM_COLOURS, corners, read_sizes
from hrm_envs.checks import choice
from hrm_envs.rendering.frame_data import Draft
from hrm_envs.spec import PAD, Tokens
from hrm_envs.task import Task
from hrm_envs.wrappers.drafts import Drafts

Start = Literal["input", "blank"]


class ArcAction(IntEnum):
    """The 19 actions on an ARC grid; ``PAINT + c`` paints colour ``c``."""

    UP = 0
    DOWN = 1
    LEFT = 2
    RIGHT = 3
    PAINT = 4
    ADD_ROW = PAINT + NUM_COLOURS
    REMOVE_ROW = ADD_ROW + 1
    ADD_COLUMN = ADD_ROW + 2
    REMOVE_COLUMN = ADD_ROW + 3
    SUBMIT = ADD_ROW + 4


#: The change of the cursor, and of the size of the grid, by each edit: (rows, columns).
_MOVES, _GROWTH = np.zeros((2, ArcAction.SUBMIT, 2), np.int64)
_MOVES[: ArcAction.PAINT] = [(-1, 0), (1, 0), (0, -1), (0, 1)]
_GROWTH[ArcAction.ADD_ROW :] = [(1, 0), (-1, 0), (0, 1), (0, -1)]
_PAINTS = slice(ArcAction.PAINT, ArcAction.ADD_ROW)


class ArcDrafts(Drafts):
    """Drafts with one grid each, at the position of the puzzle's grid and with end markers.

    Args:
        task: an ARC task.
        num_rows: ``B``.
        start: ``"input"`` to start from the grid of the puzzle, ``"blank"`` for a black grid of its size.
        max_edits: by default twice the cells plus twice the side of the canvas, which is enough for any grid.

    Raises:
        ValueError: another kind of task, or a keyword is out of range.
    """

    def __init__(self, task: Task, num_rows: int, start: Start = "input", max_edits: int | None = None) -> None:
        if not isinstance(task, ARCTask):
            raise ValueError(f"ARC grids need an environment such as HRM/ARC-AGI-1-v0, not {task.spec.name}")
        choice("start", start, get_args(Start))
        self._side, self._blank = task.canvas, start == "blank"
        enough = 2 * task.spec.num_cells + 2 * self._side
        super().__init__(task.spec, num_rows, ArcAction.SUBMIT, enough if max_edits is None else max_edits)
        #: (row, column) of the first cell on the canvas, int32 ``[B, 2]``, constant during an episode.
        self.origin = np.zeros((num_rows, 2), np.int32)
        #: Height and width of the grid, int32 ``[B, 2]``.
        self.size = np.ones((num_rows, 2), np.int32)
        #: (row, column) of the cursor on the canvas, int32 ``[B, 2]``.
        self.cursor = np.zeros((num_rows, 2), np.int32)

    def begin(self, puzzle: Tokens, rows: NDArray[Any]) -> None:
        """Start the drafts of ``rows`` (integers ``[K]``) from puzzles (uint8 ``[K, S]``)."""
        super().begin(puzzle, rows)
        origin, _ = corners(puzzle, self._side)
        self.origin[rows] = self.cursor[rows] = origin
        # A user's puzzle may have no grid.
        self.size[rows] = np.maximum(read_sizes(puzzle, self._side, origin), 1)
        if self._blank:
            self.answer[rows] = PAD
        self._fit(rows)

    def spaces(self) -> Mapping[str, spaces.Box]:
        """The spaces of :meth:`observe`, for one draft."""
        return {
            **super().spaces(),
            "cursor": spaces.Box(0, self._side - 1, (2,), np.int32),
            "size": spaces.Box(1, self._side, (2,), np.int32),
        }

    def observe(self) -> dict[str, NDArray[Any]]:
        """``board`` (the draft) uint8 ``[B, S]``, ``edits`` int32 ``[B, 1]``, ``cursor``, ``size`` int32 ``[B, 2]``."""
        return {**super().observe(), "cursor": self.cursor.copy(), "size": self.size.copy()}

    def draft(self, row: int) -> Draft:
        """One draft with its cursor, for rendering."""
        return replace(super().draft(row), cursor=int(self._cell()[row]))

    def _change(self, rows: NDArray[np.int64], edits: NDArray[np.int64]) -> None:
        origin, before = self.origin[rows], self.size[rows]
        size = np.clip(before + _GROWTH[edits], 1, self._side - origin)
        self.size[rows] = size
        self.cursor[rows] = np.clip(self.cursor[rows] + _MOVES[edits], origin, origin + size - 1)
        paints = (edits >= _PAINTS.start) & (edits < _PAINTS.stop)
        painted = rows[paints]
        self.answer[painted, self._cell()[painted]] = edits[paints] - ArcAction.PAINT + FIRST_COLOUR
        self._fit(rows[(size != before).any(axis=1)])

    def _changes(self) -> NDArray[np.bool_]:
        origin, size, cursor = self.origin[:, None], self.size[:, None], self.cursor[:, None]
        moved = np.clip(cursor + _MOVES, origin, origin + size - 1) != cursor
        grown = np.clip(size + _GROWTH, 1, self._side - origin) != size
        changes = (moved | grown).any(axis=2)
        token = self.answer[np.arange(len(self.answer)), self._cell()]
        changes[:, _PAINTS] = token[:, None] != np.arange(FIRST_COLOUR, FIRST_COLOUR + NUM_COLOURS)
        return changes

    def _cell(self) -> NDArray[np.int64]:
        """Index of the cell under each cursor, ``[B]``."""
        return self.cursor[:, 0].astype(np.int64) * self._side + self.cursor[:, 1]

    def _fit(self, rows: NDArray[Any]) -> None:
        """Crop the drafts of ``rows`` to their grids, fill new cells with colour 0, and set the end markers."""
        line = np.arange(self._side)
        down, along = (line - self.origin[rows, axis, None] for axis in (0, 1))
        height, width = (self.size[rows, axis, None] for axis in (0, 1))
        in_rows, in_columns = (down >= 0) & (down < height), (along >= 0) & (along < width)
        inside = in_rows[:, :, None] & in_columns[:, None, :]
        below = (down == height)[:, :, None] & in_columns[:, None, :]
        beside = in_rows[:, :, None] & (along == width)[:, None, :]
        tokens = self.answer[rows].reshape(-1, self._side, self._side)
        fitted = np.where(inside, np.maximum(tokens, FIRST_COLOUR), np.where(below | beside, END, PAD))
        self.answer[rows] = fitted.reshape(len(rows), self._side**2)
