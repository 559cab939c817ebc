"""Hard 30x30 mazes: a fixed collection included in the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hrm_envs.maze.task import MazeTask
from hrm_envs.maze.tokens import FREE, GOAL, START, SYMBOLS, WALL
from hrm_envs.spec import TaskSpec, Tokens
from hrm_envs.task import PuzzleBatch, StoredSplit, Task

#: Rows and columns of the mazes.
SIZE = 30
#: Number of mazes per split.
NUM_PER_SPLIT = 1000
#: Minimum number of steps from S to G: a path of 110 cells, including S and G.
MIN_STEPS = 109
#: Range of the wall probability, drawn for each maze.
WALL_SHARE = (0.3, 0.5)

DATA_FILE = Path(__file__).parent / "data" / "hard.npz"


class HardMazeTask(MazeTask):
    """A fixed collection of 30x30 mazes with long shortest paths: 1000 for testing and 1000 for the rest.

    Tokens, verifier and symmetries are those of :class:`MazeTask`. This package generated the mazes by the recipe of
    the Maze-Hard data set (Wang et al. 2025): 30 to 50% random walls, random S and G, kept if the shortest path has at
    least 110 cells including S and G, which is 109 steps. (The official mazes show that the paper's "110" counts cells
    including both ends: 154 of them have exactly 109 steps.) 857 mazes are for training and 143 for validation. No
    maze of one split is a rotation or reflection of a maze in another. ``python -m hrm_envs.maze.build_dataset``
    rebuilds the file.

    Comparison with the official training set:

    ========================================  ===============  ===============  ===============
    1000 mazes each                           train+validation test             official train
    ========================================  ===============  ===============  ===============
    walls, share of cells: mean               0.373            0.373            0.371
    walls, share of cells: least, most        0.292, 0.453     0.277, 0.461     0.277, 0.450
    steps from S to G: mean                   113.9            113.9            114.1
    steps from S to G: least, median, most    109, 112, 142    109, 112, 139    109, 112, 146
    number of shortest paths: least           60               304              512
    number of shortest paths: median          5.3 million      3.2 million      3.9 million
    ========================================  ===============  ===============  ===============

    To play the official mazes, use the environment's keyword ``puzzles``.
    """

    def __init__(self) -> None:
        super().__init__(SIZE, "random", MIN_STEPS, WALL_SHARE)
        self.spec = TaskSpec(name="Maze 30x30 Hard", grid_shape=(SIZE, SIZE), symbols=SYMBOLS)

    def stored(self, split: StoredSplit) -> PuzzleBatch | None:
        """The mazes of a split, with solutions; None for validation mazes, which are taken from training."""
        if split == "validation":
            return None
        first = 0 if split == "train" else NUM_PER_SPLIT
        return self.complete(load_mazes(DATA_FILE, slice(first, first + NUM_PER_SPLIT)))

    #: Draws from the stored mazes, because generating one takes a long search.
    sample = Task.sample


def save_mazes(path: Path, puzzle: Tokens, seed: int) -> None:
    """Write mazes (uint8 ``[N, S]``) without solutions, one bit per cell, and their seed."""
    np.savez_compressed(
        path,
        walls=np.packbits(puzzle == WALL, axis=1),
        start=(puzzle == START).argmax(axis=1).astype(np.uint16),
        goal=(puzzle == GOAL).argmax(axis=1).astype(np.uint16),
        seed=np.int64(seed),
    )


def load_mazes(path: Path, rows: slice) -> Tokens:
    """Read ``rows`` of the mazes written by :func:`save_mazes`: uint8 ``[N, S]``."""
    with np.load(path, allow_pickle=False) as data:
        walls, start, goal = data["walls"][rows], data["start"][rows], data["goal"][rows]
    is_wall = np.unpackbits(walls, axis=1, count=SIZE * SIZE).astype(np.bool_)
    puzzle = np.where(is_wall, WALL, FREE).astype(np.uint8)
    index = np.arange(len(puzzle))
    puzzle[index, start], puzzle[index, goal] = START, GOAL
    return puzzle


def load_seed(path: Path) -> int:
    """The seed of the mazes in a file."""
    with np.load(path, allow_pickle=False) as data:
        return int(data["seed"])
