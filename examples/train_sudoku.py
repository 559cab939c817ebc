"""Train an HRM on Sudoku, evaluate it on unseen puzzles, and see how it solves one. 4x4 takes minutes on a laptop.

    python examples/train_sudoku.py [--size 4] [--updates 3000] [--out runs/sudoku-4x4]

A run that was interrupted resumes when the script runs again. `hrm-agents train HRM/Sudoku-4x4-v0` does the same, with
an option for every setting.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from hrm_agents import Solution, Solver, load
from hrm_agents.presets import preset
from hrm_agents.records.checkpoint import STATE
from hrm_agents.trainer import Trainer


def train(size: int, updates: int | None, seed: int, out: Path) -> Solver:
    """Train with the preset for this size, or resume the run in ``out``; returns the trained model."""
    config = preset(f"HRM/Sudoku-{size}x{size}-v0")
    run = replace(config.run, updates=updates or config.run.updates, seed=seed, threads=1)
    config = replace(config, run=run)
    trainer = Trainer.resume(out, config) if (out / STATE).exists() else Trainer(config, out)
    report = trainer.run()
    print(
        f"{report.success_rate:.1%} of {report.num_puzzles} unseen puzzles solved, "
        f"{report.mean_segments:.2f} segments of thought each"
    )
    return load(out)


def solve_one(solver: Solver, seed: int) -> Solution:
    """Solve an unseen puzzle, and print the answer and its Q(halt) after each segment."""
    obs, _ = solver.make_env().reset(seed=seed)
    puzzle = obs["puzzle"]
    solution = solver.solve(puzzle)
    print(solver.format(puzzle))
    for number, segment in enumerate(solution.segments, start=1):
        decision = "halts" if segment.halt else "continues"
        print(f"\nsegment {number}: right with a probability of {segment.q_halt:.0%}, {decision}")
        print(solver.format(segment.answer))
    print("\nsolved" if solution.success else "\nnot solved")
    return solution


def main(arguments: list[str] | None = None) -> Solution:
    """Train, evaluate, solve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, choices=(4, 6, 9), default=4, help="rows of the grid")
    parser.add_argument("--updates", type=int, help="default: as in the preset")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and of the puzzles")
    parser.add_argument("--out", type=Path, help="folder of the run; default: runs/sudoku-4x4 and so on")
    options = parser.parse_args(arguments)

    out = options.out or Path(f"runs/sudoku-{options.size}x{options.size}")
    solver = train(options.size, options.updates, options.seed, out)
    return solve_one(solver, options.seed)


if __name__ == "__main__":
    main()
