"""The strip beside the board: state and progress of the episode, and the agent's Q-values."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise

from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import Canvas, Point, Rect, text_width
from hrm_envs.rendering.frame_data import Frame, Thoughts
from hrm_envs.rendering.theme import Color

#: The state of an episode: name of its icon, word, and name of the badge's colour in the theme.
Status = tuple[str, str, str]

_MAX_PIPS = 32  # beyond this a plain bar is clearer
_UNKNOWN = "\N{EN DASH}"


class Strip:
    """Draws the blocks of a strip. Each takes its left (``x``) and upper (``y``) edge and its ``width`` in pixels.

    Args:
        canvas: the image.
        frame: what to show.
        unit: pixels per unit of the layout, which is made for a board of 576 units.
    """

    def __init__(self, canvas: Canvas, frame: Frame, unit: float) -> None:
        self.canvas, self.frame, self.unit, self.theme = canvas, frame, unit, canvas.theme
        self.status = status(frame)
        self._series = self.theme.blue, self.theme.amber

    def beside(self, name: str, board: Board, area: Rect) -> None:
        """Draw all blocks in one column."""
        u, (x, y, width, height) = self.unit, area
        self.title(name, x, y, width)
        self.badge(x, y + 46 * u)
        self.progress(x, y + 118 * u, width)
        self.score(x, y + 182 * u, width)
        self.q_values(x, y + 252 * u, width)
        self.history(x, y + 336 * u, width, 88 * u)
        self.decision(x, y + 474 * u, width)
        self.legend(board, x, y + height - 66 * u, width)

    def below(self, name: str, board: Board, area: Rect) -> None:
        """Draw the blocks in two columns, 236 units high."""
        u, (x, y, width, _) = self.unit, area
        column = (width - 40 * u) / 2
        right = x + width - column
        self.title(name, x, y, column)
        self.badge(x, y + 40 * u)
        self.progress(x, y + 100 * u, column)
        self.score(x, y + 146 * u, column)
        self.legend(board, x, y + 182 * u, column, row_height=32)
        self.q_values(right, y + 8 * u, column)
        self.history(right, y + 84 * u, column, 84 * u)
        self.decision(right, y + 208 * u, column)

    def title(self, name: str, x: float, y: float, width: float) -> None:
        """The name of the task."""
        u = self.unit
        self.canvas.text((x, y + 12 * u), _typeset(name), 32 * u, self.theme.ink, max_width=width)

    def badge(self, x: float, y: float) -> None:
        """The state of the episode in a pill: an icon and a word."""
        u, canvas = self.unit, self.canvas
        icon, word, name = self.status
        color: Color = getattr(self.theme, name)
        height, size = 36 * u, 17 * u
        pill = (x, y, text_width(word, size) + 58 * u, height)
        running = icon == "running"
        ink = self.theme.ink if running else self.theme.background
        canvas.rect(pill, color, height / 2)
        if running:
            canvas.rect(pill, self.theme.line, height / 2, 1.5 * u)
        self._icon(icon, (x + 22 * u, y + height / 2), ink, color)
        canvas.text((x + 40 * u, y + height / 2), word, size, ink)

    def _icon(self, name: str, at: Point, color: Color, ground: Color) -> None:
        x, y, u, canvas = at[0], at[1], self.unit, self.canvas
        if name == "running":
            for step, shade in ((-1, self.theme.muted), (0, self.theme.ink), (1, self.theme.muted)):
                canvas.circle((x + step * 7 * u, y), 2.4 * u, shade)
        elif name == "solved":
            canvas.line([(x - 7 * u, y), (x - 2 * u, y + 5 * u), (x + 7 * u, y - 5.5 * u)], color, 3.2 * u)
        elif name == "wrong":
            canvas.cross(at, 5 * u, color, 3.2 * u)
        else:  # forced: a clock
            canvas.circle(at, 9 * u, color)
            canvas.circle(at, 6.4 * u, ground)
            canvas.line([(x, y - 4 * u), at, (x + 3 * u, y + 1.5 * u)], color, 2 * u)

    def progress(self, x: float, y: float, width: float) -> None:
        """Segments or edits so far, with one pip for each that is allowed."""
        u, canvas = self.unit, self.canvas
        name, now, total = self.frame.progress
        self.label(x, y, width, name.capitalize(), f"{now} / {total}")
        y, height = y + 17 * u, 9 * u
        if total > _MAX_PIPS:
            self.bar((x, y, width, height), now / total, self.theme.blue)
            return
        total = max(total, 1)
        gap = min(6 * u, width / total * 0.28)
        pip = (width + gap) / total - gap
        for step in range(total):
            rect = (x + step * (pip + gap), y, pip, height)
            radius = min(pip, height) / 2
            if step < now - 1:
                canvas.rect(rect, self.theme.blue, radius)
            elif step == now - 1:  # the latest is larger too
                canvas.rect((rect[0], y - 3 * u, pip, height + 6 * u), self.theme.ink, min(pip, height + 6 * u) / 2)
            else:
                canvas.rect(rect, self.theme.line, radius, 1.5 * u)

    def score(self, x: float, y: float, width: float) -> None:
        """The score of the latest answer."""
        frame = self.frame
        known = frame.segment > 0
        self.label(x, y, width, "Score of the answer", f"{frame.percent}%" if known else _UNKNOWN)
        self.bar((x, y + 17 * self.unit, width, 8 * self.unit), frame.score if known else 0.0, self.theme.strong)

    def q_values(self, x: float, y: float, width: float) -> None:
        """The latest two Q-values as bars on one scale; nothing if the agent has posted none."""
        thoughts, u = self.frame.thoughts or Thoughts(), self.unit
        span = _span(self.frame)
        if span is None:
            return
        for row, (name, color, value) in enumerate(zip(thoughts.names, self._series, thoughts.values, strict=True)):
            value = _finite(value)
            top = y + row * 40 * u
            self.label(x, top, width, name, _UNKNOWN if value is None else f"{value:.2f}", series=row)
            rect = (x, top + 16 * u, width, 8 * u)
            self.bar(rect, 0.0, self.theme.strong)
            if value is None:
                continue
            low, high = span
            zero, end = ((v - low) / (high - low) * width for v in (0.0, value))
            bar = (x + min(zero, end), rect[1], max(abs(end - zero), rect[3]), rect[3])
            self.canvas.rect(bar, color, rect[3] / 2)

    def history(self, x: float, y: float, width: float, height: float) -> None:
        """Both Q-values over the segments: halt as a solid line with discs, continue dashed with rings."""
        frame, u, canvas = self.frame, self.unit, self.canvas
        span = _span(frame)
        if span is None:
            return
        low, high = span
        canvas.rect((x, y, width, height), self.theme.panel, 10 * u)
        last = max(frame.max_segments, len(frame.history), 1)
        inner_x, inner_y = x + 40 * u, y + 14 * u
        inner_w, inner_h = width - 56 * u, height - 28 * u
        for level in (0.0, 0.5, 1.0):
            at = inner_y + inner_h * level
            rule = [(inner_x - 6 * u, at), (inner_x + inner_w + 6 * u, at)]
            canvas.line(rule, self.theme.track, 1.0, caps=False)
            if level != 0.5:
                number = f"{high - (high - low) * level:.2g}"
                canvas.text((inner_x - 14 * u, at), number, 12 * u, self.theme.muted, align="right", max_width=24 * u)
        pitch = inner_w / max(last - 1, 1)
        dot = min(4 * u, max(1.8 * u, pitch * 0.3))
        for series in (1, 0):
            points: list[Point | None] = []
            for step, pair in enumerate(frame.history):
                value = _finite(pair[series])
                share = 0.0 if value is None else (high - value) / (high - low)
                points.append(None if value is None else (inner_x + step * pitch, inner_y + inner_h * share))
            self._draw_series(series, points, dot)
        below = y + height + 12 * u
        canvas.text((inner_x, below), "1", 12 * u, self.theme.muted, align="center")
        canvas.text((inner_x + inner_w / 2, below), "segment", 13 * u, self.theme.muted, "center")
        if last > 1:
            canvas.text((inner_x + inner_w, below), str(last), 12 * u, self.theme.muted, align="center")

    def _draw_series(self, series: int, points: Sequence[Point | None], dot: float) -> None:
        """One line of the history with a dot at each point; None leaves a gap."""
        u, canvas, color = self.unit, self.canvas, self._series[series]
        for a, b in pairwise(points):
            if a is not None and b is not None:
                if series == 0:
                    canvas.line([a, b], color, 2.4 * u)
                else:
                    canvas.dashes(a, b, color, 2 * u, 4 * u)
        for point in points:
            if point is not None:
                canvas.circle(point, dot, color)
                if series == 1:
                    canvas.circle(point, dot * 0.5, self.theme.panel)

    def decision(self, x: float, y: float, width: float) -> None:
        """What the agent chose."""
        thoughts = self.frame.thoughts
        if thoughts is not None and thoughts.decision:
            self.label(x, y, width, "Decision", thoughts.decision)

    def legend(self, board: Board, x: float, y: float, width: float, row_height: float = 36) -> None:
        """What the marks on the board mean, in two columns."""
        u, canvas = self.unit, self.canvas
        for number, (name, text) in enumerate(board.legend[:4]):
            row, column = divmod(number, 2)
            left, middle = x + column * width / 2, y + (row + 0.5) * row_height * u
            board.draw_icon(name, (left, middle - 14 * u, 28 * u, 28 * u))
            canvas.text((left + 40 * u, middle), text, 15 * u, self.theme.muted, max_width=width / 2 - 44 * u)

    def label(self, x: float, y: float, width: float, name: str, value: str, series: int | None = None) -> None:
        """A name on the left, after the symbol of its line in the history (``series``), and its value on the right."""
        u, canvas = self.unit, self.canvas
        left = x
        if series is not None:
            canvas.circle((x + 5 * u, y), 5 * u, self._series[series])
            if series == 1:
                canvas.circle((x + 5 * u, y), 2.5 * u, self.theme.background)
            left += 18 * u
        taken = canvas.text((left, y), name, 16 * u, self.theme.muted, max_width=width * 0.6)
        room = width - (left - x) - taken - 10 * u
        canvas.text((x + width, y), value, 18 * u, self.theme.ink, align="right", max_width=room)

    def bar(self, rect: Rect, share: float, color: Color) -> None:
        """A bar of which ``share`` is filled."""
        x, y, width, height = rect
        self.canvas.rect(rect, self.theme.track, height / 2)
        filled = width * min(max(share, 0.0), 1.0)
        if filled > 0:
            self.canvas.rect((x, y, max(filled, height), height), color, height / 2)


def status(frame: Frame) -> Status:
    """The state of an episode."""
    if not frame.halted:
        editing = frame.edits is not None and frame.edits[0] > 0
        return "running", "Writing" if editing else "Thinking" if frame.segment else "Ready", "panel"
    if frame.success:
        return "solved", "Solved", "blue"
    return ("forced", "Forced halt", "amber") if frame.forced else ("wrong", "Wrong", "red")


def _span(frame: Frame) -> tuple[float, float] | None:
    """The range of all Q-values of the episode and of 0 and 1; None without Q-values."""
    pairs: Sequence[tuple[float | None, float | None]] = frame.history
    if frame.thoughts is not None:
        pairs = (*pairs, frame.thoughts.values)
    values = [value for pair in pairs for value in map(_finite, pair) if value is not None]
    return (min(0.0, *values), max(1.0, *values)) if values else None


def _finite(value: float | None) -> float | None:
    """``value`` if it is finite, else None: a diverged agent may post NaN."""
    return value if value is not None and math.isfinite(value) else None


def _typeset(name: str) -> str:
    """``name`` with multiplication signs between digits, as in ``9x9``."""
    return re.sub(r"(?<=\d)x(?=\d)", "\N{MULTIPLICATION SIGN}", name)
