"""A small HRM on the 46 ARC-AGI-1 training tasks whose grids all fit 6x6, judged by votes beside two baselines.

    python examples/small_arc.py [--out runs/small-arc] [--updates 20000]

It trains on the demonstrations alone, about an hour on one CPU core, and answers the test inputs under all 32 views.
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
#: Puzzles, some of them several times, and an answer to each: uint8 [N, S].
Answers = tuple[PuzzleBatch, np.ndarray]
KEYWORDS = {"canvas": 6, "sets": ("training",), "augmentations": 32, "max_segments": 6}


def copy_the_input(batch: PuzzleBatch, demonstrations: PuzzleBatch) -> Answers:
    """Baseline: every test input is its own answer."""
    return batch, batch.puzzle


def most_frequent_output(batch: PuzzleBatch, demonstrations: PuzzleBatch) -> Answers:
    """Baseline: each demonstration's output has a vote, so that the most frequent ones are the attempts."""
    rows, answers = [], []
    for row, task_id in enumerate(batch.task_id):
        outputs = demonstrations.solution[demonstrations.task_id == task_id]
        rows += [row] * len(outputs)
        answers.append(outputs)
    return batch.take(np.array(rows)), np.concatenate(answers)


def baselines() -> dict[str, dict[str, float]]:
    """The figures of both baselines."""
    env = make_single(ENV, {**KEYWORDS, "split": "test"}).unwrapped
    demonstrations: PuzzleBatch = env.task.stored("train")
    results = {}
    for baseline in (copy_the_input, most_frequent_output):
        batch, answers = baseline(env.puzzles, demonstrations)
        ensemble = env.task.ensemble(batch, answers, np.zeros(len(batch), np.float32))
        results[baseline.__name__.replace("_", " ")] = dict(ensemble.metrics)
    return results


def main(arguments: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Train, vote, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/small-arc"), help="folder of the run; resumed if begun")
    parser.add_argument("--updates", type=int, help="fewer, to try the script out")
    parser.add_argument("--no-compile", action="store_true", help="where there is no C++ compiler")
    options = parser.parse_args(arguments)

    config = preset(ENV)
    run = replace(config.run, threads=1, compile=not options.no_compile, updates=options.updates or config.run.updates)
    config = replace(config, env=EnvConfig(ENV, KEYWORDS), run=run)
    trainer = Trainer.resume(options.out, config) if (options.out / STATE).exists() else Trainer(config, options.out)
    trainer.run()
    report = load(options.out).evaluate({"split": "test", "views": KEYWORDS["augmentations"]})
    assert report.ensemble is not None
    report.ensemble.write(options.out)

    results = {**baselines(), "HRM": dict(report.ensemble.metrics)}
    for name, metrics in results.items():
        solved = [
            f"pass@{k} {metrics[f'pass@{k}']:.1%} ({metrics[f'pass@{k}'] * metrics['tasks']:.0f})" for k in (1, 2)
        ]
        print(f"{name:21}", *solved, f"of {metrics['tasks']:.0f} tasks")
    return results


if __name__ == "__main__":
    main()
