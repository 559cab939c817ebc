"""The environments that are walked move by move, for the commands that know what to do with them."""

from __future__ import annotations

import re

import gymnasium as gym

from hrm_agents.environments import registered_keywords

_ENTRY_POINT = "hrm_envs.moves.env:MazeMoves"


def walking_ids() -> list[str]:
    """Every id that ``hrm_envs.register_moves`` made, built-in or not, sorted by name and size."""
    import hrm_envs  # noqa: F401  (importing it registers the built-in ids)

    ids = [id for id, spec in gym.registry.items() if spec.entry_point == _ENTRY_POINT]
    return sorted(ids, key=lambda id: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", id)])


def is_walked(env_id: str) -> bool:
    """Whether an id, which may have its module in front, is of an environment that is walked move by move.

    Raises:
        UserError: the id is unknown or has no version.
    """
    registered_keywords(env_id)
    return gym.spec(plain_id(env_id)).entry_point == _ENTRY_POINT


def plain_id(env_id: str) -> str:
    """The id without the module in front of it."""
    return env_id.rpartition(":")[2]
