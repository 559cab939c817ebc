"""What a solver returns for one puzzle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Segment:
    """What a model thinks after one segment."""

    #: uint8 ``[S]``, the answer.
    answer: NDArray[np.uint8]
    #: float32 ``[S]``, probability of each token of the answer.
    confidence: NDArray[np.float32]
    #: Values of halting and of thinking on: probabilities, or plain values if the model was trained with these. With
    #: halting rule "policy", ``q_halt`` is the probability of halting; only rule "q" has a ``q_continue``.
    q_halt: float
    q_continue: float | None
    #: Whether the episode ends here: the policy halts, or the segments have run out.
    halt: bool
    #: The verifier's judgement of the answer, and its partial credit.
    success: bool
    score: float
    #: Expected gain of thinking on, in units of reward; only with rule "gain".
    gain: float | None = None


@dataclass(frozen=True)
class Solution:
    """Answer to one puzzle, and the segments that led to it."""

    #: uint8 ``[S]``, the answer at the halt.
    answer: NDArray[np.uint8]
    #: The answer in the task's notation.
    text: str
    #: Whether the environment's verifier accepts it.
    success: bool
    segments: tuple[Segment, ...]
