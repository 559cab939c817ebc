"""Boards on which answers are written edit by edit, many at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from hrm_envs.checks import as_array, form, whole_number
from hrm_envs.limits import MAX_STEPS
from hrm_envs.rendering.frame import Draft
from hrm_envs.spec import TaskSpec, Tokens
from hrm_envs.task import Task


class Boards(ABC):
    """``num_rows`` boards side by side, each with a count of the edits made.

    A subclass says what an edit does, :meth:`_change`, and which edits change something, :meth:`_changes`.

    Args:
        spec: of the task; a board has its cells and tokens.
        num_rows: ``B``.
        num_edits: ``E``, how many different edits there are.
        max_edits: edits after which a board is handed in by force.

    Raises:
        ValueError: ``max_edits`` is no whole number of at least 1.
    """

    def __init__(self, spec: TaskSpec, num_rows: int, num_edits: int, max_edits: int) -> None:
        self.max_edits = whole_number("max_edits", max_edits, 1, MAX_STEPS)
        self._spec = spec
        #: Every edit, and handing in.
        self.num_actions = num_edits + 1
        #: uint8 ``[B, S]``.
        self.board: Tokens = np.zeros((num_rows, spec.num_cells), np.uint8)
        #: int32 ``[B]``.
        self.edits = np.zeros(num_rows, np.int32)

    def begin(self, puzzle: Tokens, rows: NDArray[Any]) -> None:
        """Put puzzles (uint8 ``[K, S]``) on the boards of an integer array ``[K]``."""
        self.board[rows] = puzzle
        self.edits[rows] = 0

    def edit(
        self, actions: NDArray[Any], live: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
        """Take one action on every board.

        Args:
            actions: integers ``[B]``; the last one hands in.
            live: bool ``[B]``; on the others nothing happens.

        Returns:
            Three masks ``[B]``: boards on which an edit was made (or tried), that are handed in, and of these those by
            force.

        Raises:
            ValueError: the actions are not integers ``[B]`` in range; no board has changed then.
        """
        actions = as_array("action", actions)
        if actions.shape != self.edits.shape or actions.dtype.kind not in "ui":
            raise ValueError(f"action: expected {len(self.edits)} integer(s), found {form(actions)}")
        if actions.min() < 0 or actions.max() >= self.num_actions:
            wrong = actions[(actions < 0) | (actions >= self.num_actions)][0]
            raise ValueError(f"action: {wrong} is none; actions are 0 to {self.num_actions - 1}")
        edited = live & (actions < self.num_actions - 1)
        rows = np.flatnonzero(edited)
        self._change(rows, actions[rows].astype(np.int64))
        self.edits += edited
        forced = edited & (self.edits >= self.max_edits)
        return edited, (live & ~edited) | forced, forced

    def masks(self) -> NDArray[np.bool_]:
        """Edits that change something, and handing in: bool ``[B, E + 1]``."""
        return np.concatenate([self._changes(), np.ones((len(self.board), 1), np.bool_)], axis=1)

    def spaces(self) -> Mapping[str, spaces.Box]:
        """What :meth:`observe` gives of each board."""
        return {
            "board": spaces.Box(0, self._spec.vocab_size - 1, (self._spec.num_cells,), np.uint8),
            "edits": spaces.Box(0, self.max_edits, (1,), np.int32),
        }

    def observe(self) -> dict[str, NDArray[Any]]:
        """``board`` uint8 ``[B, S]`` and ``edits`` int32 ``[B, 1]``, as fresh arrays."""
        return {"board": self.board.copy(), "edits": self.edits[:, None].copy()}

    def draft(self, row: int) -> Draft:
        """What a picture shows of a board."""
        return Draft(self.board[row], int(self.edits[row]), self.max_edits)

    @abstractmethod
    def _change(self, rows: NDArray[np.int64], edits: NDArray[np.int64]) -> None:
        """Make edits (``[K]`` of 0 to ``E - 1``) on the boards ``rows`` (``[K]``, each once)."""

    @abstractmethod
    def _changes(self) -> NDArray[np.bool_]:
        """Edits that change something, bool ``[B, E]``."""


class CellBoards(Boards):
    """Boards whose edit ``cell * V' + k`` writes the ``k``-th of the task's ``answer_tokens`` into a cell.

    Args:
        task: says which cells may be edited and with which tokens.
        num_rows: ``B``.
        max_edits: twice the cells by default.

    Raises:
        ValueError: ``max_edits`` is no whole number of at least 1.
    """

    def __init__(self, task: Task, num_rows: int, max_edits: int | None = None) -> None:
        cells = task.spec.num_cells
        self._task, self._tokens = task, task.answer_tokens
        super().__init__(task.spec, num_rows, cells * len(self._tokens), 2 * cells if max_edits is None else max_edits)
        self._editable = np.zeros((num_rows, cells), np.bool_)

    def begin(self, puzzle: Tokens, rows: NDArray[Any]) -> None:
        """Put puzzles (uint8 ``[K, S]``) on the boards of an integer array ``[K]``."""
        if len(rows):
            super().begin(puzzle, rows)
            self._editable[rows] = self._task.editable(puzzle)

    def _change(self, rows: NDArray[np.int64], edits: NDArray[np.int64]) -> None:
        cells, tokens = np.divmod(edits, len(self._tokens))
        allowed = self._editable[rows, cells]
        self.board[rows[allowed], cells[allowed]] = self._tokens[tokens[allowed]]

    def _changes(self) -> NDArray[np.bool_]:
        changes = self._editable[:, :, None] & (self.board[:, :, None] != self._tokens)
        return changes.reshape(len(changes), -1)
