"""Makes the maze model that ships with the package: trains it from scratch. About an hour on 2 cores.

    python examples/bundled_maze.py [--out runs/bundled-maze] [--install]

Same seed, same thread count and same torch give the same weights. Killed half-way, it resumes when run again.
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


def main(arguments: list[str] | None = None) -> None:
    """Train, record the README's picture, and install the model if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/bundled-maze"), help="folder of the run")
    parser.add_argument(
        "--install", type=Path, nargs="?", const=BUNDLED_MAZE, help="copy the model here; over the bundled one if bare"
    )
    parser.add_argument("--updates", type=int, help="fewer, to try the script out")
    parser.add_argument(
        "--no-compile", action="store_true", help="where there is no C++ compiler; other weights result"
    )
    options = parser.parse_args(arguments)

    config = preset(ENV)
    run = replace(
        config.run, seed=0, threads=1, compile=not options.no_compile, updates=options.updates or config.run.updates
    )
    config = replace(config, run=run)
    trainer = Trainer.resume(options.out, config) if (options.out / STATE).exists() else Trainer(config, options.out)
    print(trainer.run())

    if options.install is not None:
        options.install.mkdir(parents=True, exist_ok=True)
        for name in (MODEL, CONFIG):
            shutil.copy(options.out / name, options.install / name)
    solver = load(options.out)
    env = solver.make_env(render_mode="rgb_array")
    write_gif(
        options.out / "maze.gif", [record_episode(solver, env, options={"index": index})[0] for index in range(4)]
    )


if __name__ == "__main__":
    main()
