"""When to stop thinking: what a halting rule may look at, and how each rule decides.

The table that ``--halting.rule`` chooses from is :mod:`hrm_agents.learning.halting_rules`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from hrm_agents.halting.q_scale import QScale


def should_halt(q_halt: Tensor, q_continue: Tensor) -> Tensor:
    """Greedy decision, bool [B]: halt where that is worth strictly more; continue on a tie."""
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

    @property
    def samples(self) -> bool:
        """Whether it decides by chance in training, and wants ``Thought.draw`` for it."""
        return False

    second_output: ClassVar[Literal["value", "gain"] | None] = None
    """What the second output of the Q-head stands for: the value of thinking on, its gain, or nothing that is asked."""

    @abstractmethod
    def decide(self, thought: Thought) -> Tensor:
        """Where to halt, bool [B]."""

    def q_bar(self, q_continue: Tensor) -> Tensor | None:
        """The Q-value [B] that Q(halt) must exceed to halt; None if Q(halt) does not decide."""
        return None

    def margin(self, q_halt: Tensor, q_continue: Tensor) -> Tensor | None:
        """By how much halting looks better than continuing, [B]; None if the outputs of the Q-head do not decide."""
        bar = self.q_bar(q_continue)
        return None if bar is None else q_halt - bar

    def gain(self, q_continue: Tensor) -> Tensor | None:
        """The gain of thinking on that the second output stands for, [B], in units of reward; None if it does not."""
        return None

    def check_length(self, max_segments: int) -> None:
        """Refuse a rule that episodes of at most ``max_segments`` cannot follow.

        Raises:
            ValueError: saying why.
        """


@dataclass(frozen=True)
class GreaterValue(HaltingRule):
    """The paper's: halt where Q(halt) is greater than Q(continue) (arXiv 2506.21734, section 2)."""

    second_output: ClassVar[Literal["value", "gain"] | None] = "value"

    def decide(self, thought: Thought) -> Tensor:
        """See :class:`HaltingRule`."""
        return should_halt(thought.q_halt, thought.q_continue)

    def q_bar(self, q_continue: Tensor) -> Tensor:
        """Q(continue)."""
        return q_continue


@dataclass(frozen=True)
class HaltingProbability(HaltingRule):
    """Halt where the value of halting exceeds a threshold; the value of continuing plays no part."""

    threshold: float
    """In units of reward; for logits a probability. At the threshold it continues."""
    scale: QScale
    """Of Q(halt)."""

    def decide(self, thought: Thought) -> Tensor:
        """See :class:`HaltingRule`."""
        return self.scale.value(thought.q_halt) > self.threshold

    def q_bar(self, q_continue: Tensor) -> Tensor:
        """The threshold, as a Q-value."""
        return torch.full_like(q_continue, self.scale.inverse(self.threshold))


@dataclass(frozen=True)
class Gain(HaltingRule):
    """Halt where the second output, the expected gain of continuing, is at most ``least``.

    With ``sure``, the bar in training is a random one between ``least`` and ``sure``: a segment for a small gain is a
    segment less for another puzzle, but a gain that is never tried is never corrected.
    """

    second_output: ClassVar[Literal["value", "gain"] | None] = "gain"

    least: float
    """In units of reward, the cost of a segment included."""
    scale: QScale
    """Of the gain; a logit stands for a gain between 0 and 1."""
    sure: float | None = None
    """Training always thinks on for a larger gain than this; ``least`` if None."""

    def decide(self, thought: Thought) -> Tensor:
        """See :class:`HaltingRule`."""
        gain = self.gain(thought.q_continue)
        if thought.draw is None or self.sure is None:
            return gain <= self.least
        return gain <= self.least + thought.draw * max(self.sure - self.least, 0.0)

    @property
    def samples(self) -> bool:
        """Whether training halts by chance."""
        return self.sure is not None

    def margin(self, q_halt: Tensor, q_continue: Tensor) -> Tensor:
        """What is missing to a gain worth continuing for."""
        return self.least - self.gain(q_continue)

    def gain(self, q_continue: Tensor) -> Tensor:
        """See :class:`HaltingRule`."""
        return self.scale.value(q_continue)


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

    def check_length(self, max_segments: int) -> None:
        """See :class:`HaltingRule`."""
        if self.segments is not None and self.segments > max_segments:
            raise ValueError(
                f"halting.fixed_segments {self.segments} is more than the {max_segments} segments of the environment: "
                "raise its max_segments, or ask for fewer"
            )


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

    @property
    def samples(self) -> bool:
        """It does."""
        return True

    def decide(self, thought: Thought) -> Tensor:
        """See :class:`HaltingRule`."""
        if thought.draw is None:
            return thought.q_halt > 0.0
        return thought.draw < thought.q_halt.sigmoid()
