"""What the views have in common in which a board is edited step by step and then handed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from hrm_envs.checks import as_array, flag, real_number
from hrm_envs.env import ReasoningEnv
from hrm_envs.limits import MAX_COST
from hrm_envs.task import Task
from hrm_envs.vector_env import ReasoningVectorEnv
from hrm_envs.wrappers.base import VectorView, add_entry, base_of, change_final_obs, reset_rows
from hrm_envs.wrappers.drafts import Boards

Observation = dict[str, NDArray[Any]]
#: Makes the boards for a task and a number of rows.
MakeBoards = Callable[[Task, int], Boards]


class BoardView(gym.Wrapper[Any, Any, Any, Any]):
    """A board of one environment: edits cost, shaping pays for better boards, the last action hands in.

    An edit is no segment: the environment takes its one segment when the board is handed in.

    Args:
        env: a :class:`~hrm_envs.env.ReasoningEnv`, wrapped or not.
        make: the boards and their edits.
        edit_cost: price of an edit.
        shaping: whether better boards pay at once.
        gamma: discount of the shaping.

    Raises:
        ValueError: it is no such environment, or a keyword is out of range.
    """

    def __init__(
        self, env: gym.Env[Any, Any], make: MakeBoards, *, edit_cost: float, shaping: bool, gamma: float
    ) -> None:
        self._base = base_of(env, ReasoningEnv, type(self).__name__)
        _check(edit_cost, shaping, gamma)
        super().__init__(env)
        self._boards = make(self._base.task, 1)
        self._edit_cost, self._shaping, self._gamma = edit_cost, shaping, gamma
        self._over, self._potential = True, 0.0
        self._given: tuple[Observation, dict[str, Any]] = ({}, {})
        self.action_space = spaces.Discrete(self._boards.num_actions)
        self.observation_space = _board_space(env.observation_space, self._boards)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a new episode; see :meth:`.ReasoningEnv.reset`."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._given = (obs, {name: info[name] for name in ("solution",) if name in info})
        self._boards.begin(obs["puzzle"][None], np.array([0]))
        self._over, self._potential = False, self._score()
        self._base.preview(self._boards.draft(0))
        return self._observe(obs), self._tell(info)

    def step(self, action: int) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """Edit the board, or hand it in.

        Raises:
            ValueError: the action is none.
            gymnasium.error.ResetNeeded: the episode is over, or none has begun.
        """
        if self._over:
            raise ResetNeeded("no episode to step: call reset() first")
        (edited,), (halted,), (forced,) = self._boards.edit(as_array("action", action).reshape(-1), np.array([True]))
        if edited:
            self._base.preview(self._boards.draft(0))
        if halted:
            obs, pay, _, _, info = self.env.step({"answer": self._boards.board[0], "halt": 1})
            info = {**info, "forced_halt": bool(forced)}
        else:
            (obs, info), pay = self._given, 0.0
        reward = float(pay) - self._edit_cost * float(edited)
        if self._shaping:
            after = 0.0 if halted else self._score()
            reward += self._gamma * after - self._potential
            self._potential = after
        self._over = bool(halted)
        return self._observe(obs), reward, self._over, False, self._tell(info)

    def action_masks(self) -> NDArray[np.bool_]:
        """Edits that change something, and handing in: bool ``[A]``."""
        return self._boards.masks()[0]

    def sample_mask(self) -> NDArray[np.int8]:
        """The same as int8 ``[A]``, which ``action_space.sample(mask=...)`` takes."""
        return self.action_masks().astype(np.int8)

    def _score(self) -> float:
        return float(self._base.judge(self._boards.board[0]).score[0]) if self._shaping else 0.0

    def _observe(self, obs: Observation) -> Observation:
        return _board_obs(obs, self._boards.observe(), 0)

    def _tell(self, info: dict[str, Any]) -> dict[str, Any]:
        told = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in info.items()}
        return {**told, "action_mask": self.action_masks().astype(np.int8)}


class BoardVectorView(VectorView):
    """:class:`BoardView` for a vector environment: rows edit on while others hand in.

    Args:
        env: a :class:`~hrm_envs.vector_env.ReasoningVectorEnv` itself; other wrappers go around this one.
        make: see :class:`BoardView`, as for the other arguments.

    Raises:
        ValueError: it is no such environment, or a keyword is out of range.
    """

    def __init__(
        self,
        env: gym.vector.VectorEnv[Any, Any, Any],
        make: MakeBoards,
        *,
        edit_cost: float,
        shaping: bool,
        gamma: float,
    ) -> None:
        view = type(self).__name__
        self._base = base_of(env, ReasoningVectorEnv, view)
        if self._base is not env:
            raise ValueError(f"{view} goes around the environment itself: set other wrappers around it")
        _check(edit_cost, shaping, gamma)
        super().__init__(env)
        self._boards = make(self._base.task, env.num_envs)
        self._edit_cost, self._shaping, self._gamma = edit_cost, shaping, gamma
        self._over = np.ones(env.num_envs, np.bool_)
        self._potential = np.zeros(env.num_envs)
        self.single_action_space = spaces.Discrete(self._boards.num_actions)
        self.single_observation_space = _board_space(env.single_observation_space, self._boards)
        self.action_space = batch_space(self.single_action_space, env.num_envs)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Observation, dict[str, Any]]:
        """Begin new episodes; see :meth:`.ReasoningVectorEnv.reset`."""
        obs, info = self._base.reset(seed=seed, options=options)
        rows = reset_rows(options, self.num_envs)
        self._begin(obs, rows)
        self._over[rows] = False
        if self._shaping:
            self._potential = np.where(rows, self._score(), self._potential)
        self._base.preview(self._boards.draft, rows)
        return self._observe(obs), add_entry(info, "action_mask", self.action_masks().astype(np.int8), rows)

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Edit the board of every row, or hand it in, with actions ``[n]``.

        Raises:
            ValueError: the actions do not fit the action space.
            gymnasium.error.ResetNeeded: a row has no episode.
        """
        live = ~self._over
        if not live.all() and self.autoreset_mode is not AutoresetMode.NEXT_STEP:
            raise ResetNeeded(f"row {np.flatnonzero(~live)[0]} has no episode to step: call reset() first")
        edited, halted, forced = self._boards.edit(actions, live)
        self._base.preview(self._boards.draft, forced)  # these were edits too
        obs, pay, ended, truncated, info = self._base.step_rows(
            {"answer": self._boards.board, "halt": halted}, rows=halted
        )
        every = np.ones(self.num_envs, np.bool_)
        if self.autoreset_mode is AutoresetMode.SAME_STEP and ended.any():
            final_info = add_entry(info["final_info"], "action_mask", self.action_masks().astype(np.int8), ended)
            info["final_info"] = {**final_info, "forced_halt": forced}
            last = self._boards.observe()
            info = change_final_obs(info, lambda obs, row: _board_obs(obs, last, row))
            self._begin(obs, ended)
        else:
            info["forced_halt"] = forced
            # Under NEXT_STEP the rows that were over have begun anew.
            self._begin(obs, ~live)
            self._over = ended.copy()
        reward = pay - self._edit_cost * edited
        if self._shaping:
            after = self._score()
            reward += np.where(live, self._gamma * np.where(halted, 0.0, after) - self._potential, 0.0)
            self._potential = after
        self._base.preview(self._boards.draft, ~self._over)
        info = add_entry(info, "action_mask", self.action_masks().astype(np.int8), every)
        return self._observe(obs), reward, ended, truncated, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Edits that change something in each row, and handing in: bool ``[n, A]``."""
        return self._boards.masks()

    def sample_mask(self) -> tuple[NDArray[np.int8], ...]:
        """The same as int8 ``[A]`` for each row, which ``action_space.sample(mask=...)`` takes."""
        return tuple(self.action_masks().astype(np.int8))

    def _begin(self, obs: Observation, rows: NDArray[np.bool_]) -> None:
        self._boards.begin(obs["puzzle"][rows], np.flatnonzero(rows))

    def _score(self) -> NDArray[np.float64]:
        return self._base.judge(self._boards.board).score.astype(np.float64)

    def _observe(self, obs: Observation) -> Observation:
        return _board_obs(obs, self._boards.observe())


def _board_space(space: spaces.Space[Any], boards: Boards) -> spaces.Dict:
    """The environment's observation with the boards' in place of the answer and the segment."""
    assert isinstance(space, spaces.Dict)
    return spaces.Dict({**_without_answer(space), **boards.spaces()})


def _board_obs(obs: Observation, boards: Observation, row: int | None = None) -> Observation:
    """That observation, of all rows or of one; ``boards`` are fresh arrays of all rows, ``obs`` is copied."""
    kept = {name: array.copy() for name, array in _without_answer(obs).items()}
    return {**kept, **(boards if row is None else {name: array[row] for name, array in boards.items()})}


def _without_answer(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in entries.items() if name not in ("answer", "segment")}


def _check(edit_cost: float, shaping: bool, gamma: float) -> None:
    real_number("edit_cost", edit_cost, -MAX_COST, MAX_COST)
    real_number("gamma", gamma, 0.0, 1.0)
    flag("shaping", shaping)
