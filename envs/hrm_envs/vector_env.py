"""The native vector environment: the segment dynamics with a batch of n, in one process and without a loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from hrm_envs.construction import TaskLike, action_space, as_action, build_dynamics, observation_space
from hrm_envs.dynamics import Outcome
from hrm_envs.env import reset_choice, split_settings
from hrm_envs.episode_view import EpisodeView
from hrm_envs.rendering import ansi, paint
from hrm_envs.streams import Words, stream_key
from hrm_envs.task import TaskSpec

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
        if num_envs < 1:
            raise ValueError(f"num_envs={num_envs}: at least one row is needed")
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode={render_mode!r}: a vector environment has 'rgb_array' and 'ansi'")
        settings, task_kwargs = split_settings(kwargs)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self._dynamics = build_dynamics(task, num_envs, settings, task_kwargs)
        self.task = self._dynamics.task
        self._expose_solution = settings.expose_solution
        self._views = [EpisodeView(self.task, settings.max_segments) for _ in range(num_envs)] if render_mode else []
        self._done = np.zeros(num_envs, np.bool_)
        self.single_observation_space = observation_space(self.task_spec, settings.max_segments)
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
    def data_hash(self) -> str:
        """SHA-256 of the puzzles that the environment holds."""
        return self._dynamics.pool.digest()

    @property
    def max_segments(self) -> int:
        """``M``, the segment at which every answer is graded."""
        return self._dynamics.max_segments

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[Observations, dict[str, Any]]:
        """Begin new episodes.

        Args:
            seed: row ``i`` takes ``seed + i``, or ``seed[i]`` where that is not None; without a seed the random
                streams go on.
            options: ``{"puzzle": [n, S]}``, ``{"index": [n]}`` as in the single environment;
                ``{"reset_mask": bool [n]}`` resets only those rows (puzzle and index then have a row for each).

        Raises:
            ValueError: an option or the number of seeds does not fit.
        """
        unseeded = self._np_random is None
        super().reset(seed=seed if isinstance(seed, int) else None)
        rows = self._rows_to_reset(options)
        self._seed_rows(rows, seed, unseeded)
        self._dynamics.reset(rows, **reset_choice(options, self.task, len(rows), self.num_puzzles))
        self._begin(rows)
        return self._dynamics.observe(), self._reset_info(rows)

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[Observations, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Take one segment in every row, with ``{"answer": [n, S], "halt": [n]}``.

        Raises:
            ValueError: the actions do not fit the action space, or a finished row was not reset (``DISABLED``).
        """
        answer, halt = as_action(actions, self.task_spec, self.num_envs)
        if self.autoreset_mode is AutoresetMode.NEXT_STEP and self._done.any():
            return self._step_some(answer, halt)
        if self.autoreset_mode is AutoresetMode.DISABLED and self._done.any():
            raise ValueError(
                f"row {np.flatnonzero(self._done)[0]} has ended: call reset(options={{'reset_mask': ...}}) first"
            )
        outcome = self._dynamics.step(answer, halt)
        self._advance(outcome)
        info = self._step_info(outcome, np.ones(self.num_envs, np.bool_))
        if self.autoreset_mode is AutoresetMode.SAME_STEP and outcome.terminated.any():
            info = self._refill(outcome, info)
        else:
            self._done = outcome.terminated.copy()
        return self._dynamics.observe(), outcome.reward, outcome.terminated, self._never(), info

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
            ValueError: the state is of another number of rows or another grid.
        """
        self._dynamics.set_state(dict(state))
        self._done = state["done"].astype(np.bool_)
        self._np_random = self._np_random or seeding.np_random()[0]
        return self._dynamics.observe()

    def solutions(self) -> NDArray[np.uint8]:
        """A right answer of every row's current puzzle, uint8 ``[n, S]``.

        Raises:
            ValueError: the environment was not made with ``expose_solution=True``.
        """
        if not self._expose_solution:
            raise ValueError("solutions are hidden: make the environment with expose_solution=True")
        return self._dynamics.batch.solution.copy()

    def _rows_to_reset(self, options: Mapping[str, Any] | None) -> NDArray[np.int64]:
        if options is None or "reset_mask" not in options:
            return np.arange(self.num_envs)
        mask = np.asarray(options["reset_mask"])
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(f"reset options: 'reset_mask' must be bool [{self.num_envs}] with a true entry")
        return np.flatnonzero(mask)

    def _seed_rows(self, rows: NDArray[np.int64], seed: int | Sequence[int | None] | None, unseeded: bool) -> None:
        if seed is None:
            if unseeded:
                self._dynamics.seed(
                    self.np_random.integers(0, 2**64, self.num_envs, np.uint64), np.arange(self.num_envs)
                )
            return
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"{len(seeds)} seeds for {self.num_envs} rows")
        seeded = np.array([i for i in rows if seeds[i] is not None], np.int64)
        keys: Words = np.array([stream_key(seeding.np_random(seeds[i])[0]) for i in seeded], np.uint64)
        self._dynamics.seed(keys, seeded)

    def _step_some(
        self, answer: NDArray[np.uint8], halt: NDArray[np.bool_]
    ) -> tuple[Observations, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """NEXT_STEP: rows that ended in the step before begin anew and their actions are ignored."""
        ended = self._done.copy()
        outcome = self._dynamics.step(answer, halt)
        self._advance(outcome)
        rows = np.flatnonzero(ended)
        self._dynamics.reset(rows)
        self._begin(rows)
        outcome.reward[ended] = 0.0
        outcome.terminated[ended] = False
        self._done = outcome.terminated.copy()
        info = self._step_info(outcome, ~ended)
        return self._dynamics.observe(), outcome.reward, outcome.terminated, self._never(), info

    def _refill(self, outcome: Outcome, info: dict[str, Any]) -> dict[str, Any]:
        """SAME_STEP: put the old episodes of the rows that ended aside and begin new ones in their place."""
        ended = outcome.terminated
        rows = np.flatnonzero(ended)
        last = self._dynamics.observe()
        final_obs = np.full(self.num_envs, None, object)
        for row in rows:
            final_obs[row] = {name: array[row] for name, array in last.items()}
        final_info = self._step_info(outcome, ended)
        info = self._step_info(outcome, ~ended)
        self._dynamics.reset(rows)
        self._begin(rows)
        if self._expose_solution:
            info["solution"], info["_solution"] = self.solutions(), np.ones(self.num_envs, np.bool_)
        return {
            **info,
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

    def _advance(self, outcome: Outcome) -> None:
        for row, view in enumerate(self._views):
            view.advance(self._dynamics.answer[row], outcome, row)

    def _reset_info(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        if not self._expose_solution:
            return {}
        mask = np.zeros(self.num_envs, np.bool_)
        mask[rows] = True
        return {"solution": self.solutions(), "_solution": mask}

    def _step_info(self, outcome: Outcome, mask: NDArray[np.bool_]) -> dict[str, Any]:
        """The step's info in Gymnasium's form: arrays, zero outside ``mask``, and ``_name`` masks."""
        info: dict[str, Any] = {}
        for name, values in outcome.info().items():
            info[name], info[f"_{name}"] = np.where(mask, values, 0).astype(values.dtype), mask.copy()
        if self._expose_solution:
            info["solution"], info["_solution"] = self.solutions(), mask.copy()
        return info

    def _never(self) -> NDArray[np.bool_]:
        return np.zeros(self.num_envs, np.bool_)
