"""Environments that are walked move by move."""

from __future__ import annotations

import re

import gymnasium as gym

from hrm_agents.environments import MAZE_MOVES, plain_id, registered_keywords


def walking_ids() -> list[str]:
    """Every id registered by ``hrm_envs.register_moves``, sorted by name and size."""
    import hrm_envs  # noqa: F401  (importing it registers the built-in ids)

    ids = [id for id, spec in gym.registry.items() if spec.entry_point == MAZE_MOVES]
    return sorted(ids, key=lambda id: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", id)])


def is_walked(env_id: str) -> bool:
    """Whether an id, with or without a module, is of an environment that is walked move by move.

    Raises:
        UserError: the id is unknown or has no version.
    """
    registered_keywords(env_id)
    return gym.spec(plain_id(env_id)).entry_point == MAZE_MOVES
