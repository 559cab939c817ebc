"""Sudoku of sizes 4, 6 and 9: generator, rater, verifier and symmetries; and a collection of hard puzzles."""

from hrm_envs.sudoku.extreme import SudokuExtremeTask
from hrm_envs.sudoku.task import SudokuTask

__all__ = ["SudokuExtremeTask", "SudokuTask"]
