"""Train the maze model that ships with the package from scratch. Takes about an hour on 2 cores.

    python examples/bundled_maze.py [--out runs/bundled-maze] [--install]

What ships is the checkpoint with the best evaluation on validation puzzles, in the folder ``best`` of the run.
The same seed, thread count and torch version give the same weights. A run that was interrupted resumes when the script
runs again.
"""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

from hrm_agents import BUNDLED_MAZE, load
from hrm_agents.presets import preset
from hrm_agents.records.checkpoint import CONFIG, MODEL, STATE
from hrm_agents.solving.recording import record_episode, write_gif
from hrm_agents.trainer import Trainer

ENV = "HRM/Maze-9x9-v0"
RECORDED_MAZES = 4


def train(out: Path, updates: int | None, compile: bool) -> None:
    """Train with the preset, or resume the run in ``out``, and print the evaluation."""
    config = preset(ENV)
    run = replace(config.run, seed=0, threads=1, compile=compile, updates=updates or config.run.updates)
    config = replace(config, run=run)
    trainer = Trainer.resume(out, config) if (out / STATE).exists() else Trainer(config, out)
    print(trainer.run())


def install(run: Path, folder: Path) -> None:
    """Copy a model, without its training state."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (MODEL, CONFIG):
        shutil.copy(run / name, folder / name)


def record(run: Path, picture: Path) -> None:
    """Write the picture in the README."""
    solver = load(run)
    env = solver.make_env(render_mode="rgb_array")
    episodes = []
    for index in range(RECORDED_MAZES):
        frames, _ = record_episode(solver, env, options={"index": index})
        episodes.append(frames)
    write_gif(picture, episodes)


def main(arguments: list[str] | None = None) -> None:
    """Train, install the model if requested, and record it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/bundled-maze"), help="folder of the run")
    parser.add_argument(
        "--install",
        type=Path,
        nargs="?",
        const=BUNDLED_MAZE,
        help="copy the model into this folder; without a folder, over the bundled model",
    )
    parser.add_argument("--updates", type=int, help="fewer, to try the script out")
    parser.add_argument(
        "--no-compile", action="store_true", help="for machines without a C++ compiler; gives other weights"
    )
    options = parser.parse_args(arguments)

    train(options.out, options.updates, compile=not options.no_compile)
    best = options.out / "best"
    chosen = best if best.exists() else options.out  # a short run has no evaluation on the way
    if options.install is not None:
        install(chosen, options.install)
    record(chosen, options.out / "maze.gif")


if __name__ == "__main__":
    main()
