"""Text format of mazes: one line per row, one character per cell."""

from __future__ import annotations

import numpy as np

from hrm_envs.maze.tokens import FREE, SYMBOLS
from hrm_envs.spec import Tokens

_TOKEN_OF = {symbol: token for token, symbol in enumerate(SYMBOLS)} | {".": FREE}


def parse_maze(text: str) -> Tokens:
    """Read a maze, such as ``"#####\\n#S.G#\\n#####"``.

    ``#`` is a wall, a space or ``.`` a free cell, ``S`` the start, ``G`` the goal, ``o`` a path cell and ``?`` padding.
    Empty lines before and after the maze are skipped.

    Returns:
        uint8 ``[R, C]``.

    Raises:
        ValueError: empty text, lines of different lengths, or an unknown character; the message names line and column,
            both counted from 1.
    """
    lines = text.splitlines()
    first, last = 0, len(lines)
    while first < last and not lines[first]:
        first += 1
    while first < last and not lines[last - 1]:
        last -= 1
    if first == last:
        raise ValueError("the maze text is empty")
    width = len(lines[first])
    rows = []
    for number, line in enumerate(lines[first:last], start=first + 1):
        for column, character in enumerate(line, start=1):
            if character not in _TOKEN_OF:
                raise ValueError(
                    f"line {number}, column {column}: {character!r} is not a maze character "
                    "('#' wall, ' ' or '.' free, 'S', 'G', 'o' path)"
                )
        if len(line) != width:
            raise ValueError(
                f"line {number}, column {min(len(line), width) + 1}: the line has {len(line)} characters, "
                f"line {first + 1} has {width} (write free cells as '.' if your editor strips trailing spaces)"
            )
        rows.append([_TOKEN_OF[character] for character in line])
    return np.array(rows, np.uint8)
