"""Charts of what happens inside a network: residuals, dimension, trajectories, and success against segments.

All take a result of :mod:`hrm_agents.analysis` and raise :class:`~hrm_agents.errors.UserError` if matplotlib is absent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hrm_agents.reports.board_charts import add_segment_bar, segment_colors
from hrm_agents.reports.figures import DARK, LIGHT, MOST_LABELS, add_legend, line_style, panels, sheet, show_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    from hrm_agents.analysis.depth import Depth
    from hrm_agents.analysis.dimension import Dimensions
    from hrm_agents.analysis.residuals import Residuals
    from hrm_agents.analysis.trajectories import StateTrajectories, Trajectories
    from hrm_agents.reports.figures import Theme


def draw_residuals(result: Residuals, *, dark: bool = False) -> Figure:
    """Residual of every step on a logarithmic axis: the median over puzzles, and the band of the middle 80%."""
    theme = DARK if dark else LIGHT
    num, last, each = result.residual.shape
    figure, (axes,) = sheet(
        (7.2, 4.4),
        f"{result.env_id}: how far each step moves the states",
        f"forward residuals: median of {num:,} puzzles, and middle 80%; a vertical line ends each segment",
        theme,
    )
    # A segment ends at its number.
    places = np.arange(last)[:, None] + np.arange(1, each + 1) / each
    for rank, name in enumerate(dict.fromkeys(result.steps)):
        mine = np.array([step == name for step in result.steps])
        x, values = places[:, mine].ravel(), result.residual[:, :, mine].reshape(num, -1)
        low, middle, high = np.quantile(values, (0.1, 0.5, 0.9), axis=0)
        axes.fill_between(x, low, high, color=theme.colors[rank], alpha=0.18, linewidth=0)
        size = 4 if len(x) < 80 else 0
        axes.plot(x, middle, **line_style(theme, rank), markersize=size, linewidth=1.4, label=name)
    for segment in range(1, last):
        axes.axvline(segment, color=theme.grid, linewidth=0.8, zorder=0)
    axes.grid(visible=False, axis="x")
    axes.set(yscale="log", xlim=(0, last + 0.1), xlabel="segment", ylabel="change of the state (root mean square)")
    axes.set_xticks(range(1, last + 1, math.ceil(last / MOST_LABELS)))
    add_legend(figure, axes, theme)
    return figure


def draw_dimensions(results: Sequence[Dimensions], *, dark: bool = False) -> Figure:
    """Participation ratio of each state: against the number of puzzles, or over several checkpoints in training."""
    return _over_training(results, dark) if len(results) > 1 else _over_puzzles(results[0], dark)


def _over_puzzles(result: Dimensions, dark: bool) -> Figure:
    theme = DARK if dark else LIGHT
    figure, (axes,) = sheet(
        (6.4, 4.4),
        f"{result.env_id}: effective dimension of the states",
        f"{_sampled(result)}; mean and 95% of random subsets; dotted: the limit for infinitely many",
        theme,
    )
    for rank, state in enumerate(result.states):
        counts, color = state.counts, theme.colors[rank]
        axes.fill_between(counts, state.low, state.high, color=color, alpha=0.18, linewidth=0)
        label = f"{state.name}: {state.ratio:.1f} of at most {state.most:,}"
        axes.plot(counts, state.mean, **{**line_style(theme, rank), "linestyle": "-"}, markersize=5, label=label)
        if state.limit is not None:
            axes.axhline(state.limit, color=color, linestyle=":", linewidth=1.2)
    axes.set(xlabel="number of puzzles", ylabel="participation ratio", ylim=(0, None))
    axes.set_xscale("log", base=2)
    counts = result.states[0].counts
    axes.set_xticks(counts, [f"{count:,}" for count in counts], minor=False)
    axes.minorticks_off()
    add_legend(figure, axes, theme)
    return figure


def _over_training(results: Sequence[Dimensions], dark: bool) -> Figure:
    theme = DARK if dark else LIGHT
    known = all(result.updates is not None for result in results)
    ordered = sorted(results, key=lambda result: result.updates or 0) if known else list(results)
    x = [result.updates or 0 for result in ordered] if known else list(range(1, len(ordered) + 1))
    figure, (above, below) = sheet(
        (6.4, 5.2),
        f"{ordered[0].env_id}: effective dimension in training",
        f"{_sampled(ordered[0])}, with approximate 95% intervals over their choice",
        theme,
        (3, 1),
    )
    for rank, name in enumerate(state.name for state in ordered[0].states):
        states = [result.states[rank] for result in ordered]
        middle = np.array([state.ratio for state in states])
        ends = np.array([state.interval for state in states]).T
        style = {**line_style(theme, rank), "markersize": 5, "capsize": 3, "label": name}
        above.errorbar(x, middle, np.abs(ends - middle), **style)
    below.plot(x, [result.success_rate for result in ordered], color=theme.muted, marker="o", markersize=4)
    above.set(ylabel="participation ratio", ylim=(0, None))
    below.set(ylabel="solved", xlabel="updates" if known else "checkpoint, in the given order", ylim=(-0.05, 1.05))
    show_percent(below)
    add_legend(figure, above, theme)
    return figure


def _sampled(result: Dimensions) -> str:
    what = "all cells of" if result.samples == "cells" else "the whole state over"
    return f"participation ratio of {what} {result.num_puzzles:,} puzzles after segment {result.segment}"


def draw_trajectories(result: Trajectories, *, dark: bool = False) -> Figure:
    """Paths of the puzzles in the first two principal components of each state, coloured by segment."""
    theme = DARK if dark else LIGHT
    num, last = result.solved.shape
    figure, axes = panels(
        (4.3 * len(result.states) + 0.9, 5.0),
        f"{result.env_id}: trajectories of the states",
        f"{num:,} puzzles, segment by segment, in the first two principal components; a dot where the answer is right, "
        f"a cross where it is wrong; rings: the last segment ({result.solved[:, -1].mean():.1%} right)",
        theme,
        (1, len(result.states)),
    )
    colors = segment_colors(last, 0.22, dark=dark)
    for one, state in zip(axes, result.states, strict=True):
        _draw_paths(one, state, result.solved, colors, theme)
    add_segment_bar(figure, axes, colors, last, "after segment", theme)
    return figure


def _draw_paths(
    axes: Axes, state: StateTrajectories, solved: NDArray[np.bool_], colors: ScalarMappable, theme: Theme
) -> None:
    from matplotlib.collections import LineCollection

    last = solved.shape[1]
    shades = colors.to_rgba(np.arange(1, last + 1))
    axes.add_collection(LineCollection(list(state.points), colors=[theme.muted], linewidths=0.6, alpha=0.35))
    # The last segments lie on top of each other where the states converge, so the first are drawn above them.
    for segment in reversed(range(last)):
        shade, (x, y), right = shades[segment], state.points[:, segment].T, solved[:, segment]
        axes.scatter(x[right], y[right], s=14, color=shade, linewidths=0, zorder=3)
        axes.scatter(x[~right], y[~right], s=20, marker="x", color=shade, linewidths=1.1, zorder=3)
    x, y = state.points[:, -1].T
    axes.scatter(x, y, s=40, facecolor="none", edgecolor=theme.muted, linewidths=0.7, zorder=4)
    first, second = (
        f"component {number} ({share:.0%} of the variance)" for number, share in enumerate(state.explained, 1)
    )
    axes.set_title(state.name, loc="left", fontsize=11, fontweight="bold", color=theme.ink)
    axes.set(xlabel=first, ylabel=second)
    axes.margins(0.06)


def draw_depth(result: Depth, *, dark: bool = False) -> Figure:
    """Success against the number of segments, with 95% Wilson intervals, and where training ended."""
    theme = DARK if dark else LIGHT
    last = len(result.success)
    x = np.arange(1, last + 1)
    figure, (axes,) = sheet(
        (6.4, 4.4),
        f"{result.env_id}: success by number of segments",
        f"{result.num_puzzles:,} unseen puzzles in {result.num_classes:,} classes, 95% Wilson intervals over classes",
        theme,
    )
    low, high = np.array(result.intervals).T
    axes.fill_between(x, low, high, color=theme.colors[0], alpha=0.18, linewidth=0)
    few: dict[str, Any] = {"markevery": [2**power - 1 for power in range(last.bit_length())], "markersize": 5}
    axes.plot(x, result.success, **line_style(theme, 0), **few, label="all take this many segments")
    label = f"halting by its rule, {result.mean_segments[-1]:.2f} segments on average"
    axes.plot(x, result.success_at_halt, **line_style(theme, 1), **few, label=label)
    axes.axvline(result.trained_segments, color=theme.muted, linestyle=(0, (4, 4)), linewidth=1)
    style: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "fontsize": 8}
    axes.annotate("as in training", (result.trained_segments, 0), (4, 6), **style, color=theme.muted)
    axes.set_xscale("log", base=2)
    ticks = [2**power for power in range(last.bit_length())]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="segments, logarithmic", ylabel="puzzles solved")
    show_percent(axes)
    add_legend(figure, axes, theme)
    return figure
