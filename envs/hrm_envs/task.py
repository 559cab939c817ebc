"""The contract of a reasoning task: what a user writes to get a new environment.

A :class:`Task` makes puzzles and judges answers, both in batches of numpy arrays. Everything else (episodes,
splits, rewards, vectorisation, rendering, seeding) is done for it by the rest of the package.

Shapes: ``B`` is a batch of puzzles and ``S = rows * columns`` the cells of the grid in row-major order. A cell
holds a token, an integer in ``[0, V)`` stored as uint8; token 0 is padding and means "nothing here".
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from hrm_envs.checks import shown
from hrm_envs.spec import MARK_NONE, MARK_RIGHT, MARK_WRONG, PAD, TaskSpec, Tokens
from hrm_envs.streams import Draws, hash_rows

if TYPE_CHECKING:
    from hrm_envs.rendering.board import Board


@dataclass(frozen=True)
class PuzzleBatch:
    """Puzzles with one right answer each. Rows are independent."""

    #: uint8 ``[B, S]``, what the agent sees.
    puzzle: Tokens
    #: uint8 ``[B, S]``, one right answer. Others may exist: the verifier decides, not this array. All padding where it
    #: is withheld.
    solution: Tokens
    #: int32 ``[B]``, identity of the task instance (ARC); 0 where the task has none.
    task_id: NDArray[np.int32] = field(default=None)  # type: ignore[arg-type]
    #: int32 ``[B]``, which example of its task a row is, as the task numbers them; 0 where it does not.
    example: NDArray[np.int32] = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        for name in ("task_id", "example"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.zeros(len(self.puzzle), np.int32))

    def __len__(self) -> int:
        return len(self.puzzle)

    def take(self, index: NDArray[Any] | slice) -> PuzzleBatch:
        """The rows that ``index`` (integers, a mask or a slice) selects."""
        return PuzzleBatch(self.puzzle[index], self.solution[index], self.task_id[index], self.example[index])

    def labelled(self, num: int) -> PuzzleBatch:
        """The same puzzles, of which only the first ``num`` keep their solution; those of the others are zeros."""
        solution = np.zeros_like(self.solution)
        solution[:num] = self.solution[:num]
        return PuzzleBatch(self.puzzle, solution, self.task_id, self.example)

    def copy(self) -> PuzzleBatch:
        """The same rows in memory of their own."""
        return PuzzleBatch(self.puzzle.copy(), self.solution.copy(), self.task_id.copy(), self.example.copy())

    def digest(self) -> str:
        """SHA-256 of all rows, hexadecimal: equal exactly for the same puzzles in the same order."""
        state = hashlib.sha256()
        for array in (self.puzzle, self.solution, self.task_id):
            state.update(f"{array.shape}{array.dtype.str}".encode())
            state.update(np.ascontiguousarray(array).tobytes())
        return state.hexdigest()

    @staticmethod
    def concatenate(batches: Sequence[PuzzleBatch]) -> PuzzleBatch:
        """One batch of all rows, in order."""
        return PuzzleBatch(
            np.concatenate([b.puzzle for b in batches]),
            np.concatenate([b.solution for b in batches]),
            np.concatenate([b.task_id for b in batches]),
            np.concatenate([b.example for b in batches]),
        )


@dataclass(frozen=True)
class Verdict:
    """What the verifier says of a batch of answers."""

    #: bool ``[B]``, the answer is right.
    success: NDArray[np.bool_]
    #: float32 ``[B]`` in [0, 1], partial credit; 1 exactly where ``success``.
    score: NDArray[np.float32]


class Task(ABC):
    """A family of puzzles. Subclass it, write :meth:`sample` and :meth:`verify`, and register it.

    A subclass sets :attr:`spec` in its constructor; the constructor's keywords become keywords of the
    environment (one named ``puzzles`` takes the environment's own keyword of that name over). A task with a fixed
    collection of puzzles writes :meth:`stored` instead of :meth:`sample`.

    Override :meth:`augment` and :meth:`symmetry_key` together where the puzzle has symmetries, :meth:`complete` to
    let users play puzzles of their own, and :meth:`draw` to paint more than symbols.
    """

    spec: TaskSpec
    #: How many puzzles an environment holds unless told otherwise, for each split.
    #: Of no meaning to a task with stored puzzles, whose environment holds them all.
    default_num_puzzles: dict[str, int] = {"train": 1000, "test": 1000}  # noqa: RUF012 (overridden, not changed)
    #: Whether :meth:`verify`, :meth:`augment` and :meth:`mark` do without ``batch.solution``, so that the keyword
    #: ``num_labelled`` of the environment can withhold it.
    grades_without_solution: bool = False
    #: How many views of a puzzle the keyword ``views`` of the environment can ask for, for :meth:`ensemble`.
    max_views: int = 1

    def sample(self, rng: np.random.Generator, num: int) -> PuzzleBatch:
        """Draw about ``num`` puzzles (at least one), with all randomness from ``rng``.

        Called when an environment is made, not at every reset. Duplicates and both splits may be among them:
        the caller removes what it does not want and asks again. The default draws from the stored puzzles.
        """
        stored = [batch for batch in (self.stored("train"), self.stored("test")) if batch is not None]
        if not stored:
            raise TypeError(f"{type(self).__name__} must define sample (or stored)")
        collection = PuzzleBatch.concatenate(stored)
        return collection.take(rng.integers(len(collection), size=num))

    def stored(self, split: Literal["train", "test"]) -> PuzzleBatch | None:
        """All puzzles of a split, for a task with a fixed collection; None (the default) for one that samples.

        The task itself answers for the two splits having no puzzle in common.
        """
        return None

    @abstractmethod
    def verify(self, batch: PuzzleBatch, answer: Tokens) -> Verdict:
        """Judge ``answer`` (uint8 ``[B, S]``) on each row of ``batch``; must accept every right answer."""

    def augment(self, batch: PuzzleBatch, draws: Draws) -> PuzzleBatch:
        """Apply a random symmetry to each row, drawn from that row's stream. The default changes nothing."""
        return batch

    def symmetry_key(self, puzzle: Tokens) -> NDArray[np.uint64]:
        """A number ``[B]`` that is equal for puzzles (uint8 ``[B, S]``) which :meth:`augment` can exchange.

        Splits are cut by this number, so no puzzle of one split is a symmetric copy of one in the other.
        """
        return hash_rows(puzzle)

    @property
    def answer_tokens(self) -> Tokens:
        """The tokens that an agent may write into an editable cell, uint8 ``[V']``, ascending.

        For views that edit cell by cell. The default is every token but padding: a task whose answers hold padding
        where the puzzle has something else must say so.
        """
        return np.arange(1, self.spec.vocab_size, dtype=np.uint8)

    def editable(self, puzzle: Tokens) -> NDArray[np.bool_]:
        """Which cells of puzzles (uint8 ``[B, S]``) are not given, bool ``[B, S]``; all of them by default."""
        return np.ones(puzzle.shape, np.bool_)

    def complete(self, puzzle: Tokens) -> PuzzleBatch:
        """Check puzzles (uint8 ``[B, S]``) that came from outside and solve them.

        Raises:
            ValueError: a puzzle is malformed or has no (unique) solution; the text names row, cell and reason.
        """
        raise ValueError(f"{self.spec.name} cannot solve puzzles from outside: give the solutions too")

    def parse(self, text: str) -> Tokens:
        """Read puzzles from text: uint8 ``[N, S]``. The default takes the symbols of :attr:`spec`, a line a row
        or a whole puzzle a line.

        Raises:
            ValueError: a character is not a symbol or a puzzle is not full; the text names line and column.
        """
        codes = {symbol: token for token, symbol in enumerate(self.spec.symbols)}
        cells: list[int] = []
        for number, line in enumerate(text.splitlines(), 1):
            for column, character in enumerate(line, 1):
                if character not in codes:
                    known = shown("".join(self.spec.symbols))
                    raise ValueError(f"line {number}, column {column}: {character!r} is none of {known}")
                cells.append(codes[character])
        size = self.spec.num_cells
        if not cells or len(cells) % size:
            raise ValueError(f"{len(cells)} cells are not a whole number of {self.spec.name} puzzles of {size}")
        return np.array(cells, np.uint8).reshape(-1, size)

    def format(self, tokens: Tokens) -> str:
        """One grid (uint8 ``[S]``) as text, a line a row."""
        columns = self.spec.grid_shape[1]
        text = "".join(self.spec.symbols[token] for token in tokens)
        return "\n".join(text[i : i + columns] for i in range(0, len(text), columns))

    def context_spaces(self) -> Mapping[str, spaces.Box]:
        """Spaces of further entries of the observation, 1-D each; none by default."""
        return {}

    def context(self, batch: PuzzleBatch) -> Mapping[str, NDArray[Any]]:
        """Those entries for each row ``[B, ...]``, as fresh arrays: what the agent may read beside the puzzle.

        Must not depend on ``batch.solution``.
        """
        return {}

    def ensemble(self, batch: PuzzleBatch, answer: Tokens, halt_probability: NDArray[np.float32]) -> Ensemble | None:
        """Combine answers to several views of the same puzzles, for a task that has views.

        Args:
            batch: the views, in the order of the environment's puzzles.
            answer: uint8 ``[B, S]``, the answer to each.
            halt_probability: float32 ``[B]`` in [0, 1], how sure the agent was of it.

        Returns:
            None (the default) for a task whose puzzles have one view.
        """
        return None

    def check(self, batch: PuzzleBatch) -> None:
        """Check puzzles that came from outside with their solutions. The default asks the verifier.

        Raises:
            ValueError: a solution does not solve its puzzle; the text names the first such row.
        """
        wrong = np.flatnonzero(~self.verify(batch, batch.solution).success)
        if len(wrong):
            raise ValueError(f"puzzle {wrong[0]}: its solution does not solve it ({len(wrong)} such in all)")

    def mark(self, batch: PuzzleBatch, answer: Tokens) -> NDArray[np.uint8]:
        """Judge each cell for display: ``MARK_NONE`` (given or empty), ``MARK_RIGHT`` or ``MARK_WRONG``.

        uint8 ``[B, S]``. The default compares the cells that the solution changes with the solution.
        """
        asked = (batch.puzzle != batch.solution) | (answer != batch.puzzle)
        marks = np.where(answer == batch.solution, MARK_RIGHT, MARK_WRONG)
        return np.where(asked & (answer != PAD), marks, MARK_NONE).astype(np.uint8)

    def draw(self, board: Board) -> None:
        """Paint one puzzle and the current answer. The default writes each cell's symbol."""
        board.draw_symbols()


class Ensemble(Protocol):
    """A combined result that can be reported and written."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Figures by name, such as ``{"pass@2": 0.4}``: for tables, JSON and TensorBoard."""
        ...

    def write(self, folder: Path) -> list[Path]:
        """Write the result's files (predictions, pictures) into ``folder``, which exists; returns their paths."""
        ...
