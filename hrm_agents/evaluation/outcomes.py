"""What thinking about puzzles led to: answers, verdicts and Q-values, at the halt or at every segment."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

AnyOutcome = TypeVar("AnyOutcome", bound="Outcome")


@dataclass(frozen=True)
class Outcome:
    """Answers to ``N`` puzzles, verdicts and Q-values.

    A shape ``[...]`` stands for ``[N]`` at the halt (:class:`Solutions`) and for ``[N, M]`` at every one of ``M``
    segments (:class:`Trace`).
    """

    #: uint8 ``[N, S]``, the answer at the halt. Those of other segments are not kept: they would not fit in memory.
    answer: NDArray[np.uint8]
    #: bool ``[...]``, whether the verifier accepts the answer.
    success: NDArray[np.bool_]
    #: float32 ``[...]``, its partial credit.
    score: NDArray[np.float32]
    #: float32 ``[...]``, raw outputs of the Q-head.
    q_halt: NDArray[np.float32]
    q_continue: NDArray[np.float32]

    @classmethod
    def empty(cls: type[AnyOutcome], num_puzzles: int, num_cells: int, *max_segments: int) -> AnyOutcome:
        """Zeros to fill in; a :class:`Trace` also needs the number of segments."""
        arrays = {}
        for name, hint in get_type_hints(cls).items():
            shape = (num_puzzles, num_cells) if name == "answer" else (num_puzzles, *max_segments)
            (dtype,) = get_args(get_args(hint)[1])  # NDArray[X] is ndarray[shape, dtype[X]]
            arrays[name] = np.zeros(shape, dtype)
        return cls(**arrays)

    def take(self: AnyOutcome, rows: NDArray[np.bool_]) -> AnyOutcome:
        """The outcomes of the puzzles that ``rows``, bool ``[N]``, selects."""
        return replace(self, **{part.name: getattr(self, part.name)[rows] for part in fields(self)})

    def __len__(self) -> int:
        return len(self.answer)


@dataclass(frozen=True)
class Solutions(Outcome):
    """How thinking about each of ``N`` puzzles ended."""

    #: int64 ``[N]``, number of segments until the halt, from 1.
    segments: NDArray[np.int64]
    #: bool ``[N]``, whether the segments ran out before the policy wanted to halt.
    forced_halt: NDArray[np.bool_]


@dataclass(frozen=True)
class Trace(Outcome):
    """What happened to each of ``N`` puzzles at each of ``M`` segments."""

    #: float32 ``[N, M]``, the reward of halting.
    halt_reward: NDArray[np.float32]
    #: bool ``[N, M]``, where the policy wants to halt.
    wants_halt: NDArray[np.bool_]

    def halt_segment(self) -> NDArray[np.int64]:
        """Index (from 0) of the segment after which each episode ends: int64 ``[N]``."""
        wants = self.wants_halt.copy()
        wants[:, -1] = True
        return wants.argmax(axis=1)

    def at_halt(self) -> Solutions:
        """The outcome at the halt, as :func:`hrm_agents.evaluation.think.think_to_halt` returns it."""
        rows, last = np.arange(len(self)), self.halt_segment()
        return Solutions(
            answer=self.answer,
            success=self.success[rows, last],
            score=self.score[rows, last],
            q_halt=self.q_halt[rows, last],
            q_continue=self.q_continue[rows, last],
            segments=last + 1,
            forced_halt=~self.wants_halt[rows, last],
        )
