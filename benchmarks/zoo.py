"""Train the models that ship with the package, from scratch, and install them.

    python -m benchmarks.zoo NAME [--out runs/zoo] [--install] [--gif examples/maze.gif]

A model is trained with the preset of its environment, seed 0, on one thread. What ships is the checkpoint with the best
evaluation on validation puzzles, in the folder ``best`` of the run, and a card with its figures on test puzzles. The
same seed and torch version give the same weights; compiled ones (the default) differ from those that are not. A run
that was interrupted resumes when the script runs again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import hrm_agents
from benchmarks.runs import Curve, train_to_the_end
from hrm_agents.models.matching import num_parameters
from hrm_agents.presets import preset
from hrm_agents.records.checkpoint import CONFIG, MODEL
from hrm_agents.solving.recording import record_episode, write_gif
from hrm_agents.solving.solver import load
from hrm_agents.zoo import CARD, Card

#: Environments, by the name of the model.
MODELS = {
    "sudoku-4x4": "HRM/Sudoku-4x4-v0",
    "sudoku-6x6": "HRM/Sudoku-6x6-v0",
    "maze-7x7": "HRM/Maze-7x7-v0",
    "maze-9x9": "HRM/Maze-9x9-v0",
}
ZOO = Path(hrm_agents.__file__).parent / "zoo"
RECORDED_PUZZLES = 4


def train(name: str, folder: Path, updates: int | None = None, *, compile: bool = True) -> Path:
    """Train a model, or what is missing of it, and return the folder of its best checkpoint."""
    config = preset(MODELS[name])
    updates = updates or config.run.updates
    often = min(config.run.eval_every, max(100, updates // 10))
    run = replace(config.run, updates=updates, eval_every=often, seed=0, threads=1, device="cpu", compile=compile)
    train_to_the_end(replace(config, run=run), folder, Curve(folder / "curve.json"))
    best = folder / "best"
    return best if best.exists() else folder  # a short run has no evaluation on the way


def install(checkpoint: Path, folder: Path) -> Card:
    """Copy a model without its training state, and write its card."""
    solver = load(checkpoint)
    config = solver.config
    report = solver.evaluate(until="halt").to_dict()
    seed = config["training"]["run"]["seed"]
    found = Card(
        solver.env_id, num_parameters(solver.model), seed, config["updates"], hrm_agents.__version__, test=report
    )
    folder.mkdir(parents=True, exist_ok=True)
    for file in (MODEL, CONFIG):
        shutil.copy(checkpoint / file, folder / file)
    (folder / CARD).write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
    return found


def record(checkpoint: Path, picture: Path) -> None:
    """Draw the model solving the first test puzzles, one after the other."""
    solver = load(checkpoint)
    env = solver.make_env(render_mode="rgb_array")
    episodes = [record_episode(solver, env, options={"index": index})[0] for index in range(RECORDED_PUZZLES)]
    write_gif(picture, episodes)


def main(arguments: list[str] | None = None) -> None:
    """Train a model, install it if requested, and record it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=MODELS)
    parser.add_argument("--out", type=Path, default=Path("runs/zoo"), help="folder of the runs")
    parser.add_argument(
        "--install", type=Path, nargs="?", const=ZOO, help="copy the model into this folder; without one, into the zoo"
    )
    parser.add_argument("--gif", type=Path, help="draw it into this file, such as that of the README")
    parser.add_argument("--updates", type=int, help="fewer, to try the script out")
    parser.add_argument(
        "--no-compile", action="store_true", help="for machines without a C++ compiler; gives other weights"
    )
    options = parser.parse_args(arguments)
    best = train(options.name, options.out / options.name, options.updates, compile=not options.no_compile)
    if options.install is not None:
        print(install(best, options.install / options.name))
    if options.gif is not None:
        record(best, options.gif)


if __name__ == "__main__":
    main()
