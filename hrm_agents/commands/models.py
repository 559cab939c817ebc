"""``hrm-agents models``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Column, Table

from hrm_agents.commands.common import parse
from hrm_agents.zoo import Card, card, names


@dataclass(frozen=True)
class Models:
    """List the trained models that ship with the package.

    Commands and `hrm_agents.load` take them by name: hrm-agents watch maze-9x9. Solved is the share of test puzzles,
    with a 95% interval; segments is their mean number until the model halts, of those that it may take.
    """

    json: bool = False
    """Print all that is known of them as JSON."""


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Models, "models", arguments)
    cards = {name: card(name) for name in names()}
    if options.json:
        print(json.dumps({name: asdict(each) for name, each in cards.items()}, indent=1))
        return 0
    table = Table(Column("name", no_wrap=True), Column("environment", no_wrap=True), "parameters", "solved", "segments")
    for name, each in cards.items():
        table.add_row(name, each.env, f"{each.parameters:,}", _solved(each), _segments(each))
    Console().print(table)
    return 0


def _solved(card: Card) -> str:
    low, high = card.test["intervals"]["success_rate"]
    return f"{card.test['success_rate']:.1%} [{100 * low:.1f}, {100 * high:.1f}]"


def _segments(card: Card) -> str:
    return f"{card.test['mean_segments']:.2f} of {card.test['max_segments']}"
