"""The final figures of a run: what they are called, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hrm_agents.reports.markup import Markup, element, joined


class Figure(NamedTuple):
    """A figure of an evaluation, under the name that :class:`~hrm_agents.evaluation.evaluate.Evaluation` gives it."""

    name: str
    title: str
    meaning: str
    is_share: bool = True

    def text(self, value: float) -> str:
        """The value as written for people."""
        return f"{100 * value:.2f}%" if self.is_share else f"{value:.2f}"

    def bounds(self, max_segments: float) -> tuple[float, float]:
        """Smallest and largest possible value."""
        return (0.0, 1.0) if self.is_share else (1.0, max_segments)


FIGURES = (
    Figure("success_rate", "Solved", "puzzles whose answer at the halt is right"),
    Figure("mean_segments", "Segments", "mean number of segments until the halt", is_share=False),
    Figure("forced_rate", "Forced halts", "puzzles on which the segments ran out"),
    Figure("mean_score", "Partial credit", "mean score of the answers at the halt"),
    Figure("forced_solved_rate", "Forced, right", "forced halts on a right answer"),
    Figure("forced_unsolved_rate", "Forced, wrong", "forced halts on a wrong answer"),
)
#: Figures that head a page.
HEADLINE = FIGURES[:4]


def value_of(figure: Figure, value: float | None) -> Markup:
    """The value for people and, in full, for programs; a dash where it is not recorded."""
    if value is None:
        return element("span", "\N{EN DASH}", title="not recorded")
    return element("data", figure.text(value), value=repr(value))


def interval_of(figure: Figure, interval: Sequence[float] | None) -> Markup:
    """A 95% interval in brackets, or that there is none."""
    if interval is None:
        return element("span", "no interval", class_="none")
    low, high = interval
    return joined("[", value_of(figure, low), ", ", value_of(figure, high), "]")
