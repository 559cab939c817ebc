"""The mazes that are walked in: split by what a walker sees, wherever it starts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrm_envs.maze.task import MazeTask
from hrm_envs.maze.tokens import FREE, START
from hrm_envs.spec import Tokens


class WalkMazeTask(MazeTask):
    """Mazes whose symmetry class is that of walls and G alone.

    A walk may begin anywhere (``exploring_starts``), and a network may look at the maze without the walker. Two mazes
    that differ in S alone would then be the same to it, so they belong to the same split.
    """

    def symmetry_key(self, puzzle: Tokens) -> NDArray[np.uint64]:
        """As of :class:`MazeTask`, with S taken for a free cell."""
        return super().symmetry_key(np.where(puzzle == START, FREE, puzzle))
