"""A small correct task, which other tests break: sort a row of letters. It is symmetric under reversal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hrm_envs.spec import TaskSpec
from hrm_envs.streams import hash_rows
from hrm_envs.task import PuzzleBatch, Task, Verdict


class SortTask(Task):
    spec = TaskSpec("Sort", (1, 8), ("?", "a", "b", "c", "d"))

    def sample(self, rng, num):
        puzzle = rng.integers(1, 5, (num, 8)).astype(np.uint8)
        return PuzzleBatch(puzzle, np.sort(puzzle, axis=1))

    def verify(self, batch, answer):
        right = answer == np.sort(batch.puzzle, axis=1)
        return Verdict(right.all(axis=1), right.mean(axis=1, dtype=np.float32))

    def augment(self, batch, draws):
        flip = draws.integers(2).astype(bool)[:, None]
        return replace(batch, puzzle=np.where(flip, batch.puzzle[:, ::-1], batch.puzzle))

    def symmetry_key(self, puzzle):
        return np.minimum(hash_rows(puzzle), hash_rows(puzzle[:, ::-1]))

    def complete(self, puzzle):
        return PuzzleBatch(puzzle, np.sort(puzzle, axis=1))
