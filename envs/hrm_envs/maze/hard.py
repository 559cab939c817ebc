"""The maze task with a fixed collection of hard mazes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from hrm_envs.maze.task import MazeTask
from hrm_envs.maze.tokens import FREE, GOAL, START, SYMBOLS, WALL
from hrm_envs.spec import TaskSpec, Tokens
from hrm_envs.task import PuzzleBatch, Task

#: Rows and columns of the mazes.
SIZE = 30
#: Mazes of each split.
NUM_PER_SPLIT = 1000
#: Least number of steps from S to G: the path then has 110 cells, S and G among them.
MIN_STEPS = 109
#: Range from which each maze drew its share of walls.
WALL_SHARE = (0.3, 0.5)

DATA_FILE = Path(__file__).parent / "data" / "hard.npz"


class HardMazeTask(MazeTask):
    """A fixed collection of 30x30 mazes with long shortest paths, 1000 to train and 1000 to test.

    Tokens, verifier and symmetries are those of :class:`MazeTask`. The mazes are this package's own, made by the
    recipe of the Maze-Hard data set (Wang et al. 2025): 30 to 50% walls thrown at random, random S and G, kept if the
    shortest path has at least 110 cells, S and G among them, which is 109 steps. (That "110" of the paper counts cells
    with both ends is read off the official mazes, of which 154 have exactly 109 steps.) No maze of one split is a
    rotation or reflection of one in the other. ``python -m hrm_envs.maze.make_hard`` makes the file again.

    Side by side with the official training set:

    ========================================  ===============  ===============  ===============
    1000 mazes each                           train            test             official train
    ========================================  ===============  ===============  ===============
    walls, share of cells: mean               0.373            0.373            0.371
    walls, share of cells: least, most        0.292, 0.453     0.277, 0.461     0.277, 0.450
    steps from S to G: mean                   113.9            113.9            114.1
    steps from S to G: least, median, most    109, 112, 142    109, 112, 139    109, 112, 146
    number of shortest paths: least           60               304              512
    number of shortest paths: median          5.3 million      3.2 million      3.9 million
    ========================================  ===============  ===============  ===============

    The official mazes themselves are played with the environment's keyword ``puzzles``.
    """

    def __init__(self) -> None:
        super().__init__(SIZE, "random", MIN_STEPS, WALL_SHARE)
        self.spec = TaskSpec(name="Maze 30x30 Hard", grid_shape=(SIZE, SIZE), symbols=SYMBOLS)

    def stored(self, split: Literal["train", "test"]) -> PuzzleBatch:
        """The mazes of a split, read from the package's file and solved."""
        first = 0 if split == "train" else NUM_PER_SPLIT
        return self.complete(load_mazes(DATA_FILE, slice(first, first + NUM_PER_SPLIT)))

    def sample(self, rng: np.random.Generator, num: int) -> PuzzleBatch:
        """Draw from the stored mazes, since a new one takes a long search."""
        return Task.sample(self, rng, num)


def save_mazes(path: Path, puzzle: Tokens, seed: int) -> None:
    """Write mazes (uint8 ``[N, S]``) without their solutions, a bit a cell, and the seed that they come from."""
    np.savez_compressed(
        path,
        walls=np.packbits(puzzle == WALL, axis=1),
        start=(puzzle == START).argmax(axis=1).astype(np.uint16),
        goal=(puzzle == GOAL).argmax(axis=1).astype(np.uint16),
        seed=np.int64(seed),
    )


def load_mazes(path: Path, rows: slice) -> Tokens:
    """Read ``rows`` of the mazes that :func:`save_mazes` wrote: uint8 ``[N, S]``."""
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
