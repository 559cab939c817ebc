"""Trajectories of the states through the segments, in their first two principal components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hrm_agents.analysis.observing import Progress, observe, state_names
from hrm_agents.models.interface import SegmentOutput
from hrm_agents.solving.solver import Solver


class Components(NamedTuple):
    """Principal components of ``n`` points."""

    #: float64 ``[n, k]``, coordinates around the mean.
    coordinates: NDArray[np.float64]
    #: float64 ``[k]``, the share of the variance along each, in [0, 1]; descending.
    explained: NDArray[np.float64]


@dataclass(frozen=True)
class StateTrajectories:
    """Where one state is after each of ``M`` segments."""

    name: str
    #: float64 ``[N, M, 2]``.
    points: NDArray[np.float64]
    #: float64 ``[2]``, the share of the variance along each axis.
    explained: NDArray[np.float64]


@dataclass(frozen=True)
class Trajectories:
    """Trajectories of ``N`` puzzles, each as one vector of all positions and features."""

    env_id: str
    states: tuple[StateTrajectories, ...]
    #: bool ``[N, M]``, whether the answer of the segment is right.
    solved: NDArray[np.bool_]


def principal_components(points: NDArray[np.floating[Any]], number: int = 2) -> Components:
    """Principal components of points ``[n, f]``, from the ``n * n`` products of the centred points.

    The sign of each is such that its largest coordinate in absolute value is positive. Components beyond the rank are
    0.
    """
    centred = points - points.mean(axis=0)
    values, vectors = np.linalg.eigh((centred @ centred.T).astype(np.float64))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    kept = min(number, len(values))
    coordinates = np.zeros((len(points), number))
    coordinates[:, :kept] = vectors[:, :kept] * np.sqrt(values[:kept])
    largest = np.take_along_axis(coordinates, np.abs(coordinates).argmax(axis=0)[None], axis=0)
    explained = np.zeros(number)
    explained[:kept] = values[:kept] / (values.sum() or 1.0)
    return Components(coordinates * np.where(largest < 0, -1.0, 1.0), explained)


def state_trajectories(
    solver: Solver,
    *,
    num_puzzles: int = 64,
    segments: int | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Trajectories:
    """Follow every state in the carry through the segments of unseen puzzles.

    The initial state is left out: it is far from all others, and would take the first component for itself.

    Args:
        solver: the model and its environment.
        num_puzzles: number of puzzles.
        segments: number of segments; as in training if omitted.
        env_kwargs: keywords of the environment, changed or added.
        progress: called with the share done.

    Raises:
        UserError: as for :func:`hrm_agents.analysis.observing.observe`, or the network has no state.
    """
    states = state_names(solver)

    def record(before: Any, after: Any, output: SegmentOutput) -> list[Tensor]:
        return [after[place].float().flatten(1) for place in states]

    found = observe(
        solver, record, num_puzzles=num_puzzles, segments=segments, env_kwargs=env_kwargs, progress=progress
    )
    trajectories = []
    for name, path in zip(states.values(), found.records, strict=True):
        num, last, size = path.shape
        components = principal_components(path.reshape(num * last, size))
        points = components.coordinates.reshape(num, last, -1)
        trajectories.append(StateTrajectories(name, points, components.explained))
    return Trajectories(found.env_id, tuple(trajectories), found.trace.success)
