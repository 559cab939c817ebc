"""Renders a frame of an episode as an image or as text."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import Canvas, Rect
from hrm_envs.rendering.frame_data import Frame
from hrm_envs.rendering.strip import Strip, status
from hrm_envs.spec import MARK_RIGHT, MARK_WRONG, PAD, TaskSpec

#: Default width and height of an image, in pixels.
DEFAULT_SIZE = (960, 640)
_MIN_SIDE = 120


class Drawable(Protocol):
    """The part of a task that rendering needs."""

    @property
    def spec(self) -> TaskSpec:
        """Grid, alphabet and name."""

    def draw(self, board: Board) -> None:
        """Draw the puzzle and the answer of ``board.frame``."""


def render_rgb(task: Drawable, frame: Frame, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Render a frame as an image, uint8 ``[H, W, 3]``. Deterministic; needs no display.

    Args:
        task: its ``draw`` fills the board.
        frame: what to show.
        size: width and height in pixels. The strip is beside the board of a wide image and below that of a tall one.

    Raises:
        DependencyNotInstalled: pygame is not installed.
        ValueError: a side of ``size`` is under 120 pixels.
    """
    width, height = DEFAULT_SIZE if size is None else size
    if min(width, height) < _MIN_SIDE:
        raise ValueError(f"an image needs at least {_MIN_SIDE} pixels on each side, got {width} x {height}")
    canvas = Canvas(width, height)
    if width >= 1.2 * height:
        unit = min(width / 960, height / 640)
        strip_width, margin = 284 * unit, 32 * unit
        side = min(height - 2 * margin, width - strip_width - 3 * margin)
        left = (width - side - strip_width - margin) / 2
        board = draw_board(canvas, task, frame, (left, (height - side) / 2, side, side))
        strip_height = 576 * unit
        area = (left + side + margin, (height - strip_height) / 2, strip_width, strip_height)
        Strip(canvas, frame, unit).beside(task.spec.name, board, area)
    else:
        unit = min(width / 720, height / 960)
        margin = 36 * unit
        side = min(width - 2 * margin, height - 3 * margin - 240 * unit)
        top = (height - side - margin - 240 * unit) / 2
        board = draw_board(canvas, task, frame, ((width - side) / 2, top, side, side))
        strip_width = max(side, 600 * unit)
        left = (width - strip_width) / 2
        Strip(canvas, frame, unit).below(task.spec.name, board, left, top + side + margin, strip_width)
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
