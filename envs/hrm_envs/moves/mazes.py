"""The mazes of walks, split by what a walker sees, wherever it starts and whichever doors there are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrm_envs.maze.task import MazeTask
from hrm_envs.maze.tokens import FREE, START
from hrm_envs.puzzles.splits import Split, keys_in_split
from hrm_envs.spec import Tokens
from hrm_envs.streams import Words

#: Chosen so that each split gets one of the four 5x5 mazes, and training two.
_SALT = np.uint64(6)


class WalkMazeTask(MazeTask):
    """Mazes whose symmetry class is that of walls and G alone.

    A walk may begin anywhere (``exploring_starts``), and a network may look at the maze without the walker. Two mazes
    that differ in S alone would then be the same to it, so they belong to the same split.
    """

    def symmetry_key(self, puzzle: Tokens) -> NDArray[np.uint64]:
        """As that of :class:`MazeTask`, with S replaced by a free cell."""
        return view_key(self, puzzle)


def view_key(task: MazeTask, grid: Tokens) -> Words:
    """A key uint64 ``[B]``, equal for symmetric copies of grids (uint8 ``[B, S]``) that differ in S at most."""
    return MazeTask.symmetry_key(task, np.where(grid == START, np.uint8(FREE), grid)) + _SALT


def view_in_split(task: MazeTask, grid: Tokens, split: Split) -> NDArray[np.bool_]:
    """Whether grids (uint8 ``[B, S]``), whose doors all have the same token, belong to ``split``: bool ``[B]``.

    Doors hide whether the cell below is wall or free, so walks in mazes of different splits can look the same. To keep
    the splits apart, what is seen needs to be in the split as well.
    """
    return keys_in_split(view_key(task, grid), split)
