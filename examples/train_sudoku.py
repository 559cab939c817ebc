"""Train an HRM on Sudoku, judge it on unseen puzzles, and see how it solves one. 4x4 takes minutes on a laptop.

    python examples/train_sudoku.py [--size 4] [--updates 3000] [--out runs/sudoku-4x4]

Killed half-way, it resumes when run again. `hrm-agents train HRM/Sudoku-4x4-v0` does the same with all settings.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from hrm_agents import Solution, Solver, load
from hrm_agents.presets import preset
from hrm_agents.records.checkpoint import STATE
from hrm_agents.trainer import Trainer


def train(size: int, updates: int | None, seed: int, out: Path) -> Solver:
    """Train with the settings that suit this size; the finished model is in ``out``, and returned."""
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
    """Solve an unseen puzzle, and print what the model thought of its answer after each segment."""
    obs, _ = solver.make_env().reset(seed=seed)
    solution = solver.solve(obs["puzzle"])
    print(solver.format(obs["puzzle"]))
    for number, segment in enumerate(solution.segments, start=1):
        decision = "hands it in" if segment.halt else "thinks on"
        print(f"\nsegment {number}: right with a chance of {segment.q_halt:.0%}, {decision}")
        print(solver.format(segment.answer))
    print("\nsolved" if solution.success else "\nnot solved")
    return solution


def main(arguments: list[str] | None = None) -> Solution:
    """Train, judge, solve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, choices=(4, 6, 9), default=4, help="of the grid")
    parser.add_argument("--updates", type=int, help="default: as many as suit the size")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, and which puzzles")
    parser.add_argument("--out", type=Path, help="folder of the run; default: runs/sudoku-4x4 and so on")
    options = parser.parse_args(arguments)
    out = options.out or Path(f"runs/sudoku-{options.size}x{options.size}")
    return solve_one(train(options.size, options.updates, options.seed, out), options.seed)


if __name__ == "__main__":
    main()
