"""Of all shortest paths of a maze, the one with the largest sum of gains over its cells.

Shapes as in :mod:`hrm_envs.maze.search`: ``B`` grids of ``R`` rows and ``C`` columns.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_envs.maze.search import UNREACHED, Distances, Mask


def best_shortest_path(
    from_start: Distances, from_goal: Distances, goal: NDArray[Any], gain: NDArray[np.floating[Any]]
) -> Mask:
    """The cells strictly between start and goal on the shortest path with the largest total gain.

    Dynamic programming over the graph of all shortest paths, one layer of equal distance from the start after the
    other: the best path to a cell passes through its best predecessor. Of equal ones it takes the first of up, left,
    right, down.

    Args:
        from_start: uint16 ``[B, R, C]``, steps from the start, from :func:`hrm_envs.maze.search.distances`.
        from_goal: uint16 ``[B, R, C]``, steps from the goal.
        goal: integer ``[B]``, its cell.
        gain: ``[B, R, C]``, finite, what each cell adds to the total of a path through it.

    Returns:
        bool ``[B, R, C]``.

    Raises:
        ValueError: a goal cannot be reached; the message names the row.
    """
    batch, rows, columns = from_start.shape
    width, size = columns + 2, (rows + 2) * (columns + 2)
    offsets = np.array([-width, -1, 1, width])

    def padded(values: NDArray[Any], border: float) -> NDArray[Any]:
        """Flat, with a border that avoids bounds checks."""
        return np.pad(values, ((0, 0), (1, 1), (1, 1)), constant_values=border).reshape(-1)

    layer = padded(from_start, UNREACHED).astype(np.int64)
    at_goal = np.arange(batch) * size + (goal // columns + 1) * width + goal % columns + 1
    length = layer[at_goal]
    if (length == UNREACHED).any():
        raise ValueError(f"row {int(np.argmax(length == UNREACHED))}: no path leads to the goal")
    shortest = layer + padded(from_goal, UNREACHED) == np.repeat(length, size)
    # Cells in the order of their layers; a layer ends where the next begins.
    cells = np.flatnonzero(shortest)
    cells = cells[np.argsort(layer[cells], kind="stable")]
    ends = np.searchsorted(layer[cells], np.arange(length.max(initial=0) + 2))
    total = np.full(batch * size, -np.inf)
    total[cells[: ends[1]]] = 0.0
    gains = padded(gain, 0.0).astype(np.float64)
    for begin, end in pairwise(ends[1:]):
        # Of the neighbours, later layers have no total yet.
        now = cells[begin:end]
        total[now] = gains[now] + total[now[:, None] + offsets].max(axis=1)

    on_path = np.zeros(batch * size, np.bool_)
    at, to_go = at_goal[length > 1], length[length > 1]
    while len(at):
        around = at[:, None] + offsets
        before = layer[around] == (to_go - 1)[:, None]
        at = around[np.arange(len(at)), np.where(before, total[around], -np.inf).argmax(axis=1)]
        on_path[at] = True
        to_go = to_go - 1
        at, to_go = at[to_go > 1], to_go[to_go > 1]
    return on_path.reshape(batch, rows + 2, columns + 2)[:, 1:-1, 1:-1]
