"""A halting rule of your own beside the model's, on the maze model that ships with the package.

    python examples/own_halting_rule.py [--checkpoint FOLDER] [--puzzles 1000] [--sure 0.8]

A rule receives the Q-values, the number of the segment and the last two answers of every row, and decides which rows
halt.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hrm_agents import load
from hrm_agents.evaluation.evaluate import Evaluation, evaluate
from hrm_agents.halting.decisions import HaltingRule, Thought
from hrm_agents.policy import HRMPolicy


@dataclass(frozen=True)
class SureOrSettled(HaltingRule):
    """Halt when the answer is probably right, or when it stayed the same: more segments would hardly change it."""

    sure: float
    """Halt above this probability of a right answer."""

    def decide(self, thought: Thought) -> Tensor:
        """Which rows halt, bool ``[B]``."""
        is_sure = thought.q_halt.sigmoid() > self.sure
        # In the first segment there is no last answer to compare with.
        is_settled = (thought.segment > 1) & (thought.answer == thought.last_answer).all(-1)
        return is_sure | is_settled


def main(arguments: list[str] | None = None) -> dict[str, Evaluation]:
    """Evaluate the rule of the model's training and ours, at several thresholds, on the same unseen puzzles."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("maze-9x9"), help="folder of a run, or name of a model")
    parser.add_argument("--puzzles", type=int, default=1000, help="number of unseen puzzles")
    parser.add_argument("--sure", type=float, nargs="+", default=[0.8, 0.95, 0.99], help="probabilities to try")
    options = parser.parse_args(arguments)

    torch.set_num_threads(1)
    solver = load(options.checkpoint)
    rules: dict[str, HaltingRule] = {"the model's own": solver.rule}
    for sure in options.sure:
        rules[f"{sure:.0%} sure, or settled"] = SureOrSettled(sure)

    print(f"{'rule':22} solved  segments  ran out of segments")
    reports = {}
    for name, rule in rules.items():
        report = evaluate(
            HRMPolicy(solver.model, rule=rule),
            solver.env_id,
            {**solver.env_kwargs, "split": "test"},
            first=options.puzzles,
            until="halt",  # each puzzle leaves the batch when it halts
        )
        row = f"{report.success_rate:6.1%}  {report.mean_segments:8.2f}  {report.forced_rate:6.1%}"
        print(f"{name:22} {row}", flush=True)
        reports[name] = report
    return reports


if __name__ == "__main__":
    main()
