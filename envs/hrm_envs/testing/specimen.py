"""The input of the rules, and checks that several rules share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_envs.spec import PAD, Tokens
from hrm_envs.streams import Draws
from hrm_envs.task import PuzzleBatch, Task

#: Number of rows that rules check one by one.
FEW = 12


class TaskError(AssertionError):
    """A task breaks a rule; the message names it and shows an example."""


@dataclass(frozen=True)
class Specimen:
    """The input of a rule. Puzzles and answers are made on first use, after the rules that check how they are made."""

    task: Task
    num: int
    seed: int
    padded: bool

    def sample(self, seed: int) -> PuzzleBatch:
        """The puzzles sampled from a new generator."""
        return self.task.sample(np.random.default_rng(seed), self.num)

    @cached_property
    def samples(self) -> tuple[PuzzleBatch, PuzzleBatch]:
        """The puzzles sampled with two different seeds, cached because sampling may be slow."""
        return self.sample(self.seed), self.sample(self.seed + 1)

    @cached_property
    def batch(self) -> PuzzleBatch:
        """``B`` puzzles, at most ``num``."""
        return self.samples[0].take(slice(self.num)).copy()

    @cached_property
    def answers(self) -> Tokens:
        """uint8 ``[B, S]``: right, nearly right, unchanged and random answers in turn."""
        rng = np.random.default_rng(self.seed)
        spec, batch = self.task.spec, self.batch
        answers = rng.integers(0, spec.vocab_size, batch.puzzle.shape).astype(np.uint8)
        answers[0::4] = batch.solution[0::4]
        answers[1::4] = batch.solution[1::4]
        rows = np.arange(1, len(batch), 4)
        cells = rng.integers(0, spec.num_cells, len(rows))
        answers[rows, cells] = (answers[rows, cells] + 1) % spec.vocab_size
        answers[2::4] = batch.puzzle[2::4]
        return answers

    def draws(self, episode: int, rows: slice = slice(None)) -> Draws:
        """Draws for the given rows, determined by the arguments."""
        keys = np.random.default_rng(self.seed).integers(0, 2**64, len(self.batch), np.uint64)[rows]
        return Draws(keys, np.full(len(keys), episode))

    def augmented(self, episode: int) -> PuzzleBatch:
        """Symmetric copies of the puzzles."""
        return self.task.augment(self.batch.copy(), self.draws(episode))

    def show(self, puzzle: Tokens, answer: Tokens | None = None, name: str = "answer") -> str:
        """One or two grids as text for a message; ``name`` is the title of the second."""
        text = f"\npuzzle:\n{_grid(self.task, puzzle)}"
        return text if answer is None else f"{text}\n{name}:\n{_grid(self.task, answer)}"


Rules = dict[str, Callable[[Specimen], None]]


def check_batch(specimen: Specimen, batch: Any, source: str) -> None:
    """Check the shapes, dtypes and token range of puzzles that the task made."""
    spec = specimen.task.spec
    if not isinstance(batch, PuzzleBatch):
        raise TaskError(f"{source} returns {type(batch).__name__}, not a PuzzleBatch")
    num = len(batch)
    if num == 0:
        raise TaskError(f"{source} returns no rows")
    for name, tokens in (("puzzle", batch.puzzle), ("solution", batch.solution)):
        check_array(tokens, f"{source}: {name}", (num, spec.num_cells), np.uint8)
        bad = np.argwhere((tokens >= spec.vocab_size) | ((tokens == PAD) & (not specimen.padded)))
        if len(bad):
            row, cell = bad[0]
            what = "padding (if intended, pass padded=True)" if tokens[row, cell] == PAD else "not a token"
            raise TaskError(
                f"{source}: {name} of row {row} holds {tokens[row, cell]} at cell {cell}, which is {what}; "
                f"tokens are 0 to {spec.vocab_size - 1}"
            )
    check_array(batch.task_id, f"{source}: task_id", (num,), np.int32)
    row_ = first((batch.task_id < 0) | (batch.task_id >= spec.num_task_ids))
    if row_ is not None:
        raise TaskError(
            f"{source}: task_id of row {row_} is {batch.task_id[row_]}; num_task_ids={spec.num_task_ids} allows "
            f"0 to {spec.num_task_ids - 1}"
        )
    check_array(batch.example, f"{source}: example", (num,), np.int32)


def check_array(array: Any, name: str, shape: tuple[int, ...], dtype: Any) -> None:
    """Check the type, shape and dtype of an array that the task made."""
    if not isinstance(array, np.ndarray):
        raise TaskError(f"{name} is {type(array).__name__}, not an array")
    if array.shape != shape:
        raise TaskError(f"{name} has shape {array.shape}, not {shape}")
    if array.dtype != dtype:
        raise TaskError(f"{name} has dtype {array.dtype}, not {np.dtype(dtype)}")


def check_untouched(before: PuzzleBatch, after: PuzzleBatch, source: str) -> None:
    """Check that the task did not change its input puzzles."""
    for name in ("puzzle", "solution", "task_id", "example"):
        row = first((getattr(before, name) != getattr(after, name)).reshape(len(before), -1).any(axis=1))
        if row is not None:
            raise TaskError(f"{source} changes its input puzzles: {name} of row {row} differs afterwards")


def first(broken: NDArray[np.bool_]) -> int | None:
    """The index of the first true row of a mask, if any."""
    rows = np.flatnonzero(broken)
    return int(rows[0]) if len(rows) else None


def overrides(task: Task, method: str) -> bool:
    """Whether the task overrides a method."""
    return getattr(type(task), method) is not getattr(Task, method)


def _grid(task: Task, tokens: Tokens) -> str:
    """A grid in the symbols of the spec, ignoring the task's own format."""
    return Task.format(task, tokens)
