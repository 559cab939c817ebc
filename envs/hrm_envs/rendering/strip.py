"""The strip beside the board: which segment this is, how it goes, and what the agent thinks of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import (
    AMBER,
    BACKGROUND,
    BLUE,
    INK,
    LINE,
    MUTED,
    PANEL,
    RAISED,
    RED,
    STRONG,
    Canvas,
    Color,
    Point,
    Rect,
)
from hrm_envs.rendering.frame import Frame

_MAX_PIPS = 32  # beyond this a plain bar reads better
_UNKNOWN = "\N{EN DASH}"


class Strip:
    """Paints blocks of a strip.

    Args:
        canvas: the picture.
        frame: what to show.
        unit: pixels per layout unit; the layout is drawn for a board of 576 units.
    """

    def __init__(self, canvas: Canvas, frame: Frame, unit: float) -> None:
        self._canvas, self._frame, self._u = canvas, frame, unit

    def beside(self, name: str, board: Board, x: float, y: float, width: float, height: float) -> None:
        """All blocks in one column."""
        u = self._u
        self._title(name, x, y, width)
        self._badge(x, y + 46 * u)
        self._segments(x, y + 118 * u, width)
        self._score(x, y + 182 * u, width)
        self._values(x, y + 252 * u, width)
        self._history(x, y + 336 * u, width, 88 * u)
        self._decision(x, y + 474 * u, width)
        self._key(board, x, y + height - 66 * u, width)

    def below(self, name: str, board: Board, x: float, y: float, width: float) -> None:
        """The blocks in two columns, 236 units high."""
        u = self._u
        column = (width - 40 * u) / 2
        right = x + width - column
        self._title(name, x, y, column)
        self._badge(x, y + 40 * u)
        self._segments(x, y + 100 * u, column)
        self._score(x, y + 146 * u, column)
        self._key(board, x, y + 182 * u, column, row_height=32)
        self._values(right, y + 8 * u, column)
        self._history(right, y + 84 * u, column, 84 * u)
        self._decision(right, y + 208 * u, column)

    # -- blocks --------------------------------------------------------------------------------------------

    def _title(self, name: str, x: float, y: float, width: float) -> None:
        u = self._u
        self._canvas.text((x, y + 12 * u), _typeset(name), 32 * u, INK, max_width=width)

    def _badge(self, x: float, y: float) -> None:
        """The state of the episode in a pill: an icon and a word."""
        u, canvas = self._u, self._canvas
        name, word, color = status(self._frame)
        height, size = 36 * u, 17 * u
        loud = name != "thinking"
        # Measured by painting: the pill is drawn over the word, then the word again.
        width = canvas.text((x, y + height / 2), word, size, BACKGROUND) + 58 * u
        pill = (x, y, width, height)
        canvas.rect(pill, color if loud else PANEL, height / 2)
        if not loud:
            canvas.rect(pill, LINE, height / 2, 1.5 * u)
        ink = BACKGROUND if loud else INK
        self._icon(name, (x + 22 * u, y + height / 2), ink, color if loud else PANEL)
        canvas.text((x + 40 * u, y + height / 2), word, size, ink)

    def _icon(self, name: str, at: Point, color: Color, ground: Color) -> None:
        x, y, u, canvas = at[0], at[1], self._u, self._canvas
        if name == "thinking":
            for step, shade in ((-1, MUTED), (0, INK), (1, MUTED)):
                canvas.circle((x + step * 7 * u, y), 2.4 * u, shade)
        elif name == "solved":
            canvas.line([(x - 7 * u, y), (x - 2 * u, y + 5 * u), (x + 7 * u, y - 5.5 * u)], color, 3.2 * u)
        elif name == "wrong":
            for sign in (-1, 1):
                canvas.line([(x - 5 * u, y - sign * 5 * u), (x + 5 * u, y + sign * 5 * u)], color, 3.2 * u)
        else:  # forced: a clock
            canvas.circle((x, y), 9 * u, color)
            canvas.circle((x, y), 6.4 * u, ground)
            canvas.line([(x, y - 4 * u), (x, y), (x + 3 * u, y + 1.5 * u)], color, 2 * u)

    def _segments(self, x: float, y: float, width: float) -> None:
        """How many segments or edits went by, and a track with one pip for each there may be."""
        u, canvas = self._u, self._canvas
        name, now, total = self._frame.progress
        self._label(x, y, width, name.capitalize(), f"{now} / {total}")
        y, height = y + 17 * u, 9 * u
        if total > _MAX_PIPS:
            self._bar((x, y, width, height), now / total, BLUE)
            return
        total = max(total, 1)
        gap = min(6 * u, width / total * 0.28)
        pip = (width + gap) / total - gap
        for step in range(total):
            rect = (x + step * (pip + gap), y, pip, height)
            radius = min(pip, height) / 2
            if step < now - 1:
                canvas.rect(rect, BLUE, radius)
            elif step == now - 1:  # the latest stands out by its size too
                canvas.rect((rect[0], y - 3 * u, pip, height + 6 * u), INK, min(pip, height + 6 * u) / 2)
            else:
                canvas.rect(rect, LINE, radius, 1.5 * u)

    def _score(self, x: float, y: float, width: float) -> None:
        frame = self._frame
        known = frame.segment > 0
        percent = int(frame.score * 100 + 1e-6)  # 99.6% of the cells must not read as 100%
        self._label(x, y, width, "Score of the answer", f"{percent}%" if known else _UNKNOWN)
        self._bar((x, y + 17 * self._u, width, 8 * self._u), frame.score if known else 0.0, STRONG)

    def _values(self, x: float, y: float, width: float) -> None:
        """The two Q-values as bars on one scale; nothing at all when the agent has never told any."""
        thoughts, u = self._frame.thoughts, self._u
        span = _span(self._frame)
        if span is None:
            return
        pair = (None, None) if thoughts is None else (_finite(thoughts.q_halt), _finite(thoughts.q_continue))
        for row, (name, value) in enumerate(zip(("Q halt", "Q continue"), pair, strict=True)):
            top = y + row * 40 * u
            self._label(x, top, width, name, _UNKNOWN if value is None else f"{value:.2f}", mark=row)
            rect = (x, top + 16 * u, width, 8 * u)
            self._bar(rect, 0.0, STRONG)
            if value is None:
                continue
            low, high = span
            zero, end = ((v - low) / (high - low) * width for v in (0.0, value))
            bar = (x + min(zero, end), rect[1], max(abs(end - zero), rect[3]), rect[3])
            self._canvas.rect(bar, (BLUE, AMBER)[row], rect[3] / 2)

    def _history(self, x: float, y: float, width: float, height: float) -> None:
        """Both Q-values over the segments: halt as a line with discs, continue dashed with rings."""
        frame, u, canvas = self._frame, self._u, self._canvas
        span = _span(frame)
        if span is None:
            return
        low, high = span
        canvas.rect((x, y, width, height), PANEL, 10 * u)
        last = max(frame.max_segments, len(frame.history), 1)
        inner_x, inner_y = x + 40 * u, y + 14 * u
        inner_w, inner_h = width - 56 * u, height - 28 * u
        for level in (0.0, 0.5, 1.0):
            at = inner_y + inner_h * level
            rule = [(inner_x - 6 * u, at), (inner_x + inner_w + 6 * u, at)]
            canvas.line(rule, (34, 43, 66), 1.0, caps=False)
            if level != 0.5:
                number = f"{high - (high - low) * level:.2g}"
                canvas.text((inner_x - 14 * u, at), number, 12 * u, MUTED, align="right", max_width=24 * u)
        pitch = inner_w / max(last - 1, 1)
        dot = min(4 * u, max(1.8 * u, pitch * 0.3))
        for series, color in ((1, AMBER), (0, BLUE)):
            points: list[Point | None] = []
            for step, pair in enumerate(frame.history):
                value = _finite(pair[series])
                at = inner_x + step * pitch
                depth = None if value is None else (high - value) / (high - low)
                points.append(None if depth is None else (at, inner_y + inner_h * depth))
            for a, b in pairwise(points):
                if a is None or b is None:
                    continue
                if series == 0:
                    canvas.line([a, b], color, 2.4 * u)
                else:
                    canvas.dashes(a, b, color, 2 * u, 4 * u)
            for point in points:
                if point is not None:
                    canvas.circle(point, dot, color)
                    if series == 1:
                        canvas.circle(point, dot * 0.5, PANEL)
        below = y + height + 12 * u
        canvas.text((inner_x, below), "1", 12 * u, MUTED, align="center")
        canvas.text((inner_x + inner_w / 2, below), "segment", 13 * u, MUTED, False, "center")
        if last > 1:
            canvas.text((inner_x + inner_w, below), str(last), 12 * u, MUTED, align="center")

    def _decision(self, x: float, y: float, width: float) -> None:
        thoughts = self._frame.thoughts
        if thoughts is not None and thoughts.decision:
            self._label(x, y, width, "Decision", thoughts.decision)

    def _key(self, board: Board, x: float, y: float, width: float, row_height: float = 36) -> None:
        """What the marks on the board mean, in two columns."""
        u, canvas = self._u, self._canvas
        for number, (name, text) in enumerate(board.key[:4]):
            row, column = divmod(number, 2)
            left, middle = x + column * width / 2, y + (row + 0.5) * row_height * u
            board.sample(name, (left, middle - 14 * u, 28 * u, 28 * u))
            canvas.text((left + 40 * u, middle), text, 15 * u, MUTED, False, max_width=width / 2 - 44 * u)

    # -- parts ---------------------------------------------------------------------------------------------

    def _label(self, x: float, y: float, width: float, name: str, value: str, mark: int | None = None) -> None:
        """A name on the left and its value on the right, as wide as the strip."""
        u, canvas = self._u, self._canvas
        left = x
        if mark is not None:  # the sign of the line in the history
            canvas.circle((x + 5 * u, y), 5 * u, (BLUE, AMBER)[mark])
            if mark == 1:
                canvas.circle((x + 5 * u, y), 2.5 * u, BACKGROUND)
            left += 18 * u
        taken = canvas.text((left, y), name, 16 * u, MUTED, False, max_width=width * 0.6)
        room = width - (left - x) - taken - 10 * u
        canvas.text((x + width, y), value, 18 * u, INK, align="right", max_width=room)

    def _bar(self, rect: Rect, share: float, color: Color) -> None:
        x, y, width, height = rect
        self._canvas.rect(rect, RAISED if color != STRONG else (38, 48, 72), height / 2)
        filled = width * min(max(share, 0.0), 1.0)
        if filled > 0:
            self._canvas.rect((x, y, max(filled, height), height), color, height / 2)


def status(frame: Frame) -> tuple[str, str, Color]:
    """The state of an episode: name of its icon, word, colour."""
    if not frame.halted:
        written = frame.edits is not None and frame.edits[0] > 0
        return ("thinking", "Writing" if written else "Thinking" if frame.segment else "Ready", STRONG)
    if frame.success:
        return ("solved", "Solved", BLUE)
    if frame.forced:
        return ("forced", "Forced halt", AMBER)
    return ("wrong", "Wrong", RED)


def _span(frame: Frame) -> tuple[float, float] | None:
    """Lowest and highest Q-value of the episode so far with 0 and 1 among them; None when there is none."""
    pairs: Sequence[tuple[float | None, float | None]] = frame.history
    if frame.thoughts is not None:
        pairs = (*pairs, (frame.thoughts.q_halt, frame.thoughts.q_continue))
    values = [value for pair in pairs for value in map(_finite, pair) if value is not None]
    return (min(0.0, *values), max(1.0, *values)) if values else None


def _finite(value: float | None) -> float | None:
    """``value``, or None where it has no place on an axis (a diverged agent may post NaN)."""
    return value if value is not None and math.isfinite(value) else None


def _typeset(name: str) -> str:
    """``9x9`` with a proper multiplication sign."""
    parts = name.split("x")
    text = parts[0]
    for part in parts[1:]:
        text += ("\N{MULTIPLICATION SIGN}" if text[-1:].isdigit() and part[:1].isdigit() else "x") + part
    return text
