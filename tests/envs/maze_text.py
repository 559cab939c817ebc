"""Mazes and answers to mazes as text, without the checks of a puzzle."""

from __future__ import annotations

import numpy as np

from hrm_envs.maze.tokens import SYMBOLS


def parse_maze(text):
    """Tokens uint8 ``[R, C]`` of lines of symbols; a dot is a free cell."""
    rows = text.strip("\n").replace(".", " ").split("\n")
    return np.array([[SYMBOLS.index(cell) for cell in row] for row in rows], np.uint8)
