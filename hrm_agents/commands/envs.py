"""``hrm-agents envs``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from rich.console import Console
from rich.table import Column, Table

from hrm_agents.commands.common import Modules, parse
from hrm_agents.commands.walking import walking_ids
from hrm_agents.errors import one_line
from hrm_agents.user_modules import import_modules

#: The splits whose puzzles are counted, and their columns.
_COUNTED = {"train": "train", "validation": "valid", "test": "test"}
#: A space to the right of each cell only, so that all columns fit into 80 characters.
_PADDING = (0, 1, 0, 0)


@dataclass(frozen=True)
class Envs:
    """List the built-in environments and your own, with the number of puzzles in each split."""

    module: Modules = ()


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Envs, "envs", arguments)
    import_modules(options.module)
    console = Console()
    missing = _print_reasoning(console)
    _print_walking(console)
    for id, reason in missing.items():
        console.print(f"{id}: {reason}", markup=False)
    return 0


def _print_reasoning(console: Console) -> dict[str, str]:
    """Print the environments that are solved in segments; returns those that cannot be made, and why."""
    from hrm_envs import registered_ids
    from hrm_envs.construction import resolve_task, split_settings

    # Ids are for copying: narrow columns beside them let them fit into 80 columns.
    headers: list[Column | str] = [Column("id", no_wrap=True), "grid", "tokens", "segments", *_COUNTED.values()]
    table = Table(
        *headers, title="solved in segments: train, evaluate, watch, play", title_justify="left", padding=_PADDING
    )
    missing: dict[str, str] = {}
    for id in registered_ids():
        kwargs = dict(gym.spec(id).kwargs)
        task_like = kwargs.pop("task")
        try:
            settings, task_kwargs = split_settings(kwargs)
            task = resolve_task(task_like, task_kwargs)
            sizes = str(task.spec.vocab_size), str(settings.max_segments)
            row = (_grid(task), *sizes, *_puzzles(task, settings.num_puzzles))
        except gym.error.DependencyNotInstalled as error:
            missing[id] = one_line(str(error))
        except Exception as error:  # a user's task that cannot be made must not hide the others
            missing[id] = one_line(f"{type(error).__name__}: {error}")
        else:
            table.add_row(id, *row)
    console.print(table)
    return missing


def _print_walking(console: Console) -> None:
    """Print the environments that are walked move by move."""
    from hrm_envs.construction import resolve_task, split_settings
    from hrm_envs.moves.mazes import WalkMazeTask
    from hrm_envs.moves.settings import split_keywords

    headers: list[Column | str] = [Column("id", no_wrap=True), "grid", "doors", "steps", *_COUNTED.values()]
    table = Table(
        *headers, title="walked move by move: Stable-Baselines3, TorchRL, play", title_justify="left", padding=_PADDING
    )
    for id in walking_ids():
        walk, maze_kwargs = split_keywords(gym.spec(id).kwargs, mazes_given=False)
        settings, task_kwargs = split_settings(maze_kwargs)
        task = resolve_task(WalkMazeTask, task_kwargs)
        limit = "open cells" if walk.max_steps is None else str(walk.max_steps)
        doors = str(walk.count_doors(task.spec.num_cells))
        table.add_row(id, _grid(task), doors, limit, *_puzzles(task, settings.num_puzzles))
    console.print(table)


def _grid(task: Any) -> str:
    rows, columns = task.spec.grid_shape
    return f"{rows}x{columns}"


def _puzzles(task: Any, chosen: int | None) -> tuple[str, ...]:
    """Number of puzzles of an environment in each split."""
    return tuple(f"{chosen or num_puzzles(task, split):,}" for split in _COUNTED)


def num_puzzles(task: Any, split: Any) -> int:
    """Default number of puzzles in a split of a task."""
    from hrm_envs.puzzles.pool import default_size, stored_pool

    stored = stored_pool(task, split)
    return default_size(task, split) if stored is None else len(stored)
