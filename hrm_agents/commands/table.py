"""The table of commands; each is a module of ``hrm_agents.commands``."""

from __future__ import annotations

import keyword

#: What each command does, in the order of the help.
COMMANDS = {
    "train": "train a model in an environment, evaluate it and draw a GIF",
    "evaluate": "measure success on unseen puzzles, at every segment",
    "solve": "solve puzzles from an argument, a file or standard input",
    "analyse": "show what happens inside a network, as a picture",
    "watch": "watch a model think, in a window or as a GIF",
    "play": "solve puzzles yourself in a window, with a model's advice",
    "envs": "list the environments",
    "frontier": "train a model for each segment cost, and draw success against segments",
    "report": "write a page on a training run, or one that compares several",
    "models": "list the trained models that ship with the package",
    "bench": "measure environments, training and solving; predict training on many GPUs",
    "import": "convert a checkpoint of the public HRM or TRM code",
    "completion": "print a script with which a shell completes commands and options",
    "new-task": "write a file with a task of your own, ready to train on",
}


def module_name(command: str) -> str:
    """Full name of the module of a command."""
    return f"hrm_agents.commands.{command.replace('-', '_')}{'_' * keyword.iskeyword(command)}"
