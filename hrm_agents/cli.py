"""The command line: ``hrm-agents COMMAND``. Each command lives in a module of ``hrm_agents.commands``."""

from __future__ import annotations

import importlib
import io
import keyword
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

COMMANDS = {
    "train": "train a model in an environment, evaluate it and draw a GIF",
    "evaluate": "success of a checkpoint on unseen puzzles, segment by segment",
    "solve": "solve one puzzle from an argument, a file or standard input",
    "watch": "watch a model think, in a window or as a GIF",
    "play": "solve puzzles yourself in a window, and ask a model what it thinks",
    "envs": "list the environments",
    "frontier": "train a model for each price of a segment, and draw success against thought",
    "bench": "measure environment steps or training updates per second",
    "import": "turn a checkpoint of the public HRM code into one of ours",
    "new-task": "write a file with a task of your own, ready to train on",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 (not solved), 2 (a mistake, explained) or 130 (Ctrl-C)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    if arguments[0] == "--version":
        from hrm_agents import __version__

        print(__version__)
        return 0
    command = arguments.pop(0)
    if command not in COMMANDS:
        print(f"error: unknown command {command[:60]!r}; choose one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    _survive_odd_terminals()
    # Until the command runs there is nothing to finish; an interrupt in the middle of an import would be a traceback.
    with leave_at_once_on_interrupt():
        module = importlib.import_module(
            f"hrm_agents.commands.{command.replace('-', '_')}{'_' * keyword.iskeyword(command)}"
        )
        from hrm_agents.commands.common import HelpShown
        from hrm_agents.errors import UserError, one_line
    try:
        code: int = module.run(arguments)
        return code
    except HelpShown:
        return 0
    except UserError as error:
        print(f"error: {one_line(str(error), 800)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(
            f"interrupted{': ' if interrupt.args else ''}{' '.join(map(str, interrupt.args))}",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:
        # The reader went away (`| head`): not our failure, but nothing more can be said. Python would
        # complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except SystemExit as exit:
        if isinstance(exit.__context__, BrokenPipeError):  # how rich ends a program whose reader went away
            return 141
        # From code of the user's, such as an environment.
        print(f"error: something called sys.exit({exit.code!r}) while {command} was running", file=sys.stderr)
        return exit.code if isinstance(exit.code, int) and exit.code else 1
    except OSError as error:
        about = f"{one_line(str(error.filename))}: " if error.filename is not None else ""
        print(f"error: {about}{one_line(error.strerror or str(error))}", file=sys.stderr)
        return 2
    except MemoryError:
        print(
            "error: out of memory: ask for less (--run.batch-size, --kwargs num_puzzles, --batch-size)", file=sys.stderr
        )
        return 2


def _survive_odd_terminals() -> None:
    """Print what the encoding of a terminal lacks as a question mark, rather than fail on it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextmanager
def leave_at_once_on_interrupt() -> Iterator[None]:
    """Let Ctrl-C end the process at once, with one word, inside a ``with`` block that has nothing to tidy up."""

    def leave(number: int, frame: object) -> None:
        os.write(2, b"interrupted\n")
        os._exit(130)

    try:
        before = signal.signal(signal.SIGINT, leave)
    except ValueError:  # not in the main thread, where Python delivers no signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def usage() -> str:
    """The help of the program."""
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "usage: hrm-agents COMMAND [options]",
            "",
            "Hierarchical Reasoning Models that think in Gymnasium environments, one segment a step.",
            "",
            "commands:",
            *(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()),
            "",
            "examples:",
            "  hrm-agents train                               4x4 Sudoku in minutes on a laptop",
            "  hrm-agents train HRM/Maze-7x7-v0 --out runs/maze",
            "  hrm-agents evaluate runs/maze --json report.json",
            "  hrm-agents watch                               a maze, solved by the bundled model",
            "",
            "`hrm-agents COMMAND --help` explains a command's options.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
