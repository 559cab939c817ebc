"""How well an agent chooses when to halt, from what happened to every puzzle at every segment.

``N`` puzzles were thought through to segment ``M``. The policy halts at the first segment where it wants to, by default
where Q(halt) > Q(continue); an episode in which there is none ends after segment M by a *forced halt*, every other one
*halts by itself*. A puzzle is *right at segment t* if the verifier accepts the answer of segment t.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrm_agents.halting.q_scale import QScale

Floats = NDArray[np.float64]

#: Bins of a reliability diagram.
NUM_BINS = 10


@dataclass(frozen=True)
class Bin:
    """Answers of which the Q-head is about equally sure."""

    #: Smallest and largest probability that belongs here: the edges for bins of equal width, else those that occur.
    low: float
    high: float
    #: Number of answers.
    count: int
    #: Mean probability that the Q-head gives them of being right.
    mean_probability: float
    #: Share of them that is right.
    share_right: float


@dataclass(frozen=True)
class Calibration:
    """Whether Q(halt), read as the probability of a right answer, keeps what it says.

    For values that are logits the probability is their sigmoid, else the value itself, cut to [0, 1].
    """

    #: Ten bins of equal width; empty ones are left out.
    bins: tuple[Bin, ...]
    #: At most ten bins of about equally many answers; equal probabilities share a bin.
    equal_count_bins: tuple[Bin, ...]
    #: Expected calibration error: mean of |mean_probability - share_right| over the answers, by the bins of each kind.
    ece: float
    ece_equal_count: float
    #: Mean squared difference between the probability and 1 (right) or 0 (wrong).
    brier: float


@dataclass(frozen=True)
class ValueFit:
    """One of the Q-values against the return that followed."""

    #: Number of (puzzle, segment) pairs.
    count: int
    #: Mean of value - return: above 0 where the agent hopes for too much.
    bias: float
    #: Root of the mean squared difference.
    rmse: float
    #: Pearson's, over the pairs; None where the values or the returns are all equal.
    correlation: float | None


@dataclass(frozen=True)
class HaltingReport:
    """All figures; those per segment are tuples for segment 1, 2, ..., M. Shares lie in [0, 1]."""

    num_puzzles: int
    max_segments: int

    #: Share of puzzles right at each segment, whatever the Q-head says, and the mean partial credit.
    success_per_segment: tuple[float, ...]
    score_per_segment: tuple[float, ...]
    #: Share of episodes that halt at each segment; forced halts count for M.
    halts_per_segment: tuple[float, ...]

    #: Share of puzzles right at the halt, and the mean partial credit there.
    success_rate: float
    mean_score: float
    #: Mean number of segments until the halt.
    mean_segments: float
    #: Share of episodes that end by a forced halt.
    forced_rate: float
    #: Mean return of an episode: the reward of the halt at segment t, times gamma^(t - 1), less the discounted prices
    #: of the t - 1 choices to think on.
    mean_return: float

    #: Of the episodes that halt by themselves, the share that is right; None if there are none.
    halt_precision: float | None
    #: Of the episodes that are right at some segment, the share that halts by itself and on a right answer; None if
    #: there are none.
    halt_recall: float | None

    #: Success and segments of the oracle that halts at the first right segment, and at M where there is none.
    oracle_success_rate: float
    oracle_mean_segments: float
    #: What the oracle gains: its success less the policy's. The sum of ``premature_rate`` and ``overthought_rate``.
    success_regret: float
    #: The policy's segments less the oracle's. Below 0 where it saves segments by halting on wrong answers.
    segments_regret: float
    #: Mean over episodes of the best return that any fixed halt would have earned, less the return earned; at least 0.
    return_regret: float
    #: Segments thought after the first right one, mean over all episodes.
    wasted_segments: float
    #: Share of all episodes that halt on a wrong answer although a later segment is right.
    premature_rate: float
    #: Share of all episodes that halt on a wrong answer with no right one later, although an earlier one was right.
    overthought_rate: float

    #: Chance that Q(halt) is larger for a right answer than for a wrong one, both drawn at random, equal values
    #: counted half (the area under the ROC curve); at each segment, and over the answers of all segments. None where
    #: all answers are right or all are wrong.
    auc_per_segment: tuple[float | None, ...]
    auc: float | None

    #: At each segment, and over the answers of all segments.
    calibration_per_segment: tuple[Calibration, ...]
    calibration: Calibration

    #: Q(halt) against the reward of halting there; at each segment, and over all.
    halt_value_per_segment: tuple[ValueFit, ...]
    halt_value: ValueFit
    #: Q(continue) against the return of thinking on and following the policy from the next segment; at segments 1 to
    #: M - 1, after which there is no choice, and over these. None, and no segments, if M is 1 or
    #: there is no Q(continue).
    continue_value_per_segment: tuple[ValueFit, ...]
    continue_value: ValueFit | None

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON; there is no NaN among them."""
        return asdict(self)


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
) -> HaltingReport:
    """Judge the halts of an agent. Every figure is defined at its field of :class:`HaltingReport`.

    Args:
        success: bool ``[N, M]``, whether the answer of each segment is right.
        score: ``[N, M]``, its partial credit.
        q_halt: ``[N, M]``, the Q-head's values of halting.
        q_continue: ``[N, M]``, those of thinking on; None where the agent has no such values.
        q_scale: what the Q-values stand for.
        wants_halt: bool ``[N, M]``, where the agent wants to halt; where Q(halt) > Q(continue) if not given.
        reward: ``[N, M]``, what halting at each segment pays; 1 for a right answer and 0 else if not given.
        segment_cost: price of thinking on for one more segment, in units of reward.
        gamma: discount from segment to segment.

    Raises:
        ValueError: an array is of the wrong shape or type, a number is not finite, gamma is not in [0, 1], or neither
            q_continue nor wants_halt is given.
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
        raise ValueError("without q_continue nothing says where the agent wants to halt: give wants_halt")
    own = np.any(wants, axis=1)
    last = np.where(own, wants.argmax(axis=1), segments - 1)
    ends_right = right[rows, last]

    solvable = np.any(right, axis=1)
    first = np.where(solvable, right.argmax(axis=1), segments - 1)
    final = segments - 1 - right[:, ::-1].argmax(axis=1)
    missed = solvable & ~ends_right

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
        # By the values themselves: a sigmoid would round large ones to ties.
        auc_per_segment=tuple(auc(halt[:, t], right[:, t]) for t in range(segments)),
        auc=auc(halt.ravel(), right.ravel()),
        calibration_per_segment=tuple(calibrate(probability[:, t], right[:, t]) for t in range(segments)),
        calibration=calibrate(probability.ravel(), right.ravel()),
        halt_value_per_segment=tuple(_fit(halt_value[:, t], pays[:, t]) for t in range(segments)),
        halt_value=_fit(halt_value.ravel(), pays.ravel()),
        continue_value_per_segment=tuple(_fit(continue_value[:, t], followed[:, t]) for t in range(choices)),
        continue_value=_fit(continue_value.ravel(), followed.ravel()) if choices else None,
    )


def auc(values: NDArray[Any], right: NDArray[np.bool_]) -> float | None:
    """Chance that a right answer has a larger value than a wrong one, ties counted half.

    Args:
        values: ``[K]``.
        right: bool ``[K]``.

    Returns:
        None if all are right or all are wrong.
    """
    above, below = values[right], np.sort(values[~right])
    if not len(above) or not len(below):
        return None
    # Each right answer beats the wrong ones before its left place, and ties with those between the two.
    wins = np.searchsorted(below, above, "left").sum() + np.searchsorted(below, above, "right").sum()
    return float(wins) / (2 * len(above) * len(below))


def calibrate(probability: Floats, right: NDArray[np.bool_]) -> Calibration:
    """Compare probabilities with what happened.

    Args:
        probability: ``[K]`` in [0, 1], K at least 1.
        right: bool ``[K]``.
    """
    places = np.minimum((probability * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    edges = [(place / NUM_BINS, (place + 1) / NUM_BINS) for place in range(NUM_BINS)]
    bins = _bins(places, probability, right, edges)

    # Equal probabilities share the middle of their ranks: the bins do not depend on the order of the answers.
    different, which, counts = np.unique(probability, return_inverse=True, return_counts=True)
    places_of = (NUM_BINS * (np.cumsum(counts) - counts / 2) / len(probability)).astype(np.int64)
    starts = np.searchsorted(places_of, np.arange(NUM_BINS), "left").clip(max=len(different) - 1)
    stops = np.searchsorted(places_of, np.arange(NUM_BINS), "right") - 1
    extent = [(float(different[a]), float(different[b])) for a, b in zip(starts, stops, strict=True)]
    equal = _bins(places_of[which.reshape(-1)], probability, right, extent)

    return Calibration(
        bins=bins,
        equal_count_bins=equal,
        ece=_calibration_error(bins, len(probability)),
        ece_equal_count=_calibration_error(equal, len(probability)),
        brier=float(np.square(probability - right).mean()),
    )


def _bins(
    places: NDArray[np.int64], probability: Floats, right: NDArray[np.bool_], extent: list[tuple[float, float]]
) -> tuple[Bin, ...]:
    """The bins that are not empty, of answers whose bins have the numbers ``places`` (int64 ``[K]``)."""
    counts, sums, hits = (
        np.bincount(places, weights, minlength=NUM_BINS) for weights in (None, probability, right.astype(np.float64))
    )
    return tuple(
        Bin(*extent[i], int(counts[i]), float(sums[i] / counts[i]), float(hits[i] / counts[i]))
        for i in np.flatnonzero(counts)
    )


def _calibration_error(bins: tuple[Bin, ...], total: int) -> float:
    return sum(part.count * abs(part.mean_probability - part.share_right) for part in bins) / total


def _fixed_returns(reward: Floats, segment_cost: float, gamma: float) -> Floats:
    """Return of an episode that halts at each segment, from its start: float64 ``[N, M]``."""
    discount = gamma ** np.arange(reward.shape[1])
    paid = segment_cost * (np.cumsum(discount) - discount)
    return discount * reward - paid


def _continue_returns(reward: Floats, wants: NDArray[np.bool_], segment_cost: float, gamma: float) -> Floats:
    """Return from segments 1 to M - 1 of thinking on once and then following the policy: float64 ``[N, M - 1]``."""
    result = np.empty((len(reward), reward.shape[1] - 1))
    value = reward[:, -1]
    for t in range(reward.shape[1] - 2, -1, -1):
        result[:, t] = gamma * value - segment_cost
        value = np.where(wants[:, t], reward[:, t], result[:, t])
    return result


def _fit(value: Floats, outcome: Floats) -> ValueFit:
    difference = value - outcome
    correlation = None
    if np.ptp(value) > 0 and np.ptp(outcome) > 0:
        a, b = value - value.mean(), outcome - outcome.mean()
        norm = float(np.linalg.norm(a) * np.linalg.norm(b))
        # Values that differ by less than can be squared have no correlation that a computer could tell.
        correlation = float(np.clip(a @ b / norm, -1.0, 1.0)) if norm > 0 else None
    return ValueFit(len(value), float(difference.mean()), float(np.sqrt(np.square(difference).mean())), correlation)


def _share(hit: NDArray[np.bool_], among: NDArray[np.bool_]) -> float | None:
    """Share of the rows of ``among`` that hit; None if it has no rows."""
    return float(hit[among].mean()) if among.any() else None


def _floats(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(values.tolist())


def _table(name: str, values: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """``values`` in float64, checked."""
    table = np.asarray(values, np.float64)
    if table.shape != shape:
        raise ValueError(f"{name} must have the shape of success, {list(shape)}, got {list(table.shape)}")
    bad = np.argwhere(~np.isfinite(table))
    if len(bad):
        row, segment = bad[0]
        raise ValueError(
            f"{name} of puzzle {row} at segment {segment + 1} is {table[row, segment]}, not a finite number "
            f"({len(bad)} such in all): the model diverged or the arrays were not filled"
        )
    return table
