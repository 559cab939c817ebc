"""Effective dimension of the states: the participation ratio.

Wang et al. 2025, arXiv 2506.21734, section 4: after training, the planner's states fill far more dimensions (89.95)
than the worker's (30.22). With eigenvalues l of the covariance of the states, PR = (sum l)^2 / sum l^2: it is d if all
d directions vary equally, and 1 if all variation lies on a line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hrm_agents.analysis.observing import Progress, observe, state_names
from hrm_agents.errors import UserError
from hrm_agents.evaluation.intervals import Interval
from hrm_agents.models.interface import SegmentOutput
from hrm_agents.solving.solver import Solver

#: Participation ratio of a resample of ``N`` puzzles, given how often each is in it: float64 ``[N]``.
WeightedRatio = Callable[[NDArray[np.float64]], float]
#: Fewest puzzles that say anything about a covariance.
FEWEST = 4
#: Random subsets of the puzzles for each point of the curve, and random halves for the interval.
SUBSETS, HALVES = 50, 400


#: What the covariance is of. ``cells``: the state vectors of all positions of all puzzles, ``[N * T, d]``. ``puzzles``:
#: the whole state of each puzzle, ``[N, T * d]``, so that the ratio is at most N - 1.
Samples = Literal["cells", "puzzles"]


@dataclass(frozen=True)
class StateDimension:
    """Participation ratio of one state over ``N`` puzzles."""

    name: str
    #: Largest value that the ratio can have.
    most: int
    ratio: float
    #: Approximate 95% interval over the choice of puzzles.
    interval: Interval
    #: Estimate for infinitely many puzzles; None if there are too few to tell.
    limit: float | None
    #: Numbers of puzzles 2, 4, 8, ..., N, and the mean and the 2.5% and 97.5% points over random subsets of that size.
    counts: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Dimensions:
    """Participation ratios of all states of a model after one segment."""

    env_id: str
    #: Its name, or its folder.
    model: str
    #: Updates of the training so far; None if the checkpoint does not say.
    updates: int | None
    num_puzzles: int
    samples: Samples
    #: From 1.
    segment: int
    success_rate: float
    states: tuple[StateDimension, ...]


def participation_ratio(matrix: NDArray[np.floating[Any]]) -> float:
    """(sum l)^2 / sum l^2 of the eigenvalues l of a symmetric matrix ``[n, n]``; 0 if all are 0.

    Both sums are invariants, trace and squared Frobenius norm, so no eigenvalue is computed. The matrix may be the
    covariance of samples, or the inner products of the centred samples: these have the same eigenvalues up to a factor.
    """
    total, squares = float(np.trace(matrix)), float(np.square(matrix).sum())
    return total * total / squares if squares > 0.0 else 0.0


def state_dimensions(
    solver: Solver,
    *,
    num_puzzles: int = 256,
    samples: Samples = "puzzles",
    segments: int | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Dimensions:
    """Measure the participation ratio of every state in the carry after the last segment.

    Args:
        solver: the model and its environment.
        num_puzzles: number of puzzles.
        samples: what the covariance is of.
        segments: number of segments to think before measuring; as in training if omitted.
        env_kwargs: keywords of the environment, changed or added.
        progress: called with the share done.

    Raises:
        UserError: as for :func:`hrm_agents.analysis.observing.observe`, or there are fewer than
            :data:`FEWEST` puzzles, or the network has no state.
    """
    states = state_names(solver)

    def record(before: Any, after: Any, output: SegmentOutput) -> list[Tensor]:
        vectors = [after[place].float().flatten(1, -2) for place in states]  # [B, T, d]
        if samples == "puzzles":
            return [part.flatten(1) for part in vectors]
        moments = ((part.mean(dim=1), part.mT @ part / part.shape[1]) for part in vectors)
        return [moment for pair in moments for moment in pair]

    found = observe(
        solver,
        record,
        num_puzzles=num_puzzles,
        segments=segments,
        only_last=True,
        env_kwargs=env_kwargs,
        progress=progress,
    )
    num = len(found.trace)
    if num < FEWEST:
        raise UserError(f"the participation ratio needs at least {FEWEST} puzzles, got {num}")
    arrays = [array[:, 0] for array in found.records]
    if samples == "puzzles":
        sizes = [min(whole.shape[1], num - 1) for whole in arrays]
        ratios = [ratio_of_puzzles(whole) for whole in arrays]
    else:
        sizes = [mean.shape[1] for mean in arrays[::2]]
        ratios = [ratio_of_cells(mean, second) for mean, second in zip(arrays[::2], arrays[1::2], strict=True)]
    return Dimensions(
        env_id=found.env_id,
        model=solver.name,
        updates=solver.config.get("updates"),
        num_puzzles=num,
        samples=samples,
        segment=found.trace.success.shape[1],
        success_rate=float(found.trace.success[:, -1].mean()),
        states=tuple(
            state_dimension(name, most, ratio, num)
            for name, most, ratio in zip(states.values(), sizes, ratios, strict=True)
        ),
    )


def ratio_of_cells(mean: NDArray[np.float32], second: NDArray[np.float32]) -> WeightedRatio:
    """Participation ratio of the vectors of all positions, from their moments in each puzzle.

    Args:
        mean: float32 ``[N, d]``, mean over the positions of a puzzle.
        second: float32 ``[N, d, d]``, mean of the outer products.
    """
    num, width = mean.shape
    flat = second.reshape(num, -1)

    def ratio(weights: NDArray[np.float64]) -> float:
        shares = (weights / weights.sum()).astype(np.float32)
        center = (shares @ mean).astype(np.float64)
        return participation_ratio((shares @ flat).reshape(width, width) - np.outer(center, center))

    return ratio


def ratio_of_puzzles(states: NDArray[np.float32]) -> WeightedRatio:
    """Participation ratio of the states of puzzles, float32 ``[N, f]``, from their inner products."""
    centred = states - states.mean(axis=0)
    products = (centred @ centred.T).astype(np.float64)

    def ratio(weights: NDArray[np.float64]) -> float:
        shares = weights / weights.sum()
        to_center = products @ shares
        around = products - to_center[:, None] - to_center[None, :] + shares @ to_center
        root = np.sqrt(shares)
        return participation_ratio(root[:, None] * around * root[None, :])

    return ratio


def state_dimension(name: str, most: int, ratio: WeightedRatio, num_puzzles: int) -> StateDimension:
    """Participation ratio of a state, with its interval and its curve over the number of puzzles.

    A bootstrap would not do: resamples repeat puzzles, which lowers the ratio. Random halves of the puzzles, without
    repetition, vary around their mean as much as samples of ``N`` do (half-sampling, McCarthy 1969), and show how the
    ratio depends on the number of puzzles: its inverse is linear in 1 / N, which gives the limit.

    Args:
        name: of the state.
        most: largest value that the ratio can have.
        ratio: of a resample of the puzzles.
        num_puzzles: ``N``, at least :data:`FEWEST`.
    """
    rng = np.random.default_rng(0)

    def subsets(size: int, number: int) -> NDArray[np.float64]:
        chosen = (rng.choice(num_puzzles, size, replace=False) for _ in range(number))
        return np.array([ratio(np.bincount(subset, minlength=num_puzzles).astype(np.float64)) for subset in chosen])

    counts = sorted({2**power for power in range(1, num_puzzles.bit_length())} | {num_puzzles})
    values = np.array([subsets(count, SUBSETS) for count in counts])
    low, high = np.quantile(values, (0.025, 0.975), axis=1)
    half, whole = num_puzzles // 2, ratio(np.ones(num_puzzles))
    halves = subsets(half, HALVES)
    # Relative, because halves have a lower ratio.
    spread = 1.96 * whole * float(halves.std(ddof=1) / halves.mean()) if halves.any() else 0.0
    return StateDimension(
        name=name,
        most=most,
        ratio=whole,
        interval=(max(0.0, whole - spread), min(float(most), whole + spread)),
        limit=_limit(half, float(halves.mean()), num_puzzles, whole),
        counts=tuple(counts),
        mean=tuple(values.mean(axis=1).tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
    )


def _limit(few: int, ratio_of_few: float, many: int, ratio_of_many: float) -> float | None:
    """Where the ratio ends if its inverse is linear in the inverse of the number of puzzles; None if nowhere."""
    if min(ratio_of_few, ratio_of_many) <= 0.0:
        return None
    inverse = (many / ratio_of_many - few / ratio_of_few) / (many - few)
    return 1.0 / inverse if inverse > 0.0 else None
