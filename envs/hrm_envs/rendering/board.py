"""The board: the part of an image in which a task draws its puzzle."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hrm_envs.rendering.canvas import Canvas, Point, Rect, blend, center, inset
from hrm_envs.rendering.frame_data import Frame
from hrm_envs.rendering.theme import Color, Theme
from hrm_envs.spec import MARK_RIGHT, MARK_WRONG, PAD, TaskSpec


class Board:
    """Where a task draws its puzzle: the argument of :meth:`hrm_envs.task.Task.draw`.

    The helper methods take the rectangle of a cell, so that a task may lay out its cells differently. Draw all other
    shapes on :attr:`canvas`.

    Attributes:
        spec: grid and symbols of the task.
        frame: what to show.
        canvas: the image.
        area: rectangle of the whole grid.
        cell: width and height of a cell in pixels.
        legend: marks to explain beside the board, as (icon name, text); a task may replace it.
        icons: functions that draw further icons of the legend, by name; each takes a rectangle.
        cell_rects: rectangles of the visible cells of the answer, by index, to find the cell under the mouse. A task
            that does not draw them at :meth:`rect` replaces them.
        token_colors: colours of tokens that are drawn as colours, for the help on keys; a task may fill it.
    """

    def __init__(self, canvas: Canvas, spec: TaskSpec, frame: Frame, space: Rect) -> None:
        self.canvas, self.spec, self.frame = canvas, spec, frame
        rows, columns = spec.grid_shape
        self.cell = min(space[2] / columns, space[3] / rows)
        width, height = self.cell * columns, self.cell * rows
        x, y = center(space)
        self.area: Rect = (x - width / 2, y - height / 2, width, height)
        self.legend: tuple[tuple[str, str], ...] = (
            ("given", "given"), ("right", "right"), ("wrong", "wrong"), ("changed", "changed"),
        )  # fmt: skip
        self.icons: dict[str, Callable[[Rect], None]] = {}
        self.cell_rects: dict[int, Rect] = {index: self.rect(index) for index in range(spec.num_cells)}
        self.token_colors: dict[int, Color] = {}

    @property
    def theme(self) -> Theme:
        """The colours to draw with."""
        return self.canvas.theme

    @cached_property
    def confidence(self) -> NDArray[np.float32] | None:
        """float32 ``[S]`` in [0, 1], or None if the agent posted none with this answer."""
        thoughts = self.frame.thoughts
        if thoughts is None or thoughts.confidence is None:
            return None
        return np.clip(np.nan_to_num(thoughts.confidence), 0, 1)  # a diverged agent may post NaN

    def rect(self, index: int) -> Rect:
        """The rectangle of cell ``index`` (row-major)."""
        row, column = divmod(index, self.spec.grid_shape[1])
        return self.area[0] + column * self.cell, self.area[1] + row * self.cell, self.cell, self.cell

    def symbol(self, token: int) -> str:
        """The text of a token, empty for padding."""
        return "" if token == PAD else self.spec.symbols[token].strip()

    def draw_cursor(self) -> None:
        """Outline the cell under the cursor in white, with dark edges that stand out on any colour."""
        if self.frame.cursor in self.cell_rects:
            cell = self.cell_rects[self.frame.cursor]
            width = min(max(cell[2] * 0.055, 2.0), 4.0)
            radius = cell[2] * 0.14
            self.canvas.rect(inset(cell, -2 * width), self.theme.background, radius + 2 * width, 3 * width)
            self.canvas.rect(inset(cell, -width), self.theme.ink, radius + width, width)

    # -- marks on tiles: told apart by shape, not by colour alone -------------------------------------------

    def cross(self, rect: Rect) -> None:
        """Wrong: a cross on a disc in the upper right corner."""
        at = (rect[0] + rect[2] * 0.81, rect[1] + rect[3] * 0.19)
        self.strike(at, max(rect[2] * 0.145, 3.2))

    def tick(self, rect: Rect) -> None:
        """Right: a tick in the upper right corner."""
        x, y, r = rect[0] + rect[2] * 0.82, rect[1] + rect[3] * 0.19, max(rect[2] * 0.08, 2.4)
        points = [(x - r, y), (x - r * 0.3, y + r * 0.65), (x + r, y - r * 0.75)]
        self.canvas.line(points, blend(self.theme.tile, self.theme.blue, 0.75), max(r * 0.34, 1.1))

    def ring(self, rect: Rect) -> None:
        """Changed in this segment: an outline and a dot in the upper left corner."""
        radius, width = rect[2] * 0.14, max(rect[2] * 0.04, 1.4)
        self.canvas.rect(rect, self.theme.amber, radius, width)
        x, y = rect[0] + rect[2] * 0.19, rect[1] + rect[3] * 0.19
        self.canvas.circle((x, y), max(rect[2] * 0.07, 2.0), self.theme.amber)

    def hatch(self, rect: Rect) -> None:
        """Wrong, visible from afar: faint diagonal stripes."""
        x, y, w, h = inset(rect, rect[2] * 0.08)
        color = self.theme.hatch
        for step in (0.35, 0.7, 1.05, 1.4, 1.75):
            low, high = max(0.0, step - 1), min(1.0, step)
            ends = [(x + low * w, y + (step - low) * h), (x + high * w, y + (step - high) * h)]
            self.canvas.line(ends, color, w * 0.05, caps=False)

    def gauge(self, rect: Rect, confidence: float) -> None:
        """Confidence in a cell: a bar along its lower edge."""
        x, y, w, h = rect
        track = (x + w * 0.22, y + h * 0.86, w * 0.56, max(h * 0.045, 1.5))
        self.canvas.rect(track, self.theme.track, track[3] / 2)
        filled = track[2] * min(max(confidence, 0.0), 1.0)
        if filled > track[3]:
            self.canvas.rect((track[0], track[1], filled, track[3]), self.theme.strong, track[3] / 2)

    def tile(self, rect: Rect, text: str, given: bool, mark: int, changed: bool, confidence: float | None) -> None:
        """Draw one cell.

        Args:
            rect: of the cell.
            text: its symbol; may be empty.
            given: part of the puzzle (white on a lighter tile) rather than of the answer (blue).
            mark: a ``MARK_*``.
            changed: revised in this segment.
            confidence: in [0, 1], or None for no gauge.
        """
        size, wrong = rect[2], mark == MARK_WRONG
        ground = self.theme.wrong if wrong else self.theme.given if given else self.theme.tile
        self.canvas.rect(rect, ground, size * 0.14)
        if wrong:
            self.hatch(rect)
        x, y = center(rect)
        if text:
            color = self.theme.red if wrong else self.theme.ink if given else self.theme.blue
            self.canvas.text((x, y), text, size * 0.58, color, align="center")
        if confidence is not None and not given:
            self.gauge(rect, confidence)
        if changed:
            self.ring(rect)
        if wrong:
            self.cross(rect)
        elif mark == MARK_RIGHT:
            self.tick(rect)

    def draw_symbols(self) -> None:
        """Draw every cell as a tile with its symbol: the default of :meth:`hrm_envs.task.Task.draw`."""
        frame = self.frame
        self.canvas.rect(inset(self.area, -self.cell * 0.1), self.theme.panel, self.cell * 0.2)
        for index, token in enumerate(frame.shown):
            rect = inset(self.rect(index), self.cell * 0.035)
            given = frame.answer[index] == PAD or (
                frame.puzzle[index] == frame.answer[index] and frame.marks[index] == 0
            )
            sure = None if self.confidence is None else float(self.confidence[index])
            mark, changed = int(frame.marks[index]), bool(frame.changed[index])
            self.tile(rect, self.symbol(int(token)), bool(given), mark, changed, sure)

    def draw_icon(self, name: str, rect: Rect) -> None:
        """Draw an icon of the legend; an unknown name draws nothing."""
        x, y, w, h = rect
        if name in self.icons:
            self.icons[name](rect)
        elif name in ("given", "right", "wrong", "changed"):
            mark = {"right": MARK_RIGHT, "wrong": MARK_WRONG}.get(name, 0)
            self.tile(rect, "5", name == "given", mark, name == "changed", None)
        elif name in ("path", "new", "bad"):
            ends = [(x + w * 0.1, y + h / 2), (x + w * 0.9, y + h / 2)]
            self.canvas.line(ends, self.theme.red if name == "bad" else self.theme.blue, h * 0.36)
            if name == "new":
                self.bead(center(rect), h * 0.8)
            elif name == "bad":
                self.strike(center(rect), h * 0.36)
        elif name == "dropped":
            self.ghost(center(rect), h)

    # -- marks for cells too small for tiles ----------------------------------------------------------------

    def bead(self, at: Point, cell: float) -> None:
        """New on the path: an amber dot with a dark rim."""
        self.canvas.circle(at, cell * 0.24, self.theme.background)
        self.canvas.circle(at, cell * 0.165, self.theme.amber)

    def ghost(self, at: Point, cell: float) -> None:
        """No longer on the path: a ring."""
        self.canvas.circle(at, cell * 0.2, self.theme.strong, max(cell * 0.06, 1.0))

    def strike(self, at: Point, radius: float, hollow: bool = False) -> None:
        """Wrong: a cross on a disc, or (``hollow``) in a ring where something is missing."""
        self.canvas.circle(at, radius, self.theme.red, max(radius * 0.16, 1.0) if hollow else 0)
        self.canvas.cross(
            at, radius * 0.42, self.theme.red if hollow else self.theme.background, max(radius * 0.3, 1.1)
        )
