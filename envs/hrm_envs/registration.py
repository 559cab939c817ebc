"""One call registers a task as a single and as a vector environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym

from hrm_envs import entry_points
from hrm_envs.task import Task

NAMESPACE = "HRM"


def register_task(
    id: str,
    task: type[Task] | Callable[..., Task] | str,
    *,
    max_segments: int = 16,
    kwargs: Mapping[str, Any] | None = None,
) -> None:
    """Make ``gym.make(id)`` and ``gym.make_vec(id, num_envs=n)`` work for a task.

    Args:
        id: a Gymnasium id such as ``"MyLab/Nonogram-5x5-v0"``; raise the version when results change.
        task: the :class:`~hrm_envs.task.Task` subclass, a function that builds one, or ``"module:Class"``,
            which is imported only when an environment is made. No environment takes a name that was not registered.
        max_segments: segments until every answer is graded.
        kwargs: keywords given to the task (or the environment) unless a user overrides them in ``make``.

    Raises:
        ValueError: ``task`` is a text of another form.
    """
    if isinstance(task, str):
        entry_points.know(task)
    gym.register(
        id,
        entry_point="hrm_envs.env:ReasoningEnv",
        vector_entry_point="hrm_envs.vector_env:ReasoningVectorEnv",
        kwargs={"task": task, "max_segments": max_segments, **(kwargs or {})},
    )


def register_moves(id: str, **kwargs: Any) -> None:
    """Make ``gym.make(id)`` and ``gym.make_vec(id, num_envs=n)`` give mazes that are walked move by move.

    Args:
        id: a Gymnasium id such as ``"MyLab/MazeMoves-15x15-v0"``.
        kwargs: keywords of :class:`~hrm_envs.moves.env.MazeMoves` unless a user overrides them in ``make``.
    """
    gym.register(
        id,
        entry_point="hrm_envs.moves.env:MazeMoves",
        vector_entry_point="hrm_envs.moves.vector_env:MazeMovesVector",
        kwargs=kwargs,
    )


def registered_ids() -> list[str]:
    """Every id that :func:`register_task` made, built-in or not, sorted by name and size."""
    ids = [id for id, spec in gym.registry.items() if spec.entry_point == "hrm_envs.env:ReasoningEnv"]
    return sorted(ids, key=_natural)


def _natural(id: str) -> list[tuple[int, str]]:
    """Sort key with numbers in numeric order: 4x4, 9x9, 15x15."""
    words = "".join(c if c.isdigit() else f" {c} " for c in id).split()
    return [(int(word), "") if word.isdigit() else (-1, word) for word in words]
