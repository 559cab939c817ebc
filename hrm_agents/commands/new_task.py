"""``hrm-agents new-task``."""

from __future__ import annotations

import keyword
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Annotated

import tyro

from hrm_agents.commands.common import parse
from hrm_agents.errors import UserError

#: Maximum length of a name, for file names and ids.
_LONGEST = 60
#: Text of the file, with the variables $module, $class_name, $id and $title.
TEMPLATE = Path(__file__).with_name("new_task_template.txt")


@dataclass(frozen=True)
class NewTask:
    """Write NAME.py, a working reasoning task to change into your own.

    It has one class with three methods (sample, verify, draw) and the call that registers it. Run the file to check
    the task.
    """

    name: Annotated[str, tyro.conf.Positional]
    """Module name, such as nonogram; the file, the class and the environment are named after it."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(NewTask, "new-task", arguments)
    path = Path(f"{options.name}.py")
    text = render(options.name)
    if path.exists():
        raise UserError(f"{path} exists already: choose another NAME, or move it")
    # `hrm-agents train NAME:id` and other imports would find the existing module instead of the new file.
    if options.name in sys.modules or find_spec(options.name) is not None:
        raise UserError(f"NAME: Python has a module {options.name!r} already, which would hide yours; choose another")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    print(
        f"wrote {path}\n"
        f"check it with: python {path}\n"
        f"train on it with: hrm-agents train {options.name}:{environment_id(options.name)}"
    )
    return 0


def render(name: str) -> str:
    """Render the text of the file for a module name.

    Raises:
        UserError: the name is not possible for a module or class.
    """
    if len(name) > _LONGEST:
        raise UserError(f"NAME: at most {_LONGEST} letters, got {len(name)}; choose a shorter one")
    if not name.isidentifier() or keyword.iskeyword(name) or not _joined(name).isidentifier():
        reason = "a Python keyword" if keyword.iskeyword(name) else "not a Python identifier that begins with a letter"
        raise UserError(f"NAME: {name!r} is {reason}; choose one such as nonogram or my_task")
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        module=name,
        # A class named Task would hide its base class.
        class_name=f"{_joined(name).removesuffix('Task') or 'Task'}Task",
        id=environment_id(name),
        title=" ".join(_words(name)).capitalize(),
    )


def environment_id(name: str) -> str:
    """The Gymnasium id of the task in a module: ``"Mine/MyTask-v0"`` for ``my_task``."""
    return f"Mine/{_joined(name)}-v0"


def _words(name: str) -> list[str]:
    return [word for word in name.split("_") if word]


def _joined(name: str) -> str:
    """``MyTask`` for ``my_task``."""
    return "".join(word[0].upper() + word[1:] for word in _words(name))
