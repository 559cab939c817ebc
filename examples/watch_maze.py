"""Watch an HRM solve mazes: in a window, in the terminal (--text), or as a GIF (--record maze.gif).

    python examples/watch_maze.py [--checkpoint FOLDER] [--text | --record FILE] [--episodes 3]

Any checkpoint works, whatever its puzzles are. The default is the maze model that ships with the package.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from hrm_agents import Solver, load
from hrm_agents.solving.recording import check_gif, record_episode, write_gif


def watch(solver: Solver, env: Any, *, episodes: int, seed: int, fps: float) -> int:
    """Play episodes in a window or in the terminal; returns how many were solved. Closing the window ends them."""
    # The window draws itself at each step, at this speed.
    env.unwrapped.metadata = {**env.unwrapped.metadata, "render_fps": fps}
    solved = 0
    for episode in range(episodes):
        success = False
        # A seed only for the first episode: with the same seed again, the others would show the same puzzle.
        for segment in solver.think(env, seed=seed if episode == 0 else None):
            success = segment.success
            if env.unwrapped.render_mode == "ansi":
                print(env.render(), end="\n\n", flush=True)
                time.sleep(1 / fps)
            elif env.unwrapped.window_closed:
                return solved
        solved += success
    return solved


def record(solver: Solver, env: Any, path: Path, *, episodes: int, seed: int, fps: float) -> int:
    """Play episodes without a display and write a GIF of them; returns how many were solved."""
    solved = 0
    frames_of_episodes = []
    for episode in range(episodes):
        frames, segments = record_episode(solver, env, seed=seed if episode == 0 else None)
        frames_of_episodes.append(frames)
        solved += segments[-1].success
    write_gif(path, frames_of_episodes, fps)
    return solved


def main(arguments: list[str] | None = None) -> int:
    """Watch or record; returns how many puzzles were solved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("maze-9x9"), help="folder of a run, or name of a model")
    parser.add_argument("--text", action="store_true", help="print instead of opening a window")
    parser.add_argument("--record", type=Path, help="write a GIF here instead of opening a window")
    parser.add_argument("--episodes", type=int, default=3, help="number of puzzles")
    parser.add_argument("--seed", type=int, default=0, help="which puzzles")
    parser.add_argument("--fps", type=float, default=1.0, help="segments of thought a second")
    options = parser.parse_args(arguments)

    if options.record is not None:
        check_gif(options.record)  # before any work
    solver = load(options.checkpoint)
    settings = {"episodes": options.episodes, "seed": options.seed, "fps": options.fps}
    if options.record is not None:
        env = solver.make_env(render_mode="rgb_array")
        solved = record(solver, env, options.record, **settings)
    else:
        env = solver.make_env(render_mode="ansi" if options.text else "human")
        solved = watch(solver, env, **settings)
    env.close()
    print(f"solved {solved} of {options.episodes}")
    return solved


if __name__ == "__main__":
    main()
