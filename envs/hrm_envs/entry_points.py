"""Tasks by the name of their class, such as ``"hrm_envs.sudoku:SudokuTask"``, imported when they are first needed.

A name may come from a file: from the settings beside a model, from the specification of an environment. Importing
what a file names runs the code of whoever wrote the file, so only names that this program has registered are known.
"""

from __future__ import annotations

import importlib
from typing import Any

from hrm_envs.checks import shown

_known: set[str] = set()


def know(name: str) -> None:
    """Allow a name, ``"module:Class"``, to be imported from now on.

    Raises:
        ValueError: it is not of this form.
    """
    module, colon, attribute = name.partition(":")
    if not colon or not attribute.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise ValueError(f"task={shown(name)}: a task is named as 'module:Class', such as 'hrm_envs.maze:MazeTask'")
    _known.add(name)


def load(name: str) -> Any:
    """What a known name stands for.

    Raises:
        ValueError: nobody made the name known; nothing was imported.
        ImportError: its module is absent, or has nothing of that name.
    """
    if name not in _known:
        raise ValueError(
            f"task={shown(name)}: no register_task() call of this program names it, so it is not imported; "
            "register it first, or give the class itself"
        )
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except AttributeError as error:
        raise ImportError(f"task={name!r}: {error}") from error
