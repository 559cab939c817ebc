"""A small kit for charts on the project's own canvas: axes, lines, markers, bars, and a legend.

All sizes are in layout units; a unit is ``unit`` pixels of the finished picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle, pairwise
from typing import Literal, NamedTuple

from hrm_envs.rendering.canvas import AMBER, BLUE, INK, LINE, MUTED, PANEL, RED, STRONG, Canvas, Color, Point, Rect

Marker = Literal["disc", "square", "diamond", "triangle", "ring", "cross", "frame", "bar"]

#: Lines of the grid.
GRID: Color = (34, 43, 66)


@dataclass(frozen=True)
class Style:
    """How one series looks. No two of :data:`STYLES` share a marker, so that colour is never needed to tell them."""

    color: Color
    marker: Marker
    #: Lengths of strokes and gaps in turn; none for an unbroken line.
    dashes: tuple[float, ...] = ()


STYLES = (
    Style(BLUE, "disc"),
    Style(AMBER, "diamond", (11, 6)),
    Style(RED, "square", (3, 5)),
    Style((106, 214, 168), "triangle", (14, 5, 3, 5)),
    Style((206, 160, 255), "ring"),
    Style(INK, "cross", (11, 6)),
    Style((255, 160, 205), "frame", (3, 5)),
    Style(STRONG, "bar", (14, 5, 3, 5)),
)


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count``, at least two, multiples of 1, 2 or 5 times a power of ten, from ``low`` to ``high`` inclusive.

    Raises:
        ValueError: the range is empty or not finite, or ``count`` is below 1.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"the range of an axis must be finite and not empty, got {low} to {high}")
    if count < 1:
        raise ValueError(f"an axis needs at least 1 tick, got {count}")
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    steps = sorted((factor * power for factor in (1, 2, 5, 10)), key=lambda size: abs(math.log(size / rough)))
    for step in steps:
        # A little slack: an end that is a multiple but for rounding counts.
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if first < last:
            break
    # Rounded as the step is written: 3 * 0.1 should be 0.3.
    digits = max(0, 1 - math.floor(math.log10(step)))
    return [round(number * step, digits) for number in range(first, last + 1)]


def tick_texts(ticks: Sequence[float], *, percent: bool = False) -> list[str]:
    """The ticks in writing, all with the same number of digits, as many as they need; at most four."""
    factor = 100.0 if percent else 1.0
    for digits in range(5):
        if all(abs(round(tick * factor, digits) - tick * factor) < 1e-9 for tick in ticks):
            break
    return [f"{tick * factor:.{digits}f}{'%' if percent else ''}" for tick in ticks]


def text_width(text: str, size: float, *, bold: bool = True) -> float:
    """Width in pixels of a line of text at ``size`` pixels."""
    return Canvas(1, 1).text((0, 0), text, size, bold=bold) if text else 0.0


class Axes:
    """A chart in a part of a picture.

    Args:
        canvas: the picture.
        box: the plotting area, in pixels.
        x_range: values at its left and right edge.
        y_range: values at its bottom and top edge.
        unit: pixels per layout unit.
    """

    def __init__(
        self, canvas: Canvas, box: Rect, x_range: tuple[float, float], y_range: tuple[float, float], unit: float
    ) -> None:
        self.canvas, self.box, self.unit = canvas, box, unit
        self.x_range, self.y_range = x_range, y_range

    def at(self, x: float, y: float) -> Point:
        """The pixel of a point given in the units of the axes."""
        left, top, width, height = self.box
        (x0, x1), (y0, y1) = self.x_range, self.y_range
        return left + (x - x0) / (x1 - x0) * width, top + (y1 - y) / (y1 - y0) * height

    def ground(
        self,
        x_ticks: Sequence[float],
        y_ticks: Sequence[float],
        *,
        x_title: str = "",
        y_title: str = "",
        percent: bool = False,
        x_texts: Sequence[str] | None = None,
    ) -> None:
        """Panel, grid, ticks and titles, beneath all else.

        Args:
            x_ticks: where the x axis is labelled.
            y_ticks: where the y axis is labelled, each with a line across.
            x_title: what the x axis shows, written below it.
            y_title: what the y axis shows, written above it.
            percent: the y axis shows shares.
            x_texts: labels of the x axis; its ticks in writing if not given, none where empty.
        """
        u, canvas = self.unit, self.canvas
        left, top, width, height = self.box
        margin = 14 * u
        canvas.rect((left - margin, top - margin, width + 2 * margin, height + 2 * margin), PANEL, 10 * u)
        for tick, text in zip(y_ticks, tick_texts(y_ticks, percent=percent), strict=True):
            y = self.at(0, tick)[1]
            canvas.line([(left, y), (left + width, y)], GRID, 1.2 * u, caps=False)
            canvas.text((left - margin - 10 * u, y), text, 15 * u, MUTED, align="right")
        for tick, text in zip(x_ticks, tick_texts(x_ticks) if x_texts is None else x_texts, strict=False):
            x = self.at(tick, 0)[0]
            canvas.line([(x, top + height + margin), (x, top + height + margin + 5 * u)], LINE, 1.2 * u, caps=False)
            canvas.text((x, top + height + margin + 18 * u), text, 15 * u, MUTED, align="center")
        if y_title:
            canvas.text((left - margin, top - margin - 16 * u), y_title, 16 * u, MUTED, False)
        if x_title:
            at = (left + width / 2, top + height + margin + 42 * u)
            canvas.text(at, x_title, 16 * u, MUTED, False, "center")

    def line(self, points: Sequence[tuple[float, float]], style: Style, width: float = 2.6) -> None:
        """A line through ``points``, in the units of the axes."""
        draw_line(self.canvas, [self.at(*point) for point in points], style, width, self.unit)

    def marker(self, x: float, y: float, style: Style, size: float = 6.5) -> None:
        """The marker of a style at a point, ``size`` layout units from its middle to its edge."""
        draw_marker(self.canvas, self.at(x, y), style, size * self.unit)

    def bar(self, x: float, height: float, width: float, color: Color, start: float = 0.0) -> None:
        """An upright bar at ``x``, from ``start`` to ``height``; ``width`` too is in the units of the axes."""
        (left, bottom), (right, top) = self.at(x - width / 2, start), self.at(x + width / 2, height)
        # What is there at all shows.
        tall = max(bottom - top, 1.5 * self.unit)
        self.canvas.rect((left, bottom - tall, right - left, tall), color)

    def bar_text(self, x: float, height: float, text: str, size: float = 13.0) -> None:
        """A number on top of a bar, clear of the grid behind it."""
        u = self.unit
        left, top = self.at(x, height)
        wide = text_width(text, size * u) + 6 * u
        self.canvas.rect((left - wide / 2, top - 17 * u, wide, 14 * u), PANEL)
        self.canvas.text((left, top - 10 * u), text, size * u, INK, align="center")


def draw_line(canvas: Canvas, pixels: Sequence[Point], style: Style, width: float, unit: float) -> None:
    """A line through points given in pixels, in the strokes of its style."""
    if not style.dashes:
        canvas.line(pixels, style.color, width * unit)
        return
    for stroke in _strokes(pixels, [length * unit for length in style.dashes]):
        canvas.line(stroke, style.color, width * unit)


def _strokes(points: Sequence[Point], pattern: Sequence[float]) -> list[list[Point]]:
    """``points`` cut along the way into strokes, of lengths that alternate with gaps in ``pattern``."""
    lengths = [math.dist(a, b) for a, b in pairwise(points)]
    places = [0.0, *accumulate(lengths)]

    def at(place: float) -> Point:
        for start, length, (a, b) in zip(places, lengths, pairwise(points), strict=False):
            if length > 0 and place <= start + length:
                part = (place - start) / length
                return a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part
        return points[-1]

    strokes, place = [], 0.0
    for number, length in enumerate(cycle(pattern)):
        if place >= places[-1]:
            break
        end = min(place + length, places[-1])
        if number % 2 == 0:
            inner = [point for point, where in zip(points, places, strict=True) if place < where < end]
            strokes.append([at(place), *inner, at(end)])
        place = end
    return strokes


def draw_marker(canvas: Canvas, at: Point, style: Style, size: float) -> None:
    """A marker with a dark rim, which sets it off from the lines below it."""
    for radius, color in ((size * 1.45, PANEL), (size, style.color)):
        _shape(canvas, at, style.marker, radius, color)
    if style.marker == "ring":
        canvas.circle(at, size * 0.5, PANEL)
    elif style.marker == "frame":
        _shape(canvas, at, "square", size * 0.5, PANEL)


def _shape(canvas: Canvas, at: Point, marker: Marker, radius: float, color: Color) -> None:
    (x, y), r = at, radius
    if marker in ("disc", "ring"):
        canvas.circle(at, r, color)
    elif marker in ("square", "frame"):
        canvas.rect((x - 0.88 * r, y - 0.88 * r, 1.76 * r, 1.76 * r), color)
    elif marker == "diamond":
        canvas.polygon([(x, y - 1.25 * r), (x + 1.25 * r, y), (x, y + 1.25 * r), (x - 1.25 * r, y)], color)
    elif marker == "triangle":
        canvas.polygon([(x, y - 1.25 * r), (x + 1.15 * r, y + 0.8 * r), (x - 1.15 * r, y + 0.8 * r)], color)
    elif marker == "bar":
        canvas.rect((x - 0.45 * r, y - 1.2 * r, 0.9 * r, 2.4 * r), color)
    else:
        for sign in (-1, 1):
            canvas.line([(x - 0.8 * r, y - sign * 0.8 * r), (x + 0.8 * r, y + sign * 0.8 * r)], color, 0.65 * r)


class Entry(NamedTuple):
    """One name in a legend, and what it looks like."""

    name: str
    style: Style
    line: bool = True
    marker: bool = True


class Legend:
    """Names beside what they look like, in as many rows as they need.

    Args:
        entries: in order.
        width: pixels that a row may take.
        unit: pixels per layout unit.
    """

    _ROW, _LINE, _GAP, _BETWEEN, _TEXT = 28.0, 56.0, 12.0, 30.0, 16.0  # layout units

    def __init__(self, entries: Sequence[Entry], width: float, unit: float) -> None:
        self._entries, self._limit, self._unit = entries, width, unit
        #: Row, and pixels from the left, of each entry.
        self._places: list[tuple[int, float]] = []
        #: Pixels that the widest row takes, and the height of all.
        self.width = 0.0
        row, x = 0, 0.0
        for entry in entries:
            wide = self._sample(entry) + text_width(entry.name, self._TEXT * unit, bold=False)
            if x > 0 and x + wide > width:
                row, x = row + 1, 0.0
            self._places.append((row, x))
            self.width = max(self.width, min(x + wide, width))
            x += wide + self._BETWEEN * unit
        self.height = (row + 1) * self._ROW * unit

    def draw(self, canvas: Canvas, at: Point) -> None:
        """Paint it; ``at`` is its left end and the middle of its first row, in pixels."""
        u = self._unit
        for entry, (row, offset) in zip(self._entries, self._places, strict=True):
            x, y = at[0] + offset, at[1] + row * self._ROW * u
            sample = self._sample(entry)
            end = x + sample - self._GAP * u
            if entry.line:
                draw_line(canvas, [(x, y), (end, y)], entry.style, 2.6, u)
            if entry.marker:
                draw_marker(canvas, ((x + end) / 2, y), entry.style, 6 * u)
            room = self._limit - offset - sample
            canvas.text((x + sample, y), entry.name, self._TEXT * u, INK, False, max_width=room)

    def _sample(self, entry: Entry) -> float:
        """Pixels from the left end of an entry to its name."""
        return ((self._LINE if entry.line else 14.0) + self._GAP) * self._unit
