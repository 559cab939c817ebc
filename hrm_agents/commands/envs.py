"""``hrm-agents envs``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import gymnasium as gym
from rich.console import Console
from rich.table import Table

from hrm_agents.commands.common import EXPLAINED, parse


@dataclass(frozen=True)
class Envs:
    """List the environments of the HRM namespace and of your own registrations."""

    module: Annotated[tuple[str, ...], EXPLAINED] = ()
    """Modules to import first, which register further environments."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Envs, "envs", arguments)
    import importlib

    from hrm_agents.errors import UserError
    from hrm_envs import registered_ids
    from hrm_envs.construction import resolve_task, split_settings

    for module in options.module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise UserError(f"--module {module}: {error}") from error
    table = Table("id", "grid", "tokens", "segments", "train puzzles", "test puzzles", title="environments")
    for id in registered_ids():
        kwargs = dict(gym.spec(id).kwargs)
        task_like = kwargs.pop("task")
        settings, task_kwargs = split_settings(kwargs)
        task = resolve_task(task_like, task_kwargs)
        spec, puzzles = task.spec, task.default_num_puzzles
        rows, columns = spec.grid_shape
        table.add_row(
            id,
            f"{rows} x {columns}",
            str(spec.vocab_size),
            str(settings.max_segments),
            f"{settings.num_puzzles or puzzles['train']:,}",
            f"{settings.num_puzzles or puzzles['test']:,}",
        )
    Console().print(table)
    return 0
