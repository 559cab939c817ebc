"""When to stop thinking: what a halting rule may look at, and the rules that there are."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor


def should_halt(q_halt: Tensor, q_continue: Tensor) -> Tensor:
    """Greedy decision, bool [B]: halt where it is worth strictly more; a tie thinks on."""
    return q_halt > q_continue


class Thought(NamedTuple):
    """All that a halting rule may look at after a segment, for ``B`` rows of ``S`` cells."""

    q_halt: Tensor
    """float32 [B], first output of the Q-head."""
    q_continue: Tensor
    """float32 [B], its second output."""
    segment: Tensor
    """int64 [B], number of this segment in its episode, from 1."""
    answer: Tensor
    """uint8 [B, S], the answer of this segment."""
    last_answer: Tensor
    """uint8 [B, S], that of the segment before; zeros where there was none."""
    draw: Tensor | None = None
    """float32 [B], uniform in [0, 1), for rules that decide by chance in training; None asks for the decision that
    they think best."""


class HaltingRule(ABC):
    """Decides when to stop. It remembers nothing: what it needs to know is in the :class:`Thought`."""

    samples: ClassVar[bool] = False
    """Whether it decides by chance in training, and wants ``Thought.draw`` for it."""
    values_continue: ClassVar[bool] = False
    """Whether the second output of the Q-head is the value of thinking on."""

    @abstractmethod
    def decide(self, thought: Thought) -> Tensor:
        """Where to halt, bool [B]."""


@dataclass(frozen=True)
class GreaterValue(HaltingRule):
    """The paper's: halt where Q(halt) is greater than Q(continue) (arXiv 2506.21734, section 2)."""

    values_continue: ClassVar[bool] = True

    def decide(self, thought: Thought) -> Tensor:
        """See :class:`HaltingRule`."""
        return should_halt(thought.q_halt, thought.q_continue)


@dataclass(frozen=True)
class HaltingProbability(HaltingRule):
    """Halt where halting pays more than a threshold, whatever thinking on might bring."""

    threshold: float
    """In units of reward; for logits a probability. At the threshold it thinks on."""
    values_are_logits: bool
    """Q(halt) is the logit of a probability, else the value itself."""

    def decide(self, thought: Thought) -> Tensor:
        """See :class:`HaltingRule`."""
        value = thought.q_halt.sigmoid() if self.values_are_logits else thought.q_halt
        return value > self.threshold


@dataclass(frozen=True)
class FixedLength(HaltingRule):
    """Halt after a fixed number of segments."""

    segments: int | None
    """From 1; None never halts, so that the environment ends the episode at its last segment."""

    def decide(self, thought: Thought) -> Tensor:
        """See :class:`HaltingRule`."""
        if self.segments is None:
            return torch.zeros_like(thought.segment, dtype=torch.bool)
        return thought.segment >= self.segments


@dataclass(frozen=True)
class Convergence(HaltingRule):
    """Halt where the answer is that of the segment before, in every cell; never after the first segment."""

    def decide(self, thought: Thought) -> Tensor:
        """See :class:`HaltingRule`."""
        # Without a segment before, the last answer is all zeros, which a young model may answer too.
        return (thought.segment > 1) & (thought.answer == thought.last_answer).all(-1)


@dataclass(frozen=True)
class HaltingPolicy(HaltingRule):
    """A stochastic policy: sigmoid of the first output is the chance of halting. Without a draw, halt above 1/2."""

    samples: ClassVar[bool] = True

    def decide(self, thought: Thought) -> Tensor:
        """See :class:`HaltingRule`."""
        if thought.draw is None:
            return thought.q_halt > 0.0
        return thought.draw < thought.q_halt.sigmoid()
