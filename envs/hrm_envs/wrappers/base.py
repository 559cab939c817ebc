"""Functions shared by the wrappers: the wrapped environment, and entries of the vector info."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

if TYPE_CHECKING:
    VectorWrapper = gym.vector.VectorWrapper[Any, Any, Any, Any, NDArray[Any]]
else:
    # Not generic before Gymnasium 1.3.
    VectorWrapper = gym.vector.VectorWrapper

Base = TypeVar("Base")


def base_of(env: Any, kind: type[Base], wrapper: str) -> Base:
    """The unwrapped environment.

    Args:
        env: an environment, wrapped or not.
        kind: the required class.
        wrapper: name of the wrapper, for the message.

    Raises:
        ValueError: another kind of environment.
    """
    base = getattr(env, "unwrapped", env)
    if not isinstance(base, kind):
        raise ValueError(f"{wrapper} wraps a {kind.__name__}, not a {type(base).__name__}")
    return base


class AutoresetVectorWrapper(VectorWrapper):
    """A vector wrapper with the autoreset mode of its environment."""

    def __init__(self, env: gym.vector.VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        self.autoreset_mode = AutoresetMode(env.metadata["autoreset_mode"])


def reset_rows(options: Mapping[str, Any] | None, num_envs: int) -> NDArray[np.bool_]:
    """The rows that ``reset(options=...)`` resets, bool ``[n]``; the environment has checked the mask."""
    return np.array((options or {}).get("reset_mask", np.ones(num_envs, np.bool_)), np.bool_)


def add_entry(info: Mapping[str, Any], name: str, values: NDArray[Any], rows: NDArray[np.bool_]) -> dict[str, Any]:
    """Add an entry in Gymnasium's format to a vector info.

    Args:
        info: info of a vector environment.
        name: name of the entry.
        values: ``[n, ...]``, its values, which are copied.
        rows: bool ``[n]``, rows that have the entry; the others are zero.
    """
    shape = (-1,) + (1,) * (values.ndim - 1)
    return {**info, name: np.where(rows.reshape(shape), values, values.dtype.type(0)), f"_{name}": rows.copy()}


def change_final_obs(info: dict[str, Any], change: Callable[[Any, int], Any]) -> dict[str, Any]:
    """Apply ``change(obs, row)`` to the final observations in a vector info."""
    if "final_obs" not in info:
        return info
    final_obs = np.full(len(info["final_obs"]), None, object)
    for row in np.flatnonzero(info["_final_obs"]):
        final_obs[row] = change(info["final_obs"][row], int(row))
    return {**info, "final_obs": final_obs}
