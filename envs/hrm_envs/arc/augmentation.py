"""Augmented copies of a task: a symmetry of the square and a permutation of the colours except black.

The augmentation of a copy depends only on the name of the task, the seed and the index of the copy, so that the same
identities mean the same augmentations everywhere and for any set of tasks.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrm_envs.arc.grids import NUM_COLOURS, Grid
from hrm_envs.spec import IdTable
from hrm_envs.streams import Draws

#: The symmetries of the square: symmetry ``k`` transposes if ``k >= 4``, then makes ``k % 4`` quarter turns.
NUM_SYMMETRIES = 8
#: The inverse of each symmetry.
INVERSE = (0, 3, 2, 1, 4, 5, 6, 7)


def turn(grid: Grid, symmetry: int) -> Grid:
    """A grid ``[height, width]`` transformed by a symmetry, see :data:`NUM_SYMMETRIES`."""
    return np.rot90(grid.T if symmetry >= 4 else grid, symmetry % 4)


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of one copy of a task."""

    #: In [0, 8), see :func:`turn`.
    symmetry: int
    #: uint8 ``[10]``, the new colour of each colour; 0 stays 0.
    colours: NDArray[np.uint8]

    def apply(self, grid: Grid) -> Grid:
        """Augment a grid."""
        return self.colours[turn(grid, self.symmetry)]

    def undo(self, grid: Grid) -> Grid:
        """Invert :meth:`apply`."""
        return turn(self.colours.argsort().astype(np.uint8)[grid], INVERSE[self.symmetry])


class AugmentationTable:
    """The augmentation of each identity of a table. Copy 0 of each task is the task itself.

    Attributes:
        symmetry: uint8 ``[N]`` for ``N`` identities; identity 0 changes nothing.
        colours: uint8 ``[N, 10]``.
    """

    def __init__(self, table: IdTable) -> None:
        self.symmetry = np.zeros(len(table), np.uint8)
        self.colours = np.tile(np.arange(NUM_COLOURS, dtype=np.uint8), (len(table), 1))
        copies = np.arange(table.copies)
        for number, name in enumerate(table.tasks):
            first = 1 + number * table.copies
            key = np.uint64(zlib.crc32(name.encode()) | table.seed << 32)
            draws = Draws(np.full(table.copies, key), copies)
            rows = slice(first + 1, first + table.copies)
            self.symmetry[rows] = draws.integers(NUM_SYMMETRIES)[1:]
            self.colours[rows, 1:] = 1 + draws.permutations(NUM_COLOURS - 1)[1:]

    def __getitem__(self, task_id: int) -> Augmentation:
        return Augmentation(int(self.symmetry[task_id]), self.colours[task_id])
