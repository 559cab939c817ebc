"""Pictures of halting: calibration, success against segments, and the frontier between success and thought.

All functions paint without a display and return uint8 ``[H, W, 3]``; :func:`write_png` saves that.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hrm_agents.evaluation.halting_report import Bin, HaltingReport
from hrm_agents.reports.chart import STYLES, Axes, Entry, Legend, Style, nice_ticks, text_width, tick_texts
from hrm_envs.rendering.canvas import AMBER, BLUE, INK, MUTED, PANEL, RAISED, STRONG, Canvas, Point, Rect, blend

Picture = NDArray[np.uint8]

#: Pixels per layout unit.
SCALE = 1.5

_LEFT, _RIGHT = 92.0, 44.0  # layout units beside the plotting area
_MOST_LABELS = 20  # more bars leave no room for numbers on them
_ANSWERS, _POLICY, _ORACLE = STYLES[0], STYLES[1], STYLES[4]


class FrontierPoint(NamedTuple):
    """One agent, or one setting of it."""

    #: Mean segments until the halt.
    mean_segments: float
    #: Share of puzzles solved, in [0, 1].
    success_rate: float
    #: Written beside the point, such as the price of a segment; may be empty.
    label: str = ""
    #: Least and largest of what the two are means of, such as several seeds; None if they are means of nothing.
    segments_range: tuple[float, float] | None = None
    success_range: tuple[float, float] | None = None

    def extent(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Both ranges; where there is none, the point itself."""
        x, y = self.mean_segments, self.success_rate
        return self.segments_range or (x, x), self.success_range or (y, y)


def draw_reliability(report: HaltingReport, title: str = "How far Q(halt) can be trusted") -> Picture:
    """The share of right answers against the probability that Q(halt) gave them, over all segments.

    Soft bars are 95% intervals (Wilson) of the share. Below, how many answers there are of each probability.

    Raises:
        DependencyNotInstalled: pygame-ce is absent.
    """
    u, width = SCALE, 720.0
    bins, rank = report.calibration.bins, "" if report.auc is None else f", AUC {report.auc:.3f}"
    figures = f"calibration error {report.calibration.ece:.3f}, Brier score {report.calibration.brier:.3f}{rank}"
    ideal = Style(STRONG, "bar", (5, 6))
    legend = Legend(
        [Entry("answers of all segments", _ANSWERS), Entry("perfect calibration", ideal, marker=False)],
        _inner(width, u),
        u,
    )
    canvas, top = _sheet(title, figures, legend, width, 680.0)
    axes = Axes(canvas, (_LEFT * u, top, _inner(width, u), 400 * u), (0.0, 1.0), (0.0, 1.0), u)
    fifths = nice_ticks(0.0, 1.0)
    axes.ground(fifths, fifths, y_title="share that is right, with its 95% interval", percent=True, x_texts=())
    axes.line([(0, 0), (1, 1)], ideal, 2.0)
    for part in bins:
        interval = [axes.at(part.mean_probability, share) for share in _interval(part)]
        canvas.line(interval, blend(PANEL, BLUE, 0.4), 8 * u)
    axes.line([(part.mean_probability, part.share_right) for part in bins], _ANSWERS)
    for part in bins:
        axes.marker(part.mean_probability, part.share_right, _ANSWERS, 5.5)

    total = sum(part.count for part in bins)
    most = 1.2 * max(part.count for part in bins) / total
    below = Axes(canvas, (axes.box[0], top + 482 * u, axes.box[2], 106 * u), (0.0, 1.0), (0.0, most), u)
    below.ground(
        fifths,
        nice_ticks(0.0, most, 2),
        x_title="probability of being right, by Q(halt)",
        y_title=f"share of the {total:,} answers, and their number",
        percent=True,
        x_texts=tick_texts(fifths, percent=True),
    )
    for part in bins:
        middle, share = (part.low + part.high) / 2, part.count / total
        below.bar(middle, share, 0.07, STRONG)
        below.bar_text(middle, share, _count(part.count))
    return canvas.pixels()


def draw_halting(report: HaltingReport, title: str = "Success and halting, segment by segment") -> Picture:
    """Success of halting at each segment, by the Q-head, and by an oracle; below, where the Q-head halts.

    The oracle halts at the first right answer.

    Raises:
        DependencyNotInstalled: pygame-ce is absent.
    """
    u, width, last = SCALE, 960.0, report.max_segments
    figures = (
        f"{report.num_puzzles:,} puzzles; {report.success_regret:.1%} lost to halts on wrong answers, "
        f"{report.wasted_segments:.2f} segments thought after the first right one"
    )
    policy = f"Q-head: {report.success_rate:.1%} in {report.mean_segments:.2f} segments"
    oracle = f"oracle: {report.oracle_success_rate:.1%} in {report.oracle_mean_segments:.2f} segments"
    entries = [Entry("fixed segments", _ANSWERS), Entry(policy, _POLICY, False), Entry(oracle, _ORACLE, False)]
    legend = Legend(entries, _inner(width, u), u)
    canvas, top = _sheet(title, figures, legend, width, 620.0)

    span = (0.5, last + 0.5)
    # Whole segments only, the first among them.
    ticks = [1.0, *(tick for tick in nice_ticks(*span, 16) if tick > 1 and tick == int(tick))]
    values = [*report.success_per_segment, report.success_rate, report.oracle_success_rate]
    axes = Axes(canvas, (_LEFT * u, top, _inner(width, u), 316 * u), span, _shares(values), u)
    axes.ground(ticks, nice_ticks(*axes.y_range), y_title="puzzles solved", percent=True, x_texts=())
    points = list(enumerate(report.success_per_segment, 1))
    axes.line(points, _ANSWERS)
    for segment, success in points:
        axes.marker(segment, success, _ANSWERS, 5.5)
    axes.marker(report.oracle_mean_segments, report.oracle_success_rate, _ORACLE, 8.5)
    axes.marker(report.mean_segments, report.success_rate, _POLICY, 8.5)

    most = 1.2 * max(report.halts_per_segment)
    below = Axes(canvas, (axes.box[0], top + 398 * u, axes.box[2], 130 * u), span, (0.0, most), u)
    below.ground(ticks, nice_ticks(0.0, most, 3), x_title="segment", y_title="episodes that halt", percent=True)
    for segment, share in enumerate(report.halts_per_segment, 1):
        forced = report.forced_rate if segment == last else 0.0
        if share > forced:
            below.bar(segment, share - forced, 0.62, AMBER)
        if forced:
            _hollow_bar(below, segment, share - forced, share, 0.62)
        if share and last <= _MOST_LABELS:
            below.bar_text(segment, share, f"{share:.1%}" if share < 0.0995 else f"{share:.0%}")
    if report.forced_rate:
        kinds = [Entry("by choice", Style(AMBER, "square"), False), Entry("forced", Style(AMBER, "frame"), False)]
        key = Legend(kinds, _inner(width, u), u)
        key.draw(canvas, (_right_edge(width, u) - key.width, below.box[1] - 30 * u))
    return canvas.pixels()


def draw_frontier(
    series: Mapping[str, Sequence[FrontierPoint]],
    title: str = "Success against thought",
    subtitle: str = "higher solves more, further left thinks less",
    x_title: str = "mean segments until the halt",
) -> Picture:
    """Success against mean segments, a line for each series. Soft bars are the ranges of the points that have them.

    Args:
        series: the points of each, by name, in any order; at most eight series, the first on top.
        title: written on top.
        subtitle: written below it.
        x_title: what the segments count.

    Raises:
        ValueError: there is no point, a series is empty, there are too many, or a point is no number or out of range.
        DependencyNotInstalled: pygame-ce is absent.
    """
    _check_frontier(series)
    u, width = SCALE, 960.0
    ordered = [sorted(points, key=lambda point: point[:3]) for points in series.values()]
    styled = list(zip(STYLES, ordered, strict=False))
    entries = [Entry(name, style, len(points) > 1) for name, (style, points) in zip(series, styled, strict=True)]
    canvas, top = _sheet(title, subtitle, Legend(entries, _inner(width, u), u), width, 490.0)

    extents = [point.extent() for points in ordered for point in points]
    span = _segments([end for segments, _ in extents for end in segments])
    shares = _shares([end for _, success in extents for end in success])
    axes = Axes(canvas, (_LEFT * u, top, _inner(width, u), 400 * u), span, shares, u)
    axes.ground(
        nice_ticks(*span, 8),
        nice_ticks(*shares),
        x_title=x_title,
        y_title="puzzles solved",
        percent=True,
    )
    for style, points in styled:
        for point in points:
            segments, success = point.extent()
            across = [axes.at(end, point.success_rate) for end in segments]
            upright = [axes.at(point.mean_segments, end) for end in success]
            for bar in (across, upright):
                if bar[0] != bar[1]:
                    canvas.line(bar, blend(PANEL, style.color, 0.4), 6 * u)
    for style, points in styled:
        axes.line([(point.mean_segments, point.success_rate) for point in points], style)
    # The first on top: series that come last are what the others are compared with.
    for style, points in reversed(styled):
        for point in points:
            axes.marker(point.mean_segments, point.success_rate, style)
    _label_points(axes, [points for _, points in styled])
    return canvas.pixels()


def write_png(path: Path, pixels: Picture) -> None:
    """Write a picture, uint8 ``[H, W, 3]``.

    Raises:
        UserError: Pillow is absent or the file cannot be written.
    """
    # Here, not above: the figures need neither torch nor Gymnasium, which these load.
    from hrm_agents.errors import UserError
    from hrm_agents.records.files import write_atomically

    try:
        from PIL import Image
    except ImportError as error:
        raise UserError('pictures need Pillow: pip install "hrm-agents[render]"') from error
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    write_atomically(path, buffer.getvalue())


# -- parts -------------------------------------------------------------------------------------------------


def _left_edge(u: float) -> float:
    """Where the panels begin, and with them all text."""
    return (_LEFT - 14) * u


def _right_edge(width: float, u: float) -> float:
    return (width - _RIGHT + 14) * u


def _inner(width: float, u: float) -> float:
    """Width of the plotting area in pixels."""
    return (width - _LEFT - _RIGHT) * u


def _sheet(title: str, subtitle: str, legend: Legend, width: float, height: float) -> tuple[Canvas, float]:
    """A picture with its heading, and the pixel at which the plotting area begins, ``height`` units from its end."""
    u = SCALE
    top = 154 * u + legend.height
    canvas = Canvas(round(width * u), round(top + height * u))
    room = _right_edge(width, u) - _left_edge(u)
    if title:
        canvas.text((_left_edge(u), 42 * u), title, 30 * u, INK, max_width=room)
    if subtitle:
        canvas.text((_left_edge(u), 78 * u), subtitle, 17 * u, MUTED, False, max_width=room)
    legend.draw(canvas, (_left_edge(u), 116 * u))
    return canvas, top


def _hollow_bar(axes: Axes, x: float, low: float, high: float, width: float) -> None:
    """A bar with an outline: not by its colour alone does it differ from others."""
    u = axes.unit
    (left, bottom), (right, top) = axes.at(x - width / 2, low), axes.at(x + width / 2, high)
    top = min(top, bottom - 4 * u)
    axes.canvas.rect((left, top, right - left, bottom - top), RAISED)
    axes.canvas.rect((left, top, right - left, bottom - top), AMBER, width=2 * u)


def _interval(part: Bin) -> tuple[float, float]:
    """95% interval of the share of right answers (Wilson 1927)."""
    z, n, p = 1.96, part.count, part.share_right
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def _count(number: int) -> str:
    return str(number) if number < 1000 else f"{number / 1000:.3g}k" if number < 10**6 else f"{number / 10**6:.3g}M"


def _shares(values: Sequence[float]) -> tuple[float, float]:
    """A range for shares: what they need and a margin, and on to 0% or 100% where that is near."""
    low, high = min(values), max(values)
    margin = max(0.15 * (high - low), 0.002) if high > low else 0.02
    low, high = low - margin, high + margin
    near = 0.2 * (high - low)
    return (0.0 if low < near else low), (1.0 if high > 1.0 - near else high)


def _segments(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = max(0.06 * (high - low), 0.02) if high > low else 0.25
    return low - margin, high + margin


def _check_frontier(series: Mapping[str, Sequence[FrontierPoint]]) -> None:
    if not series:
        raise ValueError("there is no series to draw: give at least one, with a point")
    if len(series) > len(STYLES):
        raise ValueError(f"{len(series)} series are too many to tell apart: draw at most {len(STYLES)} in a picture")
    for name, points in series.items():
        if not points:
            raise ValueError(f"series {name!r} has no points: leave it out")
        for number, point in enumerate(points):
            segments, success = point.extent()
            numbers = all(map(math.isfinite, (point.mean_segments, *segments)))
            if not (numbers and all(0.0 <= share <= 1.0 for share in (point.success_rate, *success))):
                raise ValueError(
                    f"point {number} of series {name!r} is {tuple(point)}: segments must be finite and success a "
                    "share in [0, 1]"
                )


def _label_points(axes: Axes, series: Sequence[Sequence[FrontierPoint]]) -> None:
    """Write the labels of points, each where it covers no line, marker or other label, if there is such a place."""
    u, size = axes.unit, 13 * axes.unit
    taken: list[Rect] = []
    for points in series:
        spots = [axes.at(point.mean_segments, point.success_rate) for point in points]
        taken += [(x - 8 * u, y - 8 * u, 16 * u, 16 * u) for x, y in spots]
        for (x0, y0), (x1, y1) in pairwise(spots):
            steps = max(1, int(math.hypot(x1 - x0, y1 - y0) / (6 * u)))
            for step in range(steps):
                part = step / steps
                taken.append((x0 + (x1 - x0) * part - 2 * u, y0 + (y1 - y0) * part - 2 * u, 4 * u, 4 * u))
    for point in (point for points in series for point in points if point.label):
        at = axes.at(point.mean_segments, point.success_rate)
        box = _free_place(at, text_width(point.label, size), size, axes.box, taken, u)
        taken.append(box)
        axes.canvas.text((box[0], box[1] + box[3] / 2), point.label, size, INK)


def _free_place(at: Point, width: float, height: float, area: Rect, taken: Sequence[Rect], u: float) -> Rect:
    """The first of eight places around ``at``, near then far, that is free; the one least covered if none is."""
    (x, y), best, least = at, None, math.inf
    for gap in (12 * u, 22 * u):
        for dx, dy in ((0, 1), (1, 1), (1, 0), (0, -1), (-1, -1), (-1, 0), (-1, 1), (1, -1)):
            left = x - width / 2 + dx * (width / 2 + gap * (0.6 if dy else 1.0))
            box = (left, y - height / 2 + dy * (height / 2 + gap * 0.7), width, height)
            outside = box[0] < area[0] - 10 * u or box[0] + width > area[0] + area[2] + 10 * u
            outside |= box[1] < area[1] - 10 * u or box[1] + height > area[1] + area[3] + 10 * u
            covered = sum(_overlap(box, other) for other in taken) + 1e6 * outside
            if covered < least:
                best, least = box, covered
            if covered == 0:
                break
        if least == 0:
            break
    assert best is not None
    return best


def _overlap(a: Rect, b: Rect) -> float:
    """Common area of two rectangles."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    tall = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(0.0, wide) * max(0.0, tall)
