"""The data that one image shows: puzzle, answer and the agent's thoughts. :mod:`.render` draws it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hrm_envs.spec import PAD, Tokens


@dataclass(frozen=True)
class Thoughts:
    """What an agent reports about its latest segment; every field is optional."""

    #: Q-value of halting on this answer.
    q_halt: float | None = None
    #: Q-value of continuing.
    q_continue: float | None = None
    #: float32 ``[S]`` in [0, 1], confidence in each cell.
    confidence: NDArray[np.float32] | None = None
    #: What it chose, such as ``"halt"`` or ``"think on"``.
    decision: str | None = None
    #: Expected gain of continuing, of agents that estimate it in place of the Q-value of continuing.
    gain: float | None = None

    @property
    def values(self) -> tuple[float | None, float | None]:
        """The two numbers that a frame shows: Q-value of halting, and Q-value or else gain of continuing."""
        return self.q_halt, self.gain if self.q_continue is None else self.q_continue

    @property
    def names(self) -> tuple[str, str]:
        """What :attr:`values` are called."""
        return "Q halt", "Q continue" if self.gain is None else "Gain of thinking on"


@dataclass(frozen=True)
class Draft:
    """An unfinished answer that is written edit by edit."""

    #: uint8 ``[S]``.
    answer: Tokens
    #: Edits so far, and the number after which the answer is submitted.
    edits: int
    max_edits: int
    #: The cell of the next edit, if that is known.
    cursor: int | None = None


@dataclass(frozen=True)
class Frame:
    """The state of one episode that one image shows."""

    #: uint8 ``[S]``, the puzzle.
    puzzle: Tokens
    #: uint8 ``[S]``, the latest answer; all 0 before the first segment.
    answer: Tokens
    #: uint8 ``[S]``, the answer of the previous segment; all 0 before the second.
    previous_answer: Tokens
    #: uint8 ``[S]``, the ``MARK_*`` of each cell of the answer.
    marks: NDArray[np.uint8]
    #: Segments thought so far, 0 before the first.
    segment: int
    #: Segments after which the episode ends regardless of the agent's decision.
    max_segments: int
    #: The answer is right.
    success: bool
    #: Partial credit of the answer, in [0, 1].
    score: float
    #: The episode has ended.
    halted: bool
    #: The episode ended because the segments ran out.
    forced: bool
    #: :attr:`Thoughts.values` of every segment so far, oldest first.
    history: tuple[tuple[float | None, float | None], ...] = ()
    #: What the agent posted with the latest answer.
    thoughts: Thoughts | None = None
    #: The puzzle's task identity, and its example number within that task; 0 without identities.
    task_id: int = 0
    example: int = 0
    #: For an answer written edit by edit: edits so far, and the most allowed.
    edits: tuple[int, int] | None = None
    #: The cell under the cursor, if there is a cursor.
    cursor: int | None = None

    @property
    def progress(self) -> tuple[str, int, int]:
        """Unit of time (``"segment"`` or ``"edit"``), how many have passed, and the most allowed."""
        return ("segment", self.segment, self.max_segments) if self.edits is None else ("edit", *self.edits)

    @property
    def percent(self) -> int:
        """The score in percent, rounded down so that only a full score reads 100."""
        return int(self.score * 100 + 1e-6)

    @cached_property
    def changed(self) -> NDArray[np.bool_]:
        """bool ``[S]``, cells that the latest segment revised; none in the first segment."""
        return (self.answer != self.previous_answer) & (self.previous_answer != PAD).any()

    @cached_property
    def shown(self) -> Tokens:
        """uint8 ``[S]``, the answer, or the puzzle where the answer is padding."""
        return np.where(self.answer != PAD, self.answer, self.puzzle)
