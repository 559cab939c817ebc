"""``hrm-agents solve``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hrm_agents.commands.common import EXPLAINED, Device, Modules, parse, say
from hrm_agents.errors import UserError, user_errors

#: Maximum number of bytes of one puzzle's text.
_LONGEST = 1_000_000


@dataclass(frozen=True)
class Solve:
    """Solve one puzzle and print the answer.

    The puzzle is text in the task's notation: for Sudoku, digits with . for blanks; for mazes, lines of #, spaces, S
    and G. The exit code is 0 if the answer is right and 1 if not.
    """

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Checkpoint folder."""
    puzzle: Annotated[str, tyro.conf.Positional] = "-"
    """The puzzle, a file that contains it, or - for standard input."""
    max_segments: Annotated[int | None, EXPLAINED] = None
    """Maximum number of segments; as in training if omitted."""
    steps: bool = False
    """Also print the answer of every segment, on standard error."""
    module: Modules = ()
    device: Device = "cpu"


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Solve, "solve", arguments)
    from hrm_agents.solving.solver import load
    from hrm_agents.user_modules import import_modules

    import_modules(options.module)

    solver = load(options.checkpoint, options.device)
    solver.check_solves_from_outside()  # before waiting for standard input
    text = _read(options.puzzle)
    with user_errors("puzzle"):
        solution = solver.solve(text, options.max_segments)
    if options.steps:
        for number, segment in enumerate(solution.segments, 1):
            go_on = "" if segment.q_continue is None else f"Q(continue) {segment.q_continue:.3f}, "
            go_on += "" if segment.gain is None else f"gain of thinking on {segment.gain:+.3f}, "
            say(
                f"segment {number}: Q(halt) {segment.q_halt:.3f}, {go_on}"
                f"score {segment.score:.2f}\n{solver.format(segment.answer)}\n"
            )
    print(solution.text)
    verdict = "solved" if solution.success else "not solved"
    say(f"{verdict} after {len(solution.segments)} segment(s)")
    return 0 if solution.success else 1


def _read(puzzle: str) -> str:
    if puzzle == "-":
        text = _decoded(sys.stdin.buffer.read(_LONGEST + 1), "standard input")
        if not text.strip():
            raise UserError("no puzzle: give it as an argument, a file, or on standard input")
        return text
    # A puzzle may be too long for a file name, so only short single lines are looked up as files.
    if "\n" not in puzzle and len(puzzle) < 250 and Path(puzzle).is_file():
        try:
            with Path(puzzle).open("rb") as file:
                return _decoded(file.read(_LONGEST + 1), puzzle)
        except OSError as error:
            raise UserError(f"{puzzle} cannot be read: {error.strerror or error}") from error
    return puzzle


def _decoded(data: bytes, name: str) -> str:
    """Decode the text of a puzzle.

    Raises:
        UserError: it is not text, or too long for one puzzle.
    """
    if len(data) > _LONGEST:
        raise UserError(f"{name} is too long for a puzzle: more than {_LONGEST:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8 text: byte {error.start} is {data[error.start]:#04x}") from error
