"""How the mazes of ``HRM/Maze-30x30-Hard-v0`` were made; ``python -m hrm_envs.maze.make_hard`` makes them again.

The recipe is that of the Maze-Hard data set (Wang et al. 2025, section 3; the mazes of Lehnert et al. 2024): a share
of walls uniform in 30 to 50%, every cell a wall with that probability, start and goal two free cells drawn at
random, all kept if the shortest path from one to the other has at least 110 cells, both ends included.

Drawn to the letter that keeps one maze in 50,000. Here the goal is not drawn but counted: a maze and a start of
which ``k`` of ``n`` free cells are far enough are kept with a probability proportional to ``k / n``, and then the goal
is any of these. (Giving every maze with some far cell the same chance would be quicker and easier: it favours mazes
in which only the very farthest cell qualifies, and half of the paths would have exactly the least length.)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hrm_envs.maze.hard import DATA_FILE, MIN_STEPS, NUM_PER_SPLIT, SIZE, WALL_SHARE, save_mazes
from hrm_envs.maze.search import UNREACHED, Mask, distances
from hrm_envs.maze.tokens import FREE, GOAL, START, WALL
from hrm_envs.spec import Tokens

#: Mazes tried together: few enough for the arrays of one step to stay in the processor's cache.
_CHUNK = 4096
#: A maze is kept with probability ``k / n`` over this share, or surely: one in a hundred of those kept exceeds it.
_LARGEST_FAR_SHARE = 0.25
#: Steps between two clearances of finished mazes.
_CLEARANCE = 8


def hard_mazes(seed: int) -> Iterator[Tokens]:
    """Mazes without their solutions, uint8 ``[S]`` each, without end; the same seed gives the same ones."""
    chunk = 0
    while True:
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(chunk,)))
        # In order of their walls, so that neighbours finish together: that is what the search below drops.
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
    """A uniform free cell ``[B]`` of every maze (bool ``[S, B]``)."""
    index = np.arange(free.shape[1])
    cell: NDArray[np.int64] = rng.integers(len(free), size=len(index))
    walls = np.flatnonzero(~free[cell, index])
    while len(walls):
        cell[walls] = rng.integers(len(free), size=len(walls))
        walls = np.flatnonzero(~free[cell, index])
    return cell


def reaching(free: Mask, start: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
    """Numbers of the mazes where some cell is at least ``steps`` from the start, in order.

    A breadth-first search that only asks whether it goes on for so long, with eight mazes to a byte.

    Args:
        free: bool ``[S, B]`` of square mazes, ``B`` a multiple of 8.
        start: integer ``[B]``, a free cell of each.
        steps: at least 1.
    """
    size = round(len(free) ** 0.5)
    mazes = np.arange(free.shape[1])
    is_start = np.zeros_like(free)
    is_start[start, mazes] = True
    # uint8 [size, size, B / 8] each: the cells yet to reach, and those that the latest step reached.
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
    """Make the mazes of both splits and write them."""
    parser = argparse.ArgumentParser(description="Make the mazes of HRM/Maze-30x30-Hard-v0 (about five minutes).")
    parser.add_argument("--out", type=Path, default=DATA_FILE, help="file to write; by default the package's own")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    mazes, wanted = hard_mazes(arguments.seed), 2 * NUM_PER_SPLIT
    found = []
    for maze in mazes:
        found.append(maze)
        if len(found) % 100 == 0:
            print(f"{len(found)} of {wanted} mazes", file=sys.stderr)
        if len(found) == wanted:
            break
    save_mazes(arguments.out, np.stack(found), arguments.seed)


if __name__ == "__main__":
    main()
