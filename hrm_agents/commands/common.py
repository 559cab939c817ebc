"""What several commands share: parsing with tyro, key=value keywords, progress."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import tyro
from rich.console import Console
from rich.progress import Progress

from hrm_agents.errors import UserError

Options = TypeVar("Options")

#: The maze model that ships with the package.
BUNDLED = Path(__file__).resolve().parent.parent / "checkpoints" / "maze"


def parse(options: type[Options], command: str, arguments: Sequence[str], default: Options | None = None) -> Options:
    """Parse a command's arguments into its dataclass; ``--help`` and mistakes exit as argparse does."""
    parsed: Options = tyro.cli(  # type: ignore[assignment]
        options,
        prog=f"hrm-agents {command}",
        args=list(arguments),
        default=default,
        config=(tyro.conf.OmitSubcommandPrefixes,),
    )
    return parsed


def keywords(pairs: Sequence[str]) -> dict[str, Any]:
    """``["empty_cells=[20,35]", "level=easy"]`` as a dict; values are JSON where they parse as such, else text.

    Raises:
        UserError: a pair has no ``=``.
    """
    result: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UserError(f"{pair!r} is not of the form name=value, such as num_puzzles=1000")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        # Lists become tuples, the form that defaults have.
        result[name] = tuple(value) if isinstance(value, list) else value
    return result


@contextmanager
def progress(description: str) -> Iterator[Callable[[float], None]]:
    """A progress bar on the terminal: gives a function that takes the share done. Silent when piped."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=1.0)
        yield lambda share: bar.update(task, completed=share)
