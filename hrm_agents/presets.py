"""Settings that work, by environment: the defaults of ``hrm-agents train``."""

from __future__ import annotations

from dataclasses import replace

from hrm_agents.config import EnvConfig, RunConfig, TrainConfig
from hrm_agents.models.hrm import Architecture

#: The first prefix that an id begins with decides; the rest of the id does not matter.
PRESETS: tuple[tuple[str, TrainConfig], ...] = (
    ("HRM/Sudoku-4x4", TrainConfig()),
    ("HRM/Maze", TrainConfig(model=Architecture(position="rope2d"), run=RunConfig(updates=20_000))),
    ("HRM/Sudoku", TrainConfig(run=RunConfig(updates=20_000))),
)


def preset(env_id: str) -> TrainConfig:
    """The settings for an environment; those of :class:`TrainConfig` for one without a preset."""
    found = next((config for prefix, config in PRESETS if env_id.startswith(prefix)), TrainConfig())
    return replace(found, env=EnvConfig(env_id))
