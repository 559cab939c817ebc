"""The chart of success against segments, of any number of agents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hrm_agents.reports.figures import (
    DARK,
    LIGHT,
    MOST_LABELS,
    STYLES,
    Theme,
    add_legend,
    line_style,
    sheet,
    show_percent,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class FrontierPoint(NamedTuple):
    """One agent, or one setting of it."""

    #: Mean segments per puzzle.
    mean_segments: float
    #: Share of puzzles solved, in [0, 1].
    success_rate: float
    #: Written beside the point, such as the segment cost; may be empty.
    label: str = ""
    #: Lower and upper ends of their error bars, such as intervals over seeds; None for no bar.
    segments_range: tuple[float, float] | None = None
    success_range: tuple[float, float] | None = None
    #: Success of the same agent when stopped after 1, 2, ... segments; may be empty.
    curve: tuple[float, ...] = ()

    def extent(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Both ranges; the point itself where there is none."""
        x, y = self.mean_segments, self.success_rate
        return self.segments_range or (x, x), self.success_range or (y, y)


def draw_frontier(
    series: Mapping[str, Sequence[FrontierPoint]],
    title: str = "Success against segments",
    subtitle: str = "better is up and to the left",
    x_label: str = "mean segments per puzzle",
    *,
    dark: bool = False,
) -> Figure:
    """Success against mean segments, a line for each series; error bars show the ranges of the points that have one.

    The curve of a point is a thin line, and a dotted one leads from the point to the same mean on it. A label is
    placed where it covers nothing, and omitted if there is no such place near its point.

    Args:
        series: the points of each, by name, in any order; at most eight series, the first on top.
        title: at the top.
        subtitle: below the title.
        x_label: what the x axis counts.
        dark: light lines on a dark ground.

    Raises:
        ValueError: there is no point, a series is empty, there are too many, or a point is not finite or out of range.
    """
    _check_frontier(series)
    theme = DARK if dark else LIGHT
    figure, (axes,) = sheet((6.4, 4.4), title, subtitle, theme)
    labelled: list[FrontierPoint] = []
    obstacles: list[NDArray[np.float64]] = []
    for rank, (name, unordered) in enumerate(series.items()):
        points = sorted(unordered, key=lambda point: point[:3])
        place = np.array([point[:2] for point in points])
        ranges = np.array([point.extent() for point in points])  # [N, 2 axes, 2 ends]
        order = 2 + len(series) - rank
        for point in points:
            obstacles += _draw_curve(axes, point, theme.colors[rank])
        axes.plot(place[:, 0], place[:, 1], **line_style(theme, rank), markersize=6, label=name, zorder=order)
        errors = np.abs(ranges - place[:, :, None])  # [N, 2 axes, 2 ends]
        for axis, name in enumerate(("xerr", "yerr")):
            if errors[:, axis].any():
                bars: dict[str, Any] = {name: errors[:, axis].T, "ecolor": theme.colors[rank], "zorder": order - 0.5}
                axes.errorbar(place[:, 0], place[:, 1], fmt="none", elinewidth=1.2, capsize=2.5, alpha=0.6, **bars)
        obstacles.append(place)
        for (x, y), (across, upright) in zip(place, ranges, strict=True):
            obstacles += [np.array([(end, y) for end in across]), np.array([(x, end) for end in upright])]
        named = [point for point in points if point.label]
        labelled += named[:: math.ceil(len(named) / MOST_LABELS) or 1]
    axes.set(xlabel=x_label, ylabel="puzzles solved", ymargin=0.12)  # room for labels above and below
    _show_powers_of_two(axes)
    show_percent(axes)
    add_legend(figure, axes, theme)
    _write_labels(axes, labelled, obstacles, theme)
    return figure


def _draw_curve(axes: Axes, point: FrontierPoint, color: str) -> list[NDArray[np.float64]]:
    """Draw the curve of a point, if it has one, and the line to it; returns the data that they run through."""
    if not point.curve:
        return []
    longest, (x, y) = len(point.curve), point[:2]
    # Dense, because a mixture of two lengths lies on a straight line, which a logarithmic axis bends.
    counts = np.linspace(1, longest, 16 * (longest - 1) + 1)
    curve = np.stack([counts, np.interp(counts, np.arange(1, longest + 1), point.curve)], axis=1)
    leader = np.array([(x, y), (x, np.interp(x, *curve.T))])
    style: dict[str, Any] = {"color": color, "linewidth": 0.9, "alpha": 0.6, "zorder": 1.5}
    axes.plot(curve[:, 0], curve[:, 1], **style)
    axes.plot(leader[:, 0], leader[:, 1], linestyle=":", marker="o", markersize=3, markevery=[1], **style)
    return [curve, leader]


def _show_powers_of_two(axes: Axes) -> None:
    """Make the x axis logarithmic, ticks at powers of 2, where values span a factor of 4: few segments matter most."""
    from matplotlib.ticker import NullLocator

    low, high = axes.dataLim.intervalx
    if not 0 < 4 * low <= high:
        return
    axes.set_xscale("log", base=2)
    ticks = 2.0 ** np.arange(math.ceil(math.log2(low) - 1e-9), math.floor(math.log2(high) + 1e-9) + 1)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(f"{axes.get_xlabel()}, logarithmic")


def _check_frontier(series: Mapping[str, Sequence[FrontierPoint]]) -> None:
    if not series:
        raise ValueError("no series to draw: give at least one, with a point")
    if len(series) > len(STYLES):
        raise ValueError(f"cannot tell {len(series)} series apart: draw at most {len(STYLES)} in a chart")
    for name, points in series.items():
        if not points:
            raise ValueError(f"series {name!r} has no points: omit it")
        for number, point in enumerate(points):
            segments, success = point.extent()
            numbers = all(map(math.isfinite, (point.mean_segments, *segments)))
            shares = (point.success_rate, *success, *point.curve)
            if not (numbers and all(0.0 <= share <= 1.0 for share in shares)):
                raise ValueError(
                    f"point {number} of series {name!r} is {tuple(point)}: segments must be finite and success a "
                    "share in [0, 1]"
                )


def _write_labels(
    axes: Axes, points: Sequence[FrontierPoint], obstacles: Sequence[NDArray[np.float64]], theme: Theme
) -> None:
    """Write each label at the nearest place where it covers no line, marker or other label, if there is one.

    Args:
        axes: finished but for the labels.
        points: those with a label.
        obstacles: float64 [N, 2] each, the lines through N data points.
        theme: colours.
    """
    from matplotlib.path import Path as Line
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # settles the layout, and with it where data lie in the picture
    unit = figure.dpi / 72  # pixels per point
    covered = [Line(axes.transData.transform(line)).interpolated(200).vertices for line in obstacles]
    taken: list[Bbox] = []
    for point in points:
        place = axes.transData.transform(point[:2])
        style: dict[str, Any] = {"fontsize": 8, "color": theme.ink, "ha": "center", "va": "center", "zorder": 20}
        style["arrowprops"] = {"arrowstyle": "-", "color": theme.muted, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4}
        text = axes.annotate(point.label, point[:2], (0, 0), textcoords="offset points", **style)
        size = np.array(Text.get_window_extent(text).size)  # without the line to the point
        for distance, angle in ((d, a) for d in (6, 10, 16, 24, 34) for a in np.radians(range(90, 450, 30))):
            shift = np.array([math.cos(angle), math.sin(angle)]) * (distance * unit + size / 2)
            box = Bbox([place + shift - size / 2, place + shift + size / 2])
            clear = box.padded(4 * unit)
            leader = place + np.linspace(0, 1, 50)[:, None] * shift
            if (
                axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1)
                and axes.bbox.containsy(box.y0) and axes.bbox.containsy(box.y1)
                and not any(clear.count_contains(line) for line in covered)
                and not clear.count_overlaps(taken)
                and not any(other.count_contains(leader) for other in taken)
            ):  # fmt: skip
                taken.append(box)
                text.set_position((shift[0] / unit, shift[1] / unit))
                assert text.arrow_patch is not None
                text.arrow_patch.set_visible(distance > 10)  # near labels need no line to their points
                covered += [leader] if distance > 10 else []
                break
        else:
            text.remove()
