"""The models that ship with the package."""

from pathlib import Path

#: A checkpoint folder: mazes, made by ``examples/bundled_maze.py``.
MAZE = Path(__file__).parent / "maze"
