"""Is depth what counts? Success against the depth and width of networks (HRM paper, section 1 and its first results).

    python -m benchmarks.sweep [--env HRM/Sudoku-6x6-v0] [--seeds 0 1 2] [--updates N] [--out runs/sweep] [--chart FILE]
    python -m benchmarks.sweep --quick

Two sweeps at the same number of updates: *depth*, of a plain transformer, a looped transformer and an HRM of one width;
and *width*, of a plain transformer of one depth. Depth is the number of blocks that a segment applies. A run that is
interrupted resumes where it stopped, and finished ones are skipped. Every finished run adds a line to
``results/sweep.csv``; with ``--quick``, minutes on 4x4 Sudoku to see that it works, to ``sweep.csv`` in its folder.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import hrm_agents
from benchmarks.records import RESULTS, rewritten
from benchmarks.runs import train_to_the_end
from hrm_agents.config import EnvConfig, TrainConfig, with_model
from hrm_agents.presets import preset
from hrm_agents.reports.figures import save_figure
from hrm_agents.reports.plots import draw_curves
from hrm_agents.solving.solver import load

#: Blocks per step of a looped transformer and in each module of the HRM, which steps L twice and H once per cycle.
BLOCKS, STEPS_PER_CYCLE = 2, 3
#: Width in the sweep of depth, and depth in the sweep of width; the depths are multiples of an HRM's cycle.
WIDTH, DEPTH = 64, 12
DEPTHS = (6, 12, 24, 48)
WIDTHS = (32, 64, 128, 256)
NETWORKS = ("transformer", "looped", "hrm")


@dataclass(frozen=True)
class Point:
    """One training run."""

    sweep: str
    """``depth`` or ``width``."""
    network: str
    width: int
    depth: int
    """Blocks per segment."""
    seed: int

    @property
    def folder(self) -> str:
        """Name of its folder; the same for a point of both sweeps, which is trained once."""
        return f"{self.network}-width-{self.width}-depth-{self.depth}-seed-{self.seed}"

    def config(self, env_id: str, updates: int | None) -> TrainConfig:
        """The settings of the run: the preset of the environment with this network.

        Args:
            env_id: a Gymnasium id.
            updates: number of updates; the preset's if None.
        """
        base = with_model(preset(env_id), self.network)
        sizes: dict[str, int] = {"hidden_size": self.width}
        if self.network == "transformer":
            sizes |= {"num_layers": self.depth}
        elif self.network == "looped":
            sizes |= {"num_layers": BLOCKS, "steps": self.depth // BLOCKS}
        else:
            cycles = self.depth // (BLOCKS * STEPS_PER_CYCLE)
            sizes |= {"H_layers": BLOCKS, "L_layers": BLOCKS, "L_cycles": STEPS_PER_CYCLE - 1, "H_cycles": cycles}
        run = replace(base.run, seed=self.seed, threads=1, eval_every=0, updates=updates or base.run.updates)
        return replace(base, env=EnvConfig(env_id), model=replace(base.model, **sizes), run=run)


def points(seeds: list[int], depths: tuple[int, ...] = DEPTHS, widths: tuple[int, ...] = WIDTHS) -> list[Point]:
    """The runs of both sweeps, for all seeds."""
    return [
        point
        for seed in seeds
        for point in (
            *(Point("depth", network, WIDTH, depth, seed) for depth in depths for network in NETWORKS),
            *(Point("width", "transformer", width, DEPTH, seed) for width in widths),
        )
    ]


def train(point: Point, env_id: str, updates: int | None, out: Path) -> dict[str, Any]:
    """Train one network, or what is missing of it, and return its line of the table."""
    folder, config = out / point.folder, point.config(env_id, updates)
    started = time.process_time()
    train_to_the_end(config, folder)
    minutes = (time.process_time() - started) / 60
    solver = load(folder)
    report = solver.evaluate(until="halt")
    return {
        **asdict(point),
        "env_id": env_id,
        "updates": config.run.updates,
        "parameters": sum(parameter.numel() for parameter in solver.model.parameters()),
        "num_puzzles": report.num_puzzles,
        "num_classes": report.num_classes,
        "success_rate": report.success_rate,
        "mean_segments": report.mean_segments,
        "cpu_minutes": round(minutes, 1),  # of the last part of the run
        "version": hrm_agents.__version__,
    }


def finished(table: Path) -> set[tuple[str, ...]]:
    """What the table has: the sweep, network, width, depth, seed, environment and updates of its lines."""
    if not table.exists():
        return set()
    with table.open(newline="") as file:
        return {tuple(row[name] for name in KEYS) for row in csv.DictReader(file)}


KEYS = ("sweep", "network", "width", "depth", "seed", "env_id", "updates")


def chart(table: Path, path: Path) -> None:
    """Draw success against depth, a line per network, from the lines of a table."""
    series: dict[str, dict[str, list[tuple[float, float]]]] = {}
    with table.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["sweep"] == "depth"]
    for row in sorted(rows, key=lambda row: int(row["depth"])):
        run = series.setdefault(row["network"], {}).setdefault(row["seed"], [])
        run.append((float(row["depth"]), float(row["success_rate"])))
    figure = draw_curves(
        {name: list(runs.values()) for name, runs in series.items()},
        f"{rows[0]['env_id']}: success against depth",
        f"width {WIDTH}, {int(rows[0]['updates']):,} updates; thin: each seed; thick: their mean",
        "blocks per segment",
        "puzzles solved",
    )
    save_figure(figure, path)


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, and draw the chart if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="HRM/Sudoku-6x6-v0", help="environment; 4x4 Sudoku with --quick")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--updates", type=int, help="of each run; those of the preset if omitted")
    parser.add_argument("--out", type=Path, default=Path("runs/sweep"), help="folder of the runs")
    parser.add_argument("--quick", action="store_true", help="few updates of few sizes on 4x4 Sudoku")
    parser.add_argument("--chart", type=Path, help="draw success against depth into this file")
    options = parser.parse_args(arguments)
    env_id, updates, wanted, table = options.env, options.updates, points(options.seeds), RESULTS / "sweep.csv"
    if options.quick:
        env_id, updates = "HRM/Sudoku-4x4-v0", updates or 30
        wanted, table = points(options.seeds[:1], DEPTHS[:2], WIDTHS[:1]), options.out / "sweep.csv"
    for point in wanted:
        config = point.config(env_id, updates)
        key = {**asdict(point), "env_id": env_id, "updates": config.run.updates}
        if tuple(str(key[name]) for name in KEYS) in finished(table):
            continue
        folder = options.out / f"{env_id.replace('/', '-')}-{config.run.updates}"
        row = train(point, env_id, updates, folder)
        print(row, flush=True)
        with rewritten(table, KEYS) as rows:
            rows.append(row)
    if options.chart is not None:
        chart(table, options.chart)


if __name__ == "__main__":
    main()
