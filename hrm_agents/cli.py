"""The command line ``hrm-agents COMMAND``; each command is a module of ``hrm_agents.commands``."""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TextIO

from hrm_agents.commands.table import COMMANDS, module_name


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 1 (not solved), 2 (error), 130 (Ctrl-C), or 75 or 143 (`train`)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _survive_odd_streams()
    if not arguments or arguments[0] in ("-h", "--help"):
        return _flushed(0, f"{usage()}\n")
    if arguments[0] == "--version":
        from hrm_agents import __version__

        return _flushed(0, f"{__version__}\n")
    command = arguments.pop(0)
    if command not in COMMANDS:
        from hrm_agents.errors import did_you_mean

        hint = did_you_mean(command, COMMANDS) or f"; choose from {', '.join(COMMANDS)}"
        _complain(f"error: unknown command {command[:60]!r}{hint}")
        return 2
    return _flushed(_run(command, arguments))


def _run(command: str, arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; an error is reported in one line."""
    # Nothing needs finishing yet, and an interrupt inside an import would print a traceback.
    with leave_at_once_on_interrupt():
        module = importlib.import_module(module_name(command))
        from hrm_agents.commands.common import HelpShown
        from hrm_agents.errors import UserError, one_line
        from hrm_agents.terminal import notes_of_environments
    try:
        with notes_of_environments():
            code: int = module.run(arguments)
        return code
    except HelpShown:
        return 0
    except UserError as error:
        _complain(f"error: {one_line(str(error), 800)}")
        return 2
    except KeyboardInterrupt as interrupt:
        _complain(f"interrupted{': ' if interrupt.args else ''}{' '.join(map(str, interrupt.args))}")
        return 130
    except BrokenPipeError:
        # The reader of the pipe has closed it (`| head`), which is no error.
        return 141
    except SystemExit as exit:
        if isinstance(exit.__context__, BrokenPipeError):  # rich exits like this on a closed pipe
            return 141
        # From user code, such as an environment.
        _complain(f"error: user code called sys.exit({exit.code!r}) during {command}")
        return exit.code if isinstance(exit.code, int) and exit.code else 1
    except OSError as error:
        about = f"{one_line(str(error.filename))}: " if error.filename is not None else ""
        _complain(f"error: {about}{one_line(error.strerror or str(error))}")
        return 2
    except MemoryError:
        _complain("error: out of memory: reduce --run.batch-size, --batch-size or the number of puzzles")
        return 2


def _survive_odd_streams() -> None:
    """Print characters that the terminal's encoding lacks as question marks; replace closed streams by empty ones."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115  (open until the program ends)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _complain(line: str) -> None:
    """Print a line on standard error, if possible."""
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        _silence(sys.stderr)


def _flushed(code: int, text: str = "") -> int:
    """Flush the streams and return the exit code, so that Python does not report a failure itself at exit.

    Args:
        code: returned if the output could be written; messages that could not be are lost.
        text: printed first.
    """
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        _silence(sys.stderr)
    try:
        print(text, end="", flush=True)
        return code
    except BrokenPipeError:
        _silence(sys.stdout)
        return 141
    except (OSError, ValueError) as error:
        _silence(sys.stdout)
        if code in (0, 1):
            reason = error.strerror if isinstance(error, OSError) else error
            _complain(f"error: cannot write to standard output: {reason}")
            return 2
        return code


def _silence(stream: TextIO) -> None:
    """Discard all further output to a broken stream."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def leave_at_once_on_interrupt() -> Iterator[None]:
    """Let Ctrl-C end the process at once, without a traceback, inside a ``with`` block that needs no clean-up."""

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
    """Help of the program."""
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "usage: hrm-agents COMMAND [options]",
            "",
            "Hierarchical Reasoning Models that think in Gymnasium environments, one segment per step.",
            "",
            "commands:",
            *(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()),
            "",
            "examples:",
            "  hrm-agents train                               4x4 Sudoku in minutes on a laptop",
            "  hrm-agents train HRM/Maze-7x7-v0 --out runs/maze",
            "  hrm-agents evaluate runs/maze --json report.json",
            "  hrm-agents watch                               a trained model solves mazes",
            "",
            "`hrm-agents COMMAND --help` explains a command's options.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
