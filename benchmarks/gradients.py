"""How far the gradient reaches, and the memory that this takes: one step, the last cycle, or the whole segment.

    python -m benchmarks.gradients [--task HRM/Maze-9x9-v0] [--cycles 1 2 4 8]

Counts the tensors of one training update on the CPU for several numbers of H cycles (``results/gradients.csv``), and
prints a table.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from benchmarks.records import RESULTS, markdown, rewritten
from hrm_agents.memory import counted, predicted
from hrm_agents.presets import preset
from hrm_agents.records.logger import Logger
from hrm_agents.trainer import Trainer

Gradient = Literal["step", "cycle", "segment"]
FILE = RESULTS / "gradients.csv"
KEYS = ("task", "gradient", "H_cycles")


def memory_of(task: str, gradient: Gradient, cycles: int) -> dict[str, str]:
    """The bytes of an update, counted and predicted, as a row of the table."""
    base = preset(task)
    config = replace(
        base,
        model=replace(base.model, gradient=gradient, H_cycles=cycles),
        env=replace(base.env, kwargs={"num_puzzles": 64}),
        run=replace(base.run, threads=1, device="cpu"),
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, Path(folder), Logger())
        trainer.update()
        found = counted(trainer.algorithm, trainer.rollout)
    expected = predicted(config, trainer.env.task_spec, trainer.env.max_segments, "cpu").peak
    values = {"task": task, "gradient": gradient, "H_cycles": cycles, "counted": found, "predicted": expected}
    return {name: str(value) for name, value in values.items()}


def main(arguments: list[str] | None = None) -> None:
    """Count, and print the table in MiB."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="HRM/Maze-9x9-v0", help="environment, whose preset gives the other settings")
    parser.add_argument("--cycles", nargs="+", type=int, default=[1, 2, 4, 8], help="numbers of H cycles")
    options = parser.parse_args(arguments)
    lines = []
    for gradient in get_args(Gradient):
        found = [memory_of(options.task, gradient, cycles) for cycles in options.cycles]
        lines.append([gradient, *(f"{int(row['counted']) / 2**20:.1f}" for row in found)])
        with rewritten(FILE, KEYS) as rows:
            rows += found
    print(markdown(("gradient", *(f"H_cycles {cycles}, MiB" for cycles in options.cycles)), lines))


if __name__ == "__main__":
    main()
