"""The segment MDP on a batch of puzzles. All episode stepping happens here.

One step is one segment. The agent proposes a whole answer and decides whether to halt:

- halt: the verifier grades the answer, the reward is ``R(puzzle, answer)`` and the episode terminates;
- continue: the reward is ``-segment_cost``;
- segment ``max_segments``: the answer is graded regardless of ``halt`` (a *forced halt*). The episode terminates
  rather than truncates, because algorithms would bootstrap past a truncated end although its answer was graded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import as_array, form, shown
from hrm_envs.rewards import Reward
from hrm_envs.spec import Tokens
from hrm_envs.streams import Draws, Words
from hrm_envs.task import PuzzleBatch, Task, Verdict


@dataclass(frozen=True)
class Outcome:
    """The result of one step, for each row. Shapes are ``[B]``."""

    #: float64, the reward.
    reward: NDArray[np.float64]
    #: bool, whether the episode ended.
    terminated: NDArray[np.bool_]
    #: bool, whether it ended at the last segment although the agent did not halt.
    forced_halt: NDArray[np.bool_]
    #: float32, the reward for halting on this answer, halted or not: the target of Q(halt).
    halt_reward: NDArray[np.float32]
    #: The verifier's result for the answers.
    verdict: Verdict

    def info(self) -> dict[str, NDArray[Any]]:
        """The entries of the environment's ``info``."""
        return {
            "is_success": self.verdict.success,
            "score": self.verdict.score,
            "halt_reward": self.halt_reward,
            "forced_halt": self.forced_halt,
        }


class SegmentDynamics:
    """A batch of episodes, each with its own random stream.

    Args:
        task: grades the answers and draws the symmetries.
        pool: the puzzles to play, or a function that makes them on first use.
        num_rows: ``B``.
        max_segments: ``M >= 1``, the segment at which every answer is graded.
        reward: the halt reward.
        segment_cost: cost of each segment after which the agent continues.
        augment: whether each episode shows a random symmetric copy of its puzzle.
    """

    def __init__(
        self,
        task: Task,
        pool: PuzzleBatch | Callable[[], PuzzleBatch],
        num_rows: int,
        *,
        max_segments: int,
        reward: Reward,
        segment_cost: float = 0.0,
        augment: bool = False,
    ) -> None:
        cells = task.spec.num_cells
        self.task, self._pool = task, pool
        self.max_segments, self.segment_cost = max_segments, segment_cost
        self._reward, self._augment = reward, augment
        self.batch = PuzzleBatch(np.zeros((num_rows, cells), np.uint8), np.zeros((num_rows, cells), np.uint8))
        self.answer: Tokens = np.zeros((num_rows, cells), np.uint8)
        self.segment = np.zeros(num_rows, np.int32)
        self._context = {name: array.copy() for name, array in task.context(self.batch).items()}
        self._keys: Words = np.zeros(num_rows, np.uint64)
        self._episodes = np.zeros(num_rows, np.int64)

    @property
    def pool(self) -> PuzzleBatch:
        """The puzzles to play, made on first use."""
        if not isinstance(self._pool, PuzzleBatch):
            self._pool = self._pool()
        return self._pool

    def __len__(self) -> int:
        return len(self.segment)

    def seed(self, keys: Words, rows: NDArray[Any]) -> None:
        """Start new random streams for the given rows (integer indices or a mask)."""
        self._keys[rows] = keys
        self._episodes[rows] = 0

    def reset(
        self,
        rows: NDArray[Any],
        *,
        index: NDArray[Any] | None = None,
        puzzles: PuzzleBatch | None = None,
    ) -> None:
        """Begin a new episode in the given rows.

        Args:
            rows: integers ``[K]``.
            index: integers ``[K]``, puzzles of the pool to play without augmentation; random by default.
            puzzles: ``K`` puzzles to play instead.
        """
        draws = Draws(self._keys[rows], self._episodes[rows])
        if puzzles is not None:
            batch = puzzles
        elif index is not None:
            batch = self.pool.take(index)
        else:
            batch = self.pool.take(draws.integers(len(self.pool)))
            if self._augment:
                batch = self.task.augment(batch, draws)
        self._episodes[rows] += 1
        self.batch.puzzle[rows] = batch.puzzle
        self.batch.solution[rows] = batch.solution
        self.batch.task_id[rows] = batch.task_id
        self.batch.example[rows] = batch.example
        for name, entries in self.task.context(batch).items():
            self._context[name][rows] = entries
        self.answer[rows] = 0
        self.segment[rows] = 0

    def step(self, answer: Tokens, halt: NDArray[np.bool_], rows: NDArray[np.bool_] | None = None) -> Outcome:
        """Take one segment in every row, or only in the rows of a mask.

        Args:
            answer: uint8 ``[B, S]``, the proposed answers.
            halt: bool ``[B]``.
            rows: bool ``[B]``, the rows to step; by default all. The episodes of other rows do not change: their
                reward is 0, they are not terminated, and the rest of their outcome is undefined.

        Raises:
            ValueError: the reward function does not return one number per row.
        """
        self.answer = answer if rows is None else np.where(rows[:, None], answer, self.answer)
        self.segment += 1 if rows is None else rows
        verdict = self.task.verify(self.batch, self.answer)
        halt_reward = np.asarray(self._reward(verdict), np.float32)
        if halt_reward.shape != halt.shape:
            raise ValueError(f"the reward function returns shape {halt_reward.shape} for {len(self)} row(s)")
        last = self.segment >= self.max_segments
        terminated = halt | last
        # float64 keeps a cost of 0.1 exact, and 0.0 - cost avoids a reward of -0.0.
        reward = np.where(terminated, halt_reward.astype(np.float64), 0.0 - self.segment_cost)
        if rows is not None:
            terminated, last, reward = terminated & rows, last & rows, np.where(rows, reward, 0.0)
        return Outcome(reward, terminated, last & ~halt, halt_reward, verdict)

    def judge(self, answers: Tokens) -> tuple[Verdict, NDArray[np.float32]]:
        """The verdict and the halt reward of answers to the current puzzles, without stepping.

        Args:
            answers: integers ``[B, S]``, or ``[B, K, S]`` for several answers per puzzle.

        Returns:
            Verdict and float32 rewards, with the shape of ``answers`` without its last axis.

        Raises:
            ValueError: the answers are not integers, have another shape, or are out of range.
        """
        answers = as_array("answers", answers)
        rows, cells = self.answer.shape
        fits = answers.ndim in (2, 3) and (answers.shape[0], answers.shape[-1]) == (rows, cells)
        if not fits or answers.dtype.kind not in "ui":
            raise ValueError(
                f"answers: expected integers [{rows}, {cells}] or [{rows}, K, {cells}], found {form(answers)}"
            )
        if answers.size and not 0 <= answers.min() <= answers.max() < self.task.spec.vocab_size:
            raise ValueError(
                f"answers: tokens are 0 to {self.task.spec.vocab_size - 1}, found {answers.min()} to {answers.max()}"
            )
        answers = answers.astype(np.uint8, copy=False)
        shape = answers.shape[:-1]
        batch = self.batch if len(shape) == 1 else self.batch.take(np.repeat(np.arange(len(self)), shape[1]))
        verdict = self.task.verify(batch, answers.reshape(len(batch), -1))
        reward = np.asarray(self._reward(verdict), np.float32)
        return Verdict(verdict.success.reshape(shape), verdict.score.reshape(shape)), reward.reshape(shape)

    def nearest(self, scores: NDArray[Any]) -> Tokens:
        """The right answers nearest to an agent's own (:meth:`Task.nearest`), uint8 ``[B, S]``.

        Rows without a label stay all padding.

        Args:
            scores: float ``[B, S, V]``.

        Raises:
            ValueError: the scores have another shape or type, or are not finite.
        """
        scores = np.asarray(scores)
        expected = (*self.answer.shape, self.task.spec.vocab_size)
        if scores.shape != expected or scores.dtype.kind != "f":
            raise ValueError(f"scores: expected floats {list(expected)}, found {form(scores)}")
        if not np.isfinite(scores).all():
            raise ValueError("scores: not all are finite")
        labelled = np.flatnonzero(self.batch.solution.any(axis=1))
        found = self.batch.solution.copy()
        if len(labelled):
            found[labelled] = self.task.nearest(self.batch.take(labelled), scores[labelled])
        return found

    def observe(self) -> dict[str, NDArray[Any]]:
        """The observation of every row, as copies."""
        return {
            "answer": self.answer.copy(),
            "puzzle": self.batch.puzzle.copy(),
            "segment": self.segment[:, None].copy(),
            "task_id": self.batch.task_id[:, None].copy(),
            **{name: array.copy() for name, array in self._context.items()},
        }

    def get_state(self) -> dict[str, NDArray[Any]]:
        """The complete state of the episodes and random streams, as copies."""
        return {
            "keys": self._keys.copy(),
            "episodes": self._episodes.copy(),
            "puzzle": self.batch.puzzle.copy(),
            "solution": self.batch.solution.copy(),
            "task_id": self.batch.task_id.copy(),
            "example": self.batch.example.copy(),
            "answer": self.answer.copy(),
            "segment": self.segment.copy(),
        }

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore a state from :meth:`get_state`.

        Raises:
            ValueError: the number of rows or the grid differs, or a value is out of range; nothing changes.
        """
        spec, last = self.task.spec, self.task.spec.vocab_size - 1
        highest = {"puzzle": last, "solution": last, "answer": last, "task_id": spec.num_task_ids - 1,
                   "example": 2**31 - 1, "segment": self.max_segments}  # fmt: skip
        found: dict[str, NDArray[Any]] = {}
        for name, mine in self.get_state().items():
            found[name] = state_entry(state, name, mine)
            if name in highest and not ((found[name] >= 0) & (found[name] <= highest[name])).all():
                raise ValueError(f"environment state {name!r} must hold integers from 0 to {highest[name]}")
            found[name] = found[name].astype(mine.dtype)
        batch = PuzzleBatch(found["puzzle"], found["solution"], found["task_id"], found["example"])
        self._context = dict(self.task.context(batch))
        self._keys, self._episodes = found["keys"], found["episodes"]
        self.batch, self.answer, self.segment = batch, found["answer"], found["segment"]


def state_entry(state: Mapping[str, NDArray[Any]], name: str, like: NDArray[Any]) -> NDArray[Any]:
    """One array of a state, checked against the shape and kind (bool or integer) of ``like``.

    Raises:
        ValueError: the array is missing, or has another shape or kind; the message names it.
    """
    if not isinstance(state, Mapping):
        raise ValueError(f"an environment state is a dict of arrays by name, not {shown(state)}")
    what = f"environment state {name!r}"
    if name not in state:
        raise ValueError(f"{what}: expected shape {like.shape}, found nothing")
    array = as_array(what, state[name])
    if array.shape != like.shape:
        raise ValueError(f"{what}: expected shape {like.shape}, found {shown(array.shape)}")
    if array.dtype.kind not in ("b" if like.dtype == np.bool_ else "ui"):
        raise ValueError(f"{what}: expected {like.dtype}, found {form(array)}")
    return array
