"""Draw the pictures of the documentation again: charts from the data in results/, frames from the environments.

python docs/pictures.py [--dark] [--format svg] [--out FOLDER]

Frames need the extras render and arc. They are PNG files whatever the options, since the environments paint pixels.
"""

import argparse
import csv
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import get_args

import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

import hrm_agents
import hrm_envs  # noqa: F401  (registers the ids)
from hrm_agents.reports.figures import ChartFormat, save_figure
from hrm_agents.reports.frontier_chart import FrontierPoint, draw_frontier
from hrm_agents.reports.plots import draw_curves
from hrm_agents.solving.recording import Frame, record_episode
from hrm_envs.wrappers import CellEdit

RESULTS = Path(__file__).parents[1] / "results"
#: Index of a test maze that a trained model first answers wrongly.
MAZE = 2


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a file in results/."""
    with (RESULTS / name).open(newline="") as file:
        return list(csv.DictReader(file))


def frontier(*, dark: bool) -> Figure:
    """Success against mean segments for several segment costs, of docs/halting.md: means and ranges over seeds."""
    names = {
        "cost": "rule q, labelled by segment cost",
        "no cost": "rule q, no segment cost",
        "fixed": "fixed number of segments",
    }
    series: dict[str, list[FrontierPoint]] = {name: [] for name in names.values()}
    for row in rows("frontier.csv"):
        x, y = (
            [float(row[f"{figure}_{part}"]) for part in ("mean", "min", "max")]
            for figure in ("mean_segments", "success_rate")
        )
        label = row["segment_cost"] if row["series"] == "cost" else ""
        series[names[row["series"]]].append(FrontierPoint(x[0], y[0], label, (x[1], x[2]), (y[1], y[2])))
    return draw_frontier(
        series,
        "HRM/Sudoku-4x4-v0: success against segments",
        "measured with 0.1.0.dev, where models without a cost learned with another loss, as did those of the fixed "
        "numbers; mean and range of 3 seeds",
        dark=dark,
    )


def walking(*, dark: bool) -> Figure:
    """Success of PPO in unseen mazes over CPU time, of docs/rl.md."""
    runs: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in rows("walking.csv"):
        run = runs.setdefault(row["extractor"], {}).setdefault(row["seed"], [])
        run.append((float(row["cpu_minutes"]), float(row["success_rate"])))
    return draw_curves(
        {name: list(seeds.values()) for name, seeds in runs.items()},
        "PPO in unseen 9x9 mazes, by features extractor",
        "thin: each seed; thick: their mean; moves are sampled from the policy; measured with 0.1.0.dev",
        "CPU time (minutes of one core)",
        "walks that reach the goal in time",
        dark=dark,
    )


def draft(puzzle: NDArray[np.uint8], solution: NDArray[np.uint8], wrong: int) -> NDArray[np.uint8]:
    """The solution of a 9x9 Sudoku, with other digits in the first ``wrong`` of its blanks."""
    answer, blanks = solution.copy(), np.flatnonzero(puzzle != solution)[:wrong]
    answer[blanks] = 2 + (answer[blanks] - 1) % 9
    return answer


def sudoku() -> Frame:
    """A 9x9 Sudoku with an answer that is nearly right."""
    env = gym.make("HRM/Sudoku-9x9-v0", num_puzzles=10, render_mode="rgb_array", expose_solution=True)
    obs, info = env.reset(seed=0)
    env.step({"answer": draft(obs["puzzle"], info["solution"], wrong=3), "halt": 0})
    return env.render()  # type: ignore[return-value]


def maze() -> Frame:
    """A maze that a trained model has just solved."""
    return thoughts()[-1]


def arc() -> Frame:
    """A task of ARC-AGI-1 with its demonstrations and a right answer."""
    env = gym.make("HRM/ARC-AGI-1-v0", canvas=10, render_mode="rgb_array", expose_solution=True)
    _, info = env.reset(seed=3)
    env.step({"answer": info["solution"], "halt": 1})
    return env.render()  # type: ignore[return-value]


def maze_moves() -> Frame:
    """A random walk of twelve steps in a maze with doors."""
    env = gym.make("HRM/MazeMoves-9x9-Doors-v0", num_puzzles=10, render_mode="rgb_array")
    env.reset(seed=1)
    env.action_space.seed(1)
    for _ in range(12):
        env.step(env.action_space.sample(env.unwrapped.sample_mask()))  # type: ignore[attr-defined]
    return env.render()  # type: ignore[return-value]


def cell_edit() -> Frame:
    """A draft of a 4x4 Sudoku after three edits."""
    env = CellEdit(gym.make("HRM/Sudoku-4x4-v0", num_puzzles=10, render_mode="rgb_array"))
    _, info = env.reset(seed=0)
    for edit in (2, 6, 10):
        *_, info = env.step(int(np.flatnonzero(info["action_mask"])[edit]))
    return env.render()  # type: ignore[return-value]


def segments() -> Frame:
    """The first two segments of a trained model on one maze, side by side."""
    return np.concatenate(thoughts()[1:3], axis=1)


@cache
def thoughts() -> list[Frame]:
    """The frames of a trained model on a maze that it does not solve in one segment."""
    solver = hrm_agents.load("maze-9x9")
    env = solver.make_env(render_mode="rgb_array")
    return record_episode(solver, env, options={"index": MAZE})[0]


#: Charts in the folder of the pages, by file name.
CHARTS: dict[str, Callable[..., Figure]] = {"frontier": frontier, "walking": walking}
#: Frames in its folder ``environments``, by file name.
FRAMES: dict[str, Callable[[], Frame]] = {
    "sudoku": sudoku,
    "maze": maze,
    "arc": arc,
    "maze-moves": maze_moves,
    "cell-edit": cell_edit,
    "segments": segments,
}


def main(arguments: list[str] | None = None) -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dark", action="store_true", help="draw charts on a dark ground")
    parser.add_argument("--format", choices=get_args(ChartFormat), default="png", help="file format of the charts")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of the files")
    args = parser.parse_args(arguments)
    for name, chart in CHARTS.items():
        save_figure(chart(dark=args.dark), args.out / f"{name}.{args.format}")
    folder = args.out / "environments"
    folder.mkdir(exist_ok=True)
    for name, frame in FRAMES.items():
        Image.fromarray(frame()).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
