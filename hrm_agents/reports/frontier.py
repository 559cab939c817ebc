"""The frontier of halting: success against mean segments, over segment costs.

There is one model for each segment cost, discount and seed, and all learn with the same loss: they differ in nothing
else. All are evaluated on the same unseen puzzles, without the cost, by success rate and mean number of segments. Each
is compared with itself, stopped after 1, 2, ..., M segments, because a segment cost also changes the answers. Models
that were trained to stop after a fixed number of segments show what learning to halt is worth.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hrm_agents.reports.frontier_chart import FrontierPoint, draw_frontier
from hrm_agents.reports.frontier_interval import Spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Columns of :func:`csv_text`.
COLUMNS = (
    *("series", "segment_cost", "gamma", "seed", "fixed_length"),
    *("num_puzzles", "num_classes", "success_rate", "mean_segments", "forced_rate", "auc"),
)
#: A share that may differ from another by rounding alone.
_ROUNDING = 1e-9
#: Name of a series in the chart.
_TRAINED_FIXED = "trained with a fixed number of segments"


class Setting(NamedTuple):
    """The settings in which the models of a frontier differ."""

    #: Cost of one more segment, in units of reward.
    cost: float
    #: Discount from segment to segment.
    gamma: float
    seed: int
    #: Number of segments after which the model halts, in training too; None if it decides.
    fixed_length: int | None = None

    @property
    def folder(self) -> str:
        """Name of the model's folder."""
        if self.fixed_length is not None:
            return f"fixed-{self.fixed_length}-seed-{self.seed}"
        return f"cost-{number_text(self.cost)}-gamma-{number_text(self.gamma)}-seed-{self.seed}"


@dataclass(frozen=True)
class Result:
    """One model, evaluated on unseen puzzles. Shares lie in [0, 1]."""

    setting: Setting
    num_puzzles: int
    #: Number of these that differ by more than symmetry.
    num_classes: int
    #: Share of puzzles solved where the model decides when to halt.
    success_rate: float
    #: Mean number of segments until the halt.
    mean_segments: float
    #: Share of episodes that ended by a forced halt.
    forced_rate: float
    #: Area under the ROC curve of Q(halt) as a score of right answers, over the segments up to each halt; None if all
    #: answers there are right, or all wrong.
    auc: float | None
    #: Share of puzzles solved by the answer of segment 1, 2, ..., M: the model's own fixed-length curve.
    success_per_segment: tuple[float, ...]

    @property
    def margin(self) -> float:
        """Success rate, less that of the same model stopped after fixed numbers of segments with the same mean."""
        return self.success_rate - fixed_success_at(self.mean_segments, self.success_per_segment)


@dataclass(frozen=True)
class Point:
    """The models that differ only in their seed: means over them, with intervals."""

    cost: float
    gamma: float
    fixed_length: int | None
    success_rate: Spread
    mean_segments: Spread
    forced_rate: Spread
    #: Over the seeds that have an AUC; None if none has.
    auc: Spread | None
    #: See :attr:`Result.success_per_segment`.
    success_per_segment: tuple[Spread, ...]
    #: See :attr:`Result.margin`: each model is compared with itself, then the mean is taken.
    margin: Spread

    @property
    def is_baseline(self) -> bool:
        """Whether the models learned to halt with neither a cost nor a discount."""
        return self.fixed_length is None and self.cost == 0.0 and self.gamma == 1.0


def number_text(value: float) -> str:
    """The shortest text of a number: ``0.01``, and ``1`` for 1.0."""
    return repr(value).removesuffix(".0")


def over_seeds(results: Sequence[Result]) -> list[Point]:
    """One point for each discount and segment cost, sorted from gamma = 1 downwards and by rising cost.

    Those of the models trained with a fixed number of segments follow, sorted by that number.
    """
    groups: dict[tuple[int, float, float], list[Result]] = {}
    for result in results:
        setting = result.setting
        groups.setdefault((setting.fixed_length or 0, -setting.gamma, setting.cost), []).append(result)
    return [_point(groups[key]) for key in sorted(groups)]


def _point(group: Sequence[Result]) -> Point:
    setting, longest = group[0].setting, len(group[0].success_per_segment)
    aucs = [result.auc for result in group if result.auc is not None]
    curves = zip(*(result.success_per_segment for result in group), strict=True)
    return Point(
        cost=setting.cost,
        gamma=setting.gamma,
        fixed_length=setting.fixed_length,
        success_rate=Spread.of([result.success_rate for result in group], 0.0, 1.0),
        mean_segments=Spread.of([result.mean_segments for result in group], 1.0, longest),
        forced_rate=Spread.of([result.forced_rate for result in group], 0.0, 1.0),
        auc=Spread.of(aucs, 0.0, 1.0) if aucs else None,
        success_per_segment=tuple(Spread.of(values, 0.0, 1.0) for values in curves),
        margin=Spread.of([result.margin for result in group], -1.0, 1.0),
    )


def is_monotone(segments_by_cost: Mapping[float, float]) -> bool:
    """Whether a higher segment cost never goes with more segments.

    Args:
        segments_by_cost: mean segments at each cost, in any order.
    """
    return all(
        later <= earlier for earlier, later in pairwise(segments_by_cost[key] for key in sorted(segments_by_cost))
    )


def fixed_success_at(mean_segments: float, fixed: Sequence[float]) -> float:
    """Success of fixed numbers of segments at a fractional mean, by linear interpolation.

    This is what mixing the two neighbouring numbers at random achieves.

    Args:
        mean_segments: from 1 to M.
        fixed: success after 1, 2, ..., M segments.

    Raises:
        ValueError: the mean is outside that range.
    """
    if not 1.0 <= mean_segments <= len(fixed):
        raise ValueError(f"mean_segments must lie between 1 and {len(fixed)}, got {mean_segments}")
    return float(np.interp(mean_segments, np.arange(1, len(fixed) + 1), fixed))


def findings(points: Sequence[Point]) -> list[str]:
    """Conclusions in sentences: on segment costs for each discount, and on fixed numbers of segments."""
    halting = [point for point in points if point.fixed_length is None]
    trained = {point.fixed_length: point.success_rate.mean for point in points if point.fixed_length is not None}
    return [*_on_costs(halting), *_on_own_curves(halting), *_on_trained_lengths(halting, trained)]


def _on_costs(points: Sequence[Point]) -> list[str]:
    sentences = []
    gammas = list(dict.fromkeys(point.gamma for point in points))
    for gamma in gammas:
        segments = {point.cost: point.mean_segments.mean for point in points if point.gamma == gamma}
        if len(segments) == 1:
            continue
        about = "" if gammas == [1.0] else f"discount {number_text(gamma)}: "
        listed = ", ".join(f"{mean:.2f} at {number_text(cost)}" for cost, mean in segments.items())
        verdict = "never took more" if is_monotone(segments) else "did not always take fewer"
        sentences.append(f"{about}a higher segment cost {verdict} segments ({listed})")
    return sentences


def _on_own_curves(points: Sequence[Point]) -> list[str]:
    short = [point for point in points if point.margin.mean < -_ROUNDING]
    if not short:
        return ["every halting model solves at least what it solves after fixed numbers of segments with the same mean"]
    sentences = []
    for point in short:
        interval = point.margin.interval
        range_ = "" if interval is None else f", 95% interval {100 * interval[0]:.1f} to {100 * interval[1]:.1f}"
        sentences.append(
            f"{_halting(point)}; after fixed numbers with the same mean, the same models solve "
            f"{point.success_rate.mean - point.margin.mean:.1%} ({100 * point.margin.mean:+.1f} points{range_})"
        )
    return sentences


def _on_trained_lengths(points: Sequence[Point], trained: Mapping[int, float]) -> list[str]:
    """Compare means with those of models trained with a fixed number, interpolated between these numbers."""
    if not trained:
        return []
    lengths = sorted(trained)
    inside = [point for point in points if lengths[0] <= point.mean_segments.mean <= lengths[-1]]
    sentences = []
    for point in inside:
        success = float(np.interp(point.mean_segments.mean, lengths, [trained[length] for length in lengths]))
        if point.success_rate.mean < success - _ROUNDING:
            sentences.append(
                f"{_halting(point)}; models trained with fixed numbers of segments solve {success:.1%} at that mean"
            )
    if inside and not sentences:
        sentences.append(
            f"every halting model with a mean of {lengths[0]} to {lengths[-1]} segments solves at least what models "
            "trained with fixed numbers of segments solve at the same mean"
        )
    return sentences


def _halting(point: Point) -> str:
    return (
        f"at segment cost {number_text(point.cost)} and discount {number_text(point.gamma)} halting solves "
        f"{point.success_rate.mean:.1%} in {point.mean_segments.mean:.2f} segments"
    )


def csv_text(results: Sequence[Result]) -> str:
    """A table with the columns :data:`COLUMNS`, and these series:

    - ``halting``: a row for each model that learned when to halt;
    - ``trained fixed``: a row for each model that was trained with a fixed number of segments;
    - ``stopped``: for each of these models a row for each segment 1, 2, ..., M, with the success of its answers there.

    ``auc`` is empty where there is none, as are ``forced_rate`` and ``auc`` of ``stopped`` rows.
    """
    rows: list[tuple[Any, ...]] = []
    for result in results:
        series = "halting" if result.setting.fixed_length is None else "trained fixed"
        figures = (result.success_rate, result.mean_segments, result.forced_rate, result.auc)
        rows.append((series, *result.setting, result.num_puzzles, result.num_classes, *figures))
    for result in results:
        for segments, success in enumerate(result.success_per_segment, 1):
            puzzles = (result.num_puzzles, result.num_classes)
            rows.append(("stopped", *result.setting, *puzzles, success, float(segments), None, None))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return text.getvalue()


def from_csv(text: str) -> list[Result]:
    """The results in a table of :func:`csv_text`.

    Raises:
        KeyError, ValueError: it is not such a table.
    """
    results: dict[Setting, Result] = {}
    for row in csv.DictReader(text.splitlines()):
        setting = Setting(
            float(row["segment_cost"]), float(row["gamma"]), int(row["seed"]), int(row["fixed_length"] or 0) or None
        )
        success = float(row["success_rate"])
        if row["series"] == "stopped":
            found = results[setting]
            results[setting] = replace(found, success_per_segment=(*found.success_per_segment, success))
        else:
            results[setting] = Result(
                setting=setting,
                num_puzzles=int(row["num_puzzles"]),
                num_classes=int(row["num_classes"]),
                success_rate=success,
                mean_segments=float(row["mean_segments"]),
                forced_rate=float(row["forced_rate"]),
                auc=float(row["auc"]) if row["auc"] else None,
                success_per_segment=(),
            )
    return list(results.values())


def chart(points: Sequence[Point], env_id: str, rule: str, num_seeds: int, *, dark: bool = False) -> Figure:
    """Draw the frontier, and below each point the fixed-length curve of the same models.

    There is a line over segment costs for each discount, the baseline, and a line over the numbers of segments that
    models were trained with.

    Args:
        points: of :func:`over_seeds`.
        env_id: for the title.
        rule: name of the halting rule of the models, for the legend.
        num_seeds: behind each point.
        dark: light lines on a dark ground.

    Raises:
        ValueError: there are more discounts than can be told apart.
        UserError: matplotlib is absent.
    """
    series: dict[str, list[FrontierPoint]] = {}
    for point in points:
        discount = "" if point.gamma == 1.0 else f", discount {number_text(point.gamma)}"
        key, label = f"rule {rule}{discount}, labelled by segment cost", number_text(point.cost)
        if point.fixed_length is not None:
            key, label = _TRAINED_FIXED, ""
        elif point.is_baseline:
            key, label = f"rule {rule}, no segment cost", ""
        series.setdefault(key, []).append(_drawn(point, label))
    # The lines over costs come first: they are what the chart is about, and get the plainest styles.
    order = ("labelled by segment cost", "no segment cost", _TRAINED_FIXED)
    series = dict(sorted(series.items(), key=lambda item: [item[0].endswith(end) for end in order].index(True)))
    seeds = f"mean and 95% interval of {num_seeds} seeds" if num_seeds > 1 else "one seed"
    about = f"better is up and to the left; thin: the same models, stopped after 1, 2, ... segments; {seeds}"
    return draw_frontier(series, f"{env_id}: success against segments", about, dark=dark)


def _drawn(point: Point, label: str) -> FrontierPoint:
    segments, success = point.mean_segments, point.success_rate
    # A model that was trained with a fixed number is a point of its own curve, and meant for no other.
    curve = () if point.fixed_length else tuple(spread.mean for spread in point.success_per_segment)
    return FrontierPoint(segments.mean, success.mean, label, segments.interval, success.interval, curve)
