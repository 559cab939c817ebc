"""Watch an HRM solve mazes: in a window, in the terminal (--text), or in a GIF (--record maze.gif).

    python examples/watch_maze.py [--checkpoint FOLDER] [--text | --record FILE] [--episodes 3]

Any model will do, whatever its puzzles are; without --checkpoint it is the maze model that ships with the package.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from hrm_agents import BUNDLED_MAZE, Solver, load
from hrm_agents.solving.recording import check_gif, record_episode, write_gif


def watch(solver: Solver, env: Any, *, episodes: int, seed: int, pause: float, text: bool) -> int:
    """Play episodes at reading speed; returns how many were solved. Closing the window ends them."""
    solved = 0
    for episode in range(episodes):
        success = False
        # The first reset chooses the seed, later ones go on to other puzzles. Windows draw themselves.
        for segment in solver.think(env, seed=seed if episode == 0 else None):
            success = segment.success
            if text:
                print(env.render(), end="\n\n", flush=True)
                time.sleep(pause)
            elif env.unwrapped.window_closed:
                return solved
        solved += success
    return solved


def main(arguments: list[str] | None = None) -> int:
    """Watch; returns how many puzzles were solved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=BUNDLED_MAZE, help="default: the bundled maze model")
    parser.add_argument("--text", action="store_true", help="print instead of opening a window")
    parser.add_argument("--record", type=Path, help="write a GIF here instead of opening a window")
    parser.add_argument("--episodes", type=int, default=3, help="how many puzzles")
    parser.add_argument("--seed", type=int, default=0, help="which puzzles")
    parser.add_argument("--fps", type=float, default=1.0, help="segments of thought a second")
    options = parser.parse_args(arguments)
    if options.record is not None:
        check_gif(options.record)  # before the work
    solver = load(options.checkpoint)
    if options.record is not None:
        env = solver.make_env(render_mode="rgb_array")
        episodes = [
            record_episode(solver, env, seed=options.seed if episode == 0 else None)
            for episode in range(options.episodes)
        ]
        write_gif(options.record, [frames for frames, _ in episodes], options.fps)
        solved = sum(segments[-1].success for _, segments in episodes)
    else:
        env = solver.make_env(render_mode="ansi" if options.text else "human")
        env.unwrapped.metadata = {**env.unwrapped.metadata, "render_fps": options.fps}
        pause = 1.0 / options.fps
        solved = watch(solver, env, episodes=options.episodes, seed=options.seed, pause=pause, text=options.text)
    env.close()
    print(f"solved {solved} of {options.episodes}")
    return solved


if __name__ == "__main__":
    main()
