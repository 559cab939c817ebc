"""The vector reasoning environment: the segment dynamics with a batch of n, without a Python loop over rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from hrm_envs.checks import as_array, choice, form, whole_number
from hrm_envs.construction import (
    TaskLike,
    action_space,
    as_action,
    as_options,
    observation_space,
    reset_choice,
)
from hrm_envs.dynamics import Outcome, state_entry
from hrm_envs.env_base import ReasoningBase
from hrm_envs.frame_builder import FrameBuilder
from hrm_envs.limits import MAX_ROWS
from hrm_envs.rendering.frame_data import Draft
from hrm_envs.rendering.render import render_ansi, render_rgb
from hrm_envs.spec import Tokens
from hrm_envs.streams import fresh_keys, row_seeds
from hrm_envs.task import Verdict

Observations = dict[str, NDArray[Any]]


class ReasoningVectorEnv(ReasoningBase, gym.vector.VectorEnv[Observations, Mapping[str, Any], NDArray[Any]]):
    """``num_envs`` copies of :class:`~hrm_envs.env.ReasoningEnv`, stepped together in numpy.

    Row ``i`` equals the single environment seeded with ``seed + i``, step for step, across resets.

    Args:
        task: see :class:`~hrm_envs.env.ReasoningEnv`, also for all other keywords.
        num_envs: number of rows.
        autoreset_mode: ``SAME_STEP`` (default) resets a row in the step that ended its episode: the observation belongs
            to the new episode, ``info["final_obs"]`` and ``info["final_info"]`` to the old one. ``NEXT_STEP`` and
            ``DISABLED`` (with ``options={"reset_mask": mask}``) work as in Gymnasium.
        render_mode: ``"rgb_array"`` or ``"ansi"``; ``render()`` returns a tuple with one frame per row.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": 4,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        task: TaskLike,
        num_envs: int = 1,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        num_envs = whole_number("num_envs", num_envs, 1, MAX_ROWS)
        self.autoreset_mode = as_autoreset_mode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.num_envs = num_envs
        self._build(task, num_envs, kwargs, render_mode, self.metadata["render_modes"])
        self._frame_builders = (
            [FrameBuilder(self.task, self.max_segments) for _ in range(num_envs)] if render_mode else []
        )
        self._done = np.zeros(num_envs, np.bool_)
        self._seeded = np.zeros(num_envs, np.bool_)
        self.single_observation_space = observation_space(self.task, self.max_segments)
        self.single_action_space = action_space(self.task_spec)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self,
        *,
        seed: int | np.integer[Any] | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Observations, dict[str, Any]]:
        """Begin new episodes.

        Args:
            seed: row ``i`` gets ``seed + i``, or ``seed[i]``; None continues the random streams.
            options: ``{"puzzle": [n, S]}`` or ``{"index": [n]}``, as in the single environment;
                ``{"reset_mask": bool [n]}`` resets only those rows, and puzzle and index then have one entry for each.

        Raises:
            ValueError: an option, a seed or the number of seeds is invalid.
        """
        rows, chosen = self._what_to_reset(options)  # checked first: an invalid option must change nothing
        seeds = row_seeds(seed, self.num_envs)
        super().reset(seed=seeds[0])
        self._dynamics.seed(*fresh_keys(rows, seeds, self._seeded))
        self._seeded[rows] = True
        self._restart(rows, **chosen)
        return self._dynamics.observe(), self._solution_info(np.isin(np.arange(self.num_envs), rows))

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[Observations, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Take one segment in every row, with ``{"answer": [n, S], "halt": [n]}``.

        Raises:
            ValueError: the actions do not fit the action space, or a finished row was not reset (``DISABLED``).
            gymnasium.error.ResetNeeded: a row has never been reset.
        """
        return self.step_rows(actions, None)

    def step_rows(
        self, actions: Mapping[str, Any], rows: NDArray[np.bool_] | None
    ) -> tuple[Observations, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Take one segment in the rows of a mask only, for wrappers that need several steps per answer.

        The episodes of the other rows do not change: their reward is 0, and ``info`` has only their solution.

        Args:
            actions: as in :meth:`step`; the actions of the other rows must be valid but are ignored.
            rows: bool ``[n]``; None for all.

        Raises:
            ValueError, gymnasium.error.ResetNeeded: as :meth:`step`.
        """
        if not self._seeded.all():
            raise ResetNeeded(f"row {np.flatnonzero(~self._seeded)[0]} has no episode yet: call reset() first")
        if rows is not None:
            rows = as_mask("rows", rows, self.num_envs)
        answer, halt = as_action(actions, self.task_spec, self.num_envs)
        if self.autoreset_mode is AutoresetMode.DISABLED and self._done.any():
            raise ValueError(
                f"row {np.flatnonzero(self._done)[0]} has ended: call reset(options={{'reset_mask': ...}}) first"
            )
        everywhere = np.ones(self.num_envs, np.bool_)
        # NEXT_STEP resets the rows that ended in the last step, and ignores their actions.
        stale = self._done.copy() if self.autoreset_mode is AutoresetMode.NEXT_STEP else ~everywhere
        outcome = self._dynamics.step(answer, halt, rows)
        stepped = ~stale if rows is None else rows & ~stale
        self._advance(outcome, stepped)
        if stale.any():
            self._restart(np.flatnonzero(stale))
            outcome.reward[stale], outcome.terminated[stale] = 0.0, False
        if self.autoreset_mode is AutoresetMode.SAME_STEP and outcome.terminated.any():
            info = self._refill(outcome, stepped)
        else:
            info = {**self._step_info(outcome, stepped), **self._solution_info(everywhere)}
            self._done = outcome.terminated.copy()
        return self._dynamics.observe(), outcome.reward, outcome.terminated, ~everywhere, info

    def judge(self, answers: Tokens) -> Verdict:
        """Grade answers to the current puzzles without stepping.

        Args:
            answers: integers ``[n, S]``, one answer per row, or ``[n, K, S]``, several.

        Returns:
            A verdict of shape ``[n]`` or ``[n, K]``.

        Raises:
            ValueError: the answers have another shape or dtype, or a token is out of range.
        """
        return self._dynamics.judge(answers)[0]

    def halt_rewards(self, answers: Tokens) -> NDArray[np.float32]:
        """The halt reward of answers to the current puzzles, float32, with the shapes of :meth:`judge`."""
        return self._dynamics.judge(answers)[1]

    def preview(self, draft: Callable[[int], Draft], rows: NDArray[np.bool_]) -> None:
        """Render the unfinished answer of each row of a mask until the next step of the row.

        Args:
            draft: returns the draft of a row; called only if frames are rendered.
            rows: bool ``[n]``.
        """
        for row, view in enumerate(self._frame_builders):
            if rows[row]:
                view.preview(draft(row))

    def render(self) -> tuple[Any, ...] | None:
        """One frame per row."""
        if self.render_mode is None:
            gym.logger.warn('render() needs a mode: make the environment with render_mode="rgb_array"')
            return None
        frames = (view.frame() for view in self._frame_builders)
        if self.render_mode == "ansi":
            return tuple(render_ansi(self.task, frame) for frame in frames)
        return tuple(render_rgb(self.task, frame, self.look.size, self.look.theme) for frame in frames)

    def get_state(self) -> dict[str, NDArray[Any]]:
        """The complete state of the episodes and random streams, as arrays; see :meth:`set_state`."""
        return {**self._dynamics.get_state(), "done": self._done.copy()}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> Observations:
        """Restore a state of an environment with the same keywords, from :meth:`get_state`; returns the observation.

        Raises:
            ValueError: the number of rows or the grid differs, or a value is out of range; nothing changes.
        """
        done = state_entry(state, "done", self._done)
        self._dynamics.set_state(state)
        self._done = done.copy()
        self._seeded[:] = True
        for row, view in enumerate(self._frame_builders):
            view.begin(self._dynamics.batch, row)
        return self._dynamics.observe()

    def solutions(self) -> NDArray[np.uint8]:
        """A right answer to the current puzzle of every row, uint8 ``[n, S]``.

        Raises:
            ValueError: the environment was not made with ``expose_solution=True``.
        """
        self._check_exposed()
        return self._dynamics.batch.solution.copy()

    def nearest(self, scores: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """The right answer to each current puzzle that is nearest to an agent's own, uint8 ``[n, S]``.

        It has the largest sum of scores of all right answers, where the task knows several
        (:attr:`Task.many_answers <hrm_envs.Task.many_answers>`); else it is the solution. Rows without a label are all
        padding.

        Args:
            scores: float ``[n, S, V]``, how much the agent favours each token in each cell, such as logits.

        Raises:
            ValueError: the environment was not made with ``expose_solution=True``, or the scores have another shape or
                type or are not finite.
        """
        self._check_exposed()
        return self._dynamics.nearest(scores)

    def _check_exposed(self) -> None:
        if not self._expose_solution:
            raise ValueError("solutions are hidden: make the environment with expose_solution=True")

    def _what_to_reset(self, options: Mapping[str, Any] | None) -> tuple[NDArray[np.int64], dict[str, Any]]:
        """The rows, and the keywords of ``SegmentDynamics.reset`` for them."""
        chosen = as_options(options)
        every = np.ones(self.num_envs, np.bool_)
        mask = as_mask("reset options: 'reset_mask'", chosen.pop("reset_mask", every), self.num_envs)
        if not mask.any():
            raise ValueError("reset options: 'reset_mask' must have a true entry")
        rows = np.flatnonzero(mask)
        return rows, reset_choice(chosen, len(rows), self._dynamics)

    def _refill(self, outcome: Outcome, stepped: NDArray[np.bool_]) -> dict[str, Any]:
        """SAME_STEP: record the final observation and info of the rows that ended, then reset these rows."""
        ended = outcome.terminated
        rows = np.flatnonzero(ended)
        last = {name: array[rows] for name, array in self._dynamics.observe().items()}
        final_obs = np.full(self.num_envs, None, object)
        # Iterating over arrays is faster than indexing them row by row.
        for row, *parts in zip(rows, *last.values(), strict=True):
            final_obs[row] = dict(zip(last, parts, strict=True))
        final_info = {**self._step_info(outcome, ended), **self._solution_info(ended)}
        self._restart(rows)
        return {
            **self._step_info(outcome, stepped & ~ended),
            **self._solution_info(np.ones(self.num_envs, np.bool_)),
            "final_obs": final_obs,
            "_final_obs": ended.copy(),
            "final_info": final_info,
            "_final_info": ended.copy(),
        }

    def _restart(self, rows: NDArray[np.int64], **chosen: Any) -> None:
        """Begin new episodes in the given rows, with keywords of ``SegmentDynamics.reset``."""
        self._dynamics.reset(rows, **chosen)
        self._done[rows] = False
        if self._frame_builders:
            for row in rows:
                self._frame_builders[row].begin(self._dynamics.batch, row)

    def _advance(self, outcome: Outcome, stepped: NDArray[np.bool_]) -> None:
        for row, view in enumerate(self._frame_builders):
            if stepped[row]:
                view.advance(self._dynamics.answer[row], outcome, row)

    def _solution_info(self, mask: NDArray[np.bool_]) -> dict[str, Any]:
        """The solutions of the current puzzles, zero outside ``mask``; empty if they are hidden."""
        if not self._expose_solution:
            return {}
        return {"solution": self._dynamics.batch.solution * mask[:, None], "_solution": mask.copy()}

    def _step_info(self, outcome: Outcome, mask: NDArray[np.bool_]) -> dict[str, Any]:
        """The info of a step in Gymnasium's format: arrays, zero outside ``mask``, and ``_name`` masks."""
        info: dict[str, Any] = {}
        for name, values in outcome.info().items():
            info[name], info[f"_{name}"] = np.where(mask, values, values.dtype.type(0)), mask.copy()
        return info


def as_mask(name: str, mask: Any, num_rows: int) -> NDArray[np.bool_]:
    """``mask`` as an array bool ``[n]``.

    Raises:
        ValueError: another shape or dtype; the message names the argument.
    """
    array = as_array(name, mask)
    if array.shape != (num_rows,) or array.dtype != np.bool_:
        raise ValueError(f"{name} must be bool [{num_rows}], found {form(array)}")
    return array


def as_autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """The autoreset mode called ``mode``, or ``mode`` itself.

    Raises:
        ValueError: unknown mode.
    """
    if isinstance(mode, AutoresetMode):
        return mode
    return AutoresetMode(choice("autoreset_mode", mode, [known.value for known in AutoresetMode]))
