"""Families of reasoning-gym (https://pypi.org/project/reasoning-gym) whose puzzles and answers are grids.

Importing this module registers them: ``gym.make("hrm_envs.reasoning_gym:ReasoningGym/BinaryMatrix-5x5-v0")``. Puzzles
come from the generators of reasoning-gym, and its verifiers grade the answers. It is imported when an environment is
made, and must be installed (``pip install reasoning-gym``).
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_envs.registration import register_task
from hrm_envs.spec import MARK_NONE, MARK_RIGHT, MARK_WRONG, PAD, TaskSpec, Tokens
from hrm_envs.task import PuzzleBatch, Task, Verdict

_DIGITS = tuple("0123456789")
#: Symbol of padding.
_PADDING = "?"
#: Bounds of the seeds that reasoning-gym is given.
_SEEDS = 2**31

Grid = NDArray[np.int64]


class ReasoningGymTask(Task):
    """A dataset of reasoning-gym.

    A subclass says how an entry becomes two grids of symbols, and what the verifier needs to grade an answer.

    Args:
        spec: name, shape and symbols.
        dataset: name of the dataset.
        config: its settings, which must give all puzzles the shape of ``spec``.
    """

    default_num_puzzles = {"train": 1000, "test": 200}  # noqa: RUF012

    def __init__(self, spec: TaskSpec, dataset: str, **config: Any) -> None:
        self.spec = spec
        self._name, self._config = dataset, config

    @abstractmethod
    def grids(self, entry: dict[str, Any]) -> tuple[Grid, Grid]:
        """Puzzle and solution of an entry as tokens, ``[rows, columns]`` each."""

    @abstractmethod
    def entry(self, puzzle: Grid, solution: Grid) -> dict[str, Any]:
        """The parts of an entry that the verifier reads, from its two grids."""

    @abstractmethod
    def text(self, answer: Grid) -> str:
        """An answer as the verifier expects it."""

    def sample(self, rng: np.random.Generator, num: int) -> PuzzleBatch:
        """See :meth:`Task.sample`."""
        entries = self._dataset(seed=int(rng.integers(_SEEDS)), size=num)
        # [num, 2, rows, columns]
        grids = np.array([self.grids(entry) for entry in entries], np.uint8).reshape(num, 2, self.spec.num_cells)
        return PuzzleBatch(grids[:, 0], grids[:, 1])

    def verify(self, batch: PuzzleBatch, answer: Tokens) -> Verdict:
        """Ask the verifier of reasoning-gym. Answers that change a cell that is given are wrong."""
        rows, columns = self.spec.grid_shape
        kept = ((answer == batch.puzzle) | self.editable(batch.puzzle)).all(axis=1) & (answer != PAD).all(axis=1)
        score = np.zeros(len(batch), np.float32)
        for row in np.flatnonzero(kept):
            puzzle, solution, found = (
                grid[row].astype(np.int64).reshape(rows, columns) for grid in (batch.puzzle, batch.solution, answer)
            )
            score[row] = self._verifier.score_answer(self.text(found), self.entry(puzzle, solution))
        return Verdict(score >= 1.0, score.clip(0.0, 1.0))

    @cached_property
    def _verifier(self) -> Any:
        return self._dataset(seed=0, size=1)

    def _dataset(self, **settings: int) -> Any:
        try:
            import reasoning_gym
        except ImportError as error:
            raise ImportError(f"{self.spec.name} needs reasoning-gym: pip install reasoning-gym ({error})") from error
        return reasoning_gym.create_dataset(self._name, **self._config, **settings)


def _lines(digits: Grid) -> str:
    """A grid of numbers as lines of numbers."""
    return "\n".join(" ".join(map(str, row)) for row in digits.tolist())


class _Matrix(ReasoningGymTask):
    """A matrix of digits that is turned into another one by a rule: digit d is token d + 1."""

    def __init__(self, title: str, size: int, dataset: str, **config: Any) -> None:
        spec = TaskSpec(f"{title} {size}x{size}", (size, size), (_PADDING, *_DIGITS))
        super().__init__(spec, dataset, min_n=size, max_n=size, **config)

    def grids(self, entry: dict[str, Any]) -> tuple[Grid, Grid]:
        """See :class:`ReasoningGymTask`."""
        data = entry["metadata"]
        return np.array(data["matrix"]) + 1, np.array(data["solution"]).reshape(self.spec.grid_shape) + 1

    def entry(self, puzzle: Grid, solution: Grid) -> dict[str, Any]:
        """See :class:`ReasoningGymTask`."""
        return {"answer": self.text(solution)}

    def text(self, answer: Grid) -> str:
        """See :class:`ReasoningGymTask`."""
        return _lines(answer - 1)


class BinaryMatrix(_Matrix):
    """Write the distance to the nearest 0 into every cell of a matrix of zeros and ones."""

    def __init__(self, size: int = 5, p_zero: float = 0.25) -> None:
        super().__init__("Binary matrix", size, "binary_matrix", p_zero=p_zero)


class RotateMatrix(_Matrix):
    """Turn a matrix of digits clockwise, by as many quarter turns for all puzzles."""

    def __init__(self, size: int = 4, rotations: int = 1) -> None:
        super().__init__("Rotate matrix", size, "rotate_matrix", min_rotations=rotations, max_rotations=rotations)


class SpiralMatrix(_Matrix):
    """Read a matrix of digits along a spiral from the corner to the middle, and write it down row by row."""

    def __init__(self, size: int = 4) -> None:
        super().__init__("Spiral matrix", size, "spiral_matrix")

    def text(self, answer: Grid) -> str:
        """One line with all numbers."""
        return _lines((answer - 1).reshape(1, -1))


class MiniSudoku(ReasoningGymTask):
    """4x4 Sudoku: digit d is token d + 1, and a blank token 1."""

    def __init__(self, min_empty: int = 8, max_empty: int = 12) -> None:
        spec = TaskSpec("Mini Sudoku", (4, 4), (_PADDING, ".", *"1234"))
        super().__init__(spec, "mini_sudoku", min_empty=min_empty, max_empty=max_empty)

    def editable(self, puzzle: Tokens) -> NDArray[np.bool_]:
        """The blanks."""
        return puzzle == 1

    def grids(self, entry: dict[str, Any]) -> tuple[Grid, Grid]:
        """See :class:`ReasoningGymTask`."""
        return np.array(entry["metadata"]["puzzle"]) + 1, np.array(entry["metadata"]["solution"]) + 1

    def entry(self, puzzle: Grid, solution: Grid) -> dict[str, Any]:
        """See :class:`ReasoningGymTask`."""
        return {"answer": self.text(solution), "metadata": {"solution": (solution - 1).tolist()}}

    def text(self, answer: Grid) -> str:
        """See :class:`ReasoningGymTask`."""
        return _lines(answer - 1)


class GameOfLife(ReasoningGymTask):
    """Conway's Game of Life on a torus, some steps ahead: ``.`` is dead and ``#`` alive."""

    default_num_puzzles = {"train": 500, "test": 100}  # noqa: RUF012  (its generator takes 20 ms for each)

    def __init__(self, size: int = 6, filled_cells: int = 12, steps: int = 1) -> None:
        spec = TaskSpec(f"Game of Life {size}x{size}", (size, size), (_PADDING, ".", "#"))
        sizes = {"grid_size_x": size, "grid_size_y": size}
        super().__init__(spec, "game_of_life", **sizes, filled_cells=filled_cells, simulation_steps=steps)

    def grids(self, entry: dict[str, Any]) -> tuple[Grid, Grid]:
        """The board stands in the question alone."""
        *_, board = re.findall(r"\[\[[\d,\s\[\]]*\]\]", entry["question"])  # before it come examples
        return np.array(json.loads(board)) + 1, np.array(json.loads(entry["answer"])) + 1

    def entry(self, puzzle: Grid, solution: Grid) -> dict[str, Any]:
        """See :class:`ReasoningGymTask`."""
        return {"answer": self.text(solution)}

    def text(self, answer: Grid) -> str:
        """See :class:`ReasoningGymTask`."""
        return json.dumps((answer - 1).tolist())


class Kakurasu(ReasoningGymTask):
    """Fill cells so that the numbers of the filled columns add up to the sum of each row, and of the rows likewise.

    The last row and the last column show the sums, A for 10 and so on. A puzzle may have several solutions.
    """

    grades_without_solution = True
    _SYMBOLS = (_PADDING, ".", "x", "-", " ", *_DIGITS, *"ABCDEF")
    _BLANK, _FILLED, _EMPTY, _CORNER, _ZERO = 1, 2, 3, 4, 5

    def __init__(self, size: int = 4, p_ones: float = 0.4) -> None:
        if not 2 <= size <= 5:
            raise ValueError(f"size must be from 2 to 5, got {size!r}: larger sums have no symbol")
        spec = TaskSpec(f"Kakurasu {size}x{size}", (size + 1, size + 1), self._SYMBOLS)
        bounds = {f"{end}_{side}": size for end in ("min", "max") for side in ("rows", "cols")}
        super().__init__(spec, "kakurasu", **bounds, p_ones=p_ones)

    def editable(self, puzzle: Tokens) -> NDArray[np.bool_]:
        """The cells to fill, and not the sums."""
        return puzzle == self._BLANK

    def mark(self, batch: PuzzleBatch, answer: Tokens) -> NDArray[np.uint8]:
        """A cell is right where the sums of its row and its column are."""
        shape = (len(batch), *self.spec.grid_shape)
        puzzle, cells = batch.puzzle.reshape(shape).astype(np.int64), answer.reshape(shape)[:, :-1, :-1]
        filled = (cells == self._FILLED) * 1
        numbers = np.arange(1, cells.shape[1] + 1)
        rows = filled @ numbers == puzzle[:, :-1, -1] - self._ZERO
        columns = numbers @ filled == puzzle[:, -1, :-1] - self._ZERO
        marks = np.full(shape, MARK_NONE, np.uint8)
        marks[:, :-1, :-1] = np.where(rows[:, :, None] & columns[:, None], MARK_RIGHT, MARK_WRONG)
        marks[:, :-1, :-1][~np.isin(cells, (self._FILLED, self._EMPTY))] = MARK_NONE
        return marks.reshape(answer.shape)

    def grids(self, entry: dict[str, Any]) -> tuple[Grid, Grid]:
        """See :class:`ReasoningGymTask`."""
        data = entry["metadata"]
        puzzle = np.full(self.spec.grid_shape, self._BLANK)
        puzzle[:-1, -1] = np.array(data["row_sums"]) + self._ZERO
        puzzle[-1, :-1] = np.array(data["col_sums"]) + self._ZERO
        puzzle[-1, -1] = self._CORNER
        solution = puzzle.copy()
        solution[:-1, :-1] = np.where(np.array(data["solution"]) == 1, self._FILLED, self._EMPTY)
        return puzzle, solution

    def entry(self, puzzle: Grid, solution: Grid) -> dict[str, Any]:
        """See :class:`ReasoningGymTask`."""
        rows, columns = (side - 1 for side in self.spec.grid_shape)
        sums = {"row_sums": puzzle[:-1, -1], "col_sums": puzzle[-1, :-1]}
        numbers = {name: (tokens - self._ZERO).tolist() for name, tokens in sums.items()}
        return {"metadata": {**numbers, "n_rows": rows, "n_cols": columns}}

    def text(self, answer: Grid) -> str:
        """Cells that are neither filled nor empty make the answer wrong."""
        cells = answer[:-1, :-1]
        if not np.isin(cells, (self._FILLED, self._EMPTY)).all():
            return ""
        return _lines((cells == self._FILLED).astype(np.int64))


#: The environments, by id.
IDS: dict[str, type[ReasoningGymTask]] = {
    "ReasoningGym/BinaryMatrix-5x5-v0": BinaryMatrix,
    "ReasoningGym/RotateMatrix-4x4-v0": RotateMatrix,
    "ReasoningGym/SpiralMatrix-4x4-v0": SpiralMatrix,
    "ReasoningGym/MiniSudoku-v0": MiniSudoku,
    "ReasoningGym/GameOfLife-6x6-v0": GameOfLife,
    "ReasoningGym/Kakurasu-4x4-v0": Kakurasu,
}

for _id, _task in IDS.items():
    register_task(_id, _task, max_segments=8)
