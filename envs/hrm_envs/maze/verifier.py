"""Verification of shortest paths without a search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrm_envs.maze.tokens import FREE, PATH, START
from hrm_envs.spec import Tokens
from hrm_envs.task import PuzzleBatch, Verdict


def neighbour_count(cells: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """The number of true cells among the four neighbours of each cell.

    Args:
        cells: uint8 ``[B, S]``, 0 or 1, grids in row-major order.
        columns: columns of the grid.

    Returns:
        uint8 ``[B, S]``.
    """
    # Shifts of the flat grid are fast in numpy, but a step sideways would wrap around to the next row, so it excludes
    # the cells of the last or the first column.
    place = np.arange(cells.shape[1]) % columns
    count = np.zeros_like(cells)
    count[:, columns:] += cells[:, :-columns]
    count[:, :-columns] += cells[:, columns:]
    count[:, 1:] += cells[:, :-1] * (place[:-1] != columns - 1)
    count[:, :-1] += cells[:, 1:] * (place[1:] != 0)
    return count


def verify_paths(batch: PuzzleBatch, answer: Tokens, columns: int) -> Verdict:
    """Accept exactly the shortest paths from S to G.

    An answer is right when

    1. it equals the puzzle except for free cells that became path;
    2. S and G have one neighbour each among path, S and G, and every path cell has two;
    3. it has as many path cells as ``batch.solution``, which is a shortest path.

    Sufficient: consider the graph of path cells, S and G, with edges between neighbours. By 2, every node has degree
    two except S and G, which have degree one, so the graph is a simple path from S to G and possibly separate cycles.
    The path from S to G alone has at least as many path cells as a shortest one. By 3 there are no others: there is no
    cycle, and the path is shortest.

    Necessary: if two cells of a shortest path were neighbours without being consecutive, stepping across would be
    shorter. So the neighbours of each cell are exactly its predecessor and its successor.

    The score is a share of correct cells. A cell is *claimed* if it is path, S or G in the answer, or violates 1. It is
    *sound* if it is path, S or G and satisfies 1 and 2. With ``n`` path cells in the solution, the score is
    ``min(sound, n + 2) / max(claimed, n + 2)``. It is 1 only if all claimed cells are sound and there are ``n + 2`` of
    them, which is equivalent to 1 to 3. (The minimum prevents a valid detour from scoring 1.)

    Args:
        batch: puzzles with a shortest path each.
        answer: uint8 ``[B, S]``.
        columns: columns of the grid.
    """
    is_path = answer == PATH
    claimed = answer >= START
    degree = neighbour_count(claimed.view(np.uint8), columns)
    kept = (answer == batch.puzzle) | (is_path & (batch.puzzle == FREE))
    # S and G need one neighbour, a path cell needs two.
    sound = claimed & kept & (degree == is_path.view(np.uint8) + np.uint8(1))
    claimed |= ~kept
    wanted = _count(batch.solution == PATH) + 2
    num_sound, num_claimed = _count(sound), _count(claimed)
    success = (num_sound == num_claimed) & (num_claimed == wanted)
    score = np.minimum(num_sound, wanted) / np.maximum(num_claimed, wanted)
    return Verdict(success, score.astype(np.float32))


def _count(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number of true cells ``[B]`` in each row of a mask ``[B, S]``, for ``S < 2**16``."""
    # Summing bytes as uint16 is four times as fast as numpy's sum of a bool array.
    return mask.view(np.uint8).sum(axis=1, dtype=np.uint16).astype(np.int32)
