"""Collects, step by step, the state of an episode that one image shows."""

from __future__ import annotations

import numpy as np

from hrm_envs.dynamics import Outcome
from hrm_envs.rendering.frame_data import Draft, Frame, Thoughts
from hrm_envs.spec import MARK_NONE, Tokens
from hrm_envs.task import PuzzleBatch, Task


class FrameBuilder:
    """Builds the frames of one row of the dynamics. Cheap while no frame is requested."""

    def __init__(self, task: Task, max_segments: int) -> None:
        self._task, self._max_segments = task, max_segments
        #: The agent's thoughts on its next step; the step consumes them.
        self.posted: Thoughts | None = None
        cells = np.zeros((1, task.spec.num_cells), np.uint8)
        self.begin(PuzzleBatch(cells, cells), 0)

    def begin(self, batch: PuzzleBatch, row: int) -> None:
        """Start an episode with the puzzle in row ``row`` of ``batch``."""
        self._batch = batch.take(slice(row, row + 1)).copy()
        self._answer = self._previous = np.zeros_like(self._batch.puzzle[0])
        self._draft: Draft | None = None
        self._edits: tuple[int, int] | None = None
        self._segment = 0
        self._success = self._halted = self._forced = False
        self._score = 0.0
        self._history: list[tuple[float | None, float | None]] = []
        self._thoughts: Thoughts | None = None
        self.posted = None

    def advance(self, answer: Tokens, outcome: Outcome, row: int) -> None:
        """Record one step: the answer (uint8 ``[S]``) and row ``row`` of its outcome."""
        self._previous, self._answer = self._answer, answer.copy()
        self._draft = None
        self._segment += 1
        self._success = bool(outcome.verdict.success[row])
        self._score = float(outcome.verdict.score[row])
        self._halted = bool(outcome.terminated[row])
        self._forced = bool(outcome.forced_halt[row])
        self._thoughts, self.posted = self.posted, None
        thoughts = self._thoughts
        self._history.append(thoughts.values if thoughts else (None, None))

    def preview(self, draft: Draft) -> None:
        """Show an unfinished answer without taking a step."""
        self._previous, self._answer = self._answer, draft.answer.copy()
        self._draft, self._edits = draft, (draft.edits, draft.max_edits)

    def frame(self) -> Frame:
        """The current frame."""
        marks = self._task.mark(self._batch, self._answer[None])[0]
        if self._draft is not None:
            # Unanswered cells of a draft are not wrong yet.
            marks = np.where(self._answer == self._batch.puzzle[0], np.uint8(MARK_NONE), marks)
        return Frame(
            puzzle=self._batch.puzzle[0],
            task_id=int(self._batch.task_id[0]),
            example=int(self._batch.example[0]),
            answer=self._answer,
            previous_answer=self._previous,
            marks=marks,
            segment=self._segment,
            max_segments=self._max_segments,
            success=self._success,
            score=self._score,
            halted=self._halted,
            forced=self._forced,
            history=tuple(self._history),
            thoughts=self._thoughts,
            edits=self._edits,
            cursor=None if self._draft is None else self._draft.cursor,
        )
