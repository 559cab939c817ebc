"""The native vector environment: the segment dynamics with a batch of n, in one process and without a loop."""

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
    build_dynamics,
    observation_space,
    reset_choice,
    split_settings,
)
from hrm_envs.dynamics import Outcome, state_entry
from hrm_envs.episode_view import EpisodeView
from hrm_envs.limits import MAX_ROWS
from hrm_envs.rendering.frame import Draft
from hrm_envs.rendering.paint import ansi, paint
from hrm_envs.spec import TaskSpec, Tokens
from hrm_envs.streams import fresh_keys, row_seeds
from hrm_envs.task import PuzzleBatch, Verdict

Observations = dict[str, NDArray[Any]]


class ReasoningVectorEnv(gym.vector.VectorEnv[Observations, Mapping[str, Any], NDArray[Any]]):
    """``num_envs`` copies of :class:`~hrm_envs.env.ReasoningEnv`, stepped together in numpy.

    Row ``i`` equals the single environment seeded with ``seed + i``, step for step, across resets.

    Args:
        task: see :class:`~hrm_envs.env.ReasoningEnv`, as for all further keywords.
        num_envs: rows.
        autoreset_mode: ``SAME_STEP`` (default) refills a halted row in the step that ended it: the returned
            observation is the new episode's, ``info["final_obs"]`` and ``info["final_info"]`` hold the old
            one's. ``NEXT_STEP`` and ``DISABLED`` (with ``options={"reset_mask": mask}``) as in Gymnasium.
        render_mode: ``"rgb_array"`` or ``"ansi"``: ``render()`` gives a tuple with one frame a row.
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
        if render_mode is not None:
            choice("render_mode", render_mode, self.metadata["render_modes"])
        mode = as_autoreset_mode(autoreset_mode)
        settings, task_kwargs = split_settings(kwargs)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.autoreset_mode = mode
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self._dynamics = build_dynamics(task, num_envs, settings, task_kwargs, type(self).__name__)
        self.task = self._dynamics.task
        self._expose_solution = settings.expose_solution
        self._views = [EpisodeView(self.task, settings.max_segments) for _ in range(num_envs)] if render_mode else []
        self._done = np.zeros(num_envs, np.bool_)
        self._seeded = np.zeros(num_envs, np.bool_)
        self.single_observation_space = observation_space(self.task, settings.max_segments)
        self.single_action_space = action_space(self.task_spec)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    @property
    def task_spec(self) -> TaskSpec:
        """Grid, alphabet and name of the task."""
        return self.task.spec

    @property
    def num_puzzles(self) -> int:
        """How many puzzles the environment holds; ``reset(options={"index": [...]})`` plays those."""
        return len(self._dynamics.pool)

    @property
    def puzzles(self) -> PuzzleBatch:
        """The puzzles that the environment holds, in the order of their index; shared, so copy them to change them."""
        return self._dynamics.pool

    @property
    def data_hash(self) -> str:
        """SHA-256 of the puzzles that the environment holds."""
        return self._dynamics.pool.digest()

    @property
    def max_segments(self) -> int:
        """``M``, the segment at which every answer is graded."""
        return self._dynamics.max_segments

    @property
    def expose_solution(self) -> bool:
        """Whether ``info`` carries right answers."""
        return self._expose_solution

    @property
    def segment_cost(self) -> float:
        """The price of thinking on for one more segment."""
        return self._dynamics.segment_cost

    def reset(
        self,
        *,
        seed: int | np.integer[Any] | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Observations, dict[str, Any]]:
        """Begin new episodes.

        Args:
            seed: row ``i`` takes ``seed + i``, or ``seed[i]`` where that is not None; without a seed the random
                streams go on.
            options: ``{"puzzle": [n, S]}``, ``{"index": [n]}`` as in the single environment;
                ``{"reset_mask": bool [n]}`` resets only those rows (puzzle and index then have a row for each).

        Raises:
            ValueError: an option, a seed or the number of seeds does not fit.
        """
        rows, chosen = self._what_to_reset(options)  # a bad option must change nothing
        seeds = row_seeds(seed, self.num_envs)
        super().reset(seed=seeds[0])
        self._seed_rows(rows, seeds)
        self._dynamics.reset(rows, **chosen)
        self._begin(rows)
        return self._dynamics.observe(), self._reset_info(rows)

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
        """Take one segment in the rows of a mask while the others wait: for views in which an answer takes many steps.

        A row that waits keeps its episode, gets reward 0, and ``info`` says nothing of it but its solution.

        Args:
            actions: as for :meth:`step`; those of waiting rows must be well formed and are ignored.
            rows: bool ``[n]``; None for all.

        Raises:
            ValueError, gymnasium.error.ResetNeeded: as :meth:`step`.
        """
        if not self._seeded.all():
            raise ResetNeeded(f"row {np.flatnonzero(~self._seeded)[0]} has no episode yet: call reset() first")
        if rows is not None:
            rows = as_mask("rows", rows, self.num_envs)
        answer, halt = as_action(actions, self.task_spec, self.num_envs)
        if self.autoreset_mode is AutoresetMode.NEXT_STEP and self._done.any():
            return self._step_some(answer, halt, rows)
        if self.autoreset_mode is AutoresetMode.DISABLED and self._done.any():
            raise ValueError(
                f"row {np.flatnonzero(self._done)[0]} has ended: call reset(options={{'reset_mask': ...}}) first"
            )
        outcome = self._dynamics.step(answer, halt, rows)
        everywhere = np.ones(self.num_envs, np.bool_)
        stepped = everywhere if rows is None else rows
        self._advance(outcome, stepped)
        if self.autoreset_mode is AutoresetMode.SAME_STEP and outcome.terminated.any():
            info = self._refill(outcome, stepped)
        else:
            info = {**self._step_info(outcome, stepped), **self._solution_info(everywhere)}
            self._done = outcome.terminated.copy()
        return self._dynamics.observe(), outcome.reward, outcome.terminated, self._never(), info

    def judge(self, answers: Tokens) -> Verdict:
        """What the verifier says of answers to the current puzzles, which are not handed in.

        Args:
            answers: uint8 ``[n, S]``, one for each row, or ``[n, K, S]``, several.

        Returns:
            A verdict of ``[n]`` or ``[n, K]`` answers.
        """
        return self._dynamics.judge(answers)[0]

    def halt_rewards(self, answers: Tokens) -> NDArray[np.float32]:
        """What halting on answers to the current puzzles would pay, float32; shapes as for :meth:`judge`."""
        return self._dynamics.judge(answers)[1]

    def preview(self, draft: Callable[[int], Draft], rows: NDArray[np.bool_]) -> None:
        """Show the unfinished answer of each row of a mask in the pictures until its next step.

        Args:
            draft: gives that of a row; not asked where nothing is drawn.
            rows: bool ``[n]``.
        """
        for row, view in enumerate(self._views):
            if rows[row]:
                view.preview(draft(row))

    def render(self) -> tuple[Any, ...] | None:
        """A frame for every row."""
        if self.render_mode is None:
            gym.logger.warn('render() needs a mode: make the environment with render_mode="rgb_array"')
            return None
        show: Callable[..., Any] = paint if self.render_mode == "rgb_array" else ansi
        return tuple(show(self.task, view.frame()) for view in self._views)

    def get_state(self) -> dict[str, NDArray[Any]]:
        """All that the future depends on besides the keywords, as arrays; see :meth:`set_state`."""
        return {**self._dynamics.get_state(), "done": self._done.copy()}

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> Observations:
        """Continue from :meth:`get_state` of an environment with the same keywords; gives the observation.

        Raises:
            ValueError: the state is of another number of rows or another grid, or holds what no state does; nothing
                has changed then.
        """
        done = state_entry(state, "done", self._done)
        self._dynamics.set_state(state)
        self._done = done.copy()
        self._seeded[:] = True
        for row, view in enumerate(self._views):
            view.begin(self._dynamics.batch, row)
        return self._dynamics.observe()

    def solutions(self) -> NDArray[np.uint8]:
        """A right answer of every row's current puzzle, uint8 ``[n, S]``.

        Raises:
            ValueError: the environment was not made with ``expose_solution=True``.
        """
        if not self._expose_solution:
            raise ValueError("solutions are hidden: make the environment with expose_solution=True")
        return self._dynamics.batch.solution.copy()

    def _what_to_reset(self, options: Mapping[str, Any] | None) -> tuple[NDArray[np.int64], dict[str, Any]]:
        """The rows, and the keywords of ``SegmentDynamics.reset`` for them."""
        chosen = as_options(options)
        every = np.ones(self.num_envs, np.bool_)
        mask = as_mask("reset options: 'reset_mask'", chosen.pop("reset_mask", every), self.num_envs)
        if not mask.any():
            raise ValueError("reset options: 'reset_mask' must have a true entry")
        rows = np.flatnonzero(mask)
        return rows, reset_choice(chosen, len(rows), self._dynamics)

    def _seed_rows(self, rows: NDArray[np.int64], seeds: Sequence[int | None]) -> None:
        """New streams for rows with a seed, and for rows that never had any stream."""
        self._dynamics.seed(*fresh_keys(rows, seeds, self._seeded))
        self._seeded[rows] = True

    def _step_some(
        self, answer: NDArray[np.uint8], halt: NDArray[np.bool_], rows: NDArray[np.bool_] | None
    ) -> tuple[Observations, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """NEXT_STEP: rows that ended in the step before begin anew and their actions are ignored."""
        ended = self._done.copy()
        outcome = self._dynamics.step(answer, halt, rows)
        stepped = ~ended if rows is None else rows & ~ended
        self._advance(outcome, stepped)
        anew = np.flatnonzero(ended)
        self._dynamics.reset(anew)
        self._begin(anew)
        outcome.reward[ended] = 0.0
        outcome.terminated[ended] = False
        self._done = outcome.terminated.copy()
        info = {**self._step_info(outcome, stepped), **self._solution_info(np.ones(self.num_envs, np.bool_))}
        return self._dynamics.observe(), outcome.reward, outcome.terminated, self._never(), info

    def _refill(self, outcome: Outcome, stepped: NDArray[np.bool_]) -> dict[str, Any]:
        """SAME_STEP: put the old episodes of the rows that ended aside and begin new ones in their place."""
        ended = outcome.terminated
        rows = np.flatnonzero(ended)
        last = {name: array[rows] for name, array in self._dynamics.observe().items()}
        final_obs = np.full(self.num_envs, None, object)
        # Iterating over arrays makes the views of their rows faster than indexing does.
        for row, *parts in zip(rows, *last.values(), strict=True):
            final_obs[row] = dict(zip(last, parts, strict=True))
        final_info = {**self._step_info(outcome, ended), **self._solution_info(ended)}
        self._dynamics.reset(rows)
        self._begin(rows)
        return {
            **self._step_info(outcome, stepped & ~ended),
            **self._solution_info(np.ones(self.num_envs, np.bool_)),
            "final_obs": final_obs,
            "_final_obs": ended.copy(),
            "final_info": final_info,
            "_final_info": ended.copy(),
        }

    def _begin(self, rows: NDArray[np.int64]) -> None:
        self._done[rows] = False
        if self._views:
            for row in rows:
                self._views[row].begin(self._dynamics.batch, row)

    def _advance(self, outcome: Outcome, stepped: NDArray[np.bool_]) -> None:
        for row, view in enumerate(self._views):
            if stepped[row]:
                view.advance(self._dynamics.answer[row], outcome, row)

    def _reset_info(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        mask = np.zeros(self.num_envs, np.bool_)
        mask[rows] = True
        return self._solution_info(mask)

    def _solution_info(self, mask: NDArray[np.bool_]) -> dict[str, Any]:
        """The solutions of the rows' puzzles of now, zero outside ``mask``, if they may be told."""
        if not self._expose_solution:
            return {}
        return {"solution": self._dynamics.batch.solution * mask[:, None], "_solution": mask.copy()}

    def _step_info(self, outcome: Outcome, mask: NDArray[np.bool_]) -> dict[str, Any]:
        """The step's info in Gymnasium's form: arrays, zero outside ``mask``, and ``_name`` masks."""
        info: dict[str, Any] = {}
        for name, values in outcome.info().items():
            info[name], info[f"_{name}"] = np.where(mask, values, values.dtype.type(0)), mask.copy()
        return info

    def _never(self) -> NDArray[np.bool_]:
        return np.zeros(self.num_envs, np.bool_)


def as_mask(name: str, mask: Any, num_rows: int) -> NDArray[np.bool_]:
    """A mask of rows, bool ``[n]``.

    Raises:
        ValueError: it is none.
    """
    array = as_array(name, mask)
    if array.shape != (num_rows,) or array.dtype != np.bool_:
        raise ValueError(f"{name} must be bool [{num_rows}], found {form(array)}")
    return array


def as_autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """The mode of a name, or the mode itself.

    Raises:
        ValueError: there is no such mode.
    """
    if isinstance(mode, AutoresetMode):
        return mode
    return AutoresetMode(choice("autoreset_mode", mode, [known.value for known in AutoresetMode]))
