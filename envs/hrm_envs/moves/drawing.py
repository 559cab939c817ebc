"""Renders a walk through a maze as an image or as text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrm_envs.maze.drawing import draw_end, draw_walls
from hrm_envs.maze.tokens import GOAL, START, WALL
from hrm_envs.moves.dynamics import MoveDynamics
from hrm_envs.moves.settings import AGENT, DOOR_OPEN, DOOR_SHUT, SYMBOLS
from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import Canvas, Rect, blend, center, inset
from hrm_envs.rendering.frame_data import Frame
from hrm_envs.rendering.look import DEFAULT_SIZE, Layout, Size, arrange
from hrm_envs.rendering.strip import Status, Strip
from hrm_envs.rendering.theme import DARK, Color, Theme
from hrm_envs.spec import TaskSpec, Tokens

#: Side of the walker in pixels, where the cells have no room for it.
_SMALLEST_WALKER = 26.0
_EYE, _PUPIL = (255, 255, 255), (13, 18, 30)


@dataclass(frozen=True)
class Walk:
    """The state of one walk that one image shows."""

    #: uint8 ``[S]``, the maze with its current doors.
    grid: Tokens
    #: The cells that the walker has visited, in order; the last is its position.
    trail: tuple[int, ...]
    #: Steps taken, steps allowed, and the length of the shortest path from S to G with all doors open.
    steps: int
    limit: int
    optimum: int
    #: The walker reached G.
    success: bool
    #: The walk has ended.
    over: bool
    #: The maze has doors.
    has_doors: bool = False

    @classmethod
    def of(cls, dynamics: MoveDynamics, row: int, trail: list[int], success: bool, over: bool) -> Walk:
        """The current walk of one row of the dynamics."""
        steps, limit, optimum = (int(array[row]) for array in (dynamics.steps, dynamics.limit, dynamics.optimum))
        return cls(dynamics.grids()[row], tuple(trail), steps, limit, optimum, success, over, dynamics.num_doors > 0)


def walk_title(spec: TaskSpec, has_doors: bool) -> str:
    """What a walk is called in images and window titles."""
    return f"{spec.name} with doors" if has_doors else spec.name


def render_walk_rgb(spec: TaskSpec, walk: Walk, size: Size = DEFAULT_SIZE, theme: Theme = DARK) -> NDArray[np.uint8]:
    """Render a walk as an image, uint8 ``[H, W, 3]``. Deterministic; needs no display.

    Args:
        spec: of the maze task.
        walk: what to show.
        size: width and height in pixels.
        theme: the colours.

    Raises:
        DependencyNotInstalled: pygame is not installed.
        ValueError: a side of ``size`` is under 120 pixels.
    """
    layout, canvas, blank = arrange(size), Canvas(*size, theme), np.zeros_like(walk.grid)
    frame = Frame(
        puzzle=walk.grid, answer=blank, previous_answer=blank, marks=blank,
        segment=walk.steps, max_segments=walk.limit, success=walk.success, score=0.0,
        halted=walk.over, forced=walk.over and not walk.success,
    )  # fmt: skip
    board = Board(canvas, spec, frame, layout.board)
    draw_walk(board, walk)
    _draw_strip(Strip(canvas, frame, layout.unit), walk_title(spec, walk.has_doors), board, walk, layout)
    return canvas.pixels()


def draw_walk(board: Board, walk: Walk) -> None:
    """Draw the maze, its doors, the walker, and its trail as a line.

    A shut door fills its cell with planks; an open one is an empty frame.
    """
    board.legend = (("walker", "walker"), ("trail", "trail"))
    board.icons = {
        "walker": lambda rect: _draw_walker(board, rect),
        "trail": lambda rect: _draw_trail_icon(board, rect),
        "open": lambda rect: _draw_door(board, rect, shut=False),
        "shut": lambda rect: _draw_door(board, rect, shut=True),
    }
    draw_walls(board, (walk.grid == WALL).reshape(board.spec.grid_shape))
    doors = np.flatnonzero((walk.grid == DOOR_OPEN) | (walk.grid == DOOR_SHUT))
    if len(doors):
        board.legend += (("open", "open door"), ("shut", "shut door"))
    for index in doors:
        _draw_door(board, board.rect(int(index)), shut=bool(walk.grid[index] == DOOR_SHUT))
    points = [center(board.rect(cell)) for cell in walk.trail]
    if len(points) > 1:
        board.canvas.line(points, _trail_color(board), board.cell * 0.16)
    for end in np.flatnonzero((walk.grid == START) | (walk.grid == GOAL)):
        draw_end(board, int(end))
    here = board.rect(walk.trail[-1])
    grown = max(0.0, min(_SMALLEST_WALKER, board.area[3] * 0.1) - board.cell) / 2
    _draw_walker(board, inset(here, -grown))


def render_walk_ansi(spec: TaskSpec, walk: Walk) -> str:
    """Render a walk as text: a line on its state, then the maze with ``@`` walker, ``'`` open and ``+`` shut door."""
    _, word, _ = _status(walk)
    grid = walk.grid.copy()
    grid[walk.trail[-1]] = AGENT
    title = walk_title(spec, walk.has_doors)
    head = f"{title} | step {walk.steps}/{walk.limit} | shortest {walk.optimum} | {word.lower()}"
    rows = grid.reshape(spec.grid_shape)
    return "\n".join([head, *("".join(SYMBOLS[token] for token in row).rstrip() for row in rows)]) + "\n"


def _draw_door(board: Board, rect: Rect, shut: bool) -> None:
    x, y, w, h = inset(rect, rect[2] * 0.07)
    if not shut:
        board.canvas.rect((x, y, w, h), board.theme.amber, w * 0.1, max(w * 0.07, 1.2))
        return
    board.canvas.rect((x, y, w, h), board.theme.amber, w * 0.1)
    for share in (1 / 3, 2 / 3):
        board.canvas.line(
            [(x + w * share, y), (x + w * share, y + h)], board.theme.background, max(w * 0.05, 1.0), caps=False
        )
    board.canvas.circle((x + w * 0.82, y + h / 2), w * 0.07, board.theme.background)


def _trail_color(board: Board) -> Color:
    return blend(board.theme.floor, board.theme.blue, 0.6)


def _draw_trail_icon(board: Board, rect: Rect) -> None:
    x, y, w, h = rect
    board.canvas.line([(x + w * 0.15, y + h / 2), (x + w * 0.85, y + h / 2)], _trail_color(board), h * 0.2)


def _draw_walker(board: Board, rect: Rect) -> None:
    (x, y), size = center(rect), rect[2]
    board.canvas.circle((x, y), size * 0.38, board.theme.background)
    board.canvas.circle((x, y), size * 0.34, board.theme.blue)
    for side in (-1, 1):
        eye = (x + side * size * 0.12, y - size * 0.06)
        board.canvas.circle(eye, size * 0.09, _EYE)
        board.canvas.circle(eye, size * 0.045, _PUPIL)


def _draw_strip(strip: Strip, title: str, board: Board, walk: Walk, layout: Layout) -> None:
    """The strip, with steps instead of segments: in one column beside the board, or in two below it."""
    strip.status, u, (x, y, width, height) = _status(walk), layout.unit, layout.strip
    column = width if layout.beside else (width - 40 * u) / 2
    right = x if layout.beside else x + width - column
    strip.title(title, x, y, column)
    strip.badge(x, y + 46 * u)
    top = y + (118 if layout.beside else 12) * u
    strip.label(right, top, column, "Step", f"{walk.steps} / {walk.limit}")
    strip.bar((right, top + 17 * u, column, 9 * u), walk.steps / walk.limit, strip.theme.blue)
    name = "Shortest, doors open" if walk.has_doors else "Shortest path"
    strip.label(right, top + 64 * u, column, name, f"{walk.optimum} steps")
    strip.legend(board, x, y + (height - 66 * u if layout.beside else 110 * u), column)


def _status(walk: Walk) -> Status:
    """The state of a walk."""
    if not walk.over:
        return "running", "Walking" if walk.steps else "Ready", "panel"
    return ("solved", "Arrived", "blue") if walk.success else ("forced", "Out of steps", "amber")
