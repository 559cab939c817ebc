"""Charts of halting: calibration of Q(halt), and success and halts per segment; and learning curves.

:func:`~hrm_agents.reports.figures.save_figure` writes what they return. All raise
:class:`~hrm_agents.errors.UserError` if matplotlib is absent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hrm_agents.evaluation.intervals import wilson
from hrm_agents.reports.figures import DARK, LIGHT, MOST_LABELS, Theme, add_legend, line_style, sheet, show_percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hrm_agents.evaluation.halting_report import HaltingReport

#: Bins of the reliability diagram with fewer answers are drawn hollow: their share of right answers says little.
FEW_ANSWERS = 20


def draw_reliability(report: HaltingReport, title: str = "Calibration of Q(halt)", *, dark: bool = False) -> Figure:
    """Share of right answers against the probability that Q(halt) gives them, over all segments.

    The subtitle also gives the AUC on policy: up to the halt of each puzzle, with the number of wrong answers there.
    Error bars are 95% Wilson intervals. Bins with fewer than :data:`FEW_ANSWERS` answers are hollow. The lower panel
    shows the number of answers in each bin, on a logarithmic scale.
    """
    theme = DARK if dark else LIGHT
    bins, rank = report.calibration.bins, "" if report.auc is None else f", AUC {report.auc:.3f}"
    subtitle = f"calibration error {report.calibration.ece:.3f}, Brier score {report.calibration.brier:.3f}{rank}"
    if report.auc_on_policy is not None:
        subtitle += f"; up to the halt: AUC {report.auc_on_policy:.3f}, {report.num_on_policy_wrong:,} wrong answers"
    figure, (above, below) = sheet((5.2, 6.0), title, subtitle, theme, (3, 1))
    above.plot([0, 1], [0, 1], linestyle=(0, (4, 4)), color=theme.muted, label="perfect calibration")
    above.plot([b.mean_probability for b in bins], [b.share_right for b in bins], color=theme.colors[0], linewidth=1)
    for few, label in ((False, "answers of all segments"), (True, f"fewer than {FEW_ANSWERS} answers")):
        group = [part for part in bins if (part.count < FEW_ANSWERS) is few]
        if not group:
            continue
        fill = theme.paper if few else theme.colors[0]
        shares = np.array([part.share_right for part in group])
        above.errorbar(
            [part.mean_probability for part in group],
            shares,
            np.abs(np.array([wilson(part.share_right, part.count) for part in group]).T - shares),
            fmt="o",
            color=theme.colors[0],
            markerfacecolor=fill,
            capsize=3,
            label=label,
        )
        bars = below.bar(
            [part.low for part in group],
            [part.count for part in group],
            [part.high - part.low for part in group],
            **_bar_style(theme, theme.colors[0], hollow=few),
            align="edge",
        )
        below.bar_label(bars, [_count(part.count) for part in group], padding=2, fontsize=8, color=theme.ink)
    above.set(ylabel="share of right answers", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    # Logarithmic, or the bins with few answers would not show beside those with many.
    most = max(part.count for part in bins)
    below.set(yscale="log", ylim=(0.7, 2 * most**1.2), ylabel="answers (log)")
    below.set_xlabel("probability of a right answer, from Q(halt)")
    add_legend(figure, above, theme)
    return figure


def draw_halting(report: HaltingReport, title: str = "Success and halts per segment", *, dark: bool = False) -> Figure:
    """Success of stopping at each segment, of the Q-head and of an oracle; below, the segments at which it halts.

    The oracle halts at the first right answer.
    """
    theme, last = DARK if dark else LIGHT, report.max_segments
    subtitle = (
        f"{report.num_puzzles:,} puzzles; {report.success_regret:.1%} lost to halts on wrong answers, "
        f"{report.wasted_segments:.2f} segments per puzzle after the first right answer, where the oracle halts"
    )
    figure, (above, below) = sheet((6.4, 5.4), title, subtitle, theme, (2, 1))
    segments = range(1, last + 1)
    fixed = line_style(theme, 0)
    above.plot(segments, report.success_per_segment, **fixed, markersize=5, label="fixed number of segments")
    policy = ("Q-head", report.mean_segments, report.success_rate)
    oracle = ("oracle", report.oracle_mean_segments, report.oracle_success_rate)
    for rank, (name, mean, success) in enumerate((policy, oracle), 1):
        style = {**line_style(theme, rank), "linestyle": "", "label": f"{name}: {success:.1%} in {mean:.2f} segments"}
        above.plot([mean], [success], **style, markersize=8, clip_on=False)
    chosen = [*report.halts_per_segment[:-1], report.halts_per_segment[-1] - report.forced_rate]
    below.bar(segments, chosen, **_bar_style(theme, theme.colors[1]), label="halts by choice")
    if report.forced_rate:
        hollow = _bar_style(theme, theme.colors[1], hollow=True)
        label = f"forced halts: {report.forced_solved_rate:.1%} right, {report.forced_unsolved_rate:.1%} wrong"
        below.bar([last], [report.forced_rate], bottom=[chosen[-1]], **hollow, label=label)
    if last <= MOST_LABELS:
        for segment, share in enumerate(report.halts_per_segment, 1):
            text = "" if not share else f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"
            above_bar: dict[str, Any] = {"xytext": (0, 2), "textcoords": "offset points", "ha": "center"}
            below.annotate(text, (segment, share), **above_bar, fontsize=7, color=theme.ink)
    below.margins(y=0.22)
    above.set_ylabel("puzzles solved")
    below.set(ylabel="puzzles halting", xlabel="segment", xlim=(0.4, last + 0.6))
    below.set_xticks(segments[:: math.ceil(last / MOST_LABELS)])
    for axes in (above, below):
        show_percent(axes)
    add_legend(figure, above, theme, below)
    return figure


def draw_curves(
    series: Mapping[str, Sequence[Sequence[tuple[float, float]]]],
    title: str,
    subtitle: str,
    x_label: str,
    y_label: str,
    *,
    percent: bool = True,
    dark: bool = False,
) -> Figure:
    """Curves over time or updates: a thin line for each run, a thick one for the mean of each series of runs.

    Args:
        series: the runs of each, by name; a run is its (x, y) points, x ascending. At most eight series.
        title: at the top.
        subtitle: below the title.
        x_label: name and unit of x.
        y_label: what y is, or what shares are of.
        percent: y is a share, shown in percent from 0 to 100.
        dark: light lines on a dark ground.
    """
    theme = DARK if dark else LIGHT
    figure, (axes,) = sheet((6.4, 4.2), title, subtitle, theme)
    for rank, (name, runs) in enumerate(series.items()):
        curves = [np.array(run).T for run in runs]
        for x, y in curves:
            axes.plot(x, y, color=theme.colors[rank], linewidth=0.8, alpha=0.5)
        start, end = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
        grid = np.unique([place for x, _ in curves for place in x if start <= place <= end])
        mean = np.mean([np.interp(grid, x, y) for x, y in curves], axis=0)
        label = f"{name} (mean of {len(runs)} seeds)" if len(runs) > 1 else f"{name} (one seed)"
        axes.plot(grid, mean, **line_style(theme, rank), linewidth=2, markevery=(0.1, 0.2), label=label)
    axes.set(xlabel=x_label, ylabel=y_label, xlim=(0, None))
    if percent:
        axes.set_ylim(0, 1.03)
        show_percent(axes)
    add_legend(figure, axes, theme)
    return figure


def _bar_style(theme: Theme, color: str, *, hollow: bool = False) -> dict[str, Any]:
    return {
        "facecolor": theme.paper if hollow else color,
        "edgecolor": color if hollow else theme.paper,
        "hatch": "////" if hollow else None,
        "linewidth": 1.0,
    }


def _count(number: int) -> str:
    return f"{number:,}" if number < 100_000 else f"{number / 10**6:.2g}M"
