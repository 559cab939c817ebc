"""Does a carry that is kept help in mazes that change, or that are seen in part? The DQN of the examples, over seeds.

    python -m benchmarks.changing_maze [--arms kept reset] [--seeds 0 1 2] [--jobs 2] [--steps N] [--size 7]
    python -m benchmarks.changing_maze --table

All arms learn with the settings of ``examples/dqn_dynamic_maze.py``, from the same number of moves. ``reset-longer``
thinks four segments at each step, as far as the gradient of the kept carry reaches; ``kept-nearby`` and
``reset-nearby`` see only the walls next to the agent. Every finished run adds a line to ``results/changing-maze.csv``:
the share of test mazes in which a walk arrives in time, one walk each, with one random move in ten. ``--table`` prints
means over the seeds with 95% t intervals. Run it from the root of the repository.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import hrm_agents
from benchmarks.records import RESULTS, grouped, markdown, mean_with_interval, report_runs
from benchmarks.runs import side_by_side
from examples import dqn_dynamic_maze
from examples.dqn_dynamic_maze import Args

FILE = RESULTS / "changing-maze.csv"
ARMS: dict[str, dict[str, Any]] = {
    "kept": {"carry": "keep"},
    "reset": {"carry": "reset"},
    "reset-longer": {"carry": "reset", "segments": dqn_dynamic_maze.BPTT},
    "kept-nearby": {"carry": "keep", "view": 1},
    "reset-nearby": {"carry": "reset", "view": 1},
}


def train(arm: str, size: int, seed: int, steps: int, out: Path) -> dict[str, Any]:
    """Train and evaluate one agent; the result is a row of results/changing-maze.csv."""
    out.mkdir(parents=True, exist_ok=True)
    start = time.process_time()
    weights = out / f"{arm}-{size}-{seed}.pt"
    result = dqn_dynamic_maze.main(Args(**ARMS[arm], size=size, seed=seed, total_steps=steps, out=str(weights)))
    minutes = (time.process_time() - start) / 60
    row: dict[str, Any] = {"arm": arm, "size": size, "seed": seed, "steps": steps, "success_rate": round(result, 4)}
    return row | {"cpu_minutes": round(minutes, 1), "version": hrm_agents.__version__}


def table() -> str:
    """The summary of results/changing-maze.csv as Markdown: mean over the seeds, with a 95% t interval."""
    lines = []
    for (size, arm, steps), rows in grouped(FILE, ("size", "arm", "steps")).items():
        shares = [100 * float(row["success_rate"]) for row in rows]
        minutes = sum(float(row["cpu_minutes"]) for row in rows) / len(rows)
        each = ", ".join(f"{share:.1f}" for share in shares)
        lines.append([f"{size}x{size}", arm, steps, each, mean_with_interval(shares, ".1f", "%"), f"{minutes:.0f}"])
    return markdown(["mazes", "arm", "moves", "each seed", "mean [95% interval]", "CPU min"], lines)


def main(arguments: list[str] | None = None) -> None:
    """Run the experiment, or print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--size", type=int, default=Args.size)
    parser.add_argument("--steps", type=int, default=Args.total_steps)
    parser.add_argument("--out", type=Path, default=Path("runs/changing-maze"), help="folder of the weights")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, one thread each")
    parser.add_argument("--quick", action="store_true", help="1,000 moves, not recorded, to see that it works")
    parser.add_argument("--table", action="store_true", help="print the summary of results/changing-maze.csv")
    options = parser.parse_args(arguments)
    if options.table:
        print(table())
        return
    steps = 1000 if options.quick else options.steps
    calls = [(arm, options.size, seed, steps, options.out) for seed in options.seeds for arm in options.arms]
    keys = ("arm", "size", "seed", "steps")
    report_runs(side_by_side(train, calls, options.jobs), FILE, keys, record=not options.quick)


if __name__ == "__main__":
    main()
