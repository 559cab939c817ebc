"""Environments by Gymnasium id, with clear errors: the only way in which agents come by one.

Whose word an id is decides what may happen: one that the user types may import a module (``module:id``); one that
stands in a file never does (:func:`check_saved`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

import gymnasium as gym

from hrm_agents.errors import UserError, one_line, user_errors
from hrm_agents.user_modules import import_module

#: ``[module:][namespace/]name-vN``.
_ID = re.compile(r"(?:(?P<module>[\w.]+):)?(?P<name>(?:[\w:-]+/)?[\w:.-]+)")
_LONGEST_ID = 200
#: Keywords that the package sets itself, or that would turn an environment into something else.
_RESERVED = {
    "task": "the id decides which task it is",
    "num_envs": "the command decides how many rows there are",
    "autoreset_mode": "the loop that steps the environment decides how rows begin anew",
    "render_mode": "the command decides what is drawn, and where",
    "expose_solution": "whoever learns from solutions asks for them",
    "vectorization_mode": "these environments are vector environments already, in one process",
    "vector_kwargs": "the environment takes its keywords directly",
    "wrappers": "these environments are stepped unwrapped",
    "max_episode_steps": "an episode ends at max_segments",
    "disable_env_checker": "the checker has no part in training",
    "additional_wrappers": "these environments are stepped unwrapped",
}
_WALKS = "hrm_envs.moves.env:MazeMoves"


def make_vector(env_id: str, num_envs: int, kwargs: Mapping[str, Any]) -> Any:
    """``gym.make_vec`` of an id in namespace ``HRM/`` or of the user's own.

    Raises:
        UserError: the id is unknown or a keyword is wrong.
    """
    name = _known(env_id)
    with user_errors(env_id):
        env: Any = gym.make_vec(name, num_envs=num_envs, **kwargs)
        _ = env.num_puzzles  # makes the puzzles, so that asking for too many fails here
    return env


def make_single(env_id: str, kwargs: Mapping[str, Any]) -> gym.Env[Any, Any]:
    """``gym.make``, likewise.

    Raises:
        UserError: the id is unknown or a keyword is wrong.
    """
    name = _known(env_id)
    with user_errors(env_id):
        return gym.make(name, **kwargs)


def check_keywords(kwargs: Mapping[str, Any], where: str) -> None:
    """Refuse keywords that a user or a file may not set, before any environment is made with them.

    Args:
        kwargs: as given.
        where: what to call them in the error, such as ``"--kwargs"``.

    Raises:
        UserError: naming the keyword, and why it is not for the taking.
    """
    for name in kwargs:
        if name in _RESERVED:
            raise UserError(f"{where}: {name} cannot be set here: {_RESERVED[name]}")


def check_saved(env_id: str, kwargs: Mapping[str, Any], where: str) -> None:
    """Refuse an environment named in a file whose making could run code that the user did not ask for.

    Args:
        env_id: from the file. Its id must be registered; a module in front of it must be imported already.
        kwargs: from the file.
        where: the file, for messages.

    Raises:
        UserError: saying how to vouch for the module.
    """
    module, name = _parse(env_id)
    if module is not None and module not in sys.modules:
        raise UserError(
            f"{where}: it was trained in {one_line(env_id)}; files may not import modules. If you trust {module}, "
            f"name it yourself: --module {module}, or import {module} in Python"
        )
    if name not in gym.registry:
        hint = "import the module that registers it (--module NAME)"
        raise UserError(f"{where}: the environment {one_line(name)!r} is not registered: {hint}")
    check_keywords(kwargs, f"{where}: env.kwargs")


def user_id(env_id: str) -> str:
    """An id that the user typed, with the module in front of it imported: ``module:id`` or ``PATH/FILE.py:id``.

    Returns:
        The same id with the plain name of the module, by which later commands find it.

    Raises:
        UserError: it is no id, or the module cannot be imported.
    """
    module, colon, name = env_id.rpartition(":")
    if colon:
        env_id = f"{import_module(module, one_line(env_id))}:{name}"
    _parse(env_id)
    return env_id


def of_unseen(kwargs: Mapping[str, Any], split: str = "test") -> dict[str, Any]:
    """Keywords of an environment, for its unseen puzzles: as many as it has, however few of the others are used.

    Where solutions are withheld there, none is kept here: an evaluation needs none.
    """
    kept = {name: value for name, value in kwargs.items() if name != "num_puzzles"}
    if "num_labelled" in kept:
        kept["num_labelled"] = 0
    return {**kept, "split": split}


def registered_keywords(env_id: str) -> dict[str, Any]:
    """The keywords that an id has built in.

    Raises:
        UserError: the id is unknown or has no version.
    """
    _register()
    module, name = _parse(env_id)
    if module is not None:
        import_module(module, one_line(env_id))
    with user_errors(one_line(env_id)):
        return dict(gym.spec(name).kwargs)


def _known(env_id: str) -> str:
    """The plain name of a reasoning environment's id, whose module is imported."""
    keywords, (_, name) = registered_keywords(env_id), _parse(env_id)
    if gym.spec(name).entry_point == _WALKS:
        raise UserError(
            f"{env_id} is walked move by move, not solved in segments: train on it with Stable-Baselines3 or TorchRL, "
            "as examples/sb3_maze_moves.py and docs/rl.md show, or choose a maze such as HRM/Maze-9x9-v0"
        )
    if "task" not in keywords:
        raise UserError(f"{env_id} is not a reasoning environment; `hrm-agents envs` lists those there are")
    return name


def _parse(env_id: str) -> tuple[str | None, str]:
    """The module, if one is named, and the id proper."""
    found = _ID.fullmatch(env_id) if len(env_id) <= _LONGEST_ID else None
    if found is None:
        raise UserError(
            f"{one_line(env_id, 80)!r} is not a Gymnasium id such as HRM/Sudoku-4x4-v0 or module:Mine/Task-v0"
        )
    return found["module"], found["name"]


def _register() -> None:
    import hrm_envs  # noqa: F401  (importing it registers the built-in ids)
