"""A halting rule of your own, beside the paper's, on the maze model that ships with the package.

    python examples/own_halting_rule.py [--checkpoint FOLDER] [--puzzles 1000] [--sure 0.8]

A rule sees the Q-values, the segment's number and the last two answers of every row, and says where to halt.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hrm_agents import BUNDLED_MAZE, load
from hrm_agents.evaluation.evaluate import Evaluation, evaluate
from hrm_agents.halting.rules import GreaterValue, HaltingRule, Thought


@dataclass(frozen=True)
class SureOrSettled(HaltingRule):
    """Halt when the answer is likely right; or when it stays the same, since thinking on seems to change nothing."""

    sure: float
    """How likely is likely: a probability."""

    def decide(self, thought: Thought) -> Tensor:
        """Where to halt, bool ``[B]``."""
        settled = (thought.segment > 1) & (thought.answer == thought.last_answer).all(-1)
        return (thought.q_halt.sigmoid() > self.sure) | settled


def main(arguments: list[str] | None = None) -> dict[str, Evaluation]:
    """Play the same unseen puzzles by both rules, and by more than one idea of how sure is sure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=BUNDLED_MAZE, help="default: the bundled maze model")
    parser.add_argument("--puzzles", type=int, default=1000, help="how many unseen ones")
    parser.add_argument("--sure", type=float, nargs="+", default=[0.8, 0.95, 0.99], help="probabilities to try")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)

    solver = load(options.checkpoint)
    rules: dict[str, HaltingRule] = {"the paper's": GreaterValue()}
    rules |= {f"{sure:.0%} sure, or settled": SureOrSettled(sure) for sure in options.sure}
    reports = {}
    print(f"{'rule':22} solved  segments  ran out of segments")
    for name, rule in rules.items():
        reports[name] = report = evaluate(
            solver.model,
            solver.env_id,
            {**solver.env_kwargs, "split": "test"},
            first=options.puzzles,
            until="halt",
            rule=rule,
        )
        print(
            f"{name:22} {report.success_rate:6.1%}  {report.mean_segments:8.2f}  {report.forced_rate:6.1%}", flush=True
        )
    return reports


if __name__ == "__main__":
    main()
