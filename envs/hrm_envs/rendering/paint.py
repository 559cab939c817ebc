"""One picture of an agent at a puzzle: as pixels, as text, or in a window.

:func:`paint` needs no display, :func:`ansi` needs no pygame, :class:`Window` needs both.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import Canvas
from hrm_envs.rendering.frame import Frame
from hrm_envs.rendering.strip import Strip, status
from hrm_envs.spec import MARK_RIGHT, MARK_WRONG, PAD, TaskSpec

#: Width and height of a picture unless told otherwise.
DEFAULT_SIZE = (960, 640)
_SMALLEST = 120


class Paintable(Protocol):
    """What a picture needs of a task."""

    @property
    def spec(self) -> TaskSpec:
        """Grid, alphabet and name."""

    def draw(self, board: Board) -> None:
        """Paint the puzzle and the answer of ``board.frame``."""


def paint(task: Paintable, frame: Frame, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """One frame as pixels, uint8 ``[H, W, 3]``; equal arguments give equal pixels. Needs no display.

    Args:
        task: whose ``draw`` paints the board.
        frame: what to show.
        size: width and height in pixels. The strip goes beside the board of a wide picture and below it in a
            tall one.

    Raises:
        DependencyNotInstalled: pygame is absent.
        ValueError: ``size`` is under 120 pixels on a side.
    """
    width, height = DEFAULT_SIZE if size is None else size
    if min(width, height) < _SMALLEST:
        raise ValueError(f"a picture needs at least {_SMALLEST} pixels on each side, got {width} x {height}")
    canvas = Canvas(width, height)
    if width >= 1.2 * height:
        unit = min(width / 960, height / 640)
        strip_width, margin = 284 * unit, 32 * unit
        side = min(height - 2 * margin, width - strip_width - 3 * margin)
        # Board and strip share the middle of the picture.
        left = (width - side - strip_width - margin) / 2
        top = (height - side) / 2
        board = Board(canvas, task.spec, frame, (left, top, side, side))
        task.draw(board)
        board.draw_cursor()
        strip_top = (height - 576 * unit) / 2
        Strip(canvas, frame, unit).beside(
            task.spec.name, board, left + side + margin, strip_top, strip_width, 576 * unit
        )
    else:
        unit = min(width / 720, height / 960)
        margin = 36 * unit
        side = min(width - 2 * margin, height - 3 * margin - 240 * unit)
        top = (height - side - margin - 240 * unit) / 2
        board = Board(canvas, task.spec, frame, ((width - side) / 2, top, side, side))
        task.draw(board)
        board.draw_cursor()
        strip_width = max(side, 600 * unit)
        Strip(canvas, frame, unit).below(
            task.spec.name, board, (width - strip_width) / 2, top + side + margin, strip_width
        )
    return canvas.pixels()


def ansi(task: Paintable, frame: Frame) -> str:
    """One frame as text: a line on the episode, then the grid.

    The answer is underlined on the puzzle's cells; ``!`` follows a wrong cell and ``*`` one that this segment
    changed, so the marks survive a terminal without colours. The cell under a cursor is in reverse video.
    """
    _, word, _ = status(frame)
    unit, done, most = frame.progress
    head = [task.spec.name, f"{unit} {done}/{most}", word.lower()]
    if frame.segment:
        head.append(f"score {int(frame.score * 100 + 1e-6)}%")
    if frame.thoughts is not None:
        for name, value in (("Q halt", frame.thoughts.q_halt), ("Q continue", frame.thoughts.q_continue)):
            if value is not None:
                head.append(f"{name} {value:.2f}")
        if frame.thoughts.decision:
            head.append(frame.thoughts.decision)
    columns = task.spec.grid_shape[1]
    rows = []
    for start in range(0, task.spec.num_cells, columns):
        cells = (_ansi_cell(task, frame, index) for index in range(start, start + columns))
        rows.append(" ".join(cells).rstrip())
    while len(rows) > 1 and not rows[-1]:
        rows.pop()  # a small grid on a large canvas
    return "\n".join([" | ".join(head), *rows]) + "\n"


def _ansi_cell(task: Paintable, frame: Frame, index: int) -> str:
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
