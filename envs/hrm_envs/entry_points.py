"""Registered task classes by entry point, such as ``"hrm_envs.sudoku:SudokuTask"``, imported on first use.

An entry point may come from a file, such as the settings saved with a model or an environment's spec. Importing it
would run code that the file's author chose, so only entry points that this program registered are loaded.
"""

from __future__ import annotations

import importlib
from typing import Any

from hrm_envs.checks import shown

#: The entry points that may be imported.
registered: set[str] = set()


def know(name: str) -> None:
    """Allow the entry point ``"module:Class"`` to be imported.

    Raises:
        ValueError: the name does not have this form.
    """
    module, colon, attribute = name.partition(":")
    if not colon or not attribute.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise ValueError(f"task={shown(name)}: expected 'module:Class', such as 'hrm_envs.maze:MazeTask'")
    registered.add(name)


def load(name: str) -> Any:
    """Import a registered entry point.

    Raises:
        ValueError: the name is not registered; nothing is imported.
        ImportError: the module does not exist, or has no such attribute.
    """
    if name not in registered:
        raise ValueError(
            f"task={shown(name)}: not registered in this program, so it is not imported; "
            "call register_task() first, or pass the class itself"
        )
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except AttributeError as error:
        raise ImportError(f"task={name!r}: {error}") from error
