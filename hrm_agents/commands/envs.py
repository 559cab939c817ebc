"""``hrm-agents envs``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import gymnasium as gym
from rich.console import Console
from rich.table import Column, Table

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
    # Ids are for copying: the other columns are kept narrow, so that they are whole on 80 columns.
    headers = (Column("id", no_wrap=True), "grid", "tokens", "segments", "train", "test")
    table = Table(*headers, title="environments, with the puzzles of each split")
    missing: dict[str, str] = {}
    for id in registered_ids():
        kwargs = dict(gym.spec(id).kwargs)
        task_like = kwargs.pop("task")
        settings, task_kwargs = split_settings(kwargs)
        try:
            task = resolve_task(task_like, task_kwargs)
        except gym.error.DependencyNotInstalled as error:
            missing[id] = str(error)
            continue
        rows, columns = task.spec.grid_shape
        table.add_row(
            id,
            f"{rows} x {columns}",
            str(task.spec.vocab_size),
            str(settings.max_segments),
            *(f"{settings.num_puzzles or num_puzzles(task, split):,}" for split in ("train", "test")),
        )
    console = Console()
    console.print(table)
    for id, reason in missing.items():
        console.print(f"{id}: {reason}", markup=False)
    return 0


def num_puzzles(task: Any, split: str) -> int:
    """How many puzzles an environment holds unless told otherwise."""
    stored = task.stored(split)
    return task.default_num_puzzles[split] if stored is None else len(stored)
