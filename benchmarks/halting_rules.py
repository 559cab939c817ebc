"""Halt the same trained models by other rules, on validation puzzles: how a threshold or a least gain is chosen.

    python -m benchmarks.halting_rules RUN [RUN ...]
    python -m benchmarks.halting_rules --table

A RUN is a folder that :mod:`benchmarks.halting` trained with rule gain. Every run adds lines to
``results/halting-rules.csv``; ``--table`` prints means over the runs of a task.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.records import RESULTS, grouped, markdown, rewritten
from hrm_agents.environments import of_unseen
from hrm_agents.evaluation.evaluate import evaluate
from hrm_agents.halting.decisions import Convergence, FixedLength, Gain, HaltingProbability, HaltingRule
from hrm_agents.halting.q_scale import LOGIT, PLAIN
from hrm_agents.policy import HRMPolicy
from hrm_agents.solving.solver import load

RULES: dict[str, HaltingRule] = {
    **{f"gain above {least:g}": Gain(least, PLAIN) for least in (0.005, 0.01, 0.02, 0.03, 0.05, 0.1)},
    **{f"probability above {share:g}": HaltingProbability(share, LOGIT) for share in (0.9, 0.99)},
    "answer as before": Convergence(),
    "always M": FixedLength(None),
}


def rows(folder: Path) -> list[dict[str, Any]]:
    """The figures of one run with every rule."""
    solver = load(folder)
    found = []
    for name, rule in RULES.items():
        report = evaluate(HRMPolicy(solver.model, rule=rule), solver.env_id, of_unseen(solver.env_kwargs, "validation"))
        found.append(
            {
                "env": solver.env_id,
                "run": folder.name,
                "rule": name,
                "success_rate": report.success_rate,
                "mean_segments": report.mean_segments,
                "forced_solved_rate": report.forced_solved_rate,
                "num_classes": report.num_classes,
            }
        )
        print(found[-1], flush=True)
    return found


def table() -> str:
    """Means over the runs of an environment, as Markdown."""
    lines = []
    for (env, rule), found in grouped(RESULTS / "halting-rules.csv", ("env", "rule")).items():
        solved, segments, forced = (
            sum(float(row[name]) for row in found) / len(found)
            for name in ("success_rate", "mean_segments", "forced_solved_rate")
        )
        figures = (f"{100 * solved:.2f}%", f"{segments:.2f}", f"{100 * forced:.2f}%")
        lines.append([f"`{env}`", rule, str(len(found)), *figures])
    names = ("environment", "halts by", "runs", "solved", "mean segments", "forced halts of solved")
    return markdown(names, lines)


def main(arguments: list[str] | None = None) -> None:
    """Evaluate runs, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, help="folders of runs")
    parser.add_argument("--table", action="store_true", help="print the summary of results/halting-rules.csv")
    options = parser.parse_args(arguments)
    if options.table:
        print(table())
        return
    for folder in options.runs:
        with rewritten(RESULTS / "halting-rules.csv", ("run", "rule")) as kept:
            kept += rows(folder)


if __name__ == "__main__":
    main()
