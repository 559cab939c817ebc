"""The command line: ``hrm-agents COMMAND``. Each command lives in a module of ``hrm_agents.commands``."""

from __future__ import annotations

import importlib
import keyword
import os
import sys
from collections.abc import Sequence

from hrm_agents.errors import UserError

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
        print(f"error: unknown command {command!r}; choose one of {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    # A console script does not look for modules where it is called; `module:id` environments often live there.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = command.replace("-", "_") + "_" * keyword.iskeyword(command)
        code: int = importlib.import_module(f"hrm_agents.commands.{module}").run(arguments)
        return code
    except SystemExit as exit:  # after --help
        return int(exit.code or 0)
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
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
