"""Train the ways of halting over several seeds, and compare success, segments and forced halts.

    python -m benchmarks.halting [--tasks sudoku-4x4 maze-7x7] [--methods q gain] [--seeds 0 1 2] [--quick]
    python -m benchmarks.halting --table

Runs resume where they stopped, one thread each. Every finished run adds a line to ``results/halting.csv``, and its
evaluations on the way (validation puzzles) to ``results/halting-curves.csv``. ``--table`` prints the summary: means
over the seeds with 95% t intervals, on test puzzles.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import hrm_agents
from hrm_agents.config import HaltingConfig, TrainConfig
from hrm_agents.evaluation.evaluate import Evaluation
from hrm_agents.evaluation.intervals import t_interval
from hrm_agents.presets import preset
from hrm_agents.records.checkpoint import CONFIG
from hrm_agents.records.logger import Logger
from hrm_agents.solving.solver import load
from hrm_agents.trainer import Trainer

RESULTS = Path(__file__).parents[1] / "results"
TASKS = {
    "sudoku-4x4": "HRM/Sudoku-4x4-v0",
    "sudoku-6x6": "HRM/Sudoku-6x6-v0",
    "maze-7x7": "HRM/Maze-7x7-v0",
    "maze-9x9": "HRM/Maze-9x9-v0",
}
#: What is compared: the paper's rule with and without a discount, the gain rule with several settings, and others.
METHODS = {
    "q": HaltingConfig(rule="q"),
    "q-discount": HaltingConfig(rule="q", gamma=0.995),
    "q-discount-weight": HaltingConfig(rule="q", gamma=0.995, q_weight=0.05),
    "gain": HaltingConfig(rule="gain", gamma=0.995),
    "gain-weight": HaltingConfig(rule="gain", gamma=0.995, q_weight=0.05),
    "gain-05": HaltingConfig(rule="gain", gamma=0.995, least_gain=0.05),
    "probability": HaltingConfig(rule="probability", threshold=0.99),
    "convergence": HaltingConfig(rule="convergence"),
    "fixed": HaltingConfig(rule="fixed"),
}
FIGURES = (
    "success_rate",
    "success_at_M",
    "mean_segments",
    "forced_solved_rate",
    "forced_unsolved_rate",
    "auc_on_policy",
)


class Curve(Logger):
    """Keeps the evaluations of a run, and the CPU time of all its parts, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.points: list[dict[str, float]] = json.loads(path.read_text()) if path.exists() else []
        self._before = self.points[-1]["cpu_minutes"] if self.points else 0.0
        self._start = time.process_time()

    @property
    def cpu_minutes(self) -> float:
        """CPU time since the beginning of the run, its earlier parts included up to their last evaluation."""
        return self._before + (time.process_time() - self._start) / 60

    def evaluation(self, report: Evaluation, step: int) -> None:
        """Add a point; one of the same update takes its place."""
        self.points = [point for point in self.points if point["updates"] < step]
        names = ("success_rate", "mean_segments", "forced_rate")
        figures = {name: getattr(report, name) for name in names}
        self.points.append({"updates": step, "cpu_minutes": round(self.cpu_minutes, 2), **figures})
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self.points, indent=1))
        print(f"  {self._path.stem}: {self.points[-1]}", flush=True)


def settings(task: str, method: str, seed: int, *, quick: bool) -> TrainConfig:
    """The preset of a task with another way of halting."""
    config = preset(TASKS[task])
    updates = 200 if quick else config.run.updates
    run = replace(config.run, seed=seed, updates=updates, threads=1, device="cpu", eval_every=max(100, updates // 20))
    return replace(config, halting=METHODS[method], run=run)


def train(task: str, method: str, seed: int, out: Path, *, quick: bool) -> dict[str, Any]:
    """Train one model, or what is missing of it, and return its line of the table."""
    folder = out / f"{task}-{method}-{seed}"
    curve = Curve(folder / "curve.json")
    config = settings(task, method, seed, quick=quick)
    resumes = (folder / CONFIG).exists()
    trainer = Trainer.resume(folder, config, curve) if resumes else Trainer(config, folder, curve)
    if trainer.updates_done < config.run.updates:
        trainer.run()
    report = load(folder).evaluate(until="end")
    assert report.halting is not None
    return {
        "task": task,
        "method": method,
        "seed": seed,
        "updates": config.run.updates,
        "cpu_minutes": round(curve.points[-1]["cpu_minutes"], 1) if curve.points else None,
        "num_puzzles": report.num_puzzles,
        "num_classes": report.num_classes,
        "success_rate": report.success_rate,
        "success_at_M": report.success_per_segment[-1],
        "mean_segments": report.mean_segments,
        "forced_solved_rate": report.forced_solved_rate,
        "forced_unsolved_rate": report.forced_unsolved_rate,
        "auc_on_policy": report.halting.auc_on_policy,
        "version": hrm_agents.__version__,
        "curve": curve.points,
    }


@contextmanager
def rewritten(path: Path, keys: tuple[str, ...]) -> Iterator[list[dict[str, Any]]]:
    """The rows of a CSV file to be changed in place; a later row with the same keys takes the place of an earlier."""
    rows: list[dict[str, Any]] = []
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


def record(row: dict[str, Any]) -> None:
    """Add a finished run to the files in results/."""
    points = row.pop("curve")
    with rewritten(RESULTS / "halting.csv", ("task", "method", "seed")) as rows:
        rows.append(row)
    with rewritten(RESULTS / "halting-curves.csv", ("task", "method", "seed", "updates")) as rows:
        rows += [{name: row[name] for name in ("task", "method", "seed")} | point for point in points]


def table() -> str:
    """The summary of results/halting.csv as Markdown: mean over the seeds, with a 95% t interval."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    with (RESULTS / "halting.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            groups[row["task"], row["method"]].append(row)
    names = ("task", "method", "seeds", "updates", "CPU min", *FIGURES)
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for (task, method), rows in groups.items():
        minutes = sum(float(row["cpu_minutes"]) for row in rows) / len(rows)
        cells = [task, method, str(len(rows)), rows[0]["updates"], f"{minutes:.0f}"]
        for name in FIGURES:
            values = [float(row[name]) for row in rows if row[name]]
            share = name not in ("mean_segments", "auc_on_policy")
            cells.append(_cell([100 * value for value in values] if share else values, "%" if share else ""))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: list[float], unit: str) -> str:
    if not values:
        return "-"
    mean = sum(values) / len(values)
    if len(values) < 2:
        return f"{mean:.2f}{unit}"
    low, high = t_interval(values)
    return f"{mean:.2f}{unit} [{low:.2f}, {high:.2f}]"


def main(arguments: list[str] | None = None) -> None:
    """Run the experiment, or print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["q", "q-discount", "gain"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/halting"), help="folder of the runs")
    parser.add_argument("--quick", action="store_true", help="200 updates each: minutes, to see that it works")
    parser.add_argument("--table", action="store_true", help="print the summary of results/halting.csv")
    options = parser.parse_args(arguments)
    if options.table:
        print(table())
        return
    for task in options.tasks:
        for seed in options.seeds:
            for method in options.methods:
                print(f"{task}, {method}, seed {seed}", flush=True)
                row = train(task, method, seed, options.out, quick=options.quick)
                if options.quick:
                    print({name: value for name, value in row.items() if name != "curve"})
                else:
                    record(row)


if __name__ == "__main__":
    main()
