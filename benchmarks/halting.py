"""Train the ways of halting over several seeds, and compare success, segments and forced halts.

    python -m benchmarks.halting [--tasks sudoku-4x4 maze-7x7] [--methods q gain] [--seeds 0 1 2] [--jobs 2] [--quick]
    python -m benchmarks.halting --table

Runs resume where they stopped, one thread each, ``--jobs`` of them side by side. Every finished run adds a line to
``results/halting.csv``, and its evaluations on the way (validation puzzles) to ``results/halting-curves.csv``.
``--table`` prints the summary: means over the seeds with 95% t intervals, on test puzzles.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import hrm_agents
from benchmarks.records import RESULTS, grouped, markdown, mean_with_interval, report_runs
from benchmarks.runs import Curve, side_by_side, train_to_the_end
from hrm_agents.config import AnswerConfig, EnvConfig, HaltingConfig, TrainConfig
from hrm_agents.environments import make_vector
from hrm_agents.models.hrm import HRM, HRMConfig
from hrm_agents.presets import preset
from hrm_agents.solving.solver import load


@dataclass(frozen=True)
class Task:
    """What is learned: an environment, and for how long and from what."""

    env_id: str
    factor: int = 1
    """How many times the updates of its preset."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    answer: AnswerConfig = field(default_factory=AnswerConfig)
    model: dict[str, Any] = field(default_factory=dict)
    """Settings of the network that differ from those of the preset."""


TASKS = {
    "sudoku-4x4": Task("HRM/Sudoku-4x4-v0"),
    "sudoku-4x4-long": Task("HRM/Sudoku-4x4-v0", factor=4),
    "sudoku-4x4-reward-alone": Task(
        "HRM/Sudoku-4x4-v0",
        kwargs={"empty_cells": (1, 8), "score": "rules", "num_labelled": 0},
        answer=AnswerConfig(supervised_weight=0.0, reward_weight=1.0),
    ),
    "sudoku-6x6": Task("HRM/Sudoku-6x6-v0"),
    "maze-7x7": Task("HRM/Maze-7x7-v0"),
    "maze-7x7-rope-10000": Task("HRM/Maze-7x7-v0", model={"rope_theta": 10_000.0}),
    "maze-9x9": Task("HRM/Maze-9x9-v0"),
}


class DetachedHRM(HRM):
    """The losses of the Q-head train the Q-head alone."""

    def q_input(self, z_H: Tensor, logits: Tensor) -> Tensor:
        """The same state as always, without gradient."""
        return super().q_input(z_H, logits).detach()


class CertaintyHRM(HRM):
    """The Q-head also reads how certain the cells are of their tokens."""

    NUM_CELLS = 8
    """The least certain cells: one feature each, and one for the mean over all cells."""

    def __init__(self, config: HRMConfig) -> None:
        super().__init__(config)
        bias = self.q_head.bias
        self.q_head = nn.Linear(config.hidden_size + self.NUM_CELLS + 1, 2)
        nn.init.zeros_(self.q_head.weight)
        self.q_head.bias = bias

    def q_input(self, z_H: Tensor, logits: Tensor) -> Tensor:
        """The state, the lowest log-probabilities of the most likely tokens, and their mean over all cells."""
        best = logits.detach().log_softmax(-1).amax(-1)
        lowest = best.topk(self.NUM_CELLS, largest=False).values
        return torch.cat([super().q_input(z_H, logits).float(), lowest, best.mean(-1, keepdim=True)], -1)


@dataclass(frozen=True)
class Method:
    """A way of halting: settings, and the network that they are for."""

    halting: HaltingConfig
    network: type[HRM] = HRM


#: What is compared: the paper's rule with and without a discount, the gain rule with several settings, and others.
METHODS = {
    "q": Method(HaltingConfig(rule="q")),
    "q-discount": Method(HaltingConfig(rule="q", gamma=0.995)),
    "q-discount-weight": Method(HaltingConfig(rule="q", gamma=0.995, q_weight=0.05)),
    "q-discount-detached": Method(HaltingConfig(rule="q", gamma=0.995), DetachedHRM),
    "gain": Method(HaltingConfig(rule="gain", gamma=0.995)),
    "gain-weight": Method(HaltingConfig(rule="gain", gamma=0.995, q_weight=0.05)),
    "gain-detached": Method(HaltingConfig(rule="gain", gamma=0.995), DetachedHRM),
    "gain-certainty": Method(HaltingConfig(rule="gain", gamma=0.995), CertaintyHRM),
    "gain-logit": Method(HaltingConfig(rule="gain", gamma=0.995, gain_loss="bce", least_gain=0.005, sure_gain=0.1)),
    "gain-logit-sparing": Method(
        HaltingConfig(rule="gain", gamma=0.995, gain_loss="bce", least_gain=0.005, sure_gain=1.0)
    ),
    "probability": Method(HaltingConfig(rule="probability", threshold=0.99)),
    "convergence": Method(HaltingConfig(rule="convergence")),
    "fixed": Method(HaltingConfig(rule="fixed")),
}
FILE = RESULTS / "halting.csv"
KEYS = ("task", "method", "seed")
FIGURES = (
    "success_rate",
    "success_at_M",
    "mean_segments",
    "forced_solved_rate",
    "forced_unsolved_rate",
    "auc_on_policy",
)


@dataclass(frozen=True)
class Run:
    """One training run."""

    task: str
    method: str
    seed: int
    device: str = "cpu"
    compile: bool = False
    quick: bool = False

    def config(self) -> TrainConfig:
        """The preset of the task with the method's way of halting."""
        task = TASKS[self.task]
        config = preset(task.env_id)
        updates = 200 if self.quick else config.run.updates * task.factor
        run = replace(
            config.run,
            seed=self.seed,
            updates=updates,
            eval_every=min(config.run.eval_every, max(100, updates // 10)),
            threads=1,
            device=self.device,
            compile=self.compile,
        )
        env = EnvConfig(task.env_id, task.kwargs)
        model = replace(config.model, **task.model)
        return replace(config, env=env, model=model, answer=task.answer, halting=METHODS[self.method].halting, run=run)


def network(config: TrainConfig, kind: type[HRM]) -> HRM | None:
    """A new network of a kind of our own, with the Q-head's first values of its rule; None for the package's own."""
    if kind is HRM:
        return None
    torch.manual_seed(config.run.seed)
    env = make_vector(config.env.id, 1, config.env.kwargs)
    own = kind(HRMConfig.for_task(config.model, env.task_spec))
    initial_q = config.halting_method.initial_q(config.halting, config.q_scale())
    if initial_q is not None:
        with torch.no_grad():
            own.q_head.bias.copy_(torch.tensor(initial_q))
    return own


def train(run: Run, out: Path) -> dict[str, Any]:
    """Train one model, or what is missing of it, and return its line of the table."""
    folder = out / f"{run.task}-{run.method}-{run.seed}"
    config, kind = run.config(), METHODS[run.method].network
    curve = Curve(folder / "curve.json")
    train_to_the_end(config, folder, curve, network(config, kind))
    report = load(folder, model=network(config, kind)).evaluate(until="end")
    assert report.halting is not None
    return {
        "task": run.task,
        "method": run.method,
        "seed": run.seed,
        "updates": config.run.updates,
        **curve.figures(report),
        "forced_solved_rate": report.forced_solved_rate,
        "forced_unsolved_rate": report.forced_unsolved_rate,
        "auc_on_policy": report.halting.auc_on_policy,
        "device": run.device,
        "version": hrm_agents.__version__,
        "curve": curve.points,
    }


def table() -> str:
    """The summary of results/halting.csv as Markdown: mean over the seeds, with a 95% t interval."""
    names = ("task", "method", "seeds", "updates", "CPU min", *FIGURES)
    lines = []
    for (task, method), rows in grouped(FILE, KEYS[:2]).items():
        minutes = sum(float(row["cpu_minutes"]) for row in rows) / len(rows)
        cells = [task, method, str(len(rows)), rows[0]["updates"], f"{minutes:.0f}"]
        for name in FIGURES:
            values = [float(row[name]) for row in rows if row[name]]
            is_share = name not in ("mean_segments", "auc_on_policy")
            cells.append(
                mean_with_interval([100 * v for v in values], unit="%") if is_share else mean_with_interval(values)
            )
        lines.append(cells)
    return markdown(names, lines)


def main(arguments: list[str] | None = None) -> None:
    """Run the experiment, or print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["q", "q-discount", "gain"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/halting"), help="folder of the runs")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, one thread each")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--compile", action="store_true", help="with torch.compile; gives other weights")
    parser.add_argument("--quick", action="store_true", help="200 updates each: minutes, to see that it works")
    parser.add_argument("--table", action="store_true", help="print the summary of results/halting.csv")
    options = parser.parse_args(arguments)
    if options.table:
        print(table())
        return
    runs = [
        Run(task, method, seed, options.device, options.compile, options.quick)
        for task in options.tasks
        for seed in options.seeds
        for method in options.methods
    ]
    rows = side_by_side(train, [(run, options.out) for run in runs], options.jobs)
    report_runs(rows, FILE, KEYS, record=not options.quick)


if __name__ == "__main__":
    main()
