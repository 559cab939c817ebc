"""Right where labels are wrong: learn the stored answer, or the right answer nearest to the model's own.

    python -m benchmarks.nearest [--tasks open-9x9] [--arms nearest label label-q] [--seeds 0 1 2] [--jobs 2] [--quick]
    python -m benchmarks.nearest --table

Mazes with open space have many shortest paths, and the stored one is any of them. ``nearest`` learns at every segment
the one that the model favours most; ``label`` the stored one; ``label-q`` learns the stored one and halts by the chance
of matching it, as in the paper. All are judged by the verifier, which accepts every shortest path. A perfect maze, with
one path alone, is the control. Runs resume where they stopped, one thread each. Every finished run adds a line to
``results/nearest.csv``, and its evaluations on the way (validation mazes; by label for ``label-q``) to
``results/nearest-curves.csv``. ``--table`` prints means over the seeds with 95% t intervals, on test mazes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import hrm_agents
from benchmarks.records import RESULTS, Row, grouped, markdown, mean_with_interval, report_runs
from benchmarks.runs import Curve, side_by_side, train_to_the_end
from hrm_agents.config import AnswerConfig, EnvConfig, TrainConfig
from hrm_agents.environments import of_unseen
from hrm_agents.evaluation.evaluate import Evaluation, HaltJudge, evaluate
from hrm_agents.presets import preset
from hrm_agents.solving.solver import load
from hrm_envs import PuzzleBatch, Verdict, register_task
from hrm_envs.maze.task import MazeTask
from hrm_envs.spec import Tokens

ENV, BY_LABEL = "HRM/Maze-9x9-v0", "Benchmark/MazeByLabel-v0"
_OPEN = {"kind": "random", "wall_share": (0.1, 0.3)}
TASKS: dict[str, dict[str, Any]] = {
    "open-9x9": _OPEN,
    "open-15x15": {**_OPEN, "size": 15},
    "perfect-9x9": {},
}
ARMS = {"nearest": (ENV, "nearest"), "label": (ENV, "label"), "label-q": (BY_LABEL, "label")}
FILE = RESULTS / "nearest.csv"
KEYS = ("task", "arm", "seed")
FIGURES = ("success_rate", "success_at_M", "mean_segments", "auc_on_policy")


class MazeByLabel(MazeTask):
    """Accepts the stored path alone."""

    def verify(self, batch: PuzzleBatch, answer: Tokens) -> Verdict:
        """Grade an answer by the share of cells that agree with the stored one."""
        agrees = answer == batch.solution
        return Verdict(agrees.all(axis=1), agrees.mean(axis=1, dtype=np.float32))


register_task(BY_LABEL, MazeByLabel)


@dataclass(frozen=True)
class Run:
    """One training run."""

    task: str
    arm: str
    seed: int
    quick: bool = False
    compile: bool = False

    def config(self) -> TrainConfig:
        """The preset of 9x9 mazes with the arm's environment and answers to learn."""
        base, (env_id, target) = preset(ENV), ARMS[self.arm]
        updates = 100 if self.quick else base.run.updates
        run = replace(base.run, seed=self.seed, updates=updates, threads=1, device="cpu", compile=self.compile)
        run = replace(run, eval_every=min(run.eval_every, max(50, updates // 10)))
        answer = AnswerConfig(target="nearest" if target == "nearest" else "label")
        return replace(base, env=EnvConfig(env_id, TASKS[self.task]), answer=answer, run=run)


def judged(folder: Path, kwargs: dict[str, Any]) -> Evaluation:
    """The evaluation of a run on test mazes by the verifier that accepts every shortest path."""
    solver = load(folder)
    return evaluate(
        solver.policy, ENV, of_unseen(kwargs, "test"), until="end", judge=HaltJudge(solver.q_scale, solver.gamma)
    )


def train(run: Run, out: Path) -> Row:
    """Train one model, or what is missing of it, and return its row, with the points of its curve."""
    folder, config = out / f"{run.task}-{run.arm}-{run.seed}", run.config()
    curve = Curve(folder / "curve.json")
    train_to_the_end(config, folder, curve)
    report = judged(folder, TASKS[run.task])
    assert report.halting is not None
    return {
        "task": run.task,
        "arm": run.arm,
        "seed": run.seed,
        "updates": config.run.updates,
        **curve.figures(report),
        "auc_on_policy": report.halting.auc_on_policy,
        "version": hrm_agents.__version__,
        "curve": curve.points,
    }


def table() -> str:
    """The summary of results/nearest.csv as Markdown: mean over the seeds, with a 95% t interval."""
    lines = []
    for (task, arm), rows in grouped(FILE, KEYS[:2]).items():
        minutes = sum(float(row["cpu_minutes"]) for row in rows) / len(rows)
        cells = [task, arm, str(len(rows)), rows[0]["num_classes"], rows[0]["updates"], f"{minutes:.0f}"]
        for name in FIGURES:
            values = [float(row[name]) for row in rows if row[name]]
            is_share = name.startswith("success")
            cells.append(mean_with_interval([100 * value for value in values] if is_share else values))
        lines.append(cells)
    return markdown(("task", "arm", "seeds", "classes", "updates", "CPU min", *FIGURES), lines)


def main(arguments: list[str] | None = None) -> None:
    """Run the experiment, or print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/nearest"), help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, one thread each")
    parser.add_argument("--compile", action="store_true", help="with torch.compile; gives other weights")
    parser.add_argument("--quick", action="store_true", help="100 updates each: minutes, to see that it works")
    parser.add_argument("--table", action="store_true", help="print the summary of results/nearest.csv")
    options = parser.parse_args(arguments)
    if options.table:
        print(table())
        return
    runs = [
        Run(task, arm, seed, options.quick, options.compile)
        for task in options.tasks
        for seed in options.seeds
        for arm in options.arms
    ]
    rows = side_by_side(train, [(run, options.out) for run in runs], options.jobs)
    report_runs(rows, FILE, KEYS, record=not options.quick)


if __name__ == "__main__":
    main()
