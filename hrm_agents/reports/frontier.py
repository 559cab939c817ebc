"""The frontier of halting: success against mean segments, over segment costs.

There is one model for each segment cost, discount and seed. All are evaluated on the same unseen puzzles, without the
cost, by success rate and mean number of segments. The *baseline*, with no cost and no discount, is the rule of the
paper (Wang et al. 2025, arXiv 2506.21734, section 2, "Adaptive computational time"). Its answers after 1, 2, ..., M
segments show what a fixed number of segments achieves.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hrm_agents.reports.frontier_chart import FrontierPoint, draw_frontier

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Columns of :func:`csv_text`.
COLUMNS = ("series", "segment_cost", "gamma", "seed", "success_rate", "mean_segments", "forced_rate", "auc")


class Setting(NamedTuple):
    """The settings in which the models of a frontier differ."""

    #: Cost of one more segment, in units of reward.
    cost: float
    #: Discount from segment to segment.
    gamma: float
    seed: int

    @property
    def is_baseline(self) -> bool:
        """Whether there is neither a cost nor a discount: the paper's rule."""
        return self.cost == 0.0 and self.gamma == 1.0

    @property
    def folder(self) -> str:
        """Name of the model's folder."""
        return f"cost-{number_text(self.cost)}-gamma-{number_text(self.gamma)}-seed-{self.seed}"


@dataclass(frozen=True)
class Result:
    """One model, evaluated on unseen puzzles. Shares lie in [0, 1]."""

    setting: Setting
    num_puzzles: int
    #: Share of puzzles solved where the model decides when to halt.
    success_rate: float
    #: Mean number of segments until the halt.
    mean_segments: float
    #: Share of episodes that ended by a forced halt.
    forced_rate: float
    #: Area under the ROC curve of Q(halt) as a score of right answers; None if all answers are right, or all wrong.
    auc: float | None
    #: Share of puzzles solved by the answer of segment 1, 2, ..., M.
    success_per_segment: tuple[float, ...]


class Spread(NamedTuple):
    """Mean and range of a figure over seeds."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Mean, minimum and maximum of at least one value."""
        return cls(float(np.mean(values)), min(values), max(values))


@dataclass(frozen=True)
class Point:
    """The models that differ only in their seed."""

    cost: float
    gamma: float
    success_rate: Spread
    mean_segments: Spread
    forced_rate: Spread
    #: Over the seeds that have an AUC; None if none has.
    auc: Spread | None

    @property
    def is_baseline(self) -> bool:
        """See :attr:`Setting.is_baseline`."""
        return self.cost == 0.0 and self.gamma == 1.0


def number_text(value: float) -> str:
    """The shortest text of a number: ``0.01``, and ``1`` for 1.0."""
    return repr(value).removesuffix(".0")


def over_seeds(results: Sequence[Result]) -> list[Point]:
    """One point for each discount and segment cost, sorted from gamma = 1 downwards and by rising cost."""
    groups: dict[tuple[float, float], list[Result]] = {}
    for result in results:
        groups.setdefault((-result.setting.gamma, result.setting.cost), []).append(result)
    points = []
    for (negative_gamma, cost), group in sorted(groups.items()):
        aucs = [result.auc for result in group if result.auc is not None]
        points.append(
            Point(
                cost=cost,
                gamma=-negative_gamma,
                success_rate=Spread.of([result.success_rate for result in group]),
                mean_segments=Spread.of([result.mean_segments for result in group]),
                forced_rate=Spread.of([result.forced_rate for result in group]),
                auc=Spread.of(aucs) if aucs else None,
            )
        )
    return points


def fixed_lengths(results: Sequence[Result]) -> list[Spread]:
    """Success rate of the baseline after 1, 2, ..., M segments, over its seeds."""
    tables = [result.success_per_segment for result in results if result.setting.is_baseline]
    return [Spread.of(values) for values in zip(*tables, strict=True)]


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


def dominates(mean_segments: float, success_rate: float, fixed: Sequence[float]) -> bool:
    """Whether a halting rule solves at least as much as fixed numbers of segments with the same mean.

    Args:
        mean_segments: of the rule, from 1 to M.
        success_rate: of the rule.
        fixed: success after 1, 2, ..., M segments.

    Raises:
        ValueError: the mean is outside that range.
    """
    # Means over seeds carry rounding errors.
    return success_rate >= fixed_success_at(mean_segments, fixed) - 1e-9


def findings(points: Sequence[Point], fixed: Sequence[Spread]) -> list[str]:
    """Conclusions in sentences: on segment costs for each discount, and on fixed numbers of segments."""
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
    means = [spread.mean for spread in fixed]
    short = [point for point in points if not dominates(point.mean_segments.mean, point.success_rate.mean, means)]
    if not short:
        sentences.append("every halting point solves at least what fixed numbers of segments with the same mean solve")
    for point in short:
        x = point.mean_segments.mean
        sentences.append(
            f"at segment cost {number_text(point.cost)} and discount {number_text(point.gamma)} halting solves "
            f"{point.success_rate.mean:.1%} in {x:.2f} segments; fixed numbers with the same mean solve "
            f"{fixed_success_at(x, means):.1%}"
        )
    return sentences


def csv_text(results: Sequence[Result]) -> str:
    """A table with a row for each model, and one for each seed and fixed number of segments of the baseline.

    The columns are :data:`COLUMNS`. ``auc`` is empty where there is none, as is ``forced_rate`` for fixed numbers.
    """
    rows: list[tuple[Any, ...]] = []
    for result in results:
        series = "no cost" if result.setting.is_baseline else "cost"
        rows.append(
            (series, *result.setting, result.success_rate, result.mean_segments, result.forced_rate, result.auc)
        )
    for result in results:
        if result.setting.is_baseline:
            for segments, success in enumerate(result.success_per_segment, 1):
                rows.append(("fixed", *result.setting, success, float(segments), None, None))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return text.getvalue()


def chart(
    points: Sequence[Point], fixed: Sequence[Spread], env_id: str, rule: str, num_seeds: int, *, dark: bool = False
) -> Figure:
    """Draw the frontier: a line over segment costs for each discount, the baseline, and fixed numbers of segments.

    Args:
        points: of :func:`over_seeds`.
        fixed: of :func:`fixed_lengths`.
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
        kind = "no segment cost" if point.is_baseline else "labelled by segment cost"
        key = f"rule {rule}{discount}, {kind}"
        label = "" if point.is_baseline else number_text(point.cost)
        series.setdefault(key, []).append(_drawn(point.mean_segments, point.success_rate, label))
    # The lines over costs come first: they are what the chart is about, and get the plainest styles.
    series = dict(sorted(series.items(), key=lambda item: "labelled" not in item[0]))
    series["fixed number of segments"] = [
        _drawn(Spread(count, count, count), success, "") for count, success in enumerate(fixed, 1)
    ]
    seeds = f"mean and range of {num_seeds} seeds" if num_seeds > 1 else "one seed"
    return draw_frontier(
        series, f"{env_id}: success against segments", f"better is up and to the left; {seeds}", dark=dark
    )


def _drawn(segments: Spread, success: Spread, label: str) -> FrontierPoint:
    return FrontierPoint(segments.mean, success.mean, label, segments[1:], success[1:])
