"""How a walk through a maze looks: as pixels and as text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrm_envs.maze.drawing import draw_end, draw_walls
from hrm_envs.maze.tokens import GOAL, START, WALL
from hrm_envs.moves.dynamics import MoveDynamics
from hrm_envs.moves.settings import AGENT, DOOR_OPEN, DOOR_SHUT, SYMBOLS
from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import (
    AMBER,
    BACKGROUND,
    BLUE,
    INK,
    LINE,
    PANEL,
    Canvas,
    Color,
    Rect,
    blend,
    center,
    inset,
)
from hrm_envs.rendering.frame import Frame
from hrm_envs.rendering.paint import DEFAULT_SIZE
from hrm_envs.rendering.strip import Strip
from hrm_envs.spec import TaskSpec, Tokens

_MARGIN, _SIDE, _STRIP = 32, 576, 284
_TRAIL: Color = blend(BACKGROUND, BLUE, 0.55)


@dataclass(frozen=True)
class Walk:
    """All that one picture shows of one walk."""

    #: uint8 ``[S]``, the maze with its doors as they are now.
    grid: Tokens
    #: The cells that the walker was on, in their order; the last is where it is.
    trail: tuple[int, ...]
    #: Steps taken, steps allowed, and the fewest that lead from S to G with every door open.
    steps: int
    limit: int
    optimum: int
    #: The walker reached G.
    success: bool
    #: The walk has ended.
    over: bool

    @classmethod
    def of(cls, dynamics: MoveDynamics, row: int, trail: list[int], success: bool, over: bool) -> Walk:
        """The walk in one row of the dynamics."""
        steps, limit, optimum = (int(array[row]) for array in (dynamics.steps, dynamics.limit, dynamics.optimum))
        return cls(dynamics.grids()[row], tuple(trail), steps, limit, optimum, success, over)


def paint_walk(spec: TaskSpec, walk: Walk) -> NDArray[np.uint8]:
    """One walk as pixels, uint8 ``[640, 960, 3]``; equal arguments give equal pixels. Needs no display.

    Args:
        spec: of the maze task.
        walk: what to show.

    Raises:
        DependencyNotInstalled: pygame is absent.
    """
    canvas = Canvas(*DEFAULT_SIZE)
    nothing = np.zeros_like(walk.grid)
    frame = Frame(
        puzzle=walk.grid, answer=nothing, previous_answer=nothing, marks=nothing,
        segment=walk.steps, max_segments=walk.limit, success=walk.success, score=0.0,
        halted=walk.over, forced=walk.over and not walk.success,
    )  # fmt: skip
    left = (DEFAULT_SIZE[0] - _SIDE - _STRIP - _MARGIN) / 2
    board = Board(canvas, spec, frame, (left, (DEFAULT_SIZE[1] - _SIDE) / 2, _SIDE, _SIDE))
    draw_walk(board, walk)
    strip = _WalkStrip(canvas, frame, 1.0)
    strip.show(spec.name, board, walk.optimum, left + _SIDE + _MARGIN, _MARGIN)
    return canvas.pixels()


def draw_walk(board: Board, walk: Walk) -> None:
    """Paint the maze, its doors, the trail of the walker as a line, and the walker with its two eyes.

    A shut door fills its cell with planks; an open one is an empty frame.
    """
    board.key = (("walker", "walker"), ("trail", "trail"))
    board.samples = {
        "walker": lambda rect: _draw_walker(board, rect),
        "trail": lambda rect: _draw_trail_sample(board, rect),
        "open": lambda rect: _draw_door(board, rect, shut=False),
        "shut": lambda rect: _draw_door(board, rect, shut=True),
    }
    draw_walls(board, (walk.grid == WALL).reshape(board.spec.grid_shape))
    doors = np.flatnonzero((walk.grid == DOOR_OPEN) | (walk.grid == DOOR_SHUT))
    if len(doors):
        board.key += (("open", "open door"), ("shut", "shut door"))
    for index in doors:
        _draw_door(board, board.rect(int(index)), shut=bool(walk.grid[index] == DOOR_SHUT))
    points = [center(board.rect(cell)) for cell in walk.trail]
    if len(points) > 1:
        board.canvas.line(points, _TRAIL, board.cell * 0.16)
    for end in np.flatnonzero((walk.grid == START) | (walk.grid == GOAL)):
        draw_end(board, int(end))
    _draw_walker(board, board.rect(walk.trail[-1]))


def walk_text(spec: TaskSpec, walk: Walk) -> str:
    """One walk as text: a line on it, then the maze with ``@`` for the walker, ``'`` and ``+`` for open and shut."""
    _, word, _ = _status(walk.over, walk.success, walk.steps)
    grid = walk.grid.copy()
    grid[walk.trail[-1]] = AGENT
    head = f"{spec.name} | step {walk.steps}/{walk.limit} | shortest {walk.optimum} | {word.lower()}"
    rows = grid.reshape(spec.grid_shape)
    return "\n".join([head, *("".join(SYMBOLS[token] for token in row).rstrip() for row in rows)]) + "\n"


def _draw_door(board: Board, rect: Rect, shut: bool) -> None:
    x, y, w, h = inset(rect, rect[2] * 0.07)
    if not shut:
        board.canvas.rect((x, y, w, h), AMBER, w * 0.1, max(w * 0.07, 1.2))
        return
    board.canvas.rect((x, y, w, h), AMBER, w * 0.1)
    for share in (1 / 3, 2 / 3):
        board.canvas.line([(x + w * share, y), (x + w * share, y + h)], BACKGROUND, max(w * 0.05, 1.0), caps=False)
    board.canvas.circle((x + w * 0.82, y + h / 2), w * 0.07, BACKGROUND)


def _draw_trail_sample(board: Board, rect: Rect) -> None:
    x, y, w, h = rect
    board.canvas.line([(x + w * 0.15, y + h / 2), (x + w * 0.85, y + h / 2)], _TRAIL, h * 0.2)


def _draw_walker(board: Board, rect: Rect) -> None:
    (x, y), size = center(rect), rect[2]
    board.canvas.circle((x, y), size * 0.38, BACKGROUND)
    board.canvas.circle((x, y), size * 0.34, BLUE)
    for side in (-1, 1):
        eye = (x + side * size * 0.12, y - size * 0.06)
        board.canvas.circle(eye, size * 0.09, INK)
        board.canvas.circle(eye, size * 0.045, BACKGROUND)


class _WalkStrip(Strip):
    """The strip beside the board, with steps in the place of segments."""

    def show(self, title: str, board: Board, optimum: int, x: float, y: float) -> None:
        frame = self._frame
        self._title(title, x, y, _STRIP)
        self._badge(x, y + 46)
        self._label(x, y + 118, _STRIP, "Step", f"{frame.segment} / {frame.max_segments}")
        self._bar((x, y + 135, _STRIP, 9), frame.segment / frame.max_segments, BLUE)
        name = "Shortest, doors open" if "shut" in dict(board.key) else "Shortest path"
        self._label(x, y + 182, _STRIP, name, f"{optimum} steps")
        self._key(board, x, y + _SIDE - 66, _STRIP)

    def _badge(self, x: float, y: float) -> None:
        icon, word, color = _status(self._frame.halted, self._frame.success, self._frame.segment)
        loud = icon != "thinking"
        width = self._canvas.text((x, y + 18), word, 17, BACKGROUND) + 58
        self._canvas.rect((x, y, width, 36), color, 18)
        if not loud:
            self._canvas.rect((x, y, width, 36), LINE, 18, 1.5)
        ink = BACKGROUND if loud else INK
        self._icon(icon, (x + 22, y + 18), ink, color)
        self._canvas.text((x + 40, y + 18), word, 17, ink)


def _status(over: bool, success: bool, steps: int) -> tuple[str, str, Color]:
    """The state of a walk: name of its icon, word, colour."""
    if not over:
        return "thinking", "Walking" if steps else "Ready", PANEL
    return ("solved", "Arrived", BLUE) if success else ("forced", "Out of steps", AMBER)
