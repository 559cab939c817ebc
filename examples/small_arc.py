"""A small HRM on ARC: the 46 of 400 ARC-AGI-1 training tasks whose grids all fit 6x6, beside two baselines.

    python examples/small_arc.py [--out runs/small-arc] [--updates 20000]

It trains on the demonstrations alone, for about an hour on one CPU core. Then it answers each test input under 32
augmented views, and the views vote; tasks that do not fit count as unsolved. A run that was interrupted resumes when
the script runs again.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from hrm_agents import load
from hrm_agents.config import EnvConfig
from hrm_agents.environments import make_single
from hrm_agents.presets import preset
from hrm_agents.records.checkpoint import STATE
from hrm_agents.trainer import Trainer
from hrm_envs import PuzzleBatch

ENV = "HRM/ARC-AGI-1-v0"
VIEWS = 32
KEYWORDS = {"canvas": 6, "sets": ("training",), "augmentations": VIEWS, "max_segments": 6}

Metrics = dict[str, float]
Answers = tuple[PuzzleBatch, np.ndarray]
"""Puzzles and an answer to each, uint8 ``[N, S]``. A puzzle with several answers appears several times."""


def copy_the_input(batch: PuzzleBatch, demonstrations: PuzzleBatch) -> Answers:
    """Baseline: every test input is its own answer."""
    return batch, batch.puzzle


def most_frequent_output(batch: PuzzleBatch, demonstrations: PuzzleBatch) -> Answers:
    """Baseline: every output of the task's demonstrations is an answer, and the most frequent ones win the vote."""
    rows: list[int] = []
    answers: list[np.ndarray] = []
    for row, task_id in enumerate(batch.task_id):
        outputs = demonstrations.solution[demonstrations.task_id == task_id]
        rows += [row] * len(outputs)
        answers.append(outputs)
    return batch.take(np.array(rows)), np.concatenate(answers)


def evaluate_baselines() -> dict[str, Metrics]:
    """The metrics of both baselines, by name."""
    env = make_single(ENV, {**KEYWORDS, "split": "test"}).unwrapped
    demonstrations = env.task.stored("train")
    results = {}
    for baseline in (copy_the_input, most_frequent_output):
        batch, answers = baseline(env.puzzles, demonstrations)
        confidence = np.zeros(len(batch), np.float32)  # all votes weigh the same
        ensemble = env.task.ensemble(batch, answers, confidence)
        results[baseline.__name__.replace("_", " ")] = dict(ensemble.metrics)
    return results


def train(out: Path, updates: int | None, compile: bool) -> None:
    """Train with the preset for ARC, or resume the run in ``out``."""
    config = preset(ENV)
    run = replace(config.run, threads=1, compile=compile, updates=updates or config.run.updates)
    config = replace(config, env=EnvConfig(ENV, KEYWORDS), run=run)
    trainer = Trainer.resume(out, config) if (out / STATE).exists() else Trainer(config, out)
    trainer.run()


def evaluate_hrm(out: Path) -> Metrics:
    """The metrics of the trained model; writes its votes and its submission into ``out``."""
    report = load(out).evaluate({"split": "test", "views": VIEWS})
    assert report.ensemble is not None
    report.ensemble.write(out)
    return dict(report.ensemble.metrics)


def show(name: str, metrics: Metrics) -> None:
    """Print a row of the table."""
    num_tasks = metrics["tasks"]
    parts = []
    for key in ("pass@1", "pass@2"):
        parts.append(f"{key} {metrics[key]:.1%} ({metrics[key] * num_tasks:.0f})")
    print(f"{name:21}", *parts, f"of {num_tasks:.0f} tasks")


def main(arguments: list[str] | None = None) -> dict[str, Metrics]:
    """Train, vote, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/small-arc"), help="folder of the run")
    parser.add_argument("--updates", type=int, help="fewer, to try the script out")
    parser.add_argument("--no-compile", action="store_true", help="for machines without a C++ compiler")
    options = parser.parse_args(arguments)

    train(options.out, options.updates, compile=not options.no_compile)
    results = {**evaluate_baselines(), "HRM": evaluate_hrm(options.out)}
    for name, metrics in results.items():
        show(name, metrics)
    return results


if __name__ == "__main__":
    main()
