"""Charts of the course of one training run, drawn from its TensorBoard records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hrm_agents.reports.figures import LIGHT, STYLES, add_legend, line_style, sheet, show_percent
from hrm_agents.reports.training_curves import Curve, thinned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Lines of at most this many points have markers.
_MOST_MARKERS = 30
#: Losses that span a larger factor than this get a logarithmic axis.
_WIDE = 10.0


class Course(NamedTuple):
    """One chart: lines by name."""

    title: str
    y_label: str
    caption: str
    lines: Mapping[str, Curve]
    is_share: bool = True

    def draw(self) -> Figure:
        """Lines over updates, in light colours.

        Raises:
            UserError: matplotlib is absent.
        """
        figure, (axes,) = sheet((5.2, 3.7), self.title, "", LIGHT)
        for rank, (name, points) in enumerate(self.lines.items()):
            x, y = np.array(thinned(points)).T
            style = {**line_style(LIGHT, rank), "marker": STYLES[rank][0] if len(x) <= _MOST_MARKERS else ""}
            axes.plot(x, y, **style, markersize=4, linewidth=1.4, label=name)
        values = [value for points in self.lines.values() for _, value in points]
        axes.set(xlabel="update", ylabel=self.y_label, xlim=(0, None))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        if self.is_share:
            axes.set_ylim(-0.02, 1.03)
            show_percent(axes)
        elif min(values) > 0 and max(values) > _WIDE * min(values):
            axes.set(yscale="log", ylabel=f"{self.y_label}, logarithmic")
        add_legend(figure, axes, LIGHT)
        return figure


def courses(curves: Mapping[str, Curve]) -> Iterator[Course]:
    """The charts for which there are curves, by tag as :class:`~hrm_agents.records.run_log.RunLog` writes them."""
    losses = {tag.removeprefix("train/"): tag for tag in sorted(curves) if tag.startswith("train/") and "loss" in tag}
    segments = {f"segment {int(tag[-2:])}": tag for tag in sorted(curves) if tag.startswith("eval_segments/success_")}
    for title, y_label, caption, tags, is_share in (
        (
            "Success",
            "puzzles solved",
            "Puzzles solved at the halt. Training puzzles: mean over the episodes that ended since the last record. "
            "Unseen puzzles: with the averaged weights, on the validation split (on the test split where there is "
            "none); the evaluation at the end of the run takes the whole test split.",
            {"training puzzles": "rollout/success_rate", "unseen puzzles": "eval/success_rate"},
            True,
        ),
        (
            "Success by segment",
            "puzzles solved",
            "Unseen puzzles that the answer of each segment solves, whether or not the model halts there.",
            _at_most(len(STYLES), segments),
            True,
        ),
        (
            "Segments",
            "segments per puzzle",
            "Mean number of segments until the halt. In training, exploration makes some episodes longer.",
            {"training puzzles": "rollout/ep_len_mean", "unseen puzzles": "eval/mean_segments"},
            False,
        ),
        (
            "Forced halts",
            "puzzles out of segments",
            "Unseen puzzles on which the segments ran out, by whether the last answer was right.",
            {
                "all": "eval/forced_rate",
                "on a right answer": "eval/forced_solved_rate",
                "on a wrong answer": "eval/forced_unsolved_rate",
            },
            True,
        ),
        (
            "Losses",
            "loss",
            "Means over the updates between two records, before weighting; loss is their weighted sum.",
            _at_most(len(STYLES), losses),
            False,
        ),
    ):
        lines = {name: curves[tag] for name, tag in tags.items() if tag in curves}
        if lines:
            yield Course(title, y_label, caption, lines, is_share)


def _at_most(most: int, tags: Mapping[str, str]) -> dict[str, str]:
    """As many lines as can be told apart, evenly chosen, with the first and the last."""
    names = list(tags)
    places = sorted(set(np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int).tolist()))
    return {names[place]: tags[names[place]] for place in places}
