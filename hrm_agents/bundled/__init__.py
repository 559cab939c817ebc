"""Models shipped with the package."""

from pathlib import Path

#: Checkpoint folder of a model for mazes, trained by ``examples/bundled_maze.py``.
MAZE = Path(__file__).parent / "maze"
