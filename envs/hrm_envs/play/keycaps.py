"""Keys and their meaning, drawn in one or two lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hrm_envs.rendering.canvas import Canvas, Point, text_width
from hrm_envs.rendering.theme import Color, contrast


@dataclass(frozen=True)
class Cap:
    """One key: its label, and its colour if it stands for one."""

    text: str
    color: Color | None = None


@dataclass(frozen=True)
class KeyHelp:
    """A group of keys and what they do."""

    caps: Sequence[Cap]
    text: str


#: Smallest share of the full size at which one line is preferred to two.
_SMALLEST_SHARE = 0.8


def draw_key_helps(canvas: Canvas, helps: Sequence[KeyHelp], left: Point, room: float, unit: float = 1.0) -> None:
    """Draw groups of keys side by side, in two lines or scaled down if they do not fit.

    Args:
        canvas: the image.
        helps: the groups.
        left: left end and vertical middle of the lines.
        room: width available in pixels.
        unit: pixels per unit; a line is 28 units high.
    """
    lines = [helps]
    if _share(lines, room, unit) < _SMALLEST_SHARE:
        halves = [[helps[:number], helps[number:]] for number in range(1, len(helps))]
        lines = max(halves, key=lambda both: _share(both, room, unit))
    unit *= _share(lines, room, unit)
    x, y = left
    for number, line in enumerate(lines):
        _draw(canvas, line, (x, y + (number - (len(lines) - 1) / 2) * 31 * unit), unit)


def _share(lines: Sequence[Sequence[KeyHelp]], room: float, unit: float) -> float:
    """How far the lines have to be scaled down, in (0, 1]."""
    return min(1.0, *(room / _draw(Canvas(1, 1), line, (0.0, 0.0), unit) for line in lines))


def _draw(canvas: Canvas, helps: Sequence[KeyHelp], left: Point, unit: float) -> float:
    """Draw the line at scale ``unit`` and return its width."""
    x, y = left
    for number, group in enumerate(helps):
        x += 26 * unit * (number > 0)
        for cap in group.caps:
            x += _draw_cap(canvas, (x, y), cap, unit) + (6 if cap.color is None else 4) * unit
        x += 4 * unit
        x += canvas.text((x, y), group.text, 16 * unit, canvas.theme.muted)
    return x - left[0]


def _draw_cap(canvas: Canvas, at: Point, cap: Cap, unit: float) -> float:
    """Draw a key with its left middle at ``at`` and return its width."""
    (x, y), size, most, theme = at, 15 * unit, 160 * unit, canvas.theme
    width = max(text_width(cap.text, size, most) + 16 * unit, 26 * unit)
    key, color = (x, y - 14 * unit, width, 28 * unit), cap.color or theme.raised
    canvas.rect(key, color, 6 * unit)
    canvas.rect(key, theme.line, 6 * unit, 1.5 * unit)
    ink = max(theme.ink, theme.background, key=lambda ink: contrast(ink, color))
    canvas.text((x + width / 2, y), cap.text, size, ink, "center", max_width=most)
    return width
