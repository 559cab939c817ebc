"""Making environments by Gymnasium id, with clear errors.

An id that the user types may import a module (``module:id``); an id in a file never does (:func:`check_saved`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

import gymnasium as gym

from hrm_agents.errors import UserError, did_you_mean, one_line, user_errors
from hrm_agents.user_modules import import_module
from hrm_envs import default_split

#: ``[module:][namespace/]name-vN``.
_ID = re.compile(r"(?:(?P<module>[\w.]+):)?(?P<name>(?:[\w:-]+/)?[\w:.-]+)")
_LONGEST_ID = 200
#: Keywords that the package sets itself, or that would change the kind of environment.
_RESERVED = {
    "task": "the id determines the task",
    "num_envs": "the command sets the number of rows",
    "autoreset_mode": "the loop that steps the environment sets it",
    "render_mode": "the command sets it",
    "expose_solution": "the training settings decide who sees solutions",
    "vectorization_mode": "these environments are vectorized already, in one process",
    "vector_kwargs": "the environment takes its keywords directly",
    "wrappers": "these environments are used without wrappers",
    "max_episode_steps": "an episode ends at max_segments",
    "disable_env_checker": "the checker is not used",
    "additional_wrappers": "these environments are used without wrappers",
}
#: Entry point of every environment that is walked move by move.
MAZE_MOVES = "hrm_envs.moves.env:MazeMoves"


def make_vector(env_id: str, num_envs: int, kwargs: Mapping[str, Any]) -> Any:
    """Make a vector environment of a reasoning task, built-in or the user's own, with ``gym.make_vec``.

    Raises:
        UserError: the id is unknown or a keyword is wrong.
    """
    name = _known(env_id)
    with user_errors(env_id):
        env: Any = gym.make_vec(name, num_envs=num_envs, **kwargs)
        _ = env.num_puzzles  # makes the puzzles, so that too large a number fails here
    return env


def make_single(env_id: str, kwargs: Mapping[str, Any]) -> gym.Env[Any, Any]:
    """Make a single environment of a reasoning task, with ``gym.make``.

    Raises:
        UserError: the id is unknown or a keyword is wrong.
    """
    name = _known(env_id)
    with user_errors(env_id):
        return gym.make(name, **kwargs)


def check_keywords(kwargs: Mapping[str, Any], where: str) -> None:
    """Check that a user or a file may set these keywords.

    Args:
        kwargs: as given.
        where: source of the keywords for the error message, such as ``"--kwargs"``.

    Raises:
        UserError: naming a reserved keyword, and what sets it.
    """
    for name in kwargs:
        if name in _RESERVED:
            raise UserError(f"{where}: {name} cannot be set here: {_RESERVED[name]}")


def check_saved(env_id: str, kwargs: Mapping[str, Any], where: str) -> None:
    """Check that making an environment named in a file runs no code that the user did not ask for.

    Args:
        env_id: from the file. The id must be registered, and its module, if any, imported.
        kwargs: from the file.
        where: the file, for messages.

    Raises:
        UserError: the environment is not registered, its module is not imported, or a keyword is reserved.
    """
    module, name = _parse(env_id)
    if module is not None and module not in sys.modules:
        raise UserError(
            f"{where}: it was trained in {one_line(env_id)}, and a file may not import modules. If you trust {module}, "
            f"give --module {module}, or import {module} in Python"
        )
    if name not in gym.registry:
        hint = "import the module that registers it (--module NAME)"
        raise UserError(f"{where}: environment {one_line(name)!r} is not registered: {hint}")
    check_keywords(kwargs, f"{where}: env.kwargs")


def user_id(env_id: str) -> str:
    """Import the module of an id that the user typed, ``module:id`` or ``PATH/FILE.py:id``, if it has one.

    Returns:
        The id with the name of the module, by which later commands find it.

    Raises:
        UserError: the id is malformed, or the module cannot be imported.
    """
    module, colon, name = env_id.rpartition(":")
    if colon:
        env_id = f"{import_module(module, one_line(env_id))}:{name}"
    _parse(env_id)
    return env_id


def of_unseen(kwargs: Mapping[str, Any], split: str = "test") -> dict[str, Any]:
    """Change the keywords of a training environment for evaluation: the whole of another split, without labels."""
    kept = {name: value for name, value in kwargs.items() if name != "num_puzzles"}
    if "num_labelled" in kept:
        kept["num_labelled"] = 0
    return {**kept, "split": split}


def evaluation_split(env_id: str, kwargs: Mapping[str, Any]) -> str:
    """The split to evaluate unless ``kwargs`` name one: the test split, or the whole file if they name puzzles.

    Raises:
        UserError: the id is unknown or has no version.
    """
    task = registered_keywords(env_id).get("task")  # another kind of environment has none, and is refused later
    return "test" if task is None else default_split(task, kwargs.get("puzzles"))


def plain_id(env_id: str) -> str:
    """The id without its module."""
    return env_id.rpartition(":")[2]


def registered_keywords(env_id: str) -> dict[str, Any]:
    """The keywords that an id is registered with.

    Raises:
        UserError: the id is unknown or has no version.
    """
    _register()
    module, name = _parse(env_id)
    if module is not None:
        import_module(module, one_line(env_id))
    spec = gym.registry.get(name)
    if spec is None:
        hint = did_you_mean(name, (id for id, each in gym.registry.items() if "task" in each.kwargs)) or ";"
        raise UserError(f"{one_line(env_id)}: there is no such environment{hint} `hrm-agents envs` lists the ids")
    return dict(spec.kwargs)


def _known(env_id: str) -> str:
    """Import the module of a reasoning environment's id, if it has one, and return the id without it."""
    keywords, (_, name) = registered_keywords(env_id), _parse(env_id)
    if gym.spec(name).entry_point == MAZE_MOVES:
        raise UserError(
            f"{env_id} is walked move by move, not solved in segments: train on it with Stable-Baselines3 or TorchRL, "
            "as examples/sb3_maze_moves.py and docs/rl.md show, or choose a maze such as HRM/Maze-9x9-v0"
        )
    if "task" not in keywords:
        raise UserError(f"{env_id} is not a reasoning environment; `hrm-agents envs` lists them")
    return name


def _parse(env_id: str) -> tuple[str | None, str]:
    """Split an id into its module, if any, and the id itself."""
    found = _ID.fullmatch(env_id) if len(env_id) <= _LONGEST_ID else None
    if found is None:
        raise UserError(
            f"{one_line(env_id, 80)!r} is not a Gymnasium id such as HRM/Sudoku-4x4-v0 or module:Mine/Task-v0"
        )
    return found["module"], found["name"]


def _register() -> None:
    import hrm_envs  # noqa: F401  (importing it registers the built-in ids)
