"""Any Gymnasium vector environment as a ``VecEnv`` of Stable-Baselines3: one call steps all rows."""

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
    """``env``, stepped by Stable-Baselines3.

    A row that ends begins anew in the same step (SAME_STEP, how this package's environments come by default). Its info
    is then the old episode's, with ``terminal_observation`` and ``TimeLimit.truncated``; the new one's is in
    ``reset_infos``. Put ``VecMonitor`` around it for the mean reward of episodes.

    Args:
        env: a Gymnasium vector environment, wrapped or not, that resets in SAME_STEP mode and whose actions
            Stable-Baselines3 knows.

    Raises:
        ValueError: the environment is of another kind.
    """

    def __init__(self, env: gym.vector.VectorEnv[Any, Any, Any]) -> None:
        if not isinstance(env, gym.vector.VectorEnv):
            raise ValueError(
                f"a {type(env).__name__} is no Gymnasium vector environment: make it with gym.make_vec "
                "(Stable-Baselines3 takes a single environment as it is)"
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
                f"Stable-Baselines3 has no actions of kind {type(env.single_action_space).__name__}: put a wrapper of "
                "hrm_envs.wrappers around the environment, which makes the action one number or one row of numbers"
            )
        self.env = env
        if getattr(env.unwrapped, "copy", True) is False:
            raise ValueError("the environment writes every observation into the same array: make it with copy=True")
        self._actions: NDArray[Any] | None = None
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> Any:
        """Begin new episodes, with the seeds and options that :meth:`seed` and :meth:`set_options` left.

        Raises:
            ValueError: the options of the rows differ, while a vector environment is reset with one for all.
        """
        if any(options != self._options[0] for options in self._options):
            raise ValueError("set_options: a vector environment takes one dict of options for all of its rows")
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
        """Take the actions [n, ...] of the next step."""
        self._actions = np.asarray(actions, self.action_space.dtype)

    def step_wait(self) -> Any:
        """Step with the actions taken: observations, reward float32 [n], done bool [n], and one info a row."""
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
        """One picture a row, if the environment was made with ``render_mode="rgb_array"``."""
        frames: Any = self.env.render() if self.render_mode == "rgb_array" else None
        return [None] * self.num_envs if frames is None else list(frames)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the environment or of what it wraps, once a row.

        Raises:
            AttributeError: nothing has it.
        """
        rows = self._get_indices(indices)
        layer = self._layer_with(attr_name)
        if layer is not None:
            return [getattr(layer, attr_name) for _ in rows]
        values = self._of_single_ones("get_attr", attr_name)(attr_name)
        return [values[row] for row in rows]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute where it is found, or on the environment itself.

        Raises:
            ValueError: it is to be set for some of the rows, which share one object.
        """
        if len(set(self._get_indices(indices))) != self.num_envs:
            raise ValueError(f"set_attr({attr_name!r}): the rows share one environment, so set it for all of them")
        setattr(self._layer_with(attr_name) or self.env, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Call a method of the environment or of what it wraps, and give each row its share of the result.

        Raises:
            AttributeError: nothing has it.
        """
        rows = self._get_indices(indices)
        layer = self._layer_with(method_name)
        if layer is None:
            result = self._of_single_ones("call", method_name)(method_name, *method_args, **method_kwargs)
        else:
            result = getattr(layer, method_name)(*method_args, **method_kwargs)
        per_row = isinstance(result, np.ndarray | list | tuple) and len(result) == self.num_envs
        return [result[row] if per_row else result for row in rows]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Whether a vector wrapper of this class is around the environment; all rows share it."""
        wrapped = any(isinstance(layer, wrapper_class) for layer in self._layers())
        return [wrapped for _ in self._get_indices(indices)]

    def _layers(self) -> list[Any]:
        """The environment and what it wraps, outermost first."""
        layers: list[Any] = [self.env]
        while isinstance(layers[-1], gym.vector.VectorWrapper):
            layers.append(layers[-1].env)
        return layers

    def _layer_with(self, name: str) -> Any:
        return next((layer for layer in self._layers() if hasattr(layer, name)), None)

    def _of_single_ones(self, access: str, name: str) -> Any:
        """``get_attr`` or ``call`` of an environment that is made of single ones, such as SyncVectorEnv."""
        inner = self._layers()[-1]
        if not hasattr(inner, access):
            raise AttributeError(f"neither {type(self.env).__name__} nor an environment in it has {name!r}")
        return getattr(inner, access)


def rows_of(info: Mapping[str, Any], num_envs: int) -> list[dict[str, Any]]:
    """Gymnasium's vector info (arrays with masks ``_name``, and dicts of such) as one dict a row."""
    rows: list[dict[str, Any]] = [{} for _ in range(num_envs)]
    for name, values in info.items():
        if name.startswith("_") and name[1:] in info:
            continue
        mask = info.get(f"_{name}", np.ones(num_envs, np.bool_))
        if isinstance(values, Mapping):
            values = rows_of(values, num_envs)
        elif not isinstance(values, np.ndarray | list | tuple) or len(values) != num_envs:
            values = [values] * num_envs  # said of all rows at once
        for row in np.flatnonzero(mask):
            value = values[row]
            rows[row][name] = value.item() if isinstance(value, np.generic) else value
    return rows
