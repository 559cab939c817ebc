"""Sudoku of sizes 4, 6 and 9, and a collection of hard 9x9 puzzles."""

from hrm_envs.sudoku.extreme import SudokuExtremeTask
from hrm_envs.sudoku.task import SudokuTask

__all__ = ["SudokuExtremeTask", "SudokuTask"]
