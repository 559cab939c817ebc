"""The specification of a task: name, grid shape, symbols, marks and task identities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import shown, whole_number
from hrm_envs.limits import MAX_CELLS, MAX_TASK_IDS, MAX_TOKENS

Tokens = NDArray[np.uint8]

PAD = 0

#: Cell marks, the values of :meth:`Task.mark`.
MARK_NONE, MARK_RIGHT, MARK_WRONG = 0, 1, 2


@dataclass(frozen=True)
class IdTable:
    """The meaning of each task identity. A trained task embedding is useless without it.

    Identity 0 means "none"; copy ``k`` of task ``i`` has identity ``1 + i * copies + k``.
    """

    #: Task names, in order.
    tasks: tuple[str, ...]
    #: Number of copies of each task with their own identity, such as augmentations; copy 0 is the original.
    copies: int = 1
    #: Seed of the copies.
    seed: int = 0

    def __len__(self) -> int:
        return 1 + len(self.tasks) * self.copies


@dataclass(frozen=True)
class TaskSpec:
    """The sizes and symbols of a task, from which agents derive their own."""

    #: Short name for tables and window titles, such as ``"Sudoku 4x4"``.
    name: str
    #: Rows and columns of the grid.
    grid_shape: tuple[int, int]
    #: One character per token; ``symbols[0]`` is padding. ``V = len(symbols)``.
    symbols: tuple[str, ...]
    #: The task identities; None if the task has none.
    id_table: IdTable | None = None

    def __post_init__(self) -> None:
        """Check the sizes.

        Raises:
            ValueError: the grid, the symbols or the identity table is empty or exceeds :mod:`hrm_envs.limits`.
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
        """Number of task identities, including 0 for "none": a task without identities has 1."""
        # Not len(id_table): len() raises OverflowError for very large numbers.
        return 1 if self.id_table is None else 1 + len(self.id_table.tasks) * self.id_table.copies

    @property
    def num_cells(self) -> int:
        """``S``, the number of cells."""
        return self.grid_shape[0] * self.grid_shape[1]

    @property
    def vocab_size(self) -> int:
        """``V``, the number of tokens, including padding."""
        return len(self.symbols)
