"""Random mazes, generated in batches.

In *perfect* mazes, exactly one path connects any two free cells. In *random* mazes, each cell is a wall with some
probability and there are many shortest paths, as in the Maze-Hard data set.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hrm_envs.maze.search import UNREACHED, Mask, distances, shortest_path
from hrm_envs.maze.tokens import FREE, GOAL, PATH, START, WALL
from hrm_envs.task import PuzzleBatch

Carver = Callable[[np.random.Generator, int], Mask]

# Each round tries twice as many candidates as the last, up to a bound on memory and time.
_MAX_ROUNDS, _MAX_CANDIDATE_CELLS = 24, 4_000_000


def perfect_grids(rng: np.random.Generator, num: int, size: int) -> Mask:
    """Free cells of perfect mazes: bool ``[num, size, size]``, for odd ``size >= 3``.

    Rooms lie on odd coordinates, walls between them are one cell thick, and the border is wall. The opened walls form
    a uniformly random spanning tree of the rooms, drawn with the Aldous-Broder algorithm (Broder 1989, Aldous 1990): a
    random walk opens the wall to each room that it enters for the first time. All mazes walk in lockstep.
    """
    side = size // 2
    room_cell, neighbours, degree = _rooms(side, size)
    grids = np.zeros((num, size * size), np.bool_)
    flat = grids.reshape(-1)
    room = rng.integers(side * side, size=num)
    base = np.arange(num) * (size * size)
    flat[base + room_cell[room]] = True
    left = np.full(num, side * side - 1)
    step = 0
    while len(room):
        towards = neighbours[room, (rng.random(len(room)) * degree[room]).astype(np.int64)]
        cell = base + room_cell[towards]
        # A room is free from its first visit on, so the grid itself records the visits.
        fresh = ~flat[cell]
        # Rooms lie two cells apart, with the wall in the middle.
        flat[(base + (room_cell[room] + room_cell[towards]) // 2)[fresh]] = True
        flat[cell] = True
        left -= fresh
        room = towards
        step += 1
        # Dropping finished mazes costs as much as a step, so it is done only every 8 steps.
        if step % 8 == 0:
            keep = left > 0
            room, base, left = room[keep], base[keep], left[keep]
    return grids.reshape(num, size, size)


def _rooms(side: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Cells ``[N]``, neighbouring rooms ``[N, 4]`` (padded with 0) and degrees ``[N]`` of ``side * side`` rooms."""
    row, column = np.divmod(np.arange(side * side), side)
    neighbours = np.zeros((side * side, 4), np.int64)
    degree = np.zeros(side * side, np.int64)
    for down, right in ((-1, 0), (0, -1), (0, 1), (1, 0)):
        inside = np.flatnonzero(
            (row + down >= 0) & (row + down < side) & (column + right >= 0) & (column + right < side)
        )
        neighbours[inside, degree[inside]] = inside + down * side + right
        degree[inside] += 1
    return (2 * row + 1) * size + 2 * column + 1, neighbours, degree


def random_grids(rng: np.random.Generator, num: int, size: int, wall_share: tuple[float, float]) -> Mask:
    """Free cells of random mazes: bool ``[num, size, size]``.

    Each maze draws its wall probability uniformly from ``wall_share``.
    """
    share = rng.uniform(*wall_share, size=(num, 1, 1)).astype(np.float32)
    return rng.random((num, size, size), dtype=np.float32) >= share


def place_ends(rng: np.random.Generator, free: Mask, min_path: int) -> PuzzleBatch:
    """Place S and G in mazes, and solve the mazes.

    S is a uniformly random free cell, and G a uniformly random one among those at least ``min_path`` steps from S.
    Mazes without such a cell are dropped. The solution is the path of :func:`shortest_path` with its fixed tie-break:
    this makes the label a function of the maze, which can be learned even if there are many shortest paths.

    Args:
        rng: random generator.
        free: bool ``[B, R, C]``.
        min_path: minimum number of steps from S to G, at least 1.

    Returns:
        At most ``B`` puzzles, in the order of their mazes.
    """
    _, rows, columns = free.shape
    free = free[free.any(axis=(1, 2))]
    start = _random_cell(rng, free)
    distance = distances(free, start)
    far = (distance >= min_path) & (distance != UNREACHED)
    found = far.any(axis=(1, 2))
    free, start, distance, far = free[found], start[found], distance[found], far[found]
    goal = _random_cell(rng, far)
    index = np.arange(len(free))
    puzzle = np.where(free, FREE, WALL).astype(np.uint8).reshape(len(free), rows * columns)
    puzzle[index, start], puzzle[index, goal] = START, GOAL
    solution = puzzle.copy()
    solution[shortest_path(distance, goal).reshape(puzzle.shape)] = PATH
    return PuzzleBatch(puzzle, solution)


def _random_cell(rng: np.random.Generator, mask: Mask) -> NDArray[np.int64]:
    """A uniformly random true cell ``[B]`` of each row of a mask ``[B, R, C]``, which must have one."""
    flat = mask.reshape(len(mask), mask.shape[1] * mask.shape[2])
    rank = (rng.random(len(flat)) * flat.sum(axis=1)).astype(np.int64)
    # The first cell at which more than `rank` cells are true.
    return (flat.cumsum(axis=1, dtype=np.int32) > rank[:, None]).argmax(axis=1)


def sample_mazes(rng: np.random.Generator, num: int, size: int, carve: Carver, min_path: int) -> PuzzleBatch:
    """Between 1 and ``num`` puzzles; fewer than ``num`` if long paths are rare.

    Args:
        rng: random generator.
        num: number of puzzles.
        size: number of rows and columns.
        carve: maps ``(rng, n)`` to free cells, bool ``[n, size, size]``.
        min_path: minimum number of steps from S to G.

    Raises:
        ValueError: many tries gave no puzzle.
    """
    most = max(1, _MAX_CANDIDATE_CELLS // size**2)
    candidates = min(max(num, 1), most)
    found: list[PuzzleBatch] = []
    count = tried = 0
    for _ in range(_MAX_ROUNDS):
        found.append(place_ends(rng, carve(rng, candidates), min_path))
        count += len(found[-1])
        tried += candidates
        if count >= num:
            break
        candidates = min(2 * candidates, most)
    if not count:
        raise ValueError(
            f"no {size}x{size} maze with a shortest path of at least {min_path} steps among {tried} tries: "
            "the minimum path is too long for this size"
        )
    return PuzzleBatch.concatenate(found).take(slice(num))


def all_perfect_grids(size: int) -> Mask:
    """Free cells of all perfect mazes of a size, bool ``[N, size, size]``: N = 4 for 5x5 and 192 for 7x7.

    It tries every choice of walls to open, so it suits only these sizes (9x9 has 100,352 mazes).
    """
    side = size // 2
    rooms = np.zeros((size, size), np.bool_)
    rooms[1::2, 1::2] = True
    inside = np.add.outer(np.arange(size), np.arange(size)) % 2 == 1
    inside[0] = inside[-1] = inside[:, 0] = inside[:, -1] = False
    walls = np.flatnonzero(inside)
    # With as many open walls as a tree has edges, the rooms form a tree if and only if they are connected.
    opened = np.array(list(combinations(walls, side * side - 1)))
    grids = np.repeat(rooms.reshape(1, -1), len(opened), axis=0)
    np.put_along_axis(grids, opened, True, axis=1)
    grids = grids.reshape(-1, size, size)
    joined = (distances(grids, np.full(len(grids), size + 1)) != UNREACHED) == grids
    return grids[joined.all(axis=(1, 2))]


@lru_cache(maxsize=64)
def count_perfect_puzzles(size: int, min_path: int) -> int:
    """Number of puzzles on all perfect mazes of a size with S and G at least ``min_path`` steps apart."""
    grids = all_perfect_grids(size)
    maze, start = np.nonzero(grids.reshape(len(grids), -1))
    distance = distances(grids[maze], start)
    return int(((distance >= min_path) & (distance != UNREACHED)).sum())
