"""Draw the charts of the documentation again, from the data in results/.

python docs/pictures.py [--dark] [--format svg] [--out FOLDER]
"""

import argparse
import csv
from pathlib import Path
from typing import get_args

from matplotlib.figure import Figure

from hrm_agents.reports.figures import ChartFormat, save_figure
from hrm_agents.reports.frontier_chart import FrontierPoint, draw_frontier
from hrm_agents.reports.plots import draw_curves

RESULTS = Path(__file__).parents[1] / "results"


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a file in results/."""
    with (RESULTS / name).open(newline="") as file:
        return list(csv.DictReader(file))


def frontier(*, dark: bool) -> Figure:
    """Success against mean segments for several segment costs, of docs/halting.md: means and ranges over seeds."""
    names = {
        "cost": "rule q, labelled by segment cost",
        "no cost": "rule q, no segment cost",
        "fixed": "fixed number of segments",
    }
    series: dict[str, list[FrontierPoint]] = {name: [] for name in names.values()}
    for row in rows("frontier.csv"):
        x, y = (
            [float(row[f"{figure}_{part}"]) for part in ("mean", "min", "max")]
            for figure in ("mean_segments", "success_rate")
        )
        label = row["segment_cost"] if row["series"] == "cost" else ""
        series[names[row["series"]]].append(FrontierPoint(x[0], y[0], label, (x[1], x[2]), (y[1], y[2])))
    return draw_frontier(
        series,
        "HRM/Sudoku-4x4-v0: success against segments",
        "measured with 0.1.0.dev, where models without a cost learned with another loss, as did those of the fixed "
        "numbers; mean and range of 3 seeds",
        dark=dark,
    )


def walking(*, dark: bool) -> Figure:
    """Success of PPO in unseen mazes over CPU time, of docs/rl.md."""
    runs: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in rows("walking.csv"):
        run = runs.setdefault(row["extractor"], {}).setdefault(row["seed"], [])
        run.append((float(row["cpu_minutes"]), float(row["success_rate"])))
    return draw_curves(
        {name: list(seeds.values()) for name, seeds in runs.items()},
        "PPO in unseen 9x9 mazes, by features extractor",
        "thin: each seed; thick: their mean; moves are sampled from the policy; measured with 0.1.0.dev",
        "CPU time (minutes of one core)",
        "walks that reach the goal in time",
        dark=dark,
    )


def main(arguments: list[str] | None = None) -> None:
    """Write all charts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dark", action="store_true", help="draw on a dark ground")
    parser.add_argument("--format", choices=get_args(ChartFormat), default="png", help="file format")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of the files")
    args = parser.parse_args(arguments)
    for draw in (frontier, walking):
        save_figure(draw(dark=args.dark), args.out / f"{draw.__name__}.{args.format}")


if __name__ == "__main__":
    main()
