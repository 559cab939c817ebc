"""Judging answers without a search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrm_envs.maze.tokens import FREE, PATH, START
from hrm_envs.spec import Tokens
from hrm_envs.task import PuzzleBatch, Verdict


def neighbour_count(cells: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """How many of the four neighbours of each cell are set.

    Args:
        cells: uint8 ``[B, S]``, 0 or 1, grids in row-major order.
        columns: columns of the grid.

    Returns:
        uint8 ``[B, S]``.
    """
    # Shifts of whole rows stay one long run of bytes, which numpy adds fast; a step sideways would wrap
    # around into the next grid row, so the cells of the last and the first column are taken out for it.
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

    1. it equals the puzzle but for free cells that became path;
    2. S and G have one neighbour each among path, S and G, and every path cell has two;
    3. it has as many path cells as ``batch.solution``, which is a shortest path.

    Why this is enough: take path, S and G as the nodes of a graph and join neighbours. By 2 every node
    has degree two except S and G, which have one, so the graph is one simple path from S to G and, perhaps,
    cycles apart from it. The path from S to G is a walk through the maze, so it alone has at least as many
    path cells as a shortest one. By 3 that is all there are: no cell is left for a cycle, and the path is
    shortest.

    Why it is necessary: if two cells of a shortest path were neighbours without being consecutive, stepping
    across would be shorter. So each has exactly its predecessor and its successor as neighbours.

    The score is the share of cells that are as they should be. Call a cell *claimed* if it is path, S or G
    in the answer, or was changed against 1; it is *sound* if it is path, S or G, and 1 and 2 hold there. With
    ``n`` the path cells of the solution, the score is ``min(sound, n + 2) / max(claimed, n + 2)``: 1 only if
    nothing claimed is unsound and there are ``n + 2`` of them, which is 1 to 3 again. (The cap in the
    numerator denies a flawless detour the full score.)

    Args:
        batch: puzzles with a shortest path each.
        answer: uint8 ``[B, S]``.
        columns: columns of the grid.
    """
    is_path = answer == PATH
    claimed = answer >= START
    degree = neighbour_count(claimed.view(np.uint8), columns)
    kept = (answer == batch.puzzle) | (is_path & (batch.puzzle == FREE))
    # S and G ask for one neighbour, a path cell for one more.
    sound = claimed & kept & (degree == is_path.view(np.uint8) + np.uint8(1))
    claimed |= ~kept
    wanted = _count(batch.solution == PATH) + 2
    num_sound, num_claimed = _count(sound), _count(claimed)
    success = (num_sound == num_claimed) & (num_claimed == wanted)
    score = np.minimum(num_sound, wanted) / np.maximum(num_claimed, wanted)
    return Verdict(success, score.astype(np.float32))


def _count(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Set cells ``[B]`` of each row of a mask ``[B, S]``, for ``S < 2**16``."""
    # Summing bytes as uint16 is four times as fast as numpy's sum of a bool array.
    return mask.view(np.uint8).sum(axis=1, dtype=np.uint16).astype(np.int32)
