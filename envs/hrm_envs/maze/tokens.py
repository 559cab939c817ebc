"""The alphabet of mazes. It equals that of the Maze-Hard data set of HRM: ``"# SGo"`` shifted by one."""

from __future__ import annotations

PAD, WALL, FREE, START, GOAL, PATH = range(6)

#: One character per token. Padding never appears in a puzzle; ``?`` keeps it apart from a free cell.
SYMBOLS = ("?", "#", " ", "S", "G", "o")
