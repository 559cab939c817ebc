"""Does the planner's state come to vary in more directions than the worker's? Participation ratios along training.

    python -m benchmarks.dimension [--env HRM/Sudoku-4x4-v0] [--seeds 0 1 2] [--jobs 2] [--quick] [--chart FILE]

Trains with the preset of the environment and measures ``hrm-agents analyse dimension`` at ten points on the way, on
validation puzzles thought through to the last segment, and once before training. A run that is interrupted resumes
where it stopped. Every finished run adds its points to ``results/dimension.csv``. Wang et al. 2025 (arXiv 2506.21734,
section 4) report 89.95 for z_H and 30.22 for z_L of a trained network of width 512.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.records import RESULTS, Row, rewritten
from benchmarks.runs import side_by_side
from hrm_agents.analysis.dimension import state_dimensions
from hrm_agents.config import EnvConfig, TrainConfig
from hrm_agents.environments import of_unseen
from hrm_agents.evaluation.evaluate import Evaluation
from hrm_agents.presets import preset
from hrm_agents.records.checkpoint import STATE
from hrm_agents.records.logger import Logger
from hrm_agents.reports.figures import save_figure
from hrm_agents.reports.plots import draw_curves
from hrm_agents.solving.solver import load
from hrm_agents.trainer import Trainer

FILE = RESULTS / "dimension.csv"
KEYS = ("env_id", "seed", "updates", "state")
NUM_PUZZLES = 256
POINTS = 10


class DimensionCurve(Logger):
    """Measures the checkpoint of a run, which is saved before each evaluation, and keeps the rows in a file."""

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        self._folder, self._config, self._path = folder, config, folder / "dimension.json"
        self.rows: list[Row] = json.loads(self._path.read_text()) if self._path.exists() else []

    def evaluation(self, report: Evaluation, step: int) -> None:
        """Measure after ``step`` updates."""
        self.measure(step)

    def measure(self, step: int) -> None:
        """Add a row for every state; those of the same update take the place of earlier ones."""
        env, run = self._config.env, self._config.run
        found = state_dimensions(
            load(self._folder), num_puzzles=NUM_PUZZLES, env_kwargs=of_unseen(env.kwargs, "validation")
        )
        self.rows = [row for row in self.rows if row["updates"] != step]
        for state in found.states:
            row: dict[str, Any] = {"env_id": env.id, "seed": run.seed, "updates": step, "state": state.name}
            row |= {"ratio": round(state.ratio, 2), "limit": None if state.limit is None else round(state.limit, 2)}
            self.rows.append(row | {"num_puzzles": found.num_puzzles, "success_at_M": round(found.success_rate, 4)})
        self._path.write_text(json.dumps(self.rows))
        print(f"  {self._folder.name}: {self.rows[-len(found.states) :]}", flush=True)


def train(config: TrainConfig, folder: Path) -> list[Row]:
    """Train one network, or what is missing of it, and return its rows."""
    curve = DimensionCurve(folder, config)
    begun = (folder / STATE).exists()
    trainer = Trainer.resume(folder, config, curve) if begun else Trainer(config, folder, curve)
    if not begun:
        trainer.save()
        curve.measure(0)
    if trainer.updates_done < config.run.updates:
        trainer.run()
    return curve.rows


def chart(table: list[Row], path: Path) -> None:
    """Draw the ratios of both states against updates."""
    series: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in table:
        run = series.setdefault(row["state"], {}).setdefault(str(row["seed"]), [])
        run.append((float(row["updates"]), float(row["ratio"])))
    figure = draw_curves(
        {name: list(runs.values()) for name, runs in series.items()},
        f"{table[0]['env_id']}: dimension along training",
        f"states of {table[0]['num_puzzles']} validation puzzles after the last segment; "
        "thin: each seed; thick: their mean",
        "updates",
        "participation ratio",
        percent=False,
    )
    save_figure(figure, path)


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and draw the chart if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="HRM/Sudoku-4x4-v0", help="environment")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/dimension"), help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, one thread each")
    parser.add_argument("--quick", action="store_true", help="40 updates: two minutes a seed, to see that it works")
    parser.add_argument("--chart", type=Path, help="draw the ratios against updates into this file")
    options = parser.parse_args(arguments)
    base = preset(options.env)
    updates = 40 if options.quick else base.run.updates
    calls = []
    for seed in options.seeds:
        run = replace(base.run, seed=seed, threads=1, device="cpu", updates=updates, eval_every=updates // POINTS)
        name = f"{options.env.replace('/', '-')}-{updates}-{seed}"
        calls.append((replace(base, env=EnvConfig(options.env), run=run), options.out / name))
    table: list[Row] = []
    for found in side_by_side(train, calls, options.jobs):
        table += found
        if not options.quick:
            with rewritten(FILE, KEYS) as rows:
                rows += found
    if options.chart is not None:
        chart(table, options.chart)


if __name__ == "__main__":
    main()
