"""Boards on which answers are written cell by cell, many at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import whole_number
from hrm_envs.task import Task, Tokens


class Boards:
    """``num_rows`` boards side by side, each with a count of the edits made.

    Args:
        task: says which cells may be edited and with which tokens.
        num_rows: ``B``.
        max_edits: edits after which a board is handed in by force; twice the cells by default.

    Raises:
        ValueError: ``max_edits`` is no whole number of at least 1.
    """

    def __init__(self, task: Task, num_rows: int, max_edits: int | None = None) -> None:
        cells = task.spec.num_cells
        self.max_edits = 2 * cells if max_edits is None else whole_number("max_edits", max_edits)
        if not 1 <= self.max_edits < 2**31:
            raise ValueError(f"max_edits={self.max_edits}: at least one edit is needed, below 2**31")
        self._task, self._tokens = task, task.answer_tokens
        #: Every edit, and handing in.
        self.num_actions = cells * len(self._tokens) + 1
        #: uint8 ``[B, S]``.
        self.board: Tokens = np.zeros((num_rows, cells), np.uint8)
        #: int32 ``[B]``.
        self.edits = np.zeros(num_rows, np.int32)
        self._editable = np.zeros((num_rows, cells), np.bool_)

    def begin(self, puzzle: Tokens, rows: NDArray[Any]) -> None:
        """Put puzzles (uint8 ``[K, S]``) on the boards of an integer array ``[K]``."""
        if len(rows):
            self.board[rows] = puzzle
            self.edits[rows] = 0
            self._editable[rows] = self._task.editable(puzzle)

    def edit(
        self, actions: NDArray[Any], live: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
        """Take one action on every board.

        Args:
            actions: integers ``[B]``: ``cell * V' + k`` writes token ``k`` of the task's, the last one hands in.
            live: bool ``[B]``; on the others nothing happens.

        Returns:
            Three masks ``[B]``: boards on which an edit was made (or tried), that are handed in, and of these those by
            force.

        Raises:
            ValueError: the actions are not integers ``[B]`` in range; no board has changed then.
        """
        actions = np.asarray(actions)
        if actions.shape != self.edits.shape or actions.dtype.kind not in "ui":
            raise ValueError(
                f"action: expected {len(self.edits)} integer(s), found shape {actions.shape} of {actions.dtype}"
            )
        if actions.min() < 0 or actions.max() >= self.num_actions:
            wrong = actions[(actions < 0) | (actions >= self.num_actions)][0]
            raise ValueError(f"action: {wrong} is none; actions are 0 to {self.num_actions - 1}")
        edited = live & (actions < self.num_actions - 1)
        rows = np.flatnonzero(edited)
        cells, tokens = np.divmod(actions[rows].astype(np.int64), len(self._tokens))
        allowed = self._editable[rows, cells]
        self.board[rows[allowed], cells[allowed]] = self._tokens[tokens[allowed]]
        self.edits += edited
        forced = edited & (self.edits >= self.max_edits)
        return edited, (live & ~edited) | forced, forced

    def masks(self) -> NDArray[np.bool_]:
        """Edits that change something, and handing in: bool ``[B, S * V' + 1]``."""
        changes = self._editable[:, :, None] & (self.board[:, :, None] != self._tokens)
        return np.concatenate([changes.reshape(len(changes), -1), np.ones((len(changes), 1), np.bool_)], axis=1)
