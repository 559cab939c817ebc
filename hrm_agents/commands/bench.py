"""``hrm-agents bench``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hrm_agents.commands.benches import BENCHES, Result
from hrm_agents.commands.common import parse
from hrm_agents.errors import UserError, one_line
from hrm_agents.records.files import check_writable, write_atomically


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    what, *rest = arguments
    if what not in BENCHES:
        raise UserError(f"{one_line(what, 60)}: what to measure comes first, one of {', '.join(BENCHES)}")
    options = parse(BENCHES[what], f"bench {what}", rest)
    if options.json is not None and options.json != Path("-"):
        check_writable(options.json)
    result = options.measure()
    document = {"bench": what, **result.document}
    if options.json == Path("-"):
        json.dump(document, sys.stdout, indent=1)
        print()
        return 0
    _show(result)
    if options.json is not None:
        write_atomically(options.json, (json.dumps(document, indent=1) + "\n").encode())
    return 0


def _show(result: Result) -> None:
    """Print the figures as a table, and what is to be said beside it."""
    console = Console()
    table = Table(*result.columns)
    for line in result.lines:
        table.add_row(*line)
    console.print(table)
    for note in result.notes:
        console.print(note, highlight=False, soft_wrap=True)


def usage() -> str:
    """Help of the command."""
    width = max(map(len, BENCHES))
    return "\n".join(
        [
            "usage: hrm-agents bench WHAT [options]",
            "",
            "Measure speed and memory on this machine: medians and quartiles of rounds in which everything takes its",
            "turn (A B A B ...), so that settings can be compared within one run.",
            "",
            "what to measure:",
            *(f"  {name:<{width}}  {(kind.__doc__ or '').splitlines()[0]}" for name, kind in BENCHES.items()),
            "",
            "examples:",
            "  hrm-agents bench env HRM/Maze-30x30-v0 HRM/Sudoku-9x9-v0",
            "  hrm-agents bench train HRM/Maze-9x9-v0 --model hrm trm --compile",
            "  hrm-agents bench solve runs/maze --json solve.json",
            "  hrm-agents bench scale paper-maze-hard --gpus 1 8 64",
            "",
            "`hrm-agents bench WHAT --help` explains the options.",
        ]
    )
