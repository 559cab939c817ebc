"""Final figures of runs that differ in the seed alone: interquartile means and means, with 95% intervals."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hrm_agents.evaluation.intervals import Interval, interquartile_mean, iqm_interval
from hrm_agents.reports.frontier_interval import Spread
from hrm_agents.reports.headline import FIGURES, Figure

#: The figures that are aggregated: success, segments and forced halts.
AGGREGATED = FIGURES[:3]
#: What the intervals are.
INTERVALS = (
    "95% intervals over seeds of training: of the interquartile mean by a percentile bootstrap of the seeds, which is "
    "too narrow for few seeds; of the mean by Student's t"
)


@dataclass(frozen=True)
class Aggregate:
    """A figure over several seeds."""

    figure: Figure
    values: tuple[float, ...]
    """One of each seed."""
    iqm: float
    """Interquartile mean."""
    iqm_interval: Interval | None
    """None if no seed differs."""
    mean: float
    mean_interval: Interval | None

    @classmethod
    def of(cls, figure: Figure, values: Sequence[float], max_segments: float) -> Aggregate:
        """Aggregate the values of at least one seed."""
        mean, mean_interval = Spread.of(values, *figure.bounds(max_segments))
        return cls(figure, tuple(values), interquartile_mean(values), iqm_interval(values), mean, mean_interval)

    def cells(self) -> list[str]:
        """Name, interquartile mean and mean for a table, with their intervals; then the lowest and highest value."""
        ends = f"{self.figure.text(min(self.values))} to {self.figure.text(max(self.values))}"
        return [
            self.figure.title,
            self._text(self.iqm, self.iqm_interval),
            self._text(self.mean, self.mean_interval),
            ends,
        ]

    def row(self) -> dict[str, Any]:
        """The aggregate as plain values by column; None where there is no interval."""
        ends = [self.iqm_interval or (None, None), self.mean_interval or (None, None)]
        return {
            "figure": self.figure.name,
            "seeds": len(self.values),
            **dict(zip(("iqm", "iqm_low", "iqm_high"), (self.iqm, *ends[0]), strict=True)),
            **dict(zip(("mean", "mean_low", "mean_high"), (self.mean, *ends[1]), strict=True)),
            "lowest": min(self.values),
            "highest": max(self.values),
        }

    def _text(self, value: float, interval: Interval | None) -> str:
        if interval is None:
            return self.figure.text(value)
        return f"{self.figure.text(value)} [{', '.join(map(self.figure.text, interval))}]"


def aggregates(evaluations: Sequence[Mapping[str, Any]]) -> list[Aggregate]:
    """Aggregate final evaluations, one of each seed, as ``config.json`` holds them."""
    longest = max(float(each["max_segments"]) for each in evaluations)
    return [Aggregate.of(figure, [float(each[figure.name]) for each in evaluations], longest) for figure in AGGREGATED]


def csv_text(found: Sequence[Aggregate]) -> str:
    """A CSV row for each figure."""
    rows = [each.row() for each in found]
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return table.getvalue()


def document(
    env_id: str, evaluations: Mapping[int, Mapping[str, Any]], folders: Mapping[int, str], found: Sequence[Aggregate]
) -> dict[str, Any]:
    """Aggregates and the figures of each run, for JSON.

    Args:
        env_id: of the environment.
        evaluations: final ones by seed.
        folders: of the runs, by seed.
        found: from :func:`aggregates`.
    """
    first = next(iter(evaluations.values()))
    return {
        "env": env_id,
        "num_puzzles": first["num_puzzles"],
        "num_classes": first["num_classes"],
        "intervals": INTERVALS,
        "figures": {row.pop("figure"): row for row in (each.row() for each in found)},
        "runs": [
            {
                "seed": seed,
                "folder": folders[seed],
                **{each.figure.name: evaluations[seed][each.figure.name] for each in found},
            }
            for seed in evaluations
        ],
    }
