"""The vector environment of maze walks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from hrm_envs.checks import shown, whole_number
from hrm_envs.maze import MazeTask
from hrm_envs.moves.drawing import Walk, render_walk_ansi, render_walk_rgb
from hrm_envs.moves.dynamics import MoveDynamics, MoveOutcome
from hrm_envs.moves.mazes import WalkMazeTask, view_in_split
from hrm_envs.moves.settings import MOVES, as_moves, check_render_mode, observation_space, split_keywords
from hrm_envs.streams import fresh_keys, row_seeds
from hrm_envs.vector_env import ReasoningVectorEnv, as_autoreset_mode


class MazeMovesVector(gym.vector.VectorEnv[NDArray[np.uint8], NDArray[Any], NDArray[Any]]):
    """``num_envs`` copies of :class:`~hrm_envs.moves.env.MazeMoves`, stepped together in numpy.

    Row ``i`` equals the single environment seeded with ``seed + i``, step for step, across resets.

    Args:
        venv: a vector maze environment (made by ``gym.make_vec``), of which only the puzzles are used; without it, give
            the keywords of one.
        num_envs: number of rows; by default that of ``venv``, or 1.
        autoreset_mode: as in :class:`~hrm_envs.vector_env.ReasoningVectorEnv`; by default that of ``venv``.
        render_mode: ``"rgb_array"`` or ``"ansi"``: ``render()`` returns a tuple with one frame per row.
        kwargs: see :class:`~hrm_envs.moves.env.MazeMoves`.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": 8,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        venv: gym.vector.VectorEnv[Any, Any, Any] | None = None,
        num_envs: int | None = None,
        *,
        autoreset_mode: AutoresetMode | str | None = None,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        settings, maze_kwargs = split_keywords(kwargs, mazes_given=venv is not None, constructor=type(self).__name__)
        mazes: Any = getattr(venv, "unwrapped", venv)
        if venv is None:
            mazes = ReasoningVectorEnv(WalkMazeTask, 1 if num_envs is None else num_envs, **maze_kwargs)
        if not isinstance(mazes, ReasoningVectorEnv) or not isinstance(mazes.task, MazeTask):
            raise ValueError(
                f"MazeMovesVector needs a vector maze environment, as gym.make_vec makes, not {shown(venv)}"
            )
        if num_envs is not None and whole_number("num_envs", num_envs) != mazes.num_envs:
            raise ValueError(f"num_envs={shown(num_envs)}: the environment given has {mazes.num_envs}; omit num_envs")
        mode = mazes.render_mode if render_mode is None else render_mode
        self.render_mode = check_render_mode(mode, self.metadata["render_modes"])
        self.autoreset_mode = as_autoreset_mode(mazes.autoreset_mode if autoreset_mode is None else autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        #: The source of the mazes. It is only reset.
        self.mazes = mazes
        self.num_envs = mazes.num_envs
        allowed = partial(view_in_split, mazes.task, split=mazes.split)
        self._dynamics = MoveDynamics(self.num_envs, mazes.task_spec.grid_shape, settings, allowed)
        self._trails: list[list[int]] = [[] for _ in range(self.num_envs)] if self.render_mode else []
        self._success, self._done, self._seeded = np.zeros((3, self.num_envs), np.bool_)
        self.single_observation_space = observation_space(mazes.task, settings)
        self.single_action_space = spaces.Discrete(len(MOVES))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self,
        *,
        seed: int | np.integer[Any] | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Start new walks.

        Args:
            seed: row ``i`` uses ``seed + i``, or ``seed[i]`` where that is not None; without a seed the random streams
                continue.
            options: ``{"puzzle": [n, S]}`` or ``{"index": [n]}``; ``{"reset_mask": bool [n]}`` resets only those rows.

        Raises:
            ValueError: an option is invalid, or the number of seeds is not that of the rows.
        """
        found, _ = self.mazes.reset(seed=seed, options=options)  # first, so that a bad argument changes nothing
        seeds = row_seeds(seed, self.num_envs)
        super().reset(seed=seeds[0])
        mask = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs, np.bool_)))
        rows = np.flatnonzero(mask)
        self._dynamics.seed(*fresh_keys(rows, seeds, self._seeded))
        self._seeded[rows] = True
        self._start(rows, found["puzzle"][rows])
        return self._dynamics.observe(), self._state_info(mask)

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Move every walker, with integers ``[n]`` as in the single environment.

        Raises:
            ValueError: the actions are not in the action space, or a finished row was not reset (``DISABLED``).
            gymnasium.error.ResetNeeded: a row has never been reset.
        """
        if not self._seeded.all():
            raise ResetNeeded(f"row {np.flatnonzero(~self._seeded)[0]} has no walk yet: call reset() first")
        if self.autoreset_mode is AutoresetMode.DISABLED and self._done.any():
            raise ValueError(
                f"row {np.flatnonzero(self._done)[0]} has ended: call reset(options={{'reset_mask': ...}}) first"
            )
        outcome = self._dynamics.step(as_moves(actions, self.num_envs))
        for trail, cell in zip(self._trails, self._dynamics.cell, strict=False):
            trail.append(int(cell))
        # Under NEXT_STEP rows that finished before are reset now, and their actions ignored.
        stale, everywhere = self._done.copy(), np.ones(self.num_envs, np.bool_)
        reward, terminated, truncated = outcome.reward, outcome.success, outcome.truncated
        if stale.any():
            self._refill(stale)
            reward, terminated, truncated = np.where(stale, 0.0, reward), terminated & ~stale, truncated & ~stale
        ended = terminated | truncated
        self._success, self._done = terminated.copy(), ended.copy()
        if self.autoreset_mode is AutoresetMode.SAME_STEP and ended.any():
            info = self._finish(outcome, ended)
        else:
            info = {**self._step_info(outcome, ~stale), **self._state_info(everywhere)}
        return self._dynamics.observe(), reward, terminated, truncated, info

    def action_masks(self) -> NDArray[np.bool_]:
        """The current ``info["action_mask"]`` as bool ``[n, 4]``."""
        return self._dynamics.mask()

    def sample_mask(self) -> tuple[NDArray[np.int8], ...]:
        """The current masks, int8 ``[4]`` per row, for ``action_space.sample(mask=...)``."""
        return tuple(self.action_masks().astype(np.int8))

    def render(self) -> tuple[Any, ...] | None:
        """Render every row."""
        if self.render_mode is None:
            gym.logger.warn('render() needs a mode: make the environment with render_mode="rgb_array"')
            return None
        if not self._seeded.all():
            raise ResetNeeded("nothing to render: call reset() first")
        walks = (
            Walk.of(self._dynamics, row, trail, bool(self._success[row]), bool(self._done[row]))
            for row, trail in enumerate(self._trails)
        )
        spec, look = self.mazes.task_spec, self.mazes.look
        if self.render_mode == "ansi":
            return tuple(render_walk_ansi(spec, walk) for walk in walks)
        return tuple(render_walk_rgb(spec, walk, look.size, look.theme) for walk in walks)

    def close_extras(self, **kwargs: Any) -> None:
        """Close the maze environment."""
        # Gymnasium 1.2 also closes environments whose constructor failed.
        if hasattr(self, "mazes"):
            self.mazes.close()

    def _start(self, rows: NDArray[np.int64], puzzle: NDArray[np.uint8]) -> None:
        self._dynamics.reset(rows, puzzle)
        self._success[rows] = self._done[rows] = False
        if self._trails:
            for row in rows:
                self._trails[row] = [int(self._dynamics.cell[row])]

    def _refill(self, ended: NDArray[np.bool_]) -> None:
        found, _ = self.mazes.reset(options={"reset_mask": ended})
        rows = np.flatnonzero(ended)
        self._start(rows, found["puzzle"][rows])

    def _finish(self, outcome: MoveOutcome, ended: NDArray[np.bool_]) -> dict[str, Any]:
        """SAME_STEP: keep the final state of the walks that ended and start new ones in their rows."""
        last = self._dynamics.observe()
        final_obs = np.full(self.num_envs, None, object)
        for row in np.flatnonzero(ended):
            final_obs[row] = last[row].copy()
        final_info = {**self._step_info(outcome, ended), **self._state_info(ended)}
        self._refill(ended)
        return {
            **self._step_info(outcome, ~ended),
            **self._state_info(np.ones(self.num_envs, np.bool_)),
            "final_obs": final_obs,
            "_final_obs": ended.copy(),
            "final_info": final_info,
            "_final_info": ended.copy(),
        }

    def _step_info(self, outcome: MoveOutcome, mask: NDArray[np.bool_]) -> dict[str, Any]:
        return {"is_success": outcome.success & mask, "_is_success": mask.copy()}

    def _state_info(self, mask: NDArray[np.bool_]) -> dict[str, Any]:
        """Info on the current walks in Gymnasium's format: zero outside ``mask``, and ``_name`` masks."""
        dynamics = self._dynamics
        info: dict[str, Any] = {
            "steps": dynamics.steps * mask,
            "optimum": dynamics.optimum * mask,
            "action_mask": (dynamics.mask() & mask[:, None]).astype(np.int8),
        }
        if dynamics.settings.oracle:
            best, distance = dynamics.oracle()
            info |= {"oracle": (best & mask[:, None]).astype(np.int8), "oracle_distance": distance * mask}
        return {**info, **{f"_{name}": mask.copy() for name in info}}
