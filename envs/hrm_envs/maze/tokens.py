"""The tokens of mazes, as in HRM's Maze-Hard data set: positions in ``"# SGo"``, plus one."""

from __future__ import annotations

PAD, WALL, FREE, START, GOAL, PATH = range(6)

#: One character per token. Padding never appears in a puzzle and is ``?``, because a space is a free cell.
SYMBOLS = ("?", "#", " ", "S", "G", "o")
