"""Registration of tasks as Gymnasium environments, single and vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym

from hrm_envs import entry_points
from hrm_envs.task import Task


def register_task(
    id: str,
    task: type[Task] | Callable[..., Task] | str,
    *,
    max_segments: int = 16,
    kwargs: Mapping[str, Any] | None = None,
) -> None:
    """Register a task for ``gym.make(id)`` and ``gym.make_vec(id, num_envs=n)``.

    Args:
        id: a Gymnasium id such as ``"MyLab/Nonogram-5x5-v0"``; increase the version when results change.
        task: the :class:`~hrm_envs.task.Task` subclass, a function that returns a task, or ``"module:Class"``, which
            is imported when an environment is made. Environments accept only registered names.
        max_segments: the segment at which every answer is graded.
        kwargs: default keywords of the task or the environment, which ``make`` can override.

    Raises:
        ValueError: ``task`` is a string of another form.
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
    """Register a maze that is walked move by move for ``gym.make(id)`` and ``gym.make_vec(id, num_envs=n)``.

    Args:
        id: a Gymnasium id such as ``"MyLab/MazeMoves-15x15-v0"``.
        kwargs: default keywords of :class:`~hrm_envs.moves.env.MazeMoves`, which ``make`` can override.
    """
    gym.register(
        id,
        entry_point="hrm_envs.moves.env:MazeMoves",
        vector_entry_point="hrm_envs.moves.vector_env:MazeMovesVector",
        kwargs=kwargs,
    )


def registered_ids() -> list[str]:
    """All ids registered with :func:`register_task`, built-in or not, sorted by name and size."""
    ids = [id for id, spec in gym.registry.items() if spec.entry_point == "hrm_envs.env:ReasoningEnv"]
    return sorted(ids, key=_natural)


def _natural(id: str) -> list[tuple[int, str]]:
    """Natural sort key, which orders numbers by value: 4x4, 9x9, 15x15."""
    words = "".join(c if c.isdigit() else f" {c} " for c in id).split()
    return [(int(word), "") if word.isdigit() else (-1, word) for word in words]
