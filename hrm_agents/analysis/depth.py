"""Success against the number of segments, beyond the number that the model was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hrm_agents.analysis.observing import Progress, observe
from hrm_agents.evaluation.intervals import Interval, share_interval
from hrm_agents.solving.solver import Solver


@dataclass(frozen=True)
class Depth:
    """Success after 1, 2, ..., M segments."""

    env_id: str
    num_puzzles: int
    #: Number of these that differ by more than symmetry.
    num_classes: int
    #: Number of segments that the model was trained with.
    trained_segments: int
    #: Share of puzzles solved by the answer of each segment, with 95% Wilson intervals over symmetry classes.
    success: tuple[float, ...]
    intervals: tuple[Interval, ...]
    #: Share solved if the model halts by its own rule, and at this segment at the latest; mean segments until then.
    success_at_halt: tuple[float, ...]
    mean_segments: tuple[float, ...]


def success_by_depth(
    solver: Solver,
    *,
    num_puzzles: int = 128,
    segments: int = 64,
    env_kwargs: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Depth:
    """Measure success on unseen puzzles after every number of segments.

    Args:
        solver: the model and its environment.
        num_puzzles: number of puzzles.
        segments: the largest number of segments.
        env_kwargs: keywords of the environment, changed or added.
        progress: called with the share done.

    Raises:
        UserError: as for :func:`hrm_agents.analysis.observing.observe`.
    """
    found = observe(
        solver, num_puzzles=num_puzzles, segments=segments, env_kwargs=env_kwargs, progress=progress, batch_size=128
    )
    success, rows = found.trace.success, np.arange(len(found.trace))
    intervals = [share_interval(success[:, segment], found.classes) for segment in range(segments)]
    # Each puzzle ends where the rule halts, or at the limit.
    ends = [np.minimum(found.trace.halt_segment(), limit) for limit in range(segments)]
    return Depth(
        env_id=found.env_id,
        num_puzzles=len(rows),
        num_classes=len(np.unique(found.classes)),
        trained_segments=solver.config["max_segments"],
        success=tuple(success.mean(axis=0).tolist()),
        intervals=tuple(interval for interval in intervals if interval is not None),
        success_at_halt=tuple(float(success[rows, end].mean()) for end in ends),
        mean_segments=tuple(float(end.mean()) + 1.0 for end in ends),
    )
