"""What one picture shows: the puzzle, the answer, and what the agent thought."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hrm_envs.spec import PAD, Tokens


@dataclass(frozen=True)
class Thoughts:
    """What an agent tells of the segment it just thought. Every field may be left out."""

    #: Value of halting on this answer: a probability in [0, 1] or a plain value.
    q_halt: float | None = None
    #: Value of thinking on, on the same scale.
    q_continue: float | None = None
    #: float32 ``[S]`` in [0, 1], how sure the agent is of each cell.
    confidence: NDArray[np.float32] | None = None
    #: What it chose, in a word or two, such as ``"halt"`` or ``"think on"``.
    decision: str | None = None


@dataclass(frozen=True)
class Draft:
    """An answer that is written edit by edit and not handed in yet."""

    #: uint8 ``[S]``.
    answer: Tokens
    #: Edits made, and after how many it is handed in by force.
    edits: int
    max_edits: int
    #: The cell that the next edit is about, where there is one.
    cursor: int | None = None


@dataclass(frozen=True)
class Frame:
    """All that one picture shows of one episode."""

    #: uint8 ``[S]``, the puzzle.
    puzzle: Tokens
    #: uint8 ``[S]``, the latest answer; all 0 before the first segment.
    answer: Tokens
    #: uint8 ``[S]``, the answer of the segment before; all 0 if there was none.
    previous_answer: Tokens
    #: uint8 ``[S]``, the ``MARK_*`` of each cell of the answer.
    marks: NDArray[np.uint8]
    #: Segments thought so far, 0 before the first.
    segment: int
    #: Segments after which the answer is graded whatever the agent decides.
    max_segments: int
    #: The answer is right.
    success: bool
    #: Partial credit of the answer, in [0, 1].
    score: float
    #: The episode has ended.
    halted: bool
    #: It ended because the segments ran out.
    forced: bool
    #: ``(q_halt, q_continue)`` of every segment so far, oldest first.
    history: tuple[tuple[float | None, float | None], ...] = ()
    #: What the agent posted, or None.
    thoughts: Thoughts | None = None
    #: The puzzle's task identity, and which example of it the puzzle is; 0 where the task has none.
    task_id: int = 0
    example: int = 0
    #: Where the answer was written edit by edit: how many were made, and how many there may be.
    edits: tuple[int, int] | None = None
    #: The cell that somebody is about to write; None if nobody is.
    cursor: int | None = None

    @property
    def progress(self) -> tuple[str, int, int]:
        """What goes by (``"segment"``, or ``"edit"`` where an answer is written), how many did, and how many may."""
        return ("segment", self.segment, self.max_segments) if self.edits is None else ("edit", *self.edits)

    @cached_property
    def changed(self) -> NDArray[np.bool_]:
        """bool ``[S]``, cells revised by this segment; none in the first, where every cell is new."""
        return (self.answer != self.previous_answer) & (self.previous_answer != PAD).any()

    @cached_property
    def shown(self) -> Tokens:
        """uint8 ``[S]``, the answer, and the puzzle where there is none yet."""
        return np.where(self.answer != PAD, self.answer, self.puzzle)
