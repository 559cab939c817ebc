"""Curves of a training run, read from its TensorBoard records."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

from hrm_agents.errors import UserError

#: Points ``(update, value)``, updates ascending.
Curve = list[tuple[float, float]]

#: A chart shows no more points than this.
MOST_POINTS = 300


def read_curves(run: Path) -> dict[str, Curve]:
    """All curves of a run by their tag, without points that are not finite; see ``RunLog`` for the tags.

    Args:
        run: its folder.

    Raises:
        UserError: it has no readable records.
    """
    folder = run / "tensorboard"
    if not any(folder.glob("*tfevents*")):
        raise UserError("the run has no TensorBoard records")
    with warnings.catch_warnings():
        # Raised by imports inside tensorboard.
        warnings.simplefilter("ignore", DeprecationWarning)
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
        from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
            EventAccumulator,
        )
    # 0 keeps every point; of the rest, such as images, nothing is needed.
    records = EventAccumulator(str(folder), {"scalars": 0, "images": 1, "tensors": 1})
    try:
        records.Reload()
    except (DecodeError, OSError, ValueError) as error:
        raise UserError("the TensorBoard records of the run are damaged") from error
    curves = {}
    for tag in records.Tags()["scalars"]:
        points = [(float(event.step), float(event.value)) for event in records.Scalars(tag)]
        curves[tag] = [point for point in points if math.isfinite(point[1])]
    return {tag: points for tag, points in curves.items() if points}


def thinned(points: Curve, most: int = MOST_POINTS) -> Curve:
    """At most ``most`` points, each the mean of equally many neighbours (the last perhaps of fewer)."""
    size = math.ceil(len(points) / most)
    groups = [points[start : start + size] for start in range(0, len(points), max(size, 1))]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
