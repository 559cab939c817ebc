"""The interface of a reasoning task: what a user implements to get a new environment.

A :class:`Task` makes puzzles and grades answers, both in batches of numpy arrays. The rest of the package provides
everything else: episodes, splits, rewards, vectorisation, rendering and seeding.

Shapes: ``B`` is the batch size and ``S = rows * columns`` the number of cells of the grid, in row-major order. A cell
holds a token, an integer in ``[0, V)`` stored as uint8; token 0 is padding.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from hrm_envs.checks import shown
from hrm_envs.spec import MARK_NONE, MARK_RIGHT, MARK_WRONG, PAD, TaskSpec, Tokens
from hrm_envs.streams import Draws, hash_rows
from hrm_envs.text_form import TextForm

if TYPE_CHECKING:
    from hrm_envs.rendering.board import Board


@dataclass(frozen=True)
class PuzzleBatch:
    """Puzzles with one right answer each. Rows are independent."""

    #: uint8 ``[B, S]``, what the agent sees.
    puzzle: Tokens
    #: uint8 ``[B, S]``, one right answer. There may be others: the verifier decides. All padding if withheld.
    solution: Tokens
    #: int32 ``[B]``, task identity (ARC); 0 for tasks without identities.
    task_id: NDArray[np.int32] = field(default=None)  # type: ignore[arg-type]
    #: int32 ``[B]``, index of the example within its task (ARC); 0 for other tasks.
    example: NDArray[np.int32] = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        for name in ("task_id", "example"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.zeros(len(self.puzzle), np.int32))

    def __len__(self) -> int:
        return len(self.puzzle)

    def take(self, index: NDArray[Any] | slice) -> PuzzleBatch:
        """The rows selected by ``index`` (integers, a mask or a slice)."""
        return self._map(lambda array: array[index])

    def labelled(self, num: int) -> PuzzleBatch:
        """The same puzzles; only the first ``num`` keep their solution, the others get zeros."""
        solution = np.zeros_like(self.solution)
        solution[:num] = self.solution[:num]
        return replace(self, solution=solution)

    def copy(self) -> PuzzleBatch:
        """A copy that shares no memory."""
        return self._map(np.ndarray.copy)

    def digest(self) -> str:
        """SHA-256 of all rows, hexadecimal: equal only for the same puzzles in the same order."""
        state = hashlib.sha256()
        for array in (self.puzzle, self.solution, self.task_id):
            state.update(f"{array.shape}{array.dtype.str}".encode())
            state.update(np.ascontiguousarray(array).tobytes())
        return state.hexdigest()

    @staticmethod
    def concatenate(batches: Sequence[PuzzleBatch]) -> PuzzleBatch:
        """All rows in one batch, in order."""
        return PuzzleBatch(*map(np.concatenate, zip(*(batch._arrays for batch in batches), strict=True)))

    def _map(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> PuzzleBatch:
        return PuzzleBatch(*map(function, self._arrays))

    @property
    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return self.puzzle, self.solution, self.task_id, self.example


@dataclass(frozen=True)
class Verdict:
    """The verifier's result for a batch of answers."""

    #: bool ``[B]``, whether the answer is right.
    success: NDArray[np.bool_]
    #: float32 ``[B]`` in [0, 1], partial credit; 1 exactly where ``success``.
    score: NDArray[np.float32]


@dataclass(frozen=True)
class Reading:
    """The puzzles of a text."""

    #: uint8 ``[N, S]``.
    puzzle: Tokens
    #: uint8 ``[N, S]``; all padding where the text has no solution.
    solution: Tokens = field(default=None)  # type: ignore[arg-type]
    #: The line of each puzzle, counted from 1; empty if unknown.
    lines: Sequence[int] = ()
    #: Lines that hold no puzzle, such as titles and comments.
    skipped: Sequence[int] = ()

    def __post_init__(self) -> None:
        if self.solution is None:
            object.__setattr__(self, "solution", np.full_like(self.puzzle, PAD))


#: The splits of a fixed collection of puzzles.
StoredSplit = Literal["train", "validation", "test"]
STORED_SPLITS: tuple[StoredSplit, ...] = ("train", "validation", "test")


class Task(TextForm, ABC):
    """A family of puzzles. To add one, subclass this, implement :meth:`sample` and :meth:`verify`, and register it.

    A subclass sets :attr:`spec` in its constructor. The constructor's keywords become keywords of the environment; a
    keyword ``puzzles`` replaces the environment's own. A task with a fixed collection of puzzles implements
    :meth:`stored` instead of :meth:`sample`.

    Override :meth:`augment` and :meth:`symmetry_key` together if the puzzle has symmetries, :meth:`complete` to let
    users play their own puzzles, and :meth:`draw` to draw more than symbols.
    """

    spec: TaskSpec
    #: Default number of puzzles of an environment, by split; without an entry, ``"validation"`` has as many as
    #: ``"test"``. Tasks with stored puzzles ignore it and use them all.
    default_num_puzzles: dict[str, int] = {"train": 1000, "test": 1000}  # noqa: RUF012 (overridden, not changed)
    #: Whether :meth:`verify`, :meth:`augment` and :meth:`mark` work without ``batch.solution``. The environment's
    #: keyword ``num_labelled`` needs this.
    grades_without_solution: bool = False
    #: Whether a puzzle may have several right answers, of which :meth:`nearest` chooses.
    many_answers: bool = False
    #: Keywords of the constructor that describe generated puzzles and choose among a user's (:meth:`chosen`).
    chosen_by: tuple[str, ...] = ()
    #: Largest value of the environment's keyword ``views``, the number of views of a puzzle for :meth:`ensemble`.
    max_views: int = 1

    def sample(self, rng: np.random.Generator, num: int) -> PuzzleBatch:
        """Draw about ``num`` puzzles (at least one), using only ``rng`` for randomness.

        Called when an environment is made, not at each reset. The result may contain duplicates and puzzles of all
        splits: the caller filters them and samples again. The default draws from the stored puzzles.
        """
        stored = [batch for batch in map(self.stored, STORED_SPLITS) if batch is not None]
        if not stored:
            raise TypeError(f"{type(self).__name__} must define sample (or stored)")
        collection = PuzzleBatch.concatenate(stored)
        return collection.take(rng.integers(len(collection), size=num))

    def stored(self, split: StoredSplit) -> PuzzleBatch | None:
        """All puzzles of a split for a task with a fixed collection; None (the default) for a task that samples.

        The implementation must ensure that the splits have no puzzle in common. A collection without validation puzzles
        returns None for them: the environment then takes one class in eight of the training puzzles.
        """
        return None

    @abstractmethod
    def verify(self, batch: PuzzleBatch, answer: Tokens) -> Verdict:
        """Grade ``answer`` (uint8 ``[B, S]``) for each row of ``batch``; must accept every right answer."""

    def nearest(self, batch: PuzzleBatch, scores: NDArray[np.floating[Any]]) -> Tokens:
        """The right answer to each puzzle that an agent is closest to, uint8 ``[B, S]``: the best one to learn from.

        Where a puzzle has several right answers, learning one of them at random punishes the others. The default is the
        only one that is known, ``batch.solution``.

        Args:
            batch: puzzles with solutions.
            scores: float ``[B, S, V]``, finite, how much the agent favours each token in each cell: the logits or the
                log-probabilities of its answer. The nearest answer has the largest sum.
        """
        return batch.solution

    def augment(self, batch: PuzzleBatch, draws: Draws) -> PuzzleBatch:
        """Apply a random symmetry to each row, drawn from the stream of that row. The default changes nothing."""
        return batch

    def symmetry_key(self, puzzle: Tokens) -> NDArray[np.uint64]:
        """A key uint64 ``[B]``, equal for puzzles (uint8 ``[B, S]``) that :meth:`augment` maps to each other.

        The key decides the split, so that no puzzle of one split is a symmetric copy of a puzzle of another.
        """
        return hash_rows(puzzle)

    @property
    def answer_tokens(self) -> Tokens:
        """The tokens that an agent may write into an editable cell, uint8 ``[V']``, ascending.

        Used by wrappers that edit single cells. The default is every token except padding.
        """
        return np.arange(1, self.spec.vocab_size, dtype=np.uint8)

    def editable(self, puzzle: Tokens) -> NDArray[np.bool_]:
        """Which cells of puzzles (uint8 ``[B, S]``) may change, bool ``[B, S]``; by default all."""
        return np.ones(puzzle.shape, np.bool_)

    def complete(self, puzzle: Tokens) -> PuzzleBatch:
        """Check and solve a user's puzzles (uint8 ``[B, S]``).

        Raises:
            ValueError: a puzzle is malformed or has no (unique) solution; the message names row, cell and reason.
        """
        raise ValueError(f"{self.spec.name} cannot solve puzzles: pass the solutions too")

    def chosen(self, batch: PuzzleBatch) -> NDArray[np.bool_]:
        """Which of a user's puzzles the keywords in :attr:`chosen_by` ask for, bool ``[B]``; by default all."""
        return np.ones(len(batch), np.bool_)

    def parse(self, text: str) -> Tokens:
        """Read puzzles from text: uint8 ``[N, S]``.

        The default expects the symbols of :attr:`spec`, with one grid row or one whole puzzle per line.

        Raises:
            ValueError: a character is not a symbol, or a puzzle is incomplete; the message names line and column.
        """
        codes = {symbol: token for token, symbol in enumerate(self.spec.symbols)}
        cells: list[int] = []
        for number, line in enumerate(text.splitlines(), 1):
            for column, character in enumerate(line, 1):
                if character not in codes:
                    known = shown("".join(self.spec.symbols))
                    raise ValueError(f"line {number}, column {column}: {character!r} is not one of {known}")
                cells.append(codes[character])
        size = self.spec.num_cells
        if not cells or len(cells) % size:
            raise ValueError(f"{len(cells)} cells are not a whole number of {self.spec.name} puzzles of {size}")
        return np.array(cells, np.uint8).reshape(-1, size)

    def read(self, text: str) -> Reading:
        """Read puzzles from the text of a file, with solutions if it has them. The default calls :meth:`parse`.

        Raises:
            ValueError: as :meth:`parse`.
        """
        return Reading(self.parse(text))

    @property
    def character_tokens(self) -> Mapping[str, int]:
        """The token of each character that may stand for a cell in files with one character per cell.

        The default has the symbols of :attr:`spec`, except padding, and ``0`` for the symbol ``.`` if no symbol is 0.
        """
        tokens = {symbol: token for token, symbol in enumerate(self.spec.symbols) if token != PAD}
        return {"0": tokens["."], **tokens} if "." in tokens else tokens

    def from_numbers(
        self, puzzle: NDArray[Any], solution: NDArray[Any] | None, fields: Mapping[str, Any]
    ) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """The tokens that integers ``[N, S]`` of a user or a file stand for; by default, they are tokens already.

        Args:
            puzzle: puzzles, of any integers.
            solution: their solutions, if known.
            fields: further fields of the record of one puzzle; empty for arrays.

        Raises:
            ValueError: it cannot be decided what the numbers stand for.
        """
        return puzzle, solution

    def from_picture(self, pixels: NDArray[np.uint8]) -> Tokens:
        """Read puzzles, uint8 ``[N, S]``, from a picture, uint8 ``[height, width, 3]``. The default refuses it.

        Raises:
            ValueError: the picture is not one of puzzles; the message names the cell.
        """
        raise ValueError(f"{self.spec.name} cannot be read from a picture")

    def format(self, tokens: Tokens) -> str:
        """One grid (uint8 ``[S]``) as text, one line per row."""
        columns = self.spec.grid_shape[1]
        text = "".join(self.spec.symbols[token] for token in tokens)
        return "\n".join(text[i : i + columns] for i in range(0, len(text), columns))

    def context_spaces(self) -> Mapping[str, spaces.Box]:
        """Spaces of additional observation entries, each 1-D; by default none."""
        return {}

    def context(self, batch: PuzzleBatch) -> Mapping[str, NDArray[Any]]:
        """The additional observation entries ``[B, ...]``, as new arrays.

        They must not depend on ``batch.solution``.
        """
        return {}

    def ensemble(self, batch: PuzzleBatch, answer: Tokens, halt_probability: NDArray[np.float32]) -> Ensemble | None:
        """Combine the answers to several views of the same puzzles.

        Args:
            batch: the views, in the order of the environment's puzzles.
            answer: uint8 ``[B, S]``, the answer to each view.
            halt_probability: float32 ``[B]`` in [0, 1], the agent's confidence in each answer.

        Returns:
            None (the default) if puzzles have only one view.
        """
        return None

    def check(self, batch: PuzzleBatch) -> None:
        """Check a user's puzzles and solutions. The default calls the verifier.

        Raises:
            ValueError: a solution does not solve its puzzle; the message names the first such row.
        """
        wrong = np.flatnonzero(~self.verify(batch, batch.solution).success)
        if len(wrong):
            raise ValueError(f"puzzle {wrong[0]}: its solution does not solve it ({len(wrong)} in total)")

    def mark(self, batch: PuzzleBatch, answer: Tokens) -> NDArray[np.uint8]:
        """Mark each cell for display, uint8 ``[B, S]``.

        ``MARK_NONE`` (given or empty), ``MARK_RIGHT`` or ``MARK_WRONG``.
        The default compares the answer with the solution in the cells that either of them changes.
        """
        asked = (batch.puzzle != batch.solution) | (answer != batch.puzzle)
        marks = np.where(answer == batch.solution, MARK_RIGHT, MARK_WRONG)
        return np.where(asked & (answer != PAD), marks, MARK_NONE).astype(np.uint8)

    def draw(self, board: Board) -> None:
        """Draw one puzzle and the current answer. The default writes the symbol of each cell."""
        board.draw_symbols()


class Ensemble(Protocol):
    """The combined result of several views, which can be reported and saved."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Metrics by name, such as ``{"pass@2": 0.4}``, for tables, JSON and TensorBoard."""
        ...

    def write(self, folder: Path) -> list[Path]:
        """Write predictions and pictures into an existing ``folder``; returns the paths."""
        ...
