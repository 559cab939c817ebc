"""Environments by Gymnasium id, with clear errors: the only way in which agents come by one."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import gymnasium as gym

from hrm_agents.errors import UserError, user_errors


def make_vector(env_id: str, num_envs: int, kwargs: Mapping[str, Any]) -> Any:
    """``gym.make_vec`` of an id in namespace ``HRM/`` or of the user's own.

    Raises:
        UserError: the id is unknown or a keyword is wrong.
    """
    _check(env_id)
    with user_errors(env_id):
        env: Any = gym.make_vec(env_id, num_envs=num_envs, **kwargs)
        _ = env.num_puzzles  # makes the puzzles, so that asking for too many fails here
    return env


def make_single(env_id: str, kwargs: Mapping[str, Any]) -> gym.Env[Any, Any]:
    """``gym.make``, likewise.

    Raises:
        UserError: the id is unknown or a keyword is wrong.
    """
    _check(env_id)
    with user_errors(env_id):
        return gym.make(env_id, **kwargs)


def of_unseen(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of an environment, for its unseen puzzles: as many as it has, however few of the others are used.

    Where solutions are withheld there, none is kept here: an evaluation needs none.
    """
    kept = {name: value for name, value in kwargs.items() if name != "num_puzzles"}
    if "num_labelled" in kept:
        kept["num_labelled"] = 0
    return {**kept, "split": "test"}


def registered_keywords(env_id: str) -> dict[str, Any]:
    """The keywords that an id has built in.

    Raises:
        UserError: the id is unknown or has no version.
    """
    _register()
    module, _, name = env_id.rpartition(":")
    with user_errors(env_id):
        if module:
            importlib.import_module(module)
        return dict(gym.spec(name).kwargs)


def _check(env_id: str) -> None:
    if "task" not in registered_keywords(env_id):
        raise UserError(f"{env_id} is not a reasoning environment; `hrm-agents envs` lists those there are")


def _register() -> None:
    import hrm_envs  # noqa: F401  (importing it registers the built-in ids)
