"""What the views of an environment share: which environment they go around, and how info is laid out."""

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
    # It takes no type parameters before Gymnasium 1.3.
    VectorWrapper = gym.vector.VectorWrapper

Base = TypeVar("Base")


def base_of(env: Any, kind: type[Base], view: str) -> Base:
    """The environment under any number of wrappers.

    Args:
        env: what a view was asked to go around.
        kind: the class that the environment must have.
        view: the name of the view, for the message.

    Raises:
        ValueError: it is another kind of environment.
    """
    base = getattr(env, "unwrapped", env)
    if not isinstance(base, kind):
        raise ValueError(f"{view} goes around a {kind.__name__}, not around a {type(base).__name__}")
    return base


class VectorView(VectorWrapper):
    """A vector wrapper that knows how finished rows begin anew."""

    def __init__(self, env: gym.vector.VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        self.autoreset_mode = AutoresetMode(env.metadata["autoreset_mode"])


def reset_rows(options: Mapping[str, Any] | None, num_envs: int) -> NDArray[np.bool_]:
    """Which rows ``reset(options=...)`` begins anew, bool ``[n]``; the environment has checked the mask."""
    return np.array((options or {}).get("reset_mask", np.ones(num_envs, np.bool_)), np.bool_)


def add_entry(info: Mapping[str, Any], name: str, values: NDArray[Any], rows: NDArray[np.bool_]) -> dict[str, Any]:
    """Vector info with a further entry in Gymnasium's form.

    Args:
        info: of a vector environment.
        name: of the entry.
        values: ``[n, ...]``, its values; copied.
        rows: bool ``[n]``, rows that have one; the others read zero.
    """
    shape = (-1,) + (1,) * (values.ndim - 1)
    return {**info, name: np.where(rows.reshape(shape), values, values.dtype.type(0)), f"_{name}": rows.copy()}


def change_final_obs(info: dict[str, Any], change: Callable[[Any, int], Any]) -> dict[str, Any]:
    """Vector info whose last observations of ended episodes went through ``change(obs, row)``."""
    if "final_obs" not in info:
        return info
    final_obs = np.full(len(info["final_obs"]), None, object)
    for row in np.flatnonzero(info["_final_obs"]):
        final_obs[row] = change(info["final_obs"][row], int(row))
    return {**info, "final_obs": final_obs}
