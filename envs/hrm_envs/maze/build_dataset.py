"""Build the data set of ``HRM/Maze-30x30-Hard-v0``: ``python -m hrm_envs.maze.build_dataset``.

The recipe is that of the Maze-Hard data set (Wang et al. 2025, section 3; mazes of Lehnert et al. 2024): a wall
probability drawn uniformly from 30 to 50%, random start and goal cells, and only mazes whose shortest path has at least
110 cells, including both ends.

Plain rejection sampling keeps one maze in 50,000. This implementation does not draw the goal but counts goals: a maze
and a start with ``k`` of ``n`` free cells far enough away are kept with probability proportional to ``k / n``, and the
goal is drawn among these cells. The result has the same distribution. (Keeping every maze with a far cell equally often
would be faster, but it favours mazes where only the farthest cell qualifies: half of the paths would have exactly the
minimum length.)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hrm_envs.maze.hard import DATA_FILE, MIN_STEPS, NUM_PER_SPLIT, SIZE, WALL_SHARE, save_mazes
from hrm_envs.maze.search import UNREACHED, Mask, distances
from hrm_envs.maze.tokens import FREE, GOAL, START, WALL
from hrm_envs.spec import Tokens

#: Mazes tried together, few enough for the arrays of one step to fit the CPU cache.
_CHUNK = 4096
#: A maze is kept with probability ``k / n`` divided by this share, at most 1; one in a hundred kept mazes exceeds it.
_LARGEST_FAR_SHARE = 0.25
#: Number of steps between removals of finished mazes.
_CLEARANCE = 8


def hard_mazes(seed: int) -> Iterator[Tokens]:
    """An endless stream of mazes uint8 ``[S]`` without solutions, determined by the seed."""
    chunk = 0
    while True:
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(chunk,)))
        # Sorted, so that neighbouring mazes finish together and the search below can drop groups of eight.
        share = np.sort(rng.uniform(*WALL_SHARE, size=_CHUNK))
        free = rng.integers(2**16, size=(SIZE * SIZE, _CHUNK), dtype=np.uint16) >= (share * 2**16).astype(np.uint16)
        start = _free_cells(rng, free)
        for maze in reaching(free, start, MIN_STEPS):
            cells = free[:, maze]
            distance = distances(cells.reshape(1, SIZE, SIZE), start[maze : maze + 1]).reshape(-1)
            far = np.flatnonzero((distance >= MIN_STEPS) & (distance != UNREACHED))
            if rng.random() * _LARGEST_FAR_SHARE < len(far) / cells.sum():
                puzzle = np.where(cells, FREE, WALL).astype(np.uint8)
                puzzle[start[maze]], puzzle[rng.choice(far)] = START, GOAL
                yield puzzle
        chunk += 1


def _free_cells(rng: np.random.Generator, free: Mask) -> NDArray[np.int64]:
    """A uniformly random free cell ``[B]`` of each maze (bool ``[S, B]``)."""
    index = np.arange(free.shape[1])
    cell: NDArray[np.int64] = rng.integers(len(free), size=len(index))
    walls = np.flatnonzero(~free[cell, index])
    while len(walls):
        cell[walls] = rng.integers(len(free), size=len(walls))
        walls = np.flatnonzero(~free[cell, index])
    return cell


def reaching(free: Mask, start: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
    """Indices of the mazes with a cell at least ``steps`` from the start, in order.

    A breadth-first search without distances, which packs eight mazes into a byte.

    Args:
        free: bool ``[S, B]`` of square mazes, ``B`` a multiple of 8.
        start: integer ``[B]``, a free cell of each.
        steps: at least 1.
    """
    size = round(len(free) ** 0.5)
    mazes = np.arange(free.shape[1])
    is_start = np.zeros_like(free)
    is_start[start, mazes] = True
    # uint8 [size, size, B / 8] each: the cells not reached yet, and those reached by the last step.
    todo = np.packbits(free & ~is_start, axis=1).reshape(size, size, -1)
    frontier = np.packbits(is_start, axis=1).reshape(size, size, -1)
    eights = mazes.reshape(-1, 8)
    grown = np.empty_like(todo)
    for step in range(steps):
        grown[0] = 0
        grown[1:] = frontier[:-1]
        grown[:-1] |= frontier[1:]
        grown[:, 1:] |= frontier[:, :-1]
        grown[:, :-1] |= frontier[:, 1:]
        grown &= todo
        todo ^= grown
        frontier, grown = grown, frontier
        if step % _CLEARANCE == _CLEARANCE - 1:
            busy = np.bitwise_or.reduce(frontier, axis=(0, 1)) != 0
            eights, todo, frontier = eights[busy], todo[:, :, busy], frontier[:, :, busy]
            grown = np.empty_like(todo)
    going = np.unpackbits(np.bitwise_or.reduce(frontier, axis=(0, 1))).astype(np.bool_)
    return eights.reshape(-1)[going]


def main() -> None:
    """Generate the mazes of both splits and write the data set."""
    parser = argparse.ArgumentParser(
        prog="python -m hrm_envs.maze.build_dataset",
        description="Generate the mazes of HRM/Maze-30x30-Hard-v0 (about five minutes).",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=DATA_FILE, metavar="FILE", help="file to write")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed")
    arguments = parser.parse_args()
    num, found = 2 * NUM_PER_SPLIT, []
    for maze in islice(hard_mazes(arguments.seed), num):
        found.append(maze)
        if len(found) % 100 == 0:
            print(f"{len(found)} of {num} mazes", file=sys.stderr)
    save_mazes(arguments.out, np.stack(found), arguments.seed)


if __name__ == "__main__":
    main()
