"""Sudoku of sizes 4, 6 and 9: generator, rater, verifier and symmetries."""

from hrm_envs.sudoku.task import SudokuTask

__all__ = ["SudokuTask"]
