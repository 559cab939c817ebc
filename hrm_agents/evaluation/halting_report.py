"""How well a policy chooses when to halt, from the outcomes of all segments.

``N`` puzzles were thought through to segment ``M``. The policy halts at the first segment where it wants to, by default
where Q(halt) > Q(continue). An episode without such a segment ends after segment M by a *forced halt*; every other one
*halts by itself*. A puzzle is *right at segment t* if the verifier accepts the answer of segment t.

Figures *over all segments* count every puzzle M times, also in states after the halt, which training hardly meets.
Figures *on policy* count the visited states alone: the segments of each puzzle up to its halt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrm_agents.evaluation.calibration import Calibration, Floats, ValueFit, auc, calibrate, fit
from hrm_agents.evaluation.intervals import Interval, bootstrap, share_interval

if TYPE_CHECKING:
    from hrm_agents.halting.q_scale import QScale  # which imports torch; the figures need NumPy alone


@dataclass(frozen=True)
class HaltingReport:
    """Quality of halting decisions. Figures per segment are tuples for segment 1, 2, ..., M; shares lie in [0, 1]."""

    num_puzzles: int
    max_segments: int

    #: Share of puzzles right at each segment, whether or not the policy halts there, and mean partial credit.
    success_per_segment: tuple[float, ...]
    score_per_segment: tuple[float, ...]
    #: Share of episodes that halt at each segment; forced halts count for M.
    halts_per_segment: tuple[float, ...]

    #: Share of puzzles right at the halt, and mean partial credit there.
    success_rate: float
    mean_score: float
    #: Mean number of segments until the halt.
    mean_segments: float
    #: Share of episodes that end by a forced halt: the sum of those that end on a right answer and on a wrong one.
    #: Where thinking costs nothing, thinking on about a puzzle that is not solved is no mistake.
    forced_rate: float
    forced_solved_rate: float
    forced_unsolved_rate: float
    #: Mean return of an episode: gamma^(t - 1) times the reward of halting at segment t, less the discounted costs of
    #: the t - 1 decisions to think on.
    mean_return: float

    #: Share of right answers among episodes that halt by themselves; None if there are none.
    halt_precision: float | None
    #: Share of episodes that halt by themselves on a right answer, among those that are right at some segment; None
    #: if there are none.
    halt_recall: float | None

    #: Success and segments of the oracle that halts at the first right segment, or at M if there is none.
    oracle_success_rate: float
    oracle_mean_segments: float
    #: Success of the oracle less that of the policy: the sum of ``premature_rate`` and ``overthought_rate``.
    success_regret: float
    #: Segments of the policy less those of the oracle; below 0 if it saves segments by halting on wrong answers.
    segments_regret: float
    #: Mean over episodes of the return of the best segment to halt at, less the return earned; at least 0.
    return_regret: float
    #: Segments thought after the first right one, mean over all episodes.
    wasted_segments: float
    #: Share of all episodes that halt on a wrong answer before a segment that is right.
    premature_rate: float
    #: Share of all episodes that halt on a wrong answer after a segment that was right, with no right one later.
    overthought_rate: float

    #: Area under the ROC curve: probability that Q(halt) is larger for a random right answer than for a random wrong
    #: one, ties counted half; at each segment, and over all segments. None if all answers are right or all wrong.
    auc_per_segment: tuple[float | None, ...]
    auc: float | None
    #: Number of right and of wrong answers over all segments.
    num_right: int
    num_wrong: int
    #: The same on policy.
    auc_on_policy: float | None
    num_on_policy_right: int
    num_on_policy_wrong: int

    #: Calibration of Q(halt) at each segment, over all segments, and on policy.
    calibration_per_segment: tuple[Calibration, ...]
    calibration: Calibration
    calibration_on_policy: Calibration

    #: Q(halt) compared with the reward of halting; at each segment, over all segments, and on policy.
    halt_value_per_segment: tuple[ValueFit, ...]
    halt_value: ValueFit
    halt_value_on_policy: ValueFit
    #: Q(continue) compared with the return of thinking on and then following the policy; at each segment before M,
    #: where there is no choice, and over these. Empty and None if M is 1 or there is no Q(continue).
    continue_value_per_segment: tuple[ValueFit, ...]
    continue_value: ValueFit | None

    #: 95% intervals over puzzles of ``halt_precision``, ``halt_recall`` and ``auc_on_policy``; omits those about which
    #: the sample says nothing.
    intervals: Mapping[str, Interval] = field(default_factory=dict, hash=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON, without NaN."""
        return asdict(self)

    def numbers(self) -> dict[str, Any]:
        """The figures that are one number each or None, and the intervals, as plain types for JSON."""
        figures = self.to_dict()
        intervals = figures.pop("intervals")
        plain = {name: value for name, value in figures.items() if value is None or isinstance(value, (int, float))}
        return {**plain, "intervals": intervals}


def halting_report(
    success: ArrayLike,
    score: ArrayLike,
    q_halt: ArrayLike,
    q_continue: ArrayLike | None,
    *,
    q_scale: QScale,
    wants_halt: ArrayLike | None = None,
    reward: ArrayLike | None = None,
    segment_cost: float = 0.0,
    gamma: float = 1.0,
    classes: NDArray[np.int64] | None = None,
) -> HaltingReport:
    """Compute a :class:`HaltingReport`, whose fields define every figure.

    Args:
        success: bool ``[N, M]``, whether the answer of each segment is right.
        score: ``[N, M]``, its partial credit.
        q_halt: ``[N, M]``, values of halting, from the Q-head.
        q_continue: ``[N, M]``, values of thinking on; None if the Q-head has none.
        q_scale: what the Q-values stand for.
        wants_halt: bool ``[N, M]``, where the policy wants to halt; where Q(halt) > Q(continue) if omitted.
        reward: ``[N, M]``, reward of halting at each segment; 1 for a right answer and 0 for a wrong one if omitted.
        segment_cost: cost of each further segment, in units of reward.
        gamma: discount from segment to segment.
        classes: int64 ``[N]``, equal for puzzles of the same symmetry class; there are no intervals if omitted.

    Raises:
        ValueError: an array has the wrong shape or type, a number is not finite, gamma is not in [0, 1], or both
            q_continue and wants_halt are missing.
    """
    right = np.asarray(success)
    if right.ndim != 2 or 0 in right.shape or right.dtype != np.bool_:
        raise ValueError(f"success must be bool [N, M] and not empty, got {right.dtype} {list(right.shape)}")
    scores, halt = _table("score", score, right.shape), _table("q_halt", q_halt, right.shape)
    go_on = None if q_continue is None else _table("q_continue", q_continue, right.shape)
    pays = right.astype(np.float64) if reward is None else _table("reward", reward, right.shape)
    if not 0.0 <= gamma <= 1.0:
        raise ValueError(f"gamma must lie in [0, 1], got {gamma}")
    if not np.isfinite(segment_cost):
        raise ValueError(f"segment_cost must be a finite number, got {segment_cost}")

    num, segments = right.shape
    rows = np.arange(num)
    if wants_halt is not None:
        wants = np.asarray(wants_halt)
        if wants.shape != right.shape or wants.dtype != np.bool_:
            raise ValueError(f"wants_halt must be bool {list(right.shape)}, got {wants.dtype} {list(wants.shape)}")
    elif go_on is not None:
        wants = halt > go_on
    else:
        raise ValueError("without q_continue, wants_halt is required: it says where the policy halts")
    own = np.any(wants, axis=1)
    last = np.where(own, wants.argmax(axis=1), segments - 1)
    ends_right = right[rows, last]

    solvable = np.any(right, axis=1)
    first = np.where(solvable, right.argmax(axis=1), segments - 1)
    final = segments - 1 - right[:, ::-1].argmax(axis=1)
    missed = solvable & ~ends_right
    visited = np.arange(segments) <= last[:, None]

    fixed = _fixed_returns(pays, segment_cost, gamma)
    earned = fixed[rows, last]
    followed = _continue_returns(pays, wants, segment_cost, gamma)
    probability, halt_value = q_scale.probability(halt), q_scale.value(halt)
    # At the last segment there is no choice.
    choices = 0 if go_on is None else segments - 1
    continue_value = np.zeros((num, 0)) if go_on is None else q_scale.value(go_on[:, :choices])

    return HaltingReport(
        num_puzzles=num,
        max_segments=segments,
        success_per_segment=_floats(right.mean(axis=0)),
        score_per_segment=_floats(scores.mean(axis=0)),
        halts_per_segment=_floats(np.bincount(last, minlength=segments) / num),
        success_rate=float(ends_right.mean()),
        mean_score=float(scores[rows, last].mean()),
        mean_segments=float(last.mean() + 1),
        forced_rate=float((~own).mean()),
        forced_solved_rate=float((~own & ends_right).mean()),
        forced_unsolved_rate=float((~own & ~ends_right).mean()),
        mean_return=float(earned.mean()),
        halt_precision=_share(ends_right, own),
        halt_recall=_share(ends_right & own, solvable),
        oracle_success_rate=float(solvable.mean()),
        oracle_mean_segments=float(first.mean() + 1),
        success_regret=float(missed.mean()),
        segments_regret=float((last - first).mean()),
        return_regret=float((fixed.max(axis=1) - earned).mean()),
        wasted_segments=float(np.maximum(last - first, 0).mean()),
        premature_rate=float((missed & (final > last)).mean()),
        overthought_rate=float((missed & (final < last)).mean()),
        # From raw values, since a sigmoid would round large ones to ties.
        auc_per_segment=tuple(auc(halt[:, t], right[:, t]) for t in range(segments)),
        auc=auc(halt.ravel(), right.ravel()),
        num_right=int(np.count_nonzero(right)),
        num_wrong=int(np.count_nonzero(~right)),
        auc_on_policy=auc(halt[visited], right[visited]),
        num_on_policy_right=int(np.count_nonzero(right & visited)),
        num_on_policy_wrong=int(np.count_nonzero(~right & visited)),
        calibration_per_segment=tuple(calibrate(probability[:, t], right[:, t]) for t in range(segments)),
        calibration=calibrate(probability.ravel(), right.ravel()),
        calibration_on_policy=calibrate(probability[visited], right[visited]),
        halt_value_per_segment=tuple(fit(halt_value[:, t], pays[:, t]) for t in range(segments)),
        halt_value=fit(halt_value.ravel(), pays.ravel()),
        halt_value_on_policy=fit(halt_value[visited], pays[visited]),
        continue_value_per_segment=tuple(fit(continue_value[:, t], followed[:, t]) for t in range(choices)),
        continue_value=fit(continue_value.ravel(), followed.ravel()) if choices else None,
        intervals={} if classes is None else _intervals(classes, halt, right, visited, own, last),
    )


def _intervals(
    classes: NDArray[np.int64],
    halt: Floats,
    right: NDArray[np.bool_],
    visited: NDArray[np.bool_],
    own: NDArray[np.bool_],
    last: NDArray[np.int64],
) -> dict[str, Interval]:
    """The intervals of a report; ``own`` and ``last`` (``[N]``): which puzzles halt by themselves, and where."""
    solvable, hit = right.any(axis=1), right[np.arange(len(right)), last] & own
    puzzle = np.nonzero(visited)[0]
    values, answers = halt[visited], right[visited]
    found = {
        "halt_precision": share_interval(hit[own], classes[own]),
        "halt_recall": share_interval(hit[solvable], classes[solvable]),
        "auc_on_policy": bootstrap(lambda weights: auc(values, answers, weights[puzzle]), classes),
    }
    return {name: interval for name, interval in found.items() if interval is not None}


def _fixed_returns(reward: Floats, segment_cost: float, gamma: float) -> Floats:
    """Return of an episode that halts at each segment, from its start: float64 ``[N, M]``."""
    discount = gamma ** np.arange(reward.shape[1])
    paid = segment_cost * (np.cumsum(discount) - discount)
    return discount * reward - paid


def _continue_returns(reward: Floats, wants: NDArray[np.bool_], segment_cost: float, gamma: float) -> Floats:
    """Return of thinking on once and then following the policy: float64 ``[N, M - 1]``, for segments 1 to M - 1."""
    result = np.empty((len(reward), reward.shape[1] - 1))
    value = reward[:, -1]
    for t in range(reward.shape[1] - 2, -1, -1):
        result[:, t] = gamma * value - segment_cost
        value = np.where(wants[:, t], reward[:, t], result[:, t])
    return result


def _share(hit: NDArray[np.bool_], among: NDArray[np.bool_]) -> float | None:
    """Share of hits in the rows of ``among``; None if it has no rows."""
    return float(hit[among].mean()) if among.any() else None


def _floats(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(values.tolist())


def _table(name: str, values: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """Convert to float64, and check shape and finiteness."""
    table = np.asarray(values, np.float64)
    if table.shape != shape:
        raise ValueError(f"{name} must have the shape of success, {list(shape)}, got {list(table.shape)}")
    bad = np.argwhere(~np.isfinite(table))
    if len(bad):
        row, segment = bad[0]
        raise ValueError(
            f"{name} of puzzle {row} at segment {segment + 1} is {table[row, segment]}, not a finite number "
            f"({len(bad)} such numbers): the model diverged, or the array was not filled"
        )
    return table
