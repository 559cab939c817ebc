"""Keys and what they do, painted in one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hrm_envs.rendering.canvas import BACKGROUND, INK, LINE, MUTED, RAISED, Canvas, Color, Point


@dataclass(frozen=True)
class Cap:
    """One key: what is on it, and its colour."""

    text: str
    color: Color = RAISED


@dataclass(frozen=True)
class KeyHelp:
    """A group of keys, and what they do."""

    caps: Sequence[Cap]
    text: str


def draw_key_helps(canvas: Canvas, helps: Sequence[KeyHelp], left: Point, room: float) -> None:
    """Paint the groups side by side, smaller if they do not fit.

    Args:
        canvas: the picture.
        helps: the groups.
        left: the left end of the line, in the middle of its height.
        room: pixels that it may take.
    """
    width = _draw(Canvas(1, 1), helps, left, 1.0)  # only to measure it
    _draw(canvas, helps, left, min(1.0, room / width))


def _draw(canvas: Canvas, helps: Sequence[KeyHelp], left: Point, unit: float) -> float:
    """The line, ``unit`` times as large as it would like to be; returns its width."""
    x, y = left
    for number, group in enumerate(helps):
        x += 26 * unit * (number > 0)
        for cap in group.caps:
            x += _draw_cap(canvas, (x, y), cap, unit) + (6 if cap.color == RAISED else 4) * unit
        x += 4 * unit
        x += canvas.text((x, y), group.text, 16 * unit, MUTED, False)
    return x - left[0]


def _draw_cap(canvas: Canvas, at: Point, cap: Cap, unit: float) -> float:
    """A key with its middle at that height; returns its width."""
    (x, y), size = at, 15 * unit
    # Measured by painting: the key is drawn over the word, then the word again.
    width = max(canvas.text((x, y), cap.text, size, BACKGROUND, max_width=160 * unit) + 16 * unit, 26 * unit)
    key = (x, y - 14 * unit, width, 28 * unit)
    canvas.rect(key, cap.color, 6 * unit)
    canvas.rect(key, LINE, 6 * unit, 1.5 * unit)
    red, green, blue = cap.color
    ink = BACKGROUND if 0.3 * red + 0.6 * green + 0.1 * blue > 120 else INK
    canvas.text((x + width / 2, y), cap.text, size, ink, align="center", max_width=160 * unit)
    return width
