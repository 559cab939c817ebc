"""What several commands share: parsing with tyro, key=value keywords, progress."""

from __future__ import annotations

import io
import json
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TypeVar

import tyro
from rich.console import Console
from rich.progress import Progress

from hrm_agents.environments import check_keywords
from hrm_agents.errors import UserError, one_line

Options = TypeVar("Options")

#: For options whose help says what happens without them: no "(default: None)" after it.
EXPLAINED = tyro.conf.arg(help_behavior_hint="")
#: The option ``--module``.
MODULES = tyro.conf.arg(metavar="NAME|FILE.py ...", help_behavior_hint="")
#: The option ``--kwargs``.
KEYWORDS = tyro.conf.arg(metavar="NAME=VALUE ...", help_behavior_hint="")


def parse(options: type[Options], command: str, arguments: Sequence[str], default: Options | None = None) -> Options:
    """Parse a command's arguments into its dataclass; ``--help`` prints and exits with 0.

    Raises:
        UserError: an option is unknown, missing or malformed.
    """
    _refuse_empty(arguments)
    output, errors = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(output), redirect_stderr(errors):
            parsed: Options = tyro.cli(  # type: ignore[assignment]
                options,
                prog=f"hrm-agents {command}",
                args=list(arguments),
                default=default,
                config=(tyro.conf.DisallowNone, tyro.conf.PositionalMetavarFromFieldName),
            )
    except SystemExit as exit:
        if exit.code:
            raise UserError(f"{one_line(_unboxed(errors.getvalue()), 400)}; see hrm-agents {command} --help") from None
        asked_for_help = bool({"-h", "--help"} & set(arguments))
        print(_wrapped(output.getvalue()) if asked_for_help else output.getvalue())
        raise HelpShown from None
    return parsed


class HelpShown(Exception):
    """Help was asked for and printed: there is nothing else to do."""


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse empty arguments, which would pass for the working directory where a path is expected.

    Raises:
        UserError: naming the option.
    """
    for place, argument in enumerate(arguments):
        if not argument:
            before = next((option for option in reversed(arguments[:place]) if option.startswith("--")), None)
            raise UserError(f"{before or f'argument {place + 1}'} is empty: give it a value, or omit it")


def _unboxed(text: str) -> str:
    """The message in one of tyro's boxes, in one line."""
    lines = [line.strip() for line in text.splitlines()]
    # The first line is the title of the box. Below the rule come the option's own help and advice to ask for help.
    message = " ".join(line for line in lines[1:] if line.strip("-"))
    message = re.split(r" (?:Argument helptext:|For full helptext)", message)[0].rstrip(".")
    return re.sub(r"\s+", " ", message).replace(" Perhaps you meant:", "; perhaps you meant")


def _wrapped(text: str) -> str:
    """Help, with the description broken at the width of the terminal."""
    width = shutil.get_terminal_size().columns
    lines = [line.rstrip() for line in text.rstrip().splitlines()]
    broken = [line if len(line) <= width else textwrap.fill(line, width, break_on_hyphens=False) for line in lines]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(broken))


def keywords(pairs: Sequence[str]) -> dict[str, Any]:
    """``["empty_cells=[20,35]", "level=easy"]`` as a dict; values are JSON where they parse as such, else text.

    Raises:
        UserError: a pair has no ``=``.
    """
    result: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UserError(f"{one_line(repr(pair), 80)} is not of the form name=value, such as num_puzzles=1000")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        except RecursionError:
            raise UserError(f"{name}: its value is nested too deeply") from None
        # Lists become tuples, the form that defaults have.
        result[name] = tuple(value) if isinstance(value, list) else value
    check_keywords(result, "--kwargs")
    return result


@contextmanager
def progress(description: str) -> Iterator[Callable[[float], None]]:
    """A progress bar on the terminal: gives a function that takes the share done. Silent when piped."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=1.0)
        yield lambda share: bar.update(task, completed=share)
