"""The tables and the JSON document that ``hrm-agents evaluate`` makes of its reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

import hrm_agents
from hrm_agents.evaluation.evaluate import Evaluation
from hrm_agents.evaluation.intervals import Interval, t_interval

#: What the intervals cover, for one set of puzzles and for several.
ONE_SET = "95% intervals over the choice of puzzles; they do not cover seeds of training"
SEVERAL_SETS = "mean and 95% t interval over sets of puzzles; NOT over seeds of training"


class Unit(NamedTuple):
    """How to print a figure."""

    scale: float
    sign: str
    digits: int
    #: Largest possible value.
    most: float = float("inf")

    def text(self, value: float, interval: Interval | None) -> str:
        """Such as ``97.2% [96.0, 98.1]``."""
        text = f"{self.scale * value:.{self.digits}f}{self.sign}"
        if interval is not None:
            low, high = (f"{self.scale * bound:.{self.digits}f}" for bound in interval)
            text += f" [{low}, {high}]"
        return text


SHARE = Unit(100.0, "%", 1, 1.0)
AREA = Unit(1.0, "", 4, 1.0)
PLAIN = Unit(1.0, "", 2)

#: Label of each figure of an evaluation.
_FIGURES = {
    "success_rate": ("solved at its own halt", SHARE),
    "mean_score": ("partial credit", SHARE),
    "mean_segments": ("segments", PLAIN),
    "forced_rate": ("out of segments", SHARE),
    "forced_solved_rate": ("  with a right answer", SHARE),
    "forced_unsolved_rate": ("  with a wrong answer", SHARE),
}
#: The same of its halting report.
_HALTING = {
    "halt_precision": ("right when it halts", SHARE),
    "halt_recall": ("halts when it is right", SHARE),
    "auc_on_policy": ("AUC of Q(halt) to halt", AREA),
    "auc": ("  over all segments", AREA),
}


@dataclass(frozen=True)
class Reports:
    """Evaluations of one model, on one set of puzzles or on several."""

    reports: Sequence[Evaluation]
    #: ``pool_seed`` of each set.
    seeds: Sequence[int]
    #: Mean share of a set's classes that another set has too.
    overlap: float = 0.0

    @property
    def covered(self) -> str:
        """What the intervals cover."""
        if len(self.reports) == 1:
            return ONE_SET if self.reports[0].intervals else ""
        shared = f". The sets share {self.overlap:.0%} of their classes: the intervals are too narrow"
        return SEVERAL_SETS + (shared if self.overlap >= 0.005 else "")

    def document(self) -> dict[str, Any]:
        """Plain types for JSON."""
        reports = []
        for report in self.reports:
            halting = {} if report.halting is None else {"halting": report.halting.numbers()}
            reports.append({**report.to_dict(), **halting, "seconds": report.seconds})
        document: dict[str, Any] = {
            "version": hrm_agents.__version__,
            "split": self.reports[0].split,
            "seeds": list(self.seeds),
            "intervals_cover": ONE_SET,
            "reports": reports,
        }
        if len(self.reports) > 1:
            figures: dict[str, Any] = {"covers": self.covered}
            for name, (_, unit) in _FIGURES.items():
                values = [getattr(report, name) for report in self.reports]
                figures[name] = {"mean": float(np.mean(values)), "interval": _interval(values, unit)}
            document["over_sets"] = figures
        return document

    def print(self, views: int) -> None:
        """Print the tables, for puzzles with so many views."""
        first, console = self.reports[0], Console()
        classes = _range([report.num_classes for report in self.reports])
        sets = f" x {len(self.seeds)} sets (pool_seed {', '.join(map(str, self.seeds))})" if len(self.seeds) > 1 else ""
        about = f"{first.num_puzzles} puzzles of {classes} classes{sets}"
        console.print(f"[bold]{first.env_id}[/] {first.split}, {about}")
        if first.num_unscored:
            console.print(_unscored(first))
        for name, (label, unit) in _FIGURES.items():
            more = f" of {first.max_segments}" if name == "mean_segments" else ""
            console.print(f"{label:<26} {self._text(self.reports, name, unit)}{more}")
        self._print_halting(console)
        seconds = [report.seconds for report in self.reports if report.seconds]
        speed = sum(report.num_puzzles for report in self.reports) / max(1e-9, sum(seconds))
        console.print(f"{'time':<26} {sum(seconds):.1f} s, {speed:.1f} puzzles/s")
        if self.covered:
            console.print(self.covered)
        if first.success_per_segment:
            self._print_segments(console)
        if first.search is not None:
            self._print_tries(console)
        if first.ensemble is not None:
            votes = [report.ensemble.metrics for report in self.reports if report.ensemble is not None]
            combined = Table("all views combined", f"{views} of each puzzle")
            for name in votes[0]:
                combined.add_row(name, _mean([metrics[name] for metrics in votes], Unit(1.0, "", 4)))
            console.print(combined)

    def _print_halting(self, console: Console) -> None:
        judged = [report.halting for report in self.reports if report.halting is not None]
        if not judged:
            return
        counts = {
            "auc_on_policy": ("num_on_policy_right", "num_on_policy_wrong"),
            "auc": ("num_right", "num_wrong"),
        }
        for name, (label, unit) in _HALTING.items():
            more = ""
            if name in counts:
                right, wrong = (_range([getattr(report, kind) for report in judged]) for kind in counts[name])
                more = f" ({right} right, {wrong} wrong)"
            known = [report for report in judged if getattr(report, name) is not None]
            text = self._text(known, name, unit) if known else "-"
            if known or more:
                console.print(f"{label:<26} {text}{more}")
        for label, kind in (
            ("calibration error to halt", "calibration_on_policy"),
            ("  over all segments", "calibration"),
        ):
            console.print(f"{label:<26} {_mean([getattr(report, kind).ece for report in judged], AREA)}")

    def _print_segments(self, console: Console) -> None:
        table = Table("segment", "solved if stopped here", "halts here")
        for segment in range(self.reports[0].max_segments):
            tables = ("success_per_segment", "halts_per_segment")
            shares = ([getattr(report, name)[segment] for report in self.reports] for name in tables)
            table.add_row(str(segment + 1), *(_mean(values, SHARE) for values in shares))
        console.print(table)

    def _print_tries(self, console: Console) -> None:
        searches = [report.search for report in self.reports if report.search is not None]
        points, settings = [search.points() for search in searches], searches[0].settings
        console.print(
            f"solved in {settings.tries} tries, chosen by {settings.choose}  "
            f"{_mean([getattr(row[-1], settings.choose) for row in points], SHARE)}, "
            f"in {_mean([row[-1].mean_segments for row in points], PLAIN)} segments (noise {settings.noise:g})"
        )
        tries = Table("tries", "segments, all tries", "solved by the best Q(halt)", "any of them right")
        for number, row in enumerate(zip(*points, strict=True), 1):
            tries.add_row(
                str(number),
                _mean([point.mean_segments for point in row], PLAIN),
                _mean([point.q for point in row], SHARE),
                _mean([point.verifier for point in row], SHARE),
            )
        console.print(tries)

    @staticmethod
    def _text(reports: Sequence[Any], name: str, unit: Unit) -> str:
        """A figure of one report with its own interval, or its mean over several with theirs."""
        if len(reports) == 1:
            intervals: Mapping[str, Interval] = reports[0].intervals
            return unit.text(getattr(reports[0], name), intervals.get(name))
        return _mean([getattr(report, name) for report in reports], unit)


def _unscored(report: Evaluation) -> str:
    """How many answers cannot be judged."""
    if not report.is_scored:
        return "the answers to these puzzles are unknown: figures of success mean nothing"
    return f"{report.num_unscored} more puzzles have no known answer: they are answered, but not scored"


def _mean(values: Sequence[float], unit: Unit) -> str:
    """The mean over sets, with its interval if there are several."""
    return unit.text(float(np.mean(values)), _interval(values, unit))


def _interval(values: Sequence[float], unit: Unit) -> Interval | None:
    """The interval over sets, cut to the values that are possible (no figure is negative); None if all are equal."""
    if np.ptp(values) < 1e-9:
        return None  # an interval of width 0 would claim a certainty that no sample gives
    low, high = t_interval(values)
    return max(0.0, low), min(unit.most, high)


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,}-{high:,}"
