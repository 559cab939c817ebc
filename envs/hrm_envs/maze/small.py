"""Counting the smallest perfect mazes, to know how many puzzles there are to ask for."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations

import numpy as np

from hrm_envs.maze.search import UNREACHED, Mask, distances


def all_perfect_grids(size: int) -> Mask:
    """Free cells of every perfect maze of a size, bool ``[N, size, size]``: N = 4 for 5x5 and 192 for 7x7.

    Tries every choice of walls to open, so it is meant for these sizes only (9x9 has 100,352 mazes).
    """
    side = size // 2
    rooms = np.zeros((size, size), np.bool_)
    rooms[1::2, 1::2] = True
    inside = np.add.outer(np.arange(size), np.arange(size)) % 2 == 1
    inside[0] = inside[-1] = inside[:, 0] = inside[:, -1] = False
    walls = np.flatnonzero(inside)
    # As many open walls as a tree has edges: a tree if and only if they join all rooms.
    opened = np.array(list(combinations(walls, side * side - 1)))
    grids = np.repeat(rooms.reshape(1, -1), len(opened), axis=0)
    np.put_along_axis(grids, opened, True, axis=1)
    grids = grids.reshape(-1, size, size)
    joined = (distances(grids, np.full(len(grids), size + 1)) != UNREACHED) == grids
    return grids[joined.all(axis=(1, 2))]


@lru_cache(maxsize=64)
def count_perfect_puzzles(size: int, min_path: int) -> int:
    """How many puzzles :func:`all_perfect_grids` gives with S and G at least ``min_path`` steps apart."""
    grids = all_perfect_grids(size)
    maze, start = np.nonzero(grids.reshape(len(grids), -1))
    distance = distances(grids[maze], start)
    return int(((distance >= min_path) & (distance != UNREACHED)).sum())
