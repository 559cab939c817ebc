"""The characters that people draw mazes with, and what they stand for.

A maze is read in every dialect that knows all of its characters. The readings that hold exactly one start and one goal,
a path between them, and no marked path but a shortest one are right; if they disagree, the maze is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hrm_envs.maze.search import UNREACHED, distances
from hrm_envs.maze.tokens import FREE, GOAL, PATH, START, WALL
from hrm_envs.spec import Tokens

#: Characters of start and goal: start and goal, start and end, start and finish, A and B, entrance and exit.
_PAIRS = ("SG", "SE", "SF", "SX", "AB", "EX", "sg", "se", "sf", "ab")


@dataclass(frozen=True)
class Dialect:
    """The characters of a way to draw mazes."""

    walls: str
    free: str
    #: Marks of a path that is drawn into the maze.
    path: str = ""
    #: Start and goal.
    ends: Sequence[str] = _PAIRS

    def tokens(self) -> Iterator[Mapping[str, int]]:
        """The token of each character, for each pair of ends."""
        cells = dict.fromkeys(self.path, PATH) | dict.fromkeys(self.free, FREE) | dict.fromkeys(self.walls, WALL)
        for pair in self.ends:
            yield {**cells, pair[0]: START, pair[1]: GOAL}


DIALECTS = (
    Dialect("#\u2588\u2593\u2592\u25a0\u2b1b", " .\u00b7\u25a1\u2b1c", "o*+xX"),
    Dialect("1", "0 ", "*", (*_PAIRS, "23")),
    Dialect("0", "1 ", "*", (*_PAIRS, "23")),
    Dialect("xX", " .", "o*", ("SG", "SE", "SF", "AB", "sg", "se", "sf", "ab")),
    Dialect("*", " .", "o", (*_PAIRS, "PG")),  # PG: DeepMind Lab
    Dialect("%", " ", "", ("P.",)),  # the search layouts of the Pacman projects: P, and one dot of food
    Dialect("H", "F", "", ("SG",)),  # Gymnasium's FrozenLake
)


@dataclass(frozen=True)
class Grid:
    """A maze as read."""

    #: uint8 ``[R, C]``, without a path.
    puzzle: Tokens
    #: uint8 ``[R, C]``: the puzzle with the path that was drawn into it; the puzzle if there was none.
    drawn: Tokens


def read_cells(rows: Sequence[str], line: int) -> Grid:
    """Read a maze with one character per cell.

    Args:
        rows: the rows, of equal lengths.
        line: the line of the first row, for messages.

    Raises:
        ValueError: no dialect fits, or several do and disagree; the message names the line.
    """
    used = set("".join(rows))
    fitting = [known for dialect in DIALECTS for known in dialect.tokens() if used <= set(known)]
    if not fitting:
        raise ValueError(_unknown(rows, line))
    grids = [np.array([[known[cell] for cell in row] for row in rows], np.uint8) for known in fitting]
    problems = [_problem(grid) for grid in grids]
    right = {grid.tobytes(): grid for grid, problem in zip(grids, problems, strict=True) if not problem}
    enclosed = {key: grid for key, grid in right.items() if _is_enclosed(grid)}
    if len(enclosed) == 1:
        right = enclosed
    if len(right) > 1:
        raise ValueError(
            f"line {line}: it is open which characters of the maze are walls; draw walls as # and free cells as ."
        )
    if not right:
        # Of all that is wrong, an end that is missing tells least: other dialects have other ends.
        told = sorted(problem for problem in problems if not problem.startswith("no S and G"))
        raise ValueError(f"line {line}: {told[0] if told else problems[0]}")
    grid = next(iter(right.values()))
    return Grid(np.where(grid == PATH, np.uint8(FREE), grid), grid)


def _unknown(rows: Sequence[str], line: int) -> str:
    """The error for a character that no dialect knows beside the others: the first that the nearest dialect lacks."""
    known = {cell for dialect in DIALECTS for tokens in dialect.tokens() for cell in tokens}
    foreign = [(r, c) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell not in known]
    if not foreign:
        used = set("".join(rows))
        nearest = max((tokens for dialect in DIALECTS for tokens in dialect.tokens()), key=lambda t: len(used & set(t)))
        foreign = [(r, c) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell not in nearest]
    row, column = foreign[0]
    return (
        f"line {line + row}, column {column + 1}: {rows[row][column]!r} is not a maze character beside the others "
        "('#' wall, ' ' or '.' free, 'S' start, 'G' goal, 'o' path)"
    )


def _problem(grid: Tokens) -> str:
    """What is wrong with a reading; empty if nothing is."""
    for token, name in ((START, "S (start)"), (GOAL, "G (goal)")):
        count = int((grid == token).sum())
        if count > 1:
            return f"{count} cells hold {name}, not exactly one"
    counts = {token: bool((grid == token).any()) for token in (START, GOAL)}
    if not any(counts.values()):
        return "no S and G are marked: write S into the cell of the start and G into that of the goal"
    if not all(counts.values()):
        return "the start is marked, but no goal" if counts[START] else "the goal is marked, but no start"
    start, goal = (int((grid == token).argmax()) for token in (START, GOAL))
    steps = int(distances(grid[None] != WALL, np.array([start]))[0].reshape(-1)[goal])
    if steps == UNREACHED:
        return "no path leads from S to G"
    if (grid == PATH).any() and not _is_shortest(grid, start, goal, steps):
        return "the path that is drawn into the maze is not a shortest one from S to G"
    return ""


def _is_shortest(grid: Tokens, start: int, goal: int, steps: int) -> bool:
    """Whether the drawn cells are those of a path of ``steps`` steps."""
    along = distances(grid[None] >= START, np.array([start]))[0].reshape(-1)[goal]
    return int((grid == PATH).sum()) + 1 == steps == int(along)


def _is_enclosed(grid: Tokens) -> bool:
    """Whether the border is wall, except for start and goal."""
    border = np.concatenate([grid[0], grid[-1], grid[:, 0], grid[:, -1]])
    return not ((border == FREE) | (border == PATH)).any()
