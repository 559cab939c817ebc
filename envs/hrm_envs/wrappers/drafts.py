"""Drafts of answers that are written edit by edit, in batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from hrm_envs.checks import as_array, form, whole_number
from hrm_envs.limits import MAX_STEPS
from hrm_envs.rendering.frame_data import Draft
from hrm_envs.spec import TaskSpec, Tokens
from hrm_envs.task import Task


class Drafts(ABC):
    """A batch of drafts, each with a count of its edits.

    A subclass implements the edits with :meth:`_change` and :meth:`_changes`.

    Args:
        spec: the spec of the task.
        num_rows: ``B``.
        num_edits: ``E``, the number of different edits.
        max_edits: number of edits after which a draft must be submitted.

    Raises:
        ValueError: ``max_edits`` is not an integer of at least 1.
    """

    def __init__(self, spec: TaskSpec, num_rows: int, num_edits: int, max_edits: int) -> None:
        self.max_edits = whole_number("max_edits", max_edits, 1, MAX_STEPS)
        self._spec = spec
        #: Number of actions: the edits, and submitting.
        self.num_actions = num_edits + 1
        #: uint8 ``[B, S]``, the drafts.
        self.answer: Tokens = np.zeros((num_rows, spec.num_cells), np.uint8)
        #: int32 ``[B]``, the number of edits.
        self.edits = np.zeros(num_rows, np.int32)

    def begin(self, puzzle: Tokens, rows: NDArray[Any]) -> None:
        """Start the drafts of ``rows`` (integers ``[K]``) from puzzles (uint8 ``[K, S]``)."""
        self.answer[rows] = puzzle
        self.edits[rows] = 0

    def edit(
        self, actions: NDArray[Any], live: NDArray[np.bool_]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
        """Take one action on every draft.

        Args:
            actions: integers ``[B]``; the last action submits.
            live: bool ``[B]``; other drafts do not change.

        Returns:
            Three masks ``[B]``: drafts that were edited, drafts to submit, and drafts to submit because they reached
            ``max_edits``.

        Raises:
            ValueError: the actions are not integers ``[B]`` in range; nothing changes.
        """
        actions = as_array("action", actions)
        if actions.shape != self.edits.shape or actions.dtype.kind not in "ui":
            raise ValueError(f"action: expected {len(self.edits)} integer(s), found {form(actions)}")
        if actions.min() < 0 or actions.max() >= self.num_actions:
            wrong = actions[(actions < 0) | (actions >= self.num_actions)][0]
            raise ValueError(f"action: unknown value {wrong}; actions are 0 to {self.num_actions - 1}")
        edited = live & (actions < self.num_actions - 1)
        rows = np.flatnonzero(edited)
        self._change(rows, actions[rows].astype(np.int64))
        self.edits += edited
        forced = edited & (self.edits >= self.max_edits)
        return edited, (live & ~edited) | forced, forced

    def masks(self) -> NDArray[np.bool_]:
        """Whether each action changes something or submits, bool ``[B, E + 1]``."""
        return np.concatenate([self._changes(), np.ones((len(self.answer), 1), np.bool_)], axis=1)

    def spaces(self) -> Mapping[str, spaces.Box]:
        """The spaces of :meth:`observe`, for one draft."""
        return {
            "board": spaces.Box(0, self._spec.vocab_size - 1, (self._spec.num_cells,), np.uint8),
            "edits": spaces.Box(0, self.max_edits, (1,), np.int32),
        }

    def observe(self) -> dict[str, NDArray[Any]]:
        """``board`` (the draft) uint8 ``[B, S]`` and ``edits`` int32 ``[B, 1]``, as copies."""
        return {"board": self.answer.copy(), "edits": self.edits[:, None].copy()}

    def draft(self, row: int) -> Draft:
        """One draft, for rendering."""
        return Draft(self.answer[row], int(self.edits[row]), self.max_edits)

    @abstractmethod
    def _change(self, rows: NDArray[np.int64], edits: NDArray[np.int64]) -> None:
        """Apply edits (``[K]``, 0 to ``E - 1``) to the drafts ``rows`` (``[K]``, distinct)."""

    @abstractmethod
    def _changes(self) -> NDArray[np.bool_]:
        """Whether each edit changes something, bool ``[B, E]``."""


class CellDrafts(Drafts):
    """Drafts where edit ``cell * V' + k`` writes the ``k``-th of the task's ``answer_tokens`` into a cell.

    Args:
        task: defines the editable cells and their tokens.
        num_rows: ``B``.
        max_edits: by default twice the number of cells.

    Raises:
        ValueError: ``max_edits`` is not an integer of at least 1.
    """

    def __init__(self, task: Task, num_rows: int, max_edits: int | None = None) -> None:
        cells = task.spec.num_cells
        self._task, self._tokens = task, task.answer_tokens
        super().__init__(task.spec, num_rows, cells * len(self._tokens), 2 * cells if max_edits is None else max_edits)
        self._editable = np.zeros((num_rows, cells), np.bool_)

    def begin(self, puzzle: Tokens, rows: NDArray[Any]) -> None:
        """Start the drafts of ``rows`` (integers ``[K]``) from puzzles (uint8 ``[K, S]``)."""
        if len(rows):
            super().begin(puzzle, rows)
            self._editable[rows] = self._task.editable(puzzle)

    def _change(self, rows: NDArray[np.int64], edits: NDArray[np.int64]) -> None:
        cells, tokens = np.divmod(edits, len(self._tokens))
        allowed = self._editable[rows, cells]
        self.answer[rows[allowed], cells[allowed]] = self._tokens[tokens[allowed]]

    def _changes(self) -> NDArray[np.bool_]:
        changes = self._editable[:, :, None] & (self.answer[:, :, None] != self._tokens)
        return changes.reshape(len(changes), -1)
