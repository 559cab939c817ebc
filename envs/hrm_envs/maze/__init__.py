"""Mazes: find a shortest path from S to G on a square grid."""

from hrm_envs.maze.task import MazeTask

__all__ = ["MazeTask"]
