"""How well the Q-head predicts: calibration, AUC, and the error of its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Bins of a reliability diagram.
NUM_BINS = 10


@dataclass(frozen=True)
class Bin:
    """Answers to which the Q-head gives similar probabilities of being right."""

    #: Smallest and largest probability in the bin: its edges for bins of equal width, else those that occur.
    low: float
    high: float
    #: Number of answers.
    count: int
    #: Their mean probability.
    mean_probability: float
    #: Share of them that are right.
    share_right: float


@dataclass(frozen=True)
class Calibration:
    """How well Q(halt), read as a probability, matches the share of right answers.

    The probability is the sigmoid of a logit, or a plain value clipped to [0, 1].
    """

    #: Ten bins of equal width, without empty ones.
    bins: tuple[Bin, ...]
    #: At most ten bins of about equally many answers; equal probabilities share a bin.
    equal_count_bins: tuple[Bin, ...]
    #: Expected calibration error, with the bins of each kind: mean of |mean_probability - share_right| over answers.
    ece: float
    ece_equal_count: float
    #: Mean squared difference between the probability and 1 (right) or 0 (wrong).
    brier: float


@dataclass(frozen=True)
class ValueFit:
    """A Q-value compared with the return that followed."""

    #: Number of (puzzle, segment) pairs.
    count: int
    #: Mean of value - return; above 0 if the value is too optimistic.
    bias: float
    #: Root mean squared difference.
    rmse: float
    #: Pearson correlation over the pairs; None if all values or all returns are equal.
    correlation: float | None


def auc(values: NDArray[Any], right: NDArray[np.bool_], weights: Floats | None = None) -> float | None:
    """Probability that a right answer has a larger value than a wrong one; ties count half.

    Args:
        values: ``[K]``.
        right: bool ``[K]``.
        weights: ``[K]``, how often each answer counts; once if omitted.

    Returns:
        None if all are right or all are wrong.
    """
    rank = np.unique(values, return_inverse=True)[1].reshape(-1)
    weights = np.ones(len(values)) if weights is None else weights
    above, below = np.bincount(rank, weights * right), np.bincount(rank, weights * ~right)
    pairs = float(above.sum() * below.sum())
    # Each right answer wins against the wrong ones of lower rank, and half against those of its own.
    return float(above @ (np.cumsum(below) - below / 2)) / pairs if pairs else None


def calibrate(probability: Floats, right: NDArray[np.bool_]) -> Calibration:
    """Compare probabilities with outcomes.

    Args:
        probability: ``[K]`` in [0, 1], K at least 1.
        right: bool ``[K]``.
    """
    places = np.minimum((probability * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    edges = [(place / NUM_BINS, (place + 1) / NUM_BINS) for place in range(NUM_BINS)]
    bins = _bins(places, probability, right, edges)

    # Equal probabilities share their middle rank, so the bins do not depend on the order of the answers.
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
    """The non-empty bins of answers that belong to bin number ``places`` (int64 ``[K]``)."""
    counts, sums, hits = (
        np.bincount(places, weights, minlength=NUM_BINS) for weights in (None, probability, right.astype(np.float64))
    )
    return tuple(
        Bin(*extent[i], int(counts[i]), float(sums[i] / counts[i]), float(hits[i] / counts[i]))
        for i in np.flatnonzero(counts)
    )


def _calibration_error(bins: tuple[Bin, ...], total: int) -> float:
    return sum(part.count * abs(part.mean_probability - part.share_right) for part in bins) / total


def fit(value: Floats, outcome: Floats) -> ValueFit:
    """Compare values ``[K]`` with returns ``[K]``."""
    difference = value - outcome
    correlation = None
    if np.ptp(value) > 0 and np.ptp(outcome) > 0:
        a, b = value - value.mean(), outcome - outcome.mean()
        norm = float(np.linalg.norm(a) * np.linalg.norm(b))
        # Squares of tiny differences underflow to 0, which leaves the correlation undefined.
        correlation = float(np.clip(a @ b / norm, -1.0, 1.0)) if norm > 0 else None
    return ValueFit(len(value), float(difference.mean()), float(np.sqrt(np.square(difference).mean())), correlation)
