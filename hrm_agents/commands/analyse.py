"""``hrm-agents analyse``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from hrm_agents.commands.analyses import ANALYSES, Analysis
from hrm_agents.commands.common import keywords, parse, progress, say
from hrm_agents.errors import UserError, one_line
from hrm_agents.records.files import check_writable, write_atomically
from hrm_agents.reports.figures import check_chart, save_figure
from hrm_agents.user_modules import import_modules
from hrm_agents.zoo import DEFAULT

#: The analysis that compares several checkpoints.
_OF_SEVERAL = "dimension"


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    place = next((number for number, argument in enumerate(arguments) if argument in ANALYSES), len(arguments))
    before = list(arguments[:place])
    if {"-h", "--help"} & set(before):
        print(usage())
        return 0
    _check_words(before, list(arguments[place:]))
    what = arguments[place]
    options = parse(ANALYSES[what], f"analyse RUN {what}", arguments[place + 1 :])
    checkpoints = [Path(word) for word in before] or [Path(DEFAULT)]
    if len(checkpoints) > 1 and what != _OF_SEVERAL:
        raise UserError(f"{what} takes one checkpoint, got {len(checkpoints)}: only {_OF_SEVERAL} compares several")
    if options.out is not None:
        check_chart(options.out)
        check_writable(options.out)
    if options.json is not None and options.json != Path("-"):
        check_writable(options.json)
    import_modules(options.module)
    _report(options, what, checkpoints)
    return 0


def _check_words(before: Sequence[str], rest: Sequence[str]) -> None:
    """Check what stands before the name of the analysis, and that there is one."""
    names = ", ".join(ANALYSES)
    option = next((word for word in before if word.startswith("-")), None)
    if option is not None:
        raise UserError(f"{one_line(option, 60)}: options come after the analysis, which is one of {names}")
    if not rest:
        given = f" in {one_line(' '.join(before), 80)!r}" if before else ""
        raise UserError(f"there is no analysis{given}: name one of {names}; see hrm-agents analyse --help")


def _report(options: Analysis, what: str, checkpoints: Sequence[Path]) -> None:
    """Analyse the checkpoints, and print, write and draw the results."""
    from hrm_agents.analysis.observing import plain
    from hrm_agents.solving.solver import load

    env_kwargs = keywords(options.kwargs)
    results = []
    with progress(what) as share:
        for number, checkpoint in enumerate(checkpoints):
            solver = load(checkpoint, options.device)

            def part(done: float, number: int = number) -> None:
                share((number + done) / len(checkpoints))

            results.append(options.measure(solver, env_kwargs, part))
    documents = [{"checkpoint": str(path), **plain(result)} for path, result in zip(checkpoints, results, strict=True)]
    document = documents if what == _OF_SEVERAL else documents[0]
    if options.json == Path("-"):
        json.dump(document, sys.stdout)
        print()
    else:
        for result in results:
            print("\n".join(options.summary(result)))
        if options.json is not None:
            write_atomically(options.json, (json.dumps(document) + "\n").encode())
            say(f"wrote {options.json}")
    if options.out is not None:
        save_figure(options.draw(results), options.out)
        say(f"wrote {options.out}")


def usage() -> str:
    """Help of the command."""
    lines = [
        "usage: hrm-agents analyse [RUN ...] ANALYSIS [options]",
        "",
        "Show what happens inside a network that thinks in segments. RUN is a checkpoint",
        "folder, or the name of a model of `hrm-agents models`; maze-9x9 if omitted.",
        "",
        "analyses:",
    ]
    for name, options in ANALYSES.items():
        lines.append(f"  {name:<12}  {cast(str, options.__doc__).splitlines()[0]}")
    return "\n".join([*lines, "", "`hrm-agents analyse ANALYSIS --help` explains the options of an analysis."])
