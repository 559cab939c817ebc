"""Wrappers in which an agent edits a draft of the answer step by step and then submits it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from hrm_envs.checks import as_array, flag, real_number
from hrm_envs.env import ReasoningEnv
from hrm_envs.limits import MAX_COST
from hrm_envs.vector_env import ReasoningVectorEnv
from hrm_envs.wrappers.base import AutoresetVectorWrapper, add_entry, base_of, change_final_obs, reset_rows
from hrm_envs.wrappers.drafts import Drafts

Observation = dict[str, NDArray[Any]]


class DraftWrapper(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Edits the draft of one environment: edits have a cost, shaping rewards better drafts, the last action submits.

    An edit is not a segment: the environment takes its only segment when the draft is submitted.

    Args:
        env: a :class:`~hrm_envs.env.ReasoningEnv`, wrapped or not.
        edit_cost: cost of an edit.
        shaping: whether to reward better drafts immediately.
        gamma: discount factor of the shaping.
        kwargs: keywords of ``drafts_class``.

    Raises:
        ValueError: another kind of environment, or a keyword is out of range.
        TypeError: unknown keyword.
    """

    #: Makes the drafts from the task, the number of rows and keywords.
    drafts_class: ClassVar[Callable[..., Drafts]]

    def __init__(
        self,
        env: gym.Env[Any, Any],
        *,
        edit_cost: float = 0.0,
        shaping: bool = False,
        gamma: float = 1.0,
        **kwargs: Any,
    ) -> None:
        self._base = base_of(env, ReasoningEnv, type(self).__name__)
        _check(edit_cost, shaping, gamma)
        gym.Wrapper.__init__(self, env)
        #: The draft and its edits.
        self.drafts = type(self).drafts_class(self._base.task, 1, **kwargs)
        # After the checks, because it copies the arguments.
        RecordConstructorArgs.__init__(self, edit_cost=edit_cost, shaping=shaping, gamma=gamma, **kwargs)
        self._edit_cost, self._shaping, self._gamma = edit_cost, shaping, gamma
        self._over, self._potential = True, 0.0
        self._given: tuple[Observation, dict[str, Any]] = ({}, {})
        self.action_space = spaces.Discrete(self.drafts.num_actions)
        self.observation_space = _draft_space(env.observation_space, self.drafts)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a new episode; see :meth:`.ReasoningEnv.reset`."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._given = (obs, {name: info[name] for name in ("solution",) if name in info})
        self.drafts.begin(obs["puzzle"][None], np.array([0]))
        self._over, self._potential = False, self._score()
        self._base.preview(self.drafts.draft(0))
        return self._observe(obs), self._info(info)

    def step(self, action: int) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """Edit the draft, or submit it.

        Raises:
            ValueError: the action is not in the action space.
            gymnasium.error.ResetNeeded: the episode is over, or none has begun.
        """
        if self._over:
            raise ResetNeeded("no episode to step: call reset() first")
        (edited,), (halted,), (forced,) = self.drafts.edit(as_array("action", action).reshape(-1), np.array([True]))
        if edited:
            self._base.preview(self.drafts.draft(0))
        if halted:
            obs, earned, _, _, info = self.env.step({"answer": self.drafts.answer[0], "halt": 1})
            info = {**info, "forced_halt": bool(forced)}
        else:
            (obs, info), earned = self._given, 0.0
        reward = float(earned) - self._edit_cost * float(edited)
        if self._shaping:
            after = 0.0 if halted else self._score()
            reward += self._gamma * after - self._potential
            self._potential = after
        self._over = bool(halted)
        return self._observe(obs), reward, self._over, False, self._info(info)

    def action_masks(self) -> NDArray[np.bool_]:
        """Whether each action changes something or submits, bool ``[A]``."""
        return self.drafts.masks()[0]

    def sample_mask(self) -> NDArray[np.int8]:
        """The masks as int8 ``[A]``, for ``action_space.sample(mask=...)``."""
        return self.action_masks().astype(np.int8)

    def _score(self) -> float:
        return float(self._base.judge(self.drafts.answer[0]).score[0]) if self._shaping else 0.0

    def _observe(self, obs: Observation) -> Observation:
        return _draft_obs(obs, self.drafts.observe(), 0)

    def _info(self, info: dict[str, Any]) -> dict[str, Any]:
        copied = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in info.items()}
        return {**copied, "action_mask": self.action_masks().astype(np.int8)}


class DraftVectorWrapper(AutoresetVectorWrapper):
    """:class:`DraftWrapper` for a vector environment. Rows submit independently.

    Args:
        env: an unwrapped :class:`~hrm_envs.vector_env.ReasoningVectorEnv`; apply other wrappers to this one.
        edit_cost: see :class:`DraftWrapper`, also for the other arguments.
        shaping: see there.
        gamma: see there.
        kwargs: see there.

    Raises:
        ValueError, TypeError: as :class:`DraftWrapper`.
    """

    #: Makes the drafts from the task, the number of rows and keywords.
    drafts_class: ClassVar[Callable[..., Drafts]]

    def __init__(
        self,
        env: gym.vector.VectorEnv[Any, Any, Any],
        *,
        edit_cost: float = 0.0,
        shaping: bool = False,
        gamma: float = 1.0,
        **kwargs: Any,
    ) -> None:
        name = type(self).__name__
        self._base = base_of(env, ReasoningVectorEnv, name)
        if self._base is not env:
            raise ValueError(f"{name} must wrap the environment directly: apply other wrappers to the {name}")
        _check(edit_cost, shaping, gamma)
        super().__init__(env)
        #: The drafts of all rows and their edits.
        self.drafts = type(self).drafts_class(self._base.task, env.num_envs, **kwargs)
        self._edit_cost, self._shaping, self._gamma = edit_cost, shaping, gamma
        self._over = np.ones(env.num_envs, np.bool_)
        self._potential = np.zeros(env.num_envs)
        self.single_action_space = spaces.Discrete(self.drafts.num_actions)
        self.single_observation_space = _draft_space(env.single_observation_space, self.drafts)
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
        self._base.preview(self.drafts.draft, rows)
        return self._observe(obs), add_entry(info, "action_mask", self.action_masks().astype(np.int8), rows)

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Edit or submit the draft of every row, with actions ``[n]``.

        Raises:
            ValueError: the actions do not fit the action space.
            gymnasium.error.ResetNeeded: a row has no episode.
        """
        live = ~self._over
        if not live.all() and self.autoreset_mode is not AutoresetMode.NEXT_STEP:
            raise ResetNeeded(f"row {np.flatnonzero(~live)[0]} has no episode to step: call reset() first")
        edited, halted, forced = self.drafts.edit(actions, live)
        self._base.preview(self.drafts.draft, forced)  # a forced submission is an edit too
        obs, earned, ended, truncated, info = self._base.step_rows(
            {"answer": self.drafts.answer, "halt": halted}, rows=halted
        )
        every = np.ones(self.num_envs, np.bool_)
        if self.autoreset_mode is AutoresetMode.SAME_STEP and ended.any():
            final_info = add_entry(info["final_info"], "action_mask", self.action_masks().astype(np.int8), ended)
            info["final_info"] = {**final_info, "forced_halt": forced}
            last = self.drafts.observe()
            info = change_final_obs(info, lambda obs, row: _draft_obs(obs, last, row))
            self._begin(obs, ended)
        else:
            info["forced_halt"] = forced
            # Under NEXT_STEP, finished rows were reset in this step.
            self._begin(obs, ~live)
            self._over = ended.copy()
        reward = earned - self._edit_cost * edited
        if self._shaping:
            after = self._score()
            reward += np.where(live, self._gamma * np.where(halted, 0.0, after) - self._potential, 0.0)
            self._potential = after
        self._base.preview(self.drafts.draft, ~self._over)
        info = add_entry(info, "action_mask", self.action_masks().astype(np.int8), every)
        return self._observe(obs), reward, ended, truncated, info

    def action_masks(self) -> NDArray[np.bool_]:
        """Whether each action of each row changes something or submits, bool ``[n, A]``."""
        return self.drafts.masks()

    def sample_mask(self) -> tuple[NDArray[np.int8], ...]:
        """The masks of each row as int8 ``[A]``, for ``action_space.sample(mask=...)``."""
        return tuple(self.action_masks().astype(np.int8))

    def _begin(self, obs: Observation, rows: NDArray[np.bool_]) -> None:
        self.drafts.begin(obs["puzzle"][rows], np.flatnonzero(rows))

    def _score(self) -> NDArray[np.float64]:
        return self._base.judge(self.drafts.answer).score.astype(np.float64)

    def _observe(self, obs: Observation) -> Observation:
        return _draft_obs(obs, self.drafts.observe())


def _draft_space(space: spaces.Space[Any], drafts: Drafts) -> spaces.Dict:
    """The observation space with the entries of the drafts instead of the answer and the segment."""
    assert isinstance(space, spaces.Dict)
    return spaces.Dict({**_without_answer(space), **drafts.spaces()})


def _draft_obs(obs: Observation, drafts: Observation, row: int | None = None) -> Observation:
    """An observation of that space, of all rows or of one; ``obs`` is copied, ``drafts`` are new arrays of all rows."""
    kept = {name: array.copy() for name, array in _without_answer(obs).items()}
    return {**kept, **(drafts if row is None else {name: array[row] for name, array in drafts.items()})}


def _without_answer(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in entries.items() if name not in ("answer", "segment")}


def _check(edit_cost: float, shaping: bool, gamma: float) -> None:
    real_number("edit_cost", edit_cost, -MAX_COST, MAX_COST)
    real_number("gamma", gamma, 0.0, 1.0)
    flag("shaping", shaping)
