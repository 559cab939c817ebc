"""Answer and halt as one flat action, for algorithms without dictionary actions."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import MultiDiscrete
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from hrm_envs.checks import as_array, shown
from hrm_envs.env import ReasoningEnv
from hrm_envs.spec import TaskSpec, Tokens
from hrm_envs.task import Task
from hrm_envs.vector_env import ReasoningVectorEnv
from hrm_envs.wrappers.base import AutoresetVectorWrapper, add_entry, base_of, reset_rows


class FlattenAnswer(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """The action is ``MultiDiscrete([V] * S + [2])``: a token for every cell, then the halt.

    ``info["action_mask"]`` int8 ``[S * V + 2]`` and ``action_masks()`` (the same as bool) mark the useful values: the
    given token in a given cell, and the task's ``answer_tokens`` in other cells. Other values are valid actions too.
    ``env.action_space.sample(mask=env.sample_mask())`` samples useful actions.

    Args:
        env: a :class:`~hrm_envs.env.ReasoningEnv`, wrapped or not.

    Raises:
        ValueError: another kind of environment.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        base = base_of(env, ReasoningEnv, "FlattenAnswer")
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._task = base.task
        self._masks: NDArray[np.bool_] | None = None
        self.action_space = flat_space(base.task_spec)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Begin a new episode; see :meth:`.ReasoningEnv.reset`."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._masks = answer_masks(self._task, obs["puzzle"][None])[0]
        return obs, self._info(info)

    def step(self, action: NDArray[Any]) -> tuple[dict[str, NDArray[Any]], Any, bool, bool, dict[str, Any]]:
        """Take one segment with an action ``[S + 1]``.

        Raises:
            ValueError: the action does not fit the action space.
        """
        obs, reward, terminated, truncated, info = self.env.step(split_action(action, (self._task.spec.num_cells + 1,)))
        return obs, reward, terminated, truncated, self._info(info)

    def action_masks(self) -> NDArray[np.bool_]:
        """The useful values, bool ``[S * V + 2]``: the tokens of every cell, then the halt.

        Raises:
            gymnasium.error.ResetNeeded: no episode has begun.
        """
        if self._masks is None:
            raise ResetNeeded("no puzzle to mask yet: call reset() first")
        return self._masks.copy()

    def sample_mask(self) -> tuple[NDArray[np.int8], ...]:
        """The masks for ``action_space.sample(mask=...)``: int8 ``[V]`` for each cell, then ``[2]`` for the halt.

        Raises:
            gymnasium.error.ResetNeeded: no episode has begun.
        """
        return _by_value(self.action_masks(), self._task.spec)

    def _info(self, info: dict[str, Any]) -> dict[str, Any]:
        return {**info, "action_mask": self.action_masks().astype(np.int8)}


class FlattenAnswerVector(AutoresetVectorWrapper):
    """:class:`FlattenAnswer` for a vector environment; masks are ``[n, S * V + 2]``.

    Args:
        env: a :class:`~hrm_envs.vector_env.ReasoningVectorEnv`, wrapped or not.

    Raises:
        ValueError: another kind of environment.
    """

    def __init__(self, env: gym.vector.VectorEnv[Any, Any, Any]) -> None:
        base = base_of(env, ReasoningVectorEnv, "FlattenAnswerVector")
        super().__init__(env)
        self._task = base.task
        self._puzzle: Tokens = np.zeros((base.num_envs, base.task_spec.num_cells), np.uint8)
        self._begun = False
        self.single_action_space = flat_space(base.task_spec)
        self._masks = np.zeros((base.num_envs, int(self.single_action_space.nvec.sum())), np.bool_)
        self.action_space = batch_space(self.single_action_space, base.num_envs)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Begin new episodes; see :meth:`.ReasoningVectorEnv.reset`."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._begun = True
        self._look(obs["puzzle"])
        return obs, self._info(info, reset_rows(options, self.num_envs))

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[dict[str, NDArray[Any]], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Take one segment in every row with actions ``[n, S + 1]``.

        Raises:
            ValueError: the actions do not fit the action space.
        """
        split = split_action(actions, (self.num_envs, self._task.spec.num_cells + 1))
        obs, reward, terminated, truncated, info = self.env.step(split)
        if self.autoreset_mode is AutoresetMode.SAME_STEP and terminated.any():
            last = self._masks.astype(np.int8)
            info = {**info, "final_info": add_entry(info["final_info"], "action_mask", last, terminated)}
        self._look(obs["puzzle"])
        return obs, reward, terminated, truncated, self._info(info, np.ones(self.num_envs, np.bool_))

    def action_masks(self) -> NDArray[np.bool_]:
        """The useful values of each row, bool ``[n, S * V + 2]``.

        Raises:
            gymnasium.error.ResetNeeded: no episode has begun.
        """
        if not self._begun:
            raise ResetNeeded("no puzzles to mask yet: call reset() first")
        return self._masks.copy()

    def sample_mask(self) -> tuple[tuple[NDArray[np.int8], ...], ...]:
        """The masks of each row, for ``single_action_space.sample(mask=...)``.

        The batched action space is a ``Box``, which does not support masks: sample row by row.

        Raises:
            gymnasium.error.ResetNeeded: no episode has begun.
        """
        return tuple(_by_value(masks, self._task.spec) for masks in self.action_masks())

    def _look(self, puzzle: Tokens) -> None:
        new = np.flatnonzero((puzzle != self._puzzle).any(axis=1))
        if len(new):
            self._puzzle[new] = puzzle[new]
            self._masks[new] = answer_masks(self._task, puzzle[new])

    def _info(self, info: dict[str, Any], rows: NDArray[np.bool_]) -> dict[str, Any]:
        return add_entry(info, "action_mask", self._masks.astype(np.int8), rows)


def flat_space(spec: TaskSpec) -> MultiDiscrete:
    """The action space: a token for every cell, then the halt."""
    return MultiDiscrete(np.array([spec.vocab_size] * spec.num_cells + [2]))


def split_action(action: NDArray[Any], shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
    """Split a flat action ``[..., S + 1]`` into answer and halt. The environment checks the values.

    Raises:
        ValueError: the action has another shape.
    """
    action = as_array("action", action)
    if action.shape != shape:
        raise ValueError(f"action: expected shape {shape}, the answer and then the halt; found {shown(action.shape)}")
    return {"answer": action[..., :-1], "halt": action[..., -1]}


def _by_value(masks: NDArray[np.bool_], spec: TaskSpec) -> tuple[NDArray[np.int8], ...]:
    """Split flat masks ``[S * V + 2]`` into one array per entry of the action."""
    flat = masks.astype(np.int8)
    return (*flat[:-2].reshape(spec.num_cells, spec.vocab_size), flat[-2:])


def answer_masks(task: Task, puzzle: Tokens) -> NDArray[np.bool_]:
    """The useful tokens of each cell of puzzles (uint8 ``[B, S]``), then both halts, bool ``[B, S * V + 2]``."""
    tokens = np.arange(task.spec.vocab_size)
    legal = np.isin(tokens, task.answer_tokens)
    cells = np.where(task.editable(puzzle)[:, :, None], legal, puzzle[:, :, None] == tokens)
    return np.concatenate([cells.reshape(len(puzzle), -1), np.ones((len(puzzle), 2), np.bool_)], axis=1)
