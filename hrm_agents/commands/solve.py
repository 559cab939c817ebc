"""``hrm-agents solve``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from hrm_agents.commands.common import EXPLAINED, Device, Modules, parse, progress, say
from hrm_agents.errors import UserError, one_line, user_errors
from hrm_agents.records.files import check_writable, write_atomically
from hrm_agents.solving.answers import AnswerFormat, format_of, write_answers
from hrm_agents.zoo import checkpoint_of, names

if TYPE_CHECKING:
    from hrm_agents.solving.solver import Solver
    from hrm_envs import PuzzleBatch

#: Maximum number of bytes on standard input.
_LONGEST = 64 * 1024**2


@dataclass(frozen=True)
class Solve:
    """Solve puzzles and print the answers.

    Puzzles are text in the task's notation (for Sudoku, digits with . for blanks; for mazes, lines of #, spaces, S and
    G), or a file of any form that the environment's keyword puzzles takes: text, CSV, JSON, JSON lines, .npz, and
    others (see docs/files.md). One puzzle is answered as a grid, several as lines, a table or a JSON document. The exit
    code is 0 if all answers are right and 1 if not.
    """

    model: Annotated[str | None, tyro.conf.Positional, EXPLAINED] = None
    """Checkpoint folder, or the name of a model of `hrm-agents models`. If omitted, the first of these that can read
    the puzzles."""
    puzzle: Annotated[str | None, tyro.conf.Positional, EXPLAINED] = None
    """The puzzles, a file that contains them, or - for standard input, which is read if they are omitted."""
    max_segments: Annotated[int | None, EXPLAINED] = None
    """Maximum number of segments; as in training if omitted."""
    out: Annotated[Path | None, EXPLAINED] = None
    """Write the answers to this file instead of printing them."""
    format: Annotated[AnswerFormat | None, EXPLAINED] = None
    """Format of the answers; if omitted, by the suffix of --out, else text. csv and json also give the puzzle, whether
    the answer is right, and the number of segments."""
    steps: bool = False
    """Also print the answer of every segment, on standard error; for one puzzle."""
    module: Modules = ()
    device: Device = "cpu"


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Solve, "solve", arguments)
    if options.out is not None:
        check_writable(options.out)
    from hrm_agents.solving.solver import load
    from hrm_agents.user_modules import import_modules

    import_modules(options.module)

    solver, given = None, options.puzzle
    if options.model is None or (given is None and not _names_model(options.model)):
        given = options.model
    else:
        solver = load(options.model, options.device)
        solver.check_solves_from_outside()  # before waiting for standard input
    from_stream = given in (None, "-")
    source = _standard_input() if from_stream else given
    with user_errors("standard input" if from_stream else "puzzle"):
        solver, puzzles = _read_by_any(source, options.device) if solver is None else (solver, solver.read(source))
        if len(puzzles) == 1 and options.out is None and options.format is None:
            return _solve_one(solver, puzzles, options)
        if options.steps:
            raise UserError(
                f"--steps shows the segments of one puzzle, without --out and --format; found {len(puzzles)}"
            )
        return _solve_all(solver, puzzles, options)


def _names_model(text: str) -> bool:
    """Whether an argument is a model rather than puzzles."""
    with suppress(OSError):  # a long puzzle is no path
        return checkpoint_of(text).is_dir()
    return False


def _read_by_any(source: Any, device: str) -> tuple[Solver, PuzzleBatch]:
    """The first model that ships with the package and can read the puzzles, and the puzzles.

    Args:
        source: the puzzles, or a word that is none.
        device: for the model.

    Raises:
        UserError: there is none.
    """
    from hrm_agents.solving.solver import load

    problems = []
    for name in names():
        solver = load(name, device)
        try:
            puzzles = solver.read(source)
        except ValueError as error:
            problems.append(f"{name}: {one_line(str(error), 120)}")
        else:
            say(f"solved with {name}")
            return solver, puzzles
    raise UserError(
        f"{one_line(str(source), 60) if isinstance(source, str) else 'standard input'}: neither the folder of a model "
        f"nor puzzles for one that ships with the package ({'; '.join(problems)}); name the model first"
    )


def _standard_input() -> bytes:
    content = sys.stdin.buffer.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise UserError(f"standard input is longer than {_LONGEST:,} bytes: give a file")
    if not content.strip():
        raise UserError("no puzzle: give it as an argument, a file, or on standard input")
    return content


def _solve_one(solver: Solver, puzzles: PuzzleBatch, options: Solve) -> int:
    """Solve one puzzle, print the answer as a grid, and return the exit code."""
    solution = solver.solve(puzzles.puzzle[0], options.max_segments)
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


def _solve_all(solver: Solver, puzzles: PuzzleBatch, options: Solve) -> int:
    """Solve puzzles, print or write the answers, and return the exit code."""
    with progress("solving") as share:
        solutions = solver.solve_all(puzzles, options.max_segments, progress=share)
    text = write_answers(solver.task, puzzles, solutions, options.format or format_of(options.out))
    if options.out is None:
        print(text, end="")
    else:
        write_atomically(options.out, text.encode())
        say(f"wrote {options.out}")
    solved = int(solutions.success.sum())
    say(f"{solved} of {len(puzzles)} solved, {solutions.segments.mean():.2f} segments on average")
    return 0 if solved == len(puzzles) else 1
