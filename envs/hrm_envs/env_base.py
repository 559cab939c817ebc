"""The constructor and the properties that the single and the vector environment share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import choice
from hrm_envs.construction import TaskLike, build_dynamics, split_settings
from hrm_envs.puzzles.splits import puzzle_classes
from hrm_envs.spec import PAD, TaskSpec
from hrm_envs.task import PuzzleBatch


class ReasoningBase:
    """The task, the puzzles and the dynamics of an environment."""

    render_mode: str | None

    def _build(
        self, task: TaskLike, num_rows: int, kwargs: Mapping[str, Any], render_mode: str | None, modes: Sequence[str]
    ) -> None:
        """Build task and dynamics from the keywords of the constructor."""
        if render_mode is not None:
            choice("render_mode", render_mode, modes)
        settings, task_kwargs = split_settings(kwargs)
        self.render_mode = render_mode
        self._dynamics = build_dynamics(task, num_rows, settings, task_kwargs, type(self).__name__)
        self.task = self._dynamics.task
        #: Which puzzles the environment plays.
        self.split = settings.split
        #: Size and colours of the images.
        self.look = settings.look
        self._expose_solution = settings.expose_solution

    @property
    def task_spec(self) -> TaskSpec:
        """Name, grid and symbols of the task."""
        return self.task.spec

    @property
    def num_puzzles(self) -> int:
        """Number of puzzles; ``reset(options={"index": i})`` plays puzzle ``i``."""
        return len(self.puzzles)

    @property
    def puzzles(self) -> PuzzleBatch:
        """The puzzles, in the order of their index. The arrays are shared: copy them before changing them."""
        return self._dynamics.pool

    @property
    def has_known_answer(self) -> NDArray[np.bool_]:
        """Which puzzles have a solution, or a task that grades without one: bool ``[N]``."""
        return (self.puzzles.solution != PAD).any(axis=1) | self.task.grades_without_solution

    @cached_property
    def puzzle_classes(self) -> NDArray[np.uint64]:
        """Symmetry key and task identity of each puzzle, uint64 ``[N, 2]``; equal for symmetric copies of a puzzle."""
        return puzzle_classes(self.task, self.puzzles)

    @property
    def num_classes(self) -> int:
        """Number of puzzles that differ by more than symmetry."""
        return len(np.unique(self.puzzle_classes, axis=0))

    @property
    def data_hash(self) -> str:
        """SHA-256 of the puzzles."""
        return self.puzzles.digest()

    @property
    def max_segments(self) -> int:
        """``M``, the segment at which every answer is graded."""
        return self._dynamics.max_segments

    @property
    def segment_cost(self) -> float:
        """Cost of each segment after which the agent continues."""
        return self._dynamics.segment_cost

    @property
    def expose_solution(self) -> bool:
        """Whether ``info`` includes a right answer."""
        return self._expose_solution
