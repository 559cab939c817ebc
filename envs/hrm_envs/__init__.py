"""Gymnasium environments for reasoning puzzles, where one step is one segment of computation.

Importing this package registers the built-in ids. It loads no data and imports neither torch nor pygame.
"""

from hrm_envs.construction import default_split
from hrm_envs.puzzles.arrays import load_arrays
from hrm_envs.puzzles.files import parse_json, read_json
from hrm_envs.puzzles.sources import read_puzzles
from hrm_envs.registration import register_moves, register_task, registered_ids
from hrm_envs.rewards import REWARDS
from hrm_envs.spec import IdTable, TaskSpec
from hrm_envs.streams import independent_seeds
from hrm_envs.task import PuzzleBatch, Task, Verdict

__all__ = [
    "REWARDS",
    "IdTable",
    "PuzzleBatch",
    "Task",
    "TaskSpec",
    "Verdict",
    "default_split",
    "independent_seeds",
    "load_arrays",
    "parse_json",
    "read_json",
    "read_puzzles",
    "register_moves",
    "register_task",
    "registered_ids",
]

_SUDOKU = "hrm_envs.sudoku:SudokuTask"
_MAZE = "hrm_envs.maze:MazeTask"
_ARC = "hrm_envs.arc:ARCTask"

register_task("HRM/Sudoku-4x4-v0", _SUDOKU, max_segments=8, kwargs={"size": 4})
register_task("HRM/Sudoku-6x6-v0", _SUDOKU, max_segments=8, kwargs={"size": 6})
register_task("HRM/Sudoku-9x9-v0", _SUDOKU, max_segments=16, kwargs={"size": 9})
register_task("HRM/Sudoku-Extreme-v0", "hrm_envs.sudoku:SudokuExtremeTask", max_segments=16)
register_task("HRM/Maze-5x5-v0", _MAZE, max_segments=8, kwargs={"size": 5})
register_task("HRM/Maze-7x7-v0", _MAZE, max_segments=8, kwargs={"size": 7})
register_task("HRM/Maze-9x9-v0", _MAZE, max_segments=8, kwargs={"size": 9})
register_task("HRM/Maze-15x15-v0", _MAZE, max_segments=16, kwargs={"size": 15})
register_task("HRM/Maze-30x30-v0", _MAZE, max_segments=16, kwargs={"size": 30, "kind": "random"})
register_task("HRM/Maze-30x30-Hard-v0", "hrm_envs.maze.hard:HardMazeTask", max_segments=16)
register_task("HRM/ARC-AGI-1-v0", _ARC, max_segments=16, kwargs={"version": 1})
register_task("HRM/ARC-AGI-2-v0", _ARC, max_segments=16, kwargs={"version": 2})
register_moves("HRM/MazeMoves-9x9-v0", size=9)
register_moves("HRM/MazeMoves-9x9-Doors-v0", size=9, door_probability=0.05)
