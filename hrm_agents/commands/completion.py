"""``hrm-agents completion``."""

from __future__ import annotations

import importlib
import io
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from hrm_agents.commands.common import HelpShown, parse
from hrm_agents.commands.table import COMMANDS, module_name
from hrm_agents.terminal import print_notes
from hrm_envs import registered_ids

#: Columns at which the help has one column, and no list of choices is broken.
_WIDTH = "120"


@dataclass(frozen=True)
class Completion:
    """Print a script with which a shell completes commands, options, choices and ids of environments.

    Load it in ~/.bashrc: source <(hrm-agents completion bash); it takes a few seconds, so a file is better.
    """

    shell: Annotated[Literal["bash", "zsh"], tyro.conf.Positional]
    """The shell."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Completion, "completion", arguments)
    print(script({command: words_of(command) for command in COMMANDS}, options.shell), end="")
    return 0


def words_of(command: str) -> dict[str, list[str]]:
    """What may follow a command: under ``""`` its options and, if it takes one, the ids; choices by option."""
    module = importlib.import_module(module_name(command))
    parts = list(getattr(module, "BENCHES", ()))
    text = "".join(_help(module.run, [*part, "--help"]) for part in ([[each] for each in parts] or [[]]))
    words: dict[str, list[str]] = {"": [*parts, *(registered_ids() if "[ENV" in text else [])]}
    for line in re.findall(r"^ {2,4}((?:-h, )?--.*)$", text, re.MULTILINE):
        names, choices = re.findall(r"--[\w.-]+", line), re.search(r"\{(.*?)\}", line)
        words[""] += [name for name in names if name not in words[""]]
        if choices:
            words |= {name: choices[1].split(",") for name in names}
    return words


def script(words: Mapping[str, Mapping[str, Sequence[str]]], shell: str) -> str:
    """The script for a shell; where nothing fits, the shell completes file names.

    Args:
        words: of each command, from :func:`words_of`.
        shell: bash, or zsh, which takes the same script with its bashcompinit.
    """
    cases = [
        f"{shlex.quote(f'{command} {option}')}) words={shlex.quote(' '.join(choices))} ;;"
        for command, options in words.items()
        for option, choices in options.items()
        if option
    ]
    cases += [f"{command}\\ *) words={shlex.quote(' '.join(options['']))} ;;" for command, options in words.items()]
    body = "\n            ".join(cases)
    start = "autoload -U +X bashcompinit && bashcompinit\n" if shell == "zsh" else ""
    return f"""{start}_hrm_agents() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" words={shlex.quote(" ".join(words))}
    if [ "$COMP_CWORD" -gt 1 ]; then
        case "${{COMP_WORDS[1]}} ${{COMP_WORDS[COMP_CWORD-1]}}" in
            {body}
            *) words="" ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _hrm_agents hrm-agents
"""


def _help(run: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> str:
    """The help that a command prints."""
    text = io.StringIO()
    with redirect_stdout(text), _wide(), suppress(HelpShown):
        run(arguments)
    print_notes()
    return text.getvalue()


@contextmanager
def _wide() -> Iterator[None]:
    """Let help be as wide as :data:`_WIDTH`."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _WIDTH
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before
