"""CSV files of results: rows that a later run of the same kind replaces, and means over seeds."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hrm_agents.evaluation.intervals import t_interval

RESULTS = Path(__file__).parents[1] / "results"

Row = dict[str, Any]


@contextmanager
def rewritten(path: Path, keys: Sequence[str]) -> Iterator[list[Row]]:
    """The rows of a CSV file to be changed in place; a later row with the same keys takes the place of an earlier."""
    rows: list[Row] = []
    if path.exists():
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    yield rows
    latest = {tuple(str(row[key]) for key in keys): row for row in rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[-1]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(latest.values())


def add_run(table: Path, keys: Sequence[str], row: Row) -> None:
    """Add a finished run to a table, and the points of its ``curve``, if any, to ``NAME-curves.csv`` beside it.

    Args:
        table: the CSV file.
        keys: the columns that name the run.
        row: the run, perhaps with points under ``curve``.
    """
    columns = {name: value for name, value in row.items() if name != "curve"}
    with rewritten(table, keys) as rows:
        rows.append(columns)
    if "curve" in row:
        with rewritten(table.with_name(f"{table.stem}-curves.csv"), (*keys, "updates")) as rows:
            rows += [{name: row[name] for name in keys} | point for point in row["curve"]]


def report_runs(runs: Iterable[Row], table: Path, keys: Sequence[str], *, record: bool) -> None:
    """Print runs without their curves as they finish.

    Args:
        runs: their rows.
        table: the CSV file.
        keys: the columns that name a run.
        record: also add each to the table, by :func:`add_run`.
    """
    for row in runs:
        print({name: value for name, value in row.items() if name != "curve"}, flush=True)
        if record:
            add_run(table, keys, row)


def grouped(path: Path, keys: Sequence[str]) -> dict[tuple[str, ...], list[dict[str, str]]]:
    """The rows of a CSV file by the values of some columns."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            groups[tuple(row[key] for key in keys)].append(row)
    return groups


def mean_with_interval(values: Sequence[float], digits: str = ".2f", unit: str = "") -> str:
    """A cell of a table: ``93.10% [92.00, 94.20]``, the mean and its 95% t interval; ``-`` without values."""
    if not values:
        return "-"
    mean = f"{sum(values) / len(values):{digits}}{unit}"
    if len(values) < 2:
        return mean
    low, high = t_interval(values)
    return f"{mean} [{low:{digits}}, {high:{digits}}]"


def markdown(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
