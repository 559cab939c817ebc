"""What everything else may know of a task: its name, grid, alphabet, marks and identities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import shown, whole_number
from hrm_envs.limits import MAX_CELLS, MAX_TASK_IDS, MAX_TOKENS

if TYPE_CHECKING:
    pass

Tokens = NDArray[np.uint8]

PAD = 0

#: Cell marks, the values of :meth:`Task.mark`.
MARK_NONE, MARK_RIGHT, MARK_WRONG = 0, 1, 2


@dataclass(frozen=True)
class IdTable:
    """What each task identity stands for: the table that a trained task embedding must never be parted from.

    Identity 0 means "none"; copy ``k`` of task ``i`` has identity ``1 + i * copies + k``.
    """

    #: The names of the tasks, in order.
    tasks: tuple[str, ...]
    #: Copies of each task with an identity of their own, such as its augmentations; copy 0 is the task itself.
    copies: int = 1
    #: Seed from which the copies are drawn.
    seed: int = 0

    def __len__(self) -> int:
        return 1 + len(self.tasks) * self.copies


@dataclass(frozen=True)
class TaskSpec:
    """The sizes and the alphabet of a task, from which agents take theirs."""

    #: Short name for tables and window titles, such as ``"Sudoku 4x4"``.
    name: str
    #: Rows and columns of the grid.
    grid_shape: tuple[int, int]
    #: The text of every token, one character each; ``symbols[0]`` is padding. ``V = len(symbols)``.
    symbols: tuple[str, ...]
    #: What the task identities stand for; None if there are none.
    id_table: IdTable | None = None

    def __post_init__(self) -> None:
        """Check the sizes.

        Raises:
            ValueError: the grid, the alphabet or the table of identities is empty or larger than anything here can
                work with; see :mod:`hrm_envs.limits`.
        """
        try:
            rows, columns = self.grid_shape
        except (TypeError, ValueError):
            raise ValueError(f"grid_shape={shown(self.grid_shape)} must be (rows, columns)") from None
        rows, columns = (whole_number("grid_shape", size, 1, MAX_CELLS) for size in (rows, columns))
        whole_number(f"grid_shape={rows} x {columns}: its number of cells", rows * columns, 1, MAX_CELLS)
        whole_number("symbols: their number", len(self.symbols), 1, MAX_TOKENS)
        whole_number("id_table: its number of identities", self.num_task_ids, 1, MAX_TASK_IDS)

    @property
    def num_task_ids(self) -> int:
        """Number of task identities; identity 0 means "none", so 1 is a task without identities."""
        # Not len(), which refuses very large numbers in words of its own.
        return 1 if self.id_table is None else 1 + len(self.id_table.tasks) * self.id_table.copies

    @property
    def num_cells(self) -> int:
        """``S``, the cells of the grid."""
        return self.grid_shape[0] * self.grid_shape[1]

    @property
    def vocab_size(self) -> int:
        """``V``, the number of tokens, padding included."""
        return len(self.symbols)
