"""Batched breadth-first search on grids.

Shapes: ``B`` grids of ``R`` rows and ``C`` columns; cells are numbered in row-major order, ``r * C + c``. Steps go up,
down, left and right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Distance of unreachable cells, including walls.
UNREACHED = 65535

Distances = NDArray[np.uint16]
Mask = NDArray[np.bool_]

# Cells searched together, few enough for the arrays of one step to fit the CPU cache.
_CHUNK_CELLS = 200_000


def distances(open_cells: Mask, source: NDArray[Any]) -> Distances:
    """Number of steps from ``source`` to every cell.

    Args:
        open_cells: bool ``[B, R, C]``, the walkable cells.
        source: integer ``[B]``, a cell of each grid, open or not.

    Returns:
        uint16 ``[B, R, C]``, :data:`UNREACHED` for unreachable cells.
    """
    out = np.empty(open_cells.shape, np.uint16)
    step = max(1, _CHUNK_CELLS // (open_cells.shape[1] * open_cells.shape[2]))
    for i in range(0, len(open_cells), step):
        out[i : i + step] = _distances(open_cells[i : i + step], source[i : i + step])
    return out


def _distances(open_cells: Mask, source: NDArray[Any]) -> Distances:
    """One chunk of :func:`distances`: the frontiers of all grids grow in lockstep."""
    # The batch axis is last, so that a shift by a row or a column is one long slice without edges to mask.
    # Always a copy, because `todo` is modified.
    todo = open_cells.transpose(1, 2, 0).copy(order="C")
    rows, columns, batch = todo.shape
    frontier = np.zeros_like(todo)
    frontier.reshape(rows * columns, batch)[source, np.arange(batch)] = True
    todo &= ~frontier
    # The distance of a cell is the number of steps that began before it was reached.
    distance = todo.astype(np.uint16)
    grown = np.empty_like(todo)
    while True:
        grown[0] = False
        grown[1:] = frontier[:-1]
        grown[:-1] |= frontier[1:]
        grown[:, 1:] |= frontier[:, :-1]
        grown[:, :-1] |= frontier[:, 1:]
        grown &= todo
        if not grown.any():
            break
        todo ^= grown
        distance += todo
        frontier, grown = grown, frontier
    unreached = todo | (distance == 0)
    unreached.reshape(rows * columns, batch)[source, np.arange(batch)] = False
    distance[unreached] = UNREACHED
    return distance.transpose(2, 0, 1)


def shortest_path(distance: Distances, goal: NDArray[Any], rng: np.random.Generator | None = None) -> Mask:
    """The cells strictly between the source and ``goal`` on one shortest path of each grid.

    The path follows decreasing distances from the goal. If several neighbours are one step closer, it takes the first
    of up, left, right, down, or a random one if ``rng`` is given (uniform at each cell, not over paths).

    Args:
        distance: uint16 ``[B, R, C]``, from :func:`distances`.
        goal: integer ``[B]``, a cell of each grid.
        rng: random generator to break ties.

    Returns:
        bool ``[B, R, C]``, with ``distance - 1`` true cells per grid, or none if goal and source coincide.

    Raises:
        ValueError: a goal cannot be reached; the message names the row.
    """
    batch, rows, columns = distance.shape
    # A border of unreached cells avoids bounds checks.
    padded = np.pad(distance, ((0, 0), (1, 1), (1, 1)), constant_values=UNREACHED)
    width = columns + 2
    flat = padded.reshape(-1)
    offsets = np.array([-width, -1, 1, width])
    at = np.arange(batch) * ((rows + 2) * width) + (goal // columns + 1) * width + goal % columns + 1
    to_go = flat[at]
    if (to_go == UNREACHED).any():
        raise ValueError(f"row {int(np.argmax(to_go == UNREACHED))}: no path leads to the goal")
    on_path = np.zeros(flat.shape, np.bool_)
    at, to_go = at[to_go > 1], to_go[to_go > 1]
    while len(at):
        around = at[:, None] + offsets
        closer = flat[around] == (to_go - 1)[:, None]
        weight = closer * (1 - rng.random(closer.shape)) if rng is not None else closer
        at = around[np.arange(len(at)), weight.argmax(axis=1)]
        on_path[at] = True
        to_go = to_go - 1
        at, to_go = at[to_go > 1], to_go[to_go > 1]
    return on_path.reshape(padded.shape)[:, 1:-1, 1:-1]
