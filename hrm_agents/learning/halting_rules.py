"""The table behind ``--halting.rule``: who decides, what learns from it, and what the Q-values stand for.

To add a rule, write its :class:`~hrm_agents.halting.decisions.HaltingRule`, its
:class:`~hrm_agents.learning.halting.HaltingLearner` if none here suits, and a line in :data:`HALTING_METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from hrm_agents.errors import UserError, did_you_mean, one_line
from hrm_agents.halting.decisions import (
    Convergence,
    FixedLength,
    Gain,
    GreaterValue,
    HaltingPolicy,
    HaltingProbability,
    HaltingRule,
)
from hrm_agents.halting.q_scale import LOGIT, PLAIN, QScale
from hrm_agents.learning.continue_value import EpisodeReturns, Objective, OnePass, SecondForward, TargetHead
from hrm_agents.learning.halting import GainLearner, HaltingLearner, HaltValueLearner, PolicyLearner, ValueLearner
from hrm_agents.policy import Forward
from hrm_agents.settings import HaltingConfig


@dataclass(frozen=True)
class LearnerContext:
    """What a learner may need to know of a run."""

    settings: HaltingConfig
    objective: Objective
    head: nn.Linear
    """The Q-head: the input that it reads, ``[..., d]``, to two values."""
    forward: Forward
    """One segment of the network."""
    num_rows: int
    """``B``."""


def _unsolved(settings: HaltingConfig, scale: QScale) -> tuple[float, float] | None:
    """Values of an agent that solves nothing yet: the paper's -5 as logits, 0 as rewards."""
    return None if scale.is_logit else (0.0, 0.0)


@dataclass(frozen=True)
class HaltingMethod:
    """How a run halts and what it learns about halting."""

    rule: Callable[[HaltingConfig, QScale, float], HaltingRule]
    """Decides when to halt, in training and after; from the settings, what Q-values stand for and the segment cost."""
    learner: Callable[[LearnerContext], HaltingLearner]
    """Trains the Q-head."""
    q_scale: Callable[[HaltingConfig, float], QScale]
    """What Q-values stand for, from the settings and the segment cost; UserError where these exclude each other."""
    initial_q: Callable[[HaltingConfig, QScale], tuple[float, float] | None] = _unsolved
    """Biases of the Q-head at the start, by settings and what its values stand for; the network's own if None."""
    explores: bool = True
    """Whether training forces some episodes to think on."""
    weighs_cost: bool = False
    """Whether its decisions depend on the segment cost."""
    learns_reward: bool = True
    """Whether Q(halt) estimates what halting pays."""


def _bounded_scale(settings: HaltingConfig, segment_cost: float) -> QScale:
    """Q(halt) alone is learned: it estimates a reward in [0, 1] whatever thinking on costs."""
    return PLAIN if settings.q_loss == "mse" else LOGIT


def _return_scale(settings: HaltingConfig, segment_cost: float) -> QScale:
    """Q(continue) is learned too, and a segment cost takes its targets out of [0, 1]; a discount does not."""
    bounded = not segment_cost
    if settings.q_loss == "bce" and not bounded:
        raise UserError("halting.q_loss='bce' needs returns in [0, 1]: drop segment_cost, or use 'mse'")
    return PLAIN if settings.q_loss == "mse" or not bounded else LOGIT


def _chance_scale(settings: HaltingConfig, segment_cost: float) -> QScale:
    """The first output is the logit of the chance of halting; the second, the baseline, is a plain value."""
    if settings.q_loss == "bce":
        raise UserError("halting.q_loss='bce' does not go with rule 'policy', whose values are plain: use 'mse'")
    return LOGIT


def _threshold_rule(settings: HaltingConfig, scale: QScale, segment_cost: float) -> HaltingProbability:
    if scale.is_logit and not 0.0 < settings.threshold < 1.0:
        raise UserError(
            f"halting.threshold must lie between 0 and 1, for it is a probability, got {settings.threshold}"
        )
    return HaltingProbability(settings.threshold, scale)


def _gain_scale(settings: HaltingConfig) -> QScale:
    """What the gain stands for, whatever Q(halt) does."""
    return LOGIT if settings.gain_loss == "bce" else PLAIN


def _gain_rule(settings: HaltingConfig, scale: QScale, segment_cost: float) -> Gain:
    if settings.gain_loss == "bce" and not scale.is_logit:
        raise UserError("halting.gain_loss='bce' needs rewards in [0, 1], as halting.q_loss='bce' does")
    sure = None if settings.sure_gain is None else settings.sure_gain + segment_cost
    return Gain(settings.least_gain + segment_cost, _gain_scale(settings), sure)


def _initial_gain(settings: HaltingConfig, scale: QScale) -> tuple[float, float]:
    """At first thinking on looks worth while, so that it is tried."""
    return -5.0 if scale.is_logit else 0.0, _gain_scale(settings).inverse(0.1)


def _value_learner(context: LearnerContext) -> ValueLearner:
    settings, objective, head = context.settings, context.objective, context.head
    target_head = TargetHead(head, settings.target_decay)
    sources = {
        "second-forward": lambda: SecondForward(context.forward, target_head, objective),
        "one-pass": lambda: OnePass(head, target_head, objective, context.num_rows),
        "returns": lambda: EpisodeReturns(head, target_head, objective, settings.trace_decay, context.num_rows),
    }
    return ValueLearner(sources[settings.target](), target_head, objective.scale)


def _halt_value_learner(*, monitor: bool) -> Callable[[LearnerContext], HaltValueLearner]:
    return lambda context: HaltValueLearner(context.head, context.objective.scale, monitor=monitor)


def _policy_learner(context: LearnerContext) -> PolicyLearner:
    return PolicyLearner(context.head, context.objective, context.settings.entropy_weight, context.num_rows)


#: By the values of ``halting.rule``.
HALTING_METHODS: dict[str, HaltingMethod] = {
    "q": HaltingMethod(
        rule=lambda settings, scale, segment_cost: GreaterValue(),
        learner=_value_learner,
        q_scale=_return_scale,
        weighs_cost=True,
    ),
    "gain": HaltingMethod(
        rule=_gain_rule,
        learner=lambda context: GainLearner(
            context.head, context.objective, _gain_scale(context.settings), context.num_rows
        ),
        q_scale=_bounded_scale,
        weighs_cost=True,
        initial_q=_initial_gain,
    ),
    "probability": HaltingMethod(
        rule=_threshold_rule, learner=_halt_value_learner(monitor=False), q_scale=_bounded_scale
    ),
    "fixed": HaltingMethod(
        rule=lambda settings, scale, segment_cost: FixedLength(settings.fixed_segments),
        learner=_halt_value_learner(monitor=True),
        q_scale=_bounded_scale,
        explores=False,
    ),
    "convergence": HaltingMethod(
        rule=lambda settings, scale, segment_cost: Convergence(),
        learner=_halt_value_learner(monitor=True),
        q_scale=_bounded_scale,
    ),
    "policy": HaltingMethod(
        rule=lambda settings, scale, segment_cost: HaltingPolicy(),
        learner=_policy_learner,
        q_scale=_chance_scale,
        weighs_cost=True,
        learns_reward=False,
        # The paper's -5 is for values: as a chance of halting it would hardly ever halt, as a baseline it would
        # overestimate every advantage.
        initial_q=lambda settings, scale: (0.0, 0.0),
    ),
}


def halting_method(name: str) -> HaltingMethod:
    """The method that a value of ``halting.rule`` names.

    Raises:
        UserError: the table has none of that name.
    """
    if name not in HALTING_METHODS:
        *others, last = HALTING_METHODS
        hint = did_you_mean(name, HALTING_METHODS) or f"; choose {', '.join(others)} or {last}"
        raise UserError(f"halting.rule: unknown rule {one_line(repr(name), 60)}{hint}")
    return HALTING_METHODS[name]
