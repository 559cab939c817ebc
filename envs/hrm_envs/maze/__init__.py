"""Mazes: find a shortest path from S to G."""

from hrm_envs.maze.task import MazeTask

__all__ = ["MazeTask"]
