"""Renders a frame of an episode as an image or as text."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import Canvas, Rect
from hrm_envs.rendering.frame_data import Frame
from hrm_envs.rendering.look import DEFAULT_SIZE, Size, arrange
from hrm_envs.rendering.strip import Strip, status
from hrm_envs.rendering.theme import DARK, Theme
from hrm_envs.spec import MARK_RIGHT, MARK_WRONG, PAD, TaskSpec


class Drawable(Protocol):
    """The part of a task that rendering needs."""

    @property
    def spec(self) -> TaskSpec:
        """Grid, alphabet and name."""

    def draw(self, board: Board) -> None:
        """Draw the puzzle and the answer of ``board.frame``."""


def render_rgb(task: Drawable, frame: Frame, size: Size | None = None, theme: Theme = DARK) -> NDArray[np.uint8]:
    """Render a frame as an image, uint8 ``[H, W, 3]``. Deterministic; needs no display.

    Args:
        task: its ``draw`` fills the board.
        frame: what to show.
        size: width and height in pixels. The strip is beside the board of a wide image and below that of a tall one.
        theme: the colours.

    Raises:
        DependencyNotInstalled: pygame is not installed.
        ValueError: a side of ``size`` is under 120 pixels.
    """
    size = size or DEFAULT_SIZE
    layout, canvas = arrange(size), Canvas(*size, theme)
    board = draw_board(canvas, task, frame, layout.board)
    strip = Strip(canvas, frame, layout.unit)
    draw_strip = strip.beside if layout.beside else strip.below
    draw_strip(task.spec.name, board, layout.strip)
    return canvas.pixels()


def draw_board(canvas: Canvas, task: Drawable, frame: Frame, area: Rect) -> Board:
    """Let a task draw a frame into ``area`` of a canvas, with the cursor if there is one."""
    board = Board(canvas, task.spec, frame, area)
    task.draw(board)
    board.draw_cursor()
    return board


def render_ansi(task: Drawable, frame: Frame) -> str:
    """Render a frame as text: a line on the episode, then the grid. Needs no pygame.

    Answers are underlined. ``!`` follows a wrong cell and ``*`` a changed one, so that the marks need no colours. The
    cell under the cursor is in reverse video.
    """
    _, word, _ = status(frame)
    unit, done, limit = frame.progress
    head = [task.spec.name, f"{unit} {done}/{limit}", word.lower()]
    if frame.segment:
        head.append(f"score {frame.percent}%")
    if frame.thoughts is not None:
        for name, value in zip(frame.thoughts.names, frame.thoughts.values, strict=True):
            if value is not None:
                head.append(f"{name} {value:.2f}")
        if frame.thoughts.decision:
            head.append(frame.thoughts.decision)
    columns = task.spec.grid_shape[1]
    cells = [_ansi_cell(task, frame, index) for index in range(task.spec.num_cells)]
    rows = [" ".join(cells[start : start + columns]).rstrip() for start in range(0, len(cells), columns)]
    while len(rows) > 1 and not rows[-1]:
        rows.pop()  # padding below a small grid
    return "\n".join([" | ".join(head), *rows]) + "\n"


def _ansi_cell(task: Drawable, frame: Frame, index: int) -> str:
    token = int(frame.shown[index])
    symbol = (task.spec.symbols[token] if token != PAD else " ")[:1] or " "
    wrong, changed = frame.marks[index] == MARK_WRONG, bool(frame.changed[index])
    if token == PAD and not wrong and not changed and index != frame.cursor:
        return "  "
    answered = frame.answer[index] not in (PAD, frame.puzzle[index])
    if wrong:
        style = "1;4;31" if answered else "1;31"
    elif changed and answered:
        style = "4;33"
    elif answered:
        style = "4;34" if frame.marks[index] == MARK_RIGHT else "4"
    else:
        style = "1"  # the puzzle's own cells
    if index == frame.cursor:
        style += ";7"
    return f"\x1b[{style}m{symbol}\x1b[0m" + ("!" if wrong else "*" if changed else " ")
