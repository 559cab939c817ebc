"""What several commands share: options, parsing with tyro, keywords, and output for people."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from itertools import groupby
from typing import Annotated, Any, TypeVar

import tyro
from rich.progress import Progress

from hrm_agents.environments import check_keywords
from hrm_agents.errors import UserError, did_you_mean, one_line
from hrm_agents.terminal import print_notes, steady_console

Options = TypeVar("Options")

#: For options whose help states the default: no "(default: ...)" after it.
EXPLAINED = tyro.conf.arg(help_behavior_hint="")
#: The option ``--kwargs``.
Keywords = Annotated[
    tuple[str, ...],
    tyro.conf.arg(
        metavar="NAME=VALUE ...",
        help_behavior_hint="",
        help="Environment keywords, such as max_segments=32 'empty_cells=[4,8]'.",
    ),
]
#: The option ``--module``.
Modules = Annotated[
    tuple[str, ...],
    tyro.conf.arg(
        metavar="NAME|FILE.py ...",
        help_behavior_hint="",
        help="Your modules to import first, by name or file: they register environments and models. A checkpoint names "
        "these, but cannot import your module.",
    ),
]
#: The option ``--device``.
Device = Annotated[str, tyro.conf.arg(help="cpu, cuda, mps, or auto.")]


def parse(options: type[Options], command: str, arguments: Sequence[str], default: Options | None = None) -> Options:
    """Parse a command's arguments into its dataclass.

    Raises:
        HelpShown: the arguments ask for help, which was printed.
        UserError: an option is unknown, missing or malformed.
    """
    parsed: Options = _parsed(options, command, arguments, default=default)
    return parsed


def parse_some(options: type[Options], command: str, arguments: Sequence[str]) -> Options:
    """Parse the options of a dataclass, and leave aside all other arguments, such as a request for help.

    Raises:
        UserError: one of the options is malformed.
    """
    plain = [argument for argument in arguments if argument not in ("-h", "--help")]
    parsed: Options = _parsed(options, command, plain, return_unknown_args=True)[0]
    return parsed


def _parsed(options: type[Options], command: str, arguments: Sequence[str], **keywords: Any) -> Any:
    """The result of ``tyro.cli``, with its errors converted; see :func:`parse`."""
    _refuse_empty(arguments)
    output, errors = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(output), redirect_stderr(errors):
            return tyro.cli(
                options,
                prog=f"hrm-agents {command}",
                args=list(arguments),
                config=(tyro.conf.DisallowNone, tyro.conf.PositionalMetavarFromFieldName),
                **keywords,
            )
    except SystemExit as exit:
        if exit.code:
            problem = one_line(_unboxed(errors.getvalue()), 400)
            more = " See" if problem.endswith("?") else "; see"
            raise UserError(f"{problem}{more} hrm-agents {command} --help") from None
        asked_for_help = bool({"-h", "--help"} & set(arguments))
        print(_wrapped(output.getvalue()) if asked_for_help else output.getvalue())
        raise HelpShown from None


class HelpShown(Exception):
    """Help was printed: there is nothing else to do."""


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse empty arguments, which would stand for the working directory where a path is expected.

    Raises:
        UserError: naming the option.
    """
    for place, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if not value and (not name or (name.startswith("--") and "=" in argument)):
            before = name or next((option for option in reversed(arguments[:place]) if option.startswith("--")), None)
            raise UserError(f"{before or f'argument {place + 1}'} is empty: give it a value, or omit it")


def _unboxed(text: str) -> str:
    """The message in one of tyro's boxes, in one line; pyproject.toml bounds tyro to versions with these boxes."""
    lines = [line.strip() for line in text.splitlines()]
    # The first line is the title of the box. Below the rule come the option's own help and advice to ask for help.
    message = " ".join(" ".join(line for line in lines[1:] if line.strip("-")).split())
    message = re.split(r" (?:Argument helptext:|For full helptext)", message)[0].rstrip(".")
    # Of the suggested options, keep the name of the first; None is not a choice on the command line.
    message = re.sub(r" Perhaps you meant: (\S+).*", r"; did you mean \1?", message)
    message = re.sub(r"'None', |, 'None'", "", message)
    choice = re.fullmatch(r"(invalid choice '(.*)' for argument '.*')\. Expected one of \((.*)\)", message)
    hint = did_you_mean(choice[2], re.findall(r"'([^']*)'", choice[3])) if choice else ""
    return f"{choice[1]}{hint}" if choice and hint else message


def _wrapped(text: str) -> str:
    """Help, filled to the width of the terminal; tyro breaks the help of an option where its source code does."""
    width = shutil.get_terminal_size().columns
    filled = []
    stripped = [line.rstrip() for line in text.rstrip().splitlines()]
    for indent, group in groupby(stripped, key=lambda line: len(line) - len(line.lstrip())):
        margin, lines = " " * indent, list(group)
        if indent >= 4:  # the help of one option, below its name
            lines = [margin + " ".join(line.lstrip() for line in lines)]
        wrapper = textwrap.TextWrapper(width, subsequent_indent=margin, break_on_hyphens=False)
        filled += [line if len(line) <= width else wrapper.fill(line) for line in lines]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(filled))


def keywords(pairs: Sequence[str]) -> dict[str, Any]:
    """Parse ``["empty_cells=[20,35]", "level=easy"]`` into a dict; values are JSON if they parse as such, else text.

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
        # Defaults are tuples, so lists become tuples too.
        result[name] = tuple(value) if isinstance(value, list) else value
    check_keywords(result, "--kwargs")
    return result


@contextmanager
def progress(description: str) -> Iterator[Callable[[float], None]]:
    """A progress bar on the terminal: yields a function that takes the share done. Silent if piped."""
    console = steady_console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=1.0)
        yield lambda share: bar.update(task, completed=share)


def say(line: str) -> None:
    """Print a line for people on standard error, apart from results on standard output; never fails.

    What environments have said of their files comes before it.
    """
    print_notes()
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


@contextmanager
def needs_display(advice: str) -> Iterator[None]:
    """Convert a window's error, which advises programmers, into a :class:`UserError`.

    Args:
        advice: what the user can do without a display.
    """
    from hrm_envs.rendering.window import NoDisplay

    try:
        yield
    except NoDisplay as error:
        raise UserError(f"there is no display to open a window on: {advice}") from error
