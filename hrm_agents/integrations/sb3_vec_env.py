"""Gymnasium vector environments as ``VecEnv`` of Stable-Baselines3, stepped as a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from hrm_envs import independent_seeds

_ACTIONS = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary, spaces.Box)


class ReasoningVecEnv(VecEnv):
    """Converts a Gymnasium vector environment to a ``VecEnv``.

    A row that ends is reset in the same step (``SAME_STEP``, the default of this package's environments). Its info is
    that of the ended episode, with ``terminal_observation`` and ``TimeLimit.truncated``; the info of the new episode is
    in ``reset_infos``. Wrap it in ``VecMonitor`` for the mean reward of episodes.

    Args:
        env: a Gymnasium vector environment in ``SAME_STEP`` mode, with an action space that Stable-Baselines3 supports.

    Raises:
        ValueError: the environment is not of this kind.
    """

    def __init__(self, env: gym.vector.VectorEnv[Any, Any, Any]) -> None:
        if not isinstance(env, gym.vector.VectorEnv):
            raise ValueError(
                f"{type(env).__name__} is not a Gymnasium vector environment: make it with gym.make_vec "
                "(Stable-Baselines3 supports single environments directly)"
            )
        mode = env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            named = mode.value if isinstance(mode, AutoresetMode) else mode
            raise ValueError(
                f"the environment's autoreset mode is {named}: make it with autoreset_mode={AutoresetMode.SAME_STEP} "
                "(gym.make_vec of a Gymnasium id: vector_kwargs={'autoreset_mode': AutoresetMode.SAME_STEP})"
            )
        if not isinstance(env.single_action_space, _ACTIONS):
            raise ValueError(
                f"Stable-Baselines3 does not support {type(env.single_action_space).__name__} actions: wrap the "
                "environment with one of hrm_envs.wrappers, such as FlattenAnswerVector"
            )
        self.env = env
        if getattr(env.unwrapped, "copy", True) is False:
            raise ValueError("the environment returns the same array in every step: make it with copy=True")
        self._actions: NDArray[Any] | None = None
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> Any:
        """Start new episodes, with the seeds and options set by :meth:`seed` and :meth:`set_options`.

        Raises:
            ValueError: the options of the rows differ.
        """
        if any(options != self._options[0] for options in self._options):
            raise ValueError("set_options: a vector environment has one dict of options for all of its rows")
        seeds: Any = list(self._seeds) if any(seed is not None for seed in self._seeds) else None
        obs, info = self.env.reset(seed=seeds, options=self._options[0] or None)
        self.reset_infos = rows_of(info, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        return obs

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the rows at the next reset, independently of those of any other ``seed``.

        Stable-Baselines3 itself would give row i ``seed + i``: runs with seeds 0 and 1 would share all rows but one.
        """
        if seed is None:
            seed = int(np.random.default_rng().integers(2**31))
        self._seeds = list(independent_seeds(seed, self.num_envs))
        return self._seeds

    def step_async(self, actions: NDArray[Any]) -> None:
        """Set the actions [n, ...] of the next step."""
        self._actions = np.asarray(actions, self.action_space.dtype)

    def step_wait(self) -> Any:
        """Step: observations, reward float32 [n], done bool [n], and one info per row."""
        obs, reward, terminated, truncated, info = self.env.step(self._actions)
        done = np.logical_or(terminated, truncated)
        infos = rows_of(info, self.num_envs)
        for row in np.flatnonzero(done).tolist():
            last = {**infos[row].pop("final_info", {}), "terminal_observation": infos[row].pop("final_obs")}
            self.reset_infos[row], infos[row] = infos[row], last
        for row, cut in enumerate(np.logical_and(truncated, ~terminated).tolist()):
            infos[row]["TimeLimit.truncated"] = cut
        return obs, np.asarray(reward, np.float32), done, infos

    def close(self) -> None:
        """Close the environment."""
        self.env.close()

    def get_images(self) -> list[NDArray[Any] | None]:
        """One image per row, if the environment was made with ``render_mode="rgb_array"``."""
        frames: Any = self.env.render() if self.render_mode == "rgb_array" else None
        return [None] * self.num_envs if frames is None else list(frames)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the environment, its wrappers or its single environments, per row.

        Raises:
            AttributeError: none of them has it.
        """
        rows = self._get_indices(indices)
        layer = self._layer_with(attr_name)
        if layer is not None:
            return [getattr(layer, attr_name) for _ in rows]
        values = self._of_rows("get_attr", attr_name)(attr_name)
        return [values[row] for row in rows]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute on the wrapper that has it, or on the environment.

        Raises:
            ValueError: ``indices`` are only some of the rows, which share one object.
        """
        if len(set(self._get_indices(indices))) != self.num_envs:
            raise ValueError(f"set_attr({attr_name!r}): the rows share one environment, so set it for all of them")
        setattr(self._layer_with(attr_name) or self.env, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Call a method of the environment, its wrappers or its single environments, and return the result per row.

        Raises:
            AttributeError: none of them has it.
        """
        rows = self._get_indices(indices)
        layer = self._layer_with(method_name)
        if layer is None:
            result = self._of_rows("call", method_name)(method_name, *method_args, **method_kwargs)
        else:
            result = getattr(layer, method_name)(*method_args, **method_kwargs)
        per_row = isinstance(result, np.ndarray | list | tuple) and len(result) == self.num_envs
        return [result[row] if per_row else result for row in rows]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Whether the environment has a vector wrapper of this class, which all rows share."""
        wrapped = any(isinstance(layer, wrapper_class) for layer in self._layers())
        return [wrapped for _ in self._get_indices(indices)]

    def _layers(self) -> list[Any]:
        """The wrappers and the environment, outermost first."""
        layers: list[Any] = [self.env]
        while isinstance(layers[-1], gym.vector.VectorWrapper):
            layers.append(layers[-1].env)
        return layers

    def _layer_with(self, name: str) -> Any:
        return next((layer for layer in self._layers() if hasattr(layer, name)), None)

    def _of_rows(self, access: str, name: str) -> Any:
        """``get_attr`` or ``call`` of a vector environment of single environments, such as SyncVectorEnv."""
        inner = self._layers()[-1]
        if not hasattr(inner, access):
            raise AttributeError(f"neither {type(self.env).__name__} nor an environment in it has {name!r}")
        return getattr(inner, access)


def rows_of(info: Mapping[str, Any], num_envs: int) -> list[dict[str, Any]]:
    """Split Gymnasium's vector info (arrays with masks ``_name``, and dicts of these) into one dict per row."""
    rows: list[dict[str, Any]] = [{} for _ in range(num_envs)]
    for name, values in info.items():
        if name.startswith("_") and name[1:] in info:
            continue
        mask = info.get(f"_{name}", np.ones(num_envs, np.bool_))
        if isinstance(values, Mapping):
            values = rows_of(values, num_envs)
        elif not isinstance(values, np.ndarray | list | tuple) or len(values) != num_envs:
            values = [values] * num_envs  # shared by all rows
        for row in np.flatnonzero(mask):
            value = values[row]
            rows[row][name] = value.item() if isinstance(value, np.generic) else value
    return rows
