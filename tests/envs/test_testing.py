"""The conformance checks accept correct tasks. For broken ones, see ``test_broken_tasks.py``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces
from sort_task import SortTask

from hrm_envs.maze import MazeTask
from hrm_envs.spec import IdTable, TaskSpec
from hrm_envs.sudoku import SudokuTask
from hrm_envs.task import PuzzleBatch, Task, Verdict
from hrm_envs.testing import TaskError, check_task


@pytest.mark.parametrize(
    "task",
    [SudokuTask(4), SudokuTask(6), MazeTask(7), MazeTask(9, kind="random")],
    ids=lambda task: task.spec.name,
)
def test_built_in_tasks_conform(task):
    check_task(task)


@pytest.mark.parametrize("num", [1, 2, 64])
def test_the_small_task_conforms_however_little_is_seen_of_it(num):
    for seed in range(3):
        check_task(SortTask(), num=num, seed=seed)


def test_three_methods_are_enough():
    class Copy(Task):
        spec = TaskSpec("Copy", (1, 8), ("?", "a", "b", "c"))

        def sample(self, rng, num):
            puzzle = rng.integers(1, 4, (num, 8)).astype(np.uint8)
            return PuzzleBatch(puzzle, puzzle)

        def verify(self, batch, answer):
            right = answer == batch.solution
            return Verdict(right.all(axis=1), right.mean(axis=1, dtype=np.float32))

        def draw(self, board):
            for index, token in enumerate(board.frame.shown):
                board.canvas.circle(board.rect(index)[:2], 5.0 * int(token), (255, 255, 255))

    check_task(Copy())


def test_a_task_with_a_stored_collection_and_context_conforms():
    class Stored(SortTask):
        spec = replace(SortTask.spec, id_table=IdTable(("one", "two"), copies=3))
        puzzles = SortTask().sample(np.random.default_rng(0), 60)
        keys = SortTask().symmetry_key(puzzles.puzzle)

        def sample(self, rng, num):
            return Task.sample(self, rng, num)

        def stored(self, split):
            place = ["test", "validation", "train", "train"].index
            chosen = np.flatnonzero(np.minimum(self.keys % np.uint64(4), np.uint64(2)) == place(split))
            return replace(self.puzzles.take(chosen), task_id=np.full(len(chosen), 1, np.int32))

        def augment(self, batch, draws):
            return replace(super().augment(batch, draws), task_id=(1 + draws.integers(3)).astype(np.int32))

        def context_spaces(self):
            return {"first": spaces.Box(0, 4, (1,), np.uint8)}

        def context(self, batch):
            return {"first": batch.puzzle[:, :1].copy()}

    check_task(Stored())


class Padded(SortTask):
    def sample(self, rng, num):
        batch = super().sample(rng, num)
        batch.puzzle[:, 3] = 0
        return PuzzleBatch(batch.puzzle, np.sort(batch.puzzle, axis=1))

    @property
    def answer_tokens(self):
        return np.arange(5, dtype=np.uint8)  # sorting moves the padding


def test_padding_is_allowed_where_grids_are_smaller():
    with pytest.raises(TaskError, match=r"padded=True"):
        check_task(Padded())
    check_task(Padded(), padded=True)


def test_what_is_no_task_is_refused():
    with pytest.raises(ValueError, match=r"make one first: check_task\(SortTask\(\)\)"):
        check_task(SortTask)
    with pytest.raises(ValueError, match=r"takes a Task, not 'Sort'$"):
        check_task("Sort")
    with pytest.raises(ValueError, match=r"num=0"):
        check_task(SortTask(), num=0)
