"""Train every network at equal numbers of parameters and updates, and compare success, segments and work.

    python -m benchmarks.models [--tasks sudoku-4x4 maze-7x7] [--models hrm trm] [--seeds 0 1 2] [--jobs 2] [--quick]
    python -m benchmarks.models --table

All settings of training are those of the environment's preset, except that a network halts by the rule that suits it.
Runs resume where they stopped, one thread each, ``--jobs`` of them side by side. Every finished run adds a line to
``results/models.csv``. ``--table`` prints the summary: means over the seeds with 95% t intervals, on test puzzles.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import hrm_agents
from benchmarks.records import RESULTS, Row, grouped, markdown, mean_with_interval, report_runs
from benchmarks.runs import Curve, side_by_side, train_to_the_end
from hrm_agents.config import TrainConfig, with_model
from hrm_agents.environments import make_vector
from hrm_agents.models.hrm import HRMConfig
from hrm_agents.models.interface import SegmentModel
from hrm_agents.models.matching import matched, num_parameters
from hrm_agents.models.registry import model_names
from hrm_agents.presets import preset
from hrm_agents.solving.solver import load

FILE = RESULTS / "models.csv"
KEYS = ("task", "model", "seed")
TASKS = {
    "sudoku-4x4": "HRM/Sudoku-4x4-v0",
    "sudoku-6x6": "HRM/Sudoku-6x6-v0",
    "maze-7x7": "HRM/Maze-7x7-v0",
}


@dataclass(frozen=True)
class Run:
    """One training run."""

    task: str
    model: str
    seed: int
    quick: bool = False

    def config(self) -> TrainConfig:
        """The preset of the task, with a network of as many parameters as the preset's."""
        base = preset(TASKS[self.task])
        spec = make_vector(base.env.id, 1, base.env.kwargs).task_spec
        settings = matched(self.model, HRMConfig.for_task(base.model, spec))
        updates = 200 if self.quick else base.run.updates
        run = replace(base.run, seed=self.seed, updates=updates, eval_every=max(100, updates // 20), threads=1)
        return replace(with_model(base, self.model), model=settings, run=replace(run, device="cpu"))


def flops_per_segment(model: SegmentModel) -> int:
    """Floating-point operations of the matrix products of one segment of one puzzle, forward alone."""
    puzzle = torch.ones(1, model.sizes.num_cells, dtype=torch.uint8)
    # Fused attention kernels are not counted on every device.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(model.initial_carry(1), puzzle, torch.zeros(1, dtype=torch.int64))
    return counter.get_total_flops()


def train(run: Run, out: Path) -> Row:
    """Train one network, or what is missing of it, and return its row of the table."""
    folder = out / f"{run.task}-{run.model}-{run.seed}"
    config = run.config()
    curve = Curve(folder / "curve.json")
    train_to_the_end(config, folder, curve)
    solver = load(folder)
    report = solver.evaluate(until="end")
    flops = flops_per_segment(solver.model)
    return {
        "task": run.task,
        "model": run.model,
        "seed": run.seed,
        "parameters": num_parameters(solver.model),
        "halting_rule": config.halting.rule,
        "updates": config.run.updates,
        **curve.figures(report),
        "mflops_per_segment": round(flops / 1e6, 2),
        "mflops_per_puzzle": round(flops / 1e6 * report.mean_segments, 2),
        "version": hrm_agents.__version__,
    }


def table() -> str:
    """The summary of results/models.csv as Markdown: mean over the seeds, with a 95% t interval."""
    names = ["task", "model", "seeds", "parameters", "success", "segments", "MFLOPs per puzzle", "CPU min"]
    lines = []
    for (task, model), rows in grouped(FILE, KEYS[:2]).items():
        figures = ("success_rate", "mean_segments", "mflops_per_puzzle", "cpu_minutes")
        columns = {name: [float(row[name]) for row in rows] for name in figures}
        lines.append(
            [
                task,
                model,
                str(len(rows)),
                f"{int(rows[0]['parameters']):,}",
                mean_with_interval([100 * share for share in columns["success_rate"]], unit="%"),
                mean_with_interval(columns["mean_segments"]),
                mean_with_interval(columns["mflops_per_puzzle"], ".1f"),
                mean_with_interval(columns["cpu_minutes"], ".0f"),
            ]
        )
    return markdown(names, lines)


def main(arguments: list[str] | None = None) -> None:
    """Run the experiment, or print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--models", nargs="+", choices=model_names(), default=model_names())
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/models"), help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, one thread each")
    parser.add_argument("--quick", action="store_true", help="200 updates each: minutes, to see that it works")
    parser.add_argument("--table", action="store_true", help="print the summary of results/models.csv")
    options = parser.parse_args(arguments)
    if options.table:
        print(table())
        return
    runs = [
        Run(task, model, seed, options.quick)
        for task in options.tasks
        for seed in options.seeds
        for model in options.models
    ]
    rows = side_by_side(train, [(run, options.out) for run in runs], options.jobs)
    report_runs(rows, FILE, KEYS, record=not options.quick)


if __name__ == "__main__":
    main()
