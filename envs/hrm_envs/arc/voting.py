"""Voting over the answers to many augmented views of each test input.

An agent answers each test input under many augmentations. The vote undoes the augmentation of each answer and counts
equal grids as one candidate. The candidates with the most votes are the attempts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import fsum
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hrm_envs.arc.augmentation import Augmentation
from hrm_envs.arc.grids import FIRST_COLOUR, SYMBOLS, Grid, read_sizes
from hrm_envs.spec import Tokens

# Number of answers read at once: enough for numpy to be fast, and little memory compared to the answers.
_CHUNK = 1024


@dataclass(frozen=True)
class Prediction:
    """One answer to one test input, read from its canvas and with its augmentation undone."""

    #: uint8 ``[height, width]``; ``[0, 0]`` if the answer has no grid.
    grid: Grid
    #: In [0, 1], the agent's confidence.
    halt_probability: float


@dataclass(frozen=True)
class Candidate:
    """A distinct grid among the answers."""

    #: uint8 ``[height, width]``.
    grid: Grid
    #: Number of votes, that is, of views with this answer.
    count: int
    #: Mean halt probability of these views.
    halt_probability: float


@dataclass(frozen=True)
class TestInput:
    """One test input of a task."""

    __test__: ClassVar[bool] = False  # keeps pytest from collecting this class

    #: Name of the task.
    task: str
    #: Index among the test inputs of the task, from 0.
    index: int
    input: Grid
    #: The right answer; None if unknown.
    output: Grid | None = None


@dataclass(frozen=True)
class Ballot:
    """All votes on one test input."""

    test: TestInput
    #: Best first, see :func:`vote`.
    candidates: tuple[Candidate, ...]
    #: Number of answers, including those without a grid, which are not votes.
    views: int

    @cached_property
    def votes(self) -> int:
        """Number of answers with a grid."""
        return sum(candidate.count for candidate in self.candidates)

    @cached_property
    def rank(self) -> int | None:
        """The rank, from 1, of the right grid among the candidates; None if absent or unknown."""
        for place, candidate in enumerate(self.candidates, 1):
            if self.is_right(candidate):
                return place
        return None

    def is_right(self, candidate: Candidate) -> bool:
        """Whether a candidate equals the right answer in size and all cells."""
        return self.test.output is not None and np.array_equal(candidate.grid, self.test.output)

    def solved(self, attempts: int) -> bool:
        """Whether the right grid is among the first ``attempts`` candidates."""
        return self.rank is not None and self.rank <= attempts


def vote(predictions: Iterable[Prediction]) -> list[Candidate]:
    """Count equal grids; returns candidates, best first.

    Candidates rank by votes, then by mean halt probability, then by first occurrence. Empty grids are not votes.
    """
    grids: dict[tuple[tuple[int, ...], bytes], Grid] = {}
    sure: dict[tuple[tuple[int, ...], bytes], list[float]] = {}
    for prediction in predictions:
        if prediction.grid.size == 0:
            continue
        # The bytes alone would not distinguish 2 x 3 cells from 3 x 2.
        key = prediction.grid.shape, prediction.grid.tobytes()
        grids.setdefault(key, prediction.grid)
        sure.setdefault(key, []).append(prediction.halt_probability)
    # fsum is exact, so that the order of the views does not decide between equal candidates.
    candidates = [Candidate(grid, len(sure[key]), fsum(sure[key]) / len(sure[key])) for key, grid in grids.items()]
    return sorted(candidates, key=lambda candidate: (-candidate.count, -candidate.halt_probability))


def read_predictions(
    answers: Tokens, halt_probability: NDArray[np.float32], side: int, augmentations: Sequence[Augmentation]
) -> Iterator[Prediction]:
    """The prediction of each answer, in order, read as by :func:`hrm_envs.arc.grids.read_grid`.

    Args:
        answers: uint8 ``[B, S]``, tokens.
        halt_probability: float32 ``[B]``.
        side: side length of the canvas.
        augmentations: ``[B]``, the augmentation of each answer.
    """
    for start in range(0, len(answers), _CHUNK):
        chunk = answers[start : start + _CHUNK]
        sizes = read_sizes(chunk, side).tolist()
        canvases = chunk.reshape(-1, side, side)
        for row, (height, width) in enumerate(sizes, start):
            grid = canvases[row - start, :height, :width] - np.uint8(FIRST_COLOUR)
            yield Prediction(augmentations[row].undo(grid), float(halt_probability[row]))


def count_votes(
    answers: Tokens,
    halt_probability: NDArray[np.float32],
    side: int,
    augmentations: Sequence[Augmentation],
    which: Sequence[tuple[str, int]],
    tests: Sequence[TestInput],
) -> list[Ballot]:
    """One ballot for each test input, in the order of ``tests``.

    Args:
        answers: uint8 ``[B, S]``, tokens. Each test input may have any number of answers, in any order.
        halt_probability: float32 ``[B]`` in [0, 1].
        side: side length of the canvas; ``S = side * side``.
        augmentations: ``[B]``, the augmentation of each answer.
        which: ``[B]``, the task and the index of the test input of each answer.
        tests: the test inputs; the indices within a task are 0, 1, ... without gaps.

    Raises:
        ValueError: the sizes do not agree, a token or probability is out of range, an answer is to an unknown test
            input, or the indices have gaps; the message names the row or the task.
    """
    _check_rows(answers, halt_probability, side, len(augmentations), len(which))
    numbers = _numbers(tests)
    for row, name in enumerate(which):
        if name not in numbers:
            raise ValueError(f"row {row} answers test input {name[1]} of task {name[0]}, which is not among the tests")
    # One sort instead of a search per test input. It is stable, to keep the order of the answers.
    number = np.array([numbers[name] for name in which], np.int64)
    order = number.argsort(kind="stable")
    ends = np.searchsorted(number[order], np.arange(len(tests) + 1))
    ballots = []
    for place, test in enumerate(tests):
        rows = order[ends[place] : ends[place + 1]]
        shown = [augmentations[row] for row in rows.tolist()]
        candidates = vote(read_predictions(answers[rows], halt_probability[rows], side, shown))
        ballots.append(Ballot(test, tuple(candidates), len(rows)))
    return ballots


def _check_rows(answers: Tokens, halt_probability: NDArray[np.float32], side: int, *others: int) -> None:
    if answers.ndim != 2 or answers.shape[1] != side * side:
        raise ValueError(f"answers have the shape {answers.shape}; a canvas of side {side} makes it [B, {side * side}]")
    if halt_probability.shape != (len(answers),) or any(length != len(answers) for length in others):
        lengths = ", ".join(map(str, (halt_probability.shape, *others)))
        raise ValueError(
            f"{len(answers)} answers need as many halt probabilities, augmentations and test inputs, not {lengths}"
        )
    if answers.size and answers.max() >= len(SYMBOLS):
        row = int((answers >= len(SYMBOLS)).any(axis=1).argmax())
        raise ValueError(f"row {row} of the answers holds token {answers[row].max()}; the last is {len(SYMBOLS) - 1}")
    bad = ~((halt_probability >= 0) & (halt_probability <= 1))  # includes NaN
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"row {row} has the halt probability {halt_probability[row]}; give values from 0 to 1")


def _numbers(tests: Sequence[TestInput]) -> dict[tuple[str, int], int]:
    """The position of each test input in ``tests``, by task and index."""
    indices: dict[str, list[int]] = {}
    for test in tests:
        indices.setdefault(test.task, []).append(test.index)
    for task, found in indices.items():
        if sorted(found) != list(range(len(found))):
            raise ValueError(
                f"task {task}: its test inputs are numbered {sorted(found)}; number them 0 to {len(found) - 1}"
            )
    return {(test.task, test.index): place for place, test in enumerate(tests)}


def by_task(ballots: Iterable[Ballot]) -> dict[str, list[Ballot]]:
    """The ballots of each task, ordered by test input; tasks in the order of their first ballot."""
    groups: dict[str, list[Ballot]] = {}
    for ballot in ballots:
        groups.setdefault(ballot.test.task, []).append(ballot)
    return {task: sorted(group, key=lambda ballot: ballot.test.index) for task, group in groups.items()}


def known_tasks(ballots: Iterable[Ballot]) -> list[list[Ballot]]:
    """The ballots of each task with all outputs known, which can be scored."""
    groups = by_task(ballots).values()
    return [group for group in groups if all(ballot.test.output is not None for ballot in group)]


@dataclass(frozen=True)
class PassRate:
    """Share of tasks solved within some attempts, by the two rules in use; in [0, 1]."""

    #: A task counts as solved if all its test inputs are solved.
    all_outputs: float
    #: Each task counts by its share of solved test inputs.
    mean_over_outputs: float


def pass_rate(ballots: Iterable[Ballot], attempts: int) -> PassRate:
    """Pass@k: the share of tasks solved with ``attempts`` candidates per test input.

    Tasks with an unknown output are ignored.

    Raises:
        ValueError: ``attempts`` is less than 1, or no task can be scored.
    """
    if attempts < 1:
        raise ValueError(f"attempts={attempts} must be at least 1")
    solved = [[ballot.solved(attempts) for ballot in group] for group in known_tasks(ballots)]
    if not solved:
        raise ValueError("nothing to score: no task has all outputs known")
    shares = [sum(task) / len(task) for task in solved]
    return PassRate(sum(map(all, solved)) / len(solved), fsum(shares) / len(solved))
