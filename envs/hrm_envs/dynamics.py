"""The segment MDP on a batch of puzzles: the only place where an episode steps.

One step is one segment of thought. The agent proposes a whole answer and says whether to halt:

- halt: the verifier grades the answer, the reward is ``R(puzzle, answer)``, the episode terminates;
- continue: the reward is ``-segment_cost``;
- segment ``max_segments``: the answer is graded whatever ``halt`` says (a *forced halt*). The episode
  terminates there too; were it truncated, generic algorithms would bootstrap past a graded end.
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
    """What one step did to each row. Shapes ``[B]``."""

    #: float64, the reward of the step.
    reward: NDArray[np.float64]
    #: bool, the episode ended.
    terminated: NDArray[np.bool_]
    #: bool, it ended because the segments ran out, not because the agent halted.
    forced_halt: NDArray[np.bool_]
    #: float32, what halting on this answer pays, halted or not: the target of Q(halt).
    halt_reward: NDArray[np.float32]
    #: The verifier's word on the answers.
    verdict: Verdict

    def info(self) -> dict[str, NDArray[Any]]:
        """The arrays that an environment reports in ``info``."""
        return {
            "is_success": self.verdict.success,
            "score": self.verdict.score,
            "halt_reward": self.halt_reward,
            "forced_halt": self.forced_halt,
        }


class SegmentDynamics:
    """``num_rows`` episodes side by side, each with a random stream of its own.

    Args:
        task: judges the answers and draws the symmetries.
        pool: the puzzles to play, or a function that makes them when they are first needed.
        num_rows: ``B``.
        max_segments: ``M >= 1``, the segment at which every answer is graded.
        reward: what halting pays.
        segment_cost: price of thinking on for one more segment.
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
        """The puzzles to play; made now if nobody has asked for them before."""
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
        """Begin a new episode in the rows of an integer array.

        Args:
            rows: integers ``[K]``.
            index: integers ``[K]``, play these puzzles of the pool as they are; random ones if absent.
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
        """Take one segment in every row, or in those of a mask.

        Args:
            answer: uint8 ``[B, S]``, the proposed answers.
            halt: bool ``[B]``.
            rows: bool ``[B]``, the others wait: nothing happens to their episode, and of their outcome only reward 0
                and not terminated mean anything. All step by default.

        Raises:
            ValueError: the reward function does not return a number for each row.
        """
        self.answer = answer if rows is None else np.where(rows[:, None], answer, self.answer)
        self.segment += 1 if rows is None else rows
        verdict = self.task.verify(self.batch, self.answer)
        halt_reward = np.asarray(self._reward(verdict), np.float32)
        if halt_reward.shape != halt.shape:
            raise ValueError(f"the reward function returns shape {halt_reward.shape} for {len(self)} row(s)")
        last = self.segment >= self.max_segments
        terminated = halt | last
        # In float64 from the start, for a cost of 0.1 to be charged as 0.1; and 0 - 0 because -0.0 looks odd.
        reward = np.where(terminated, halt_reward.astype(np.float64), 0.0 - self.segment_cost)
        if rows is not None:
            terminated, last, reward = terminated & rows, last & rows, np.where(rows, reward, 0.0)
        return Outcome(reward, terminated, last & ~halt, halt_reward, verdict)

    def judge(self, answers: Tokens) -> tuple[Verdict, NDArray[np.float32]]:
        """The verdict on answers to the current puzzles, and what halting on them would pay; nothing is stepped.

        Args:
            answers: uint8 ``[B, S]``, or ``[B, K, S]`` for several to each puzzle.

        Returns:
            Both with the shape of ``answers`` but its last axis.

        Raises:
            ValueError: they are no integers, of another shape, or out of range.
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
        pays = np.asarray(self._reward(verdict), np.float32)
        return Verdict(verdict.success.reshape(shape), verdict.score.reshape(shape)), pays.reshape(shape)

    def observe(self) -> dict[str, NDArray[Any]]:
        """The observation of every row, as fresh copies."""
        return {
            "answer": self.answer.copy(),
            "puzzle": self.batch.puzzle.copy(),
            "segment": self.segment[:, None].copy(),
            "task_id": self.batch.task_id[:, None].copy(),
            **{name: array.copy() for name, array in self._context.items()},
        }

    def get_state(self) -> dict[str, NDArray[Any]]:
        """All that the future depends on besides the settings, as copies."""
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
        """Continue from :meth:`get_state`.

        Raises:
            ValueError: the state is of another number of rows or another grid, or holds what no state does; nothing
                has changed then.
        """
        spec, last = self.task.spec, self.task.spec.vocab_size - 1
        highest = {"puzzle": last, "solution": last, "answer": last, "task_id": spec.num_task_ids - 1,
                   "example": 2**31 - 1, "segment": self.max_segments}  # fmt: skip
        found: dict[str, NDArray[Any]] = {}
        for name, mine in self.get_state().items():
            found[name] = state_entry(state, name, mine)
            if name in highest and not ((found[name] >= 0) & (found[name] <= highest[name])).all():
                raise ValueError(f"environment state {name!r} must hold integers from 0 to {highest[name]}")
        batch = PuzzleBatch(
            found["puzzle"].astype(np.uint8),
            found["solution"].astype(np.uint8),
            found["task_id"].astype(np.int32),
            found["example"].astype(np.int32),
        )
        self._context = dict(self.task.context(batch))
        self._keys = found["keys"].astype(np.uint64)
        self._episodes = found["episodes"].astype(np.int64)
        self.batch = batch
        self.answer = found["answer"].astype(np.uint8)
        self.segment = found["segment"].astype(np.int32)


def state_entry(state: Mapping[str, NDArray[Any]], name: str, mine: NDArray[Any]) -> NDArray[Any]:
    """One array of a state, which must have the shape of ``mine``, and integers or booleans as that has.

    Raises:
        ValueError: it is missing, or another; the text names it.
    """
    if not isinstance(state, Mapping):
        raise ValueError(f"an environment state is a dict of arrays by name, not {shown(state)}")
    if name not in state:
        raise ValueError(f"environment state {name!r}: expected shape {mine.shape}, found nothing")
    array = as_array(f"environment state {name!r}", state[name])
    if array.shape != mine.shape:
        raise ValueError(f"environment state {name!r}: expected shape {mine.shape}, found {shown(array.shape)}")
    if array.dtype.kind not in ("b" if mine.dtype == np.bool_ else "ui"):
        raise ValueError(f"environment state {name!r}: expected {mine.dtype}, found {form(array)}")
    return array
