"""Action masks in the observation, for agents that expect them there."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from hrm_envs.checks import shown
from hrm_envs.wrappers.base import AutoresetVectorWrapper, change_final_obs

ENTRY = "action_mask"


class MaskInObs(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Adds ``action_mask`` int8 ``[A]`` to the observation.

    An observation that is not a dictionary becomes the entry ``observation``.

    Args:
        env: an environment with ``action_masks()`` and ``info["action_mask"]``, such as :class:`.CellEdit`.

    Raises:
        ValueError: the environment has no masks, or already has this entry.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        if not isinstance(env, gym.Env) or not env.has_wrapper_attr("action_masks"):
            raise ValueError(f"MaskInObs: {shown(env)} has no action_masks(); wrap CellEdit or FlattenAnswer")
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self.observation_space = _with_mask(env.observation_space, env.action_space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a new episode."""
        obs, info = self.env.reset(seed=seed, options=options)
        return _add(obs, info[ENTRY]), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take one step."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return _add(obs, info[ENTRY]), reward, terminated, truncated, info

    def action_masks(self) -> NDArray[np.bool_]:
        """The action masks, bool ``[A]``."""
        masks: NDArray[np.bool_] = self.env.get_wrapper_attr("action_masks")()
        return masks

    def sample_mask(self) -> Any:
        """The masks in the form that ``action_space.sample(mask=...)`` takes."""
        return self.env.get_wrapper_attr("sample_mask")()


class MaskInObsVector(AutoresetVectorWrapper):
    """:class:`MaskInObs` for a vector environment: ``action_mask`` is int8 ``[n, A]``.

    Args:
        env: a vector environment with ``action_masks()`` and ``info["action_mask"]``.

    Raises:
        ValueError: the environment has no masks, or already has this entry.
    """

    def __init__(self, env: gym.vector.VectorEnv[Any, Any, Any]) -> None:
        self._source = _source(env)
        super().__init__(env)
        self.single_observation_space = _with_mask(env.single_observation_space, env.single_action_space)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Begin new episodes."""
        obs, info = self.env.reset(seed=seed, options=options)
        return _add(obs, self.action_masks()), info

    def step(self, actions: Any) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Take one step in every row."""
        obs, reward, terminated, truncated, info = self.env.step(actions)
        info = change_final_obs(info, lambda last, row: _add(last, info["final_info"][ENTRY][row]))
        return _add(obs, self.action_masks()), reward, terminated, truncated, info

    def action_masks(self) -> NDArray[np.bool_]:
        """The action masks of every row, bool ``[n, A]``."""
        return self._source.action_masks()

    def sample_mask(self) -> Any:
        """The masks in the form that ``action_space.sample(mask=...)`` takes."""
        return self._source.sample_mask()


def _source(env: Any) -> Any:
    """The outermost wrapper with masks, because vector wrappers do not forward attributes."""
    source = env
    while not callable(getattr(source, "action_masks", None)):
        if not isinstance(source, gym.vector.VectorWrapper):
            raise ValueError(
                f"MaskInObsVector: {shown(env)} has no action_masks(); wrap CellEditVector or FlattenAnswerVector"
            )
        source = source.env
    return source


def _with_mask(space: spaces.Space[Any], actions: spaces.Space[Any]) -> spaces.Dict:
    entries = dict(space) if isinstance(space, spaces.Dict) else {"observation": space}
    if ENTRY in entries:
        raise ValueError(f"the observation already has an entry {ENTRY!r}")
    size = int(actions.nvec.sum()) if isinstance(actions, spaces.MultiDiscrete) else int(actions.n)  # type: ignore[attr-defined]
    return spaces.Dict({**entries, ENTRY: spaces.Box(0, 1, (size,), np.int8)})


def _add(obs: Any, mask: NDArray[Any]) -> dict[str, Any]:
    return {**(obs if isinstance(obs, dict) else {"observation": obs}), ENTRY: mask.astype(np.int8)}
