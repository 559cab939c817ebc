"""Keys and their meaning, drawn in one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hrm_envs.rendering.canvas import BACKGROUND, INK, LINE, MUTED, RAISED, Canvas, Color, Point, text_width


@dataclass(frozen=True)
class Cap:
    """One key: its label and its colour."""

    text: str
    color: Color = RAISED


@dataclass(frozen=True)
class KeyHelp:
    """A group of keys and what they do."""

    caps: Sequence[Cap]
    text: str


def draw_key_helps(canvas: Canvas, helps: Sequence[KeyHelp], left: Point, room: float) -> None:
    """Draw groups of keys side by side, scaled down if they do not fit.

    Args:
        canvas: the image.
        helps: the groups.
        left: left end and vertical middle of the line.
        room: width available in pixels.
    """
    width = _draw(Canvas(1, 1), helps, left, 1.0)  # measures it
    _draw(canvas, helps, left, min(1.0, room / width))


def _draw(canvas: Canvas, helps: Sequence[KeyHelp], left: Point, unit: float) -> float:
    """Draw the line at scale ``unit`` and return its width."""
    x, y = left
    for number, group in enumerate(helps):
        x += 26 * unit * (number > 0)
        for cap in group.caps:
            x += _draw_cap(canvas, (x, y), cap, unit) + (6 if cap.color == RAISED else 4) * unit
        x += 4 * unit
        x += canvas.text((x, y), group.text, 16 * unit, MUTED)
    return x - left[0]


def _draw_cap(canvas: Canvas, at: Point, cap: Cap, unit: float) -> float:
    """Draw a key with its left middle at ``at`` and return its width."""
    (x, y), size, most = at, 15 * unit, 160 * unit
    width = max(text_width(cap.text, size, most) + 16 * unit, 26 * unit)
    key = (x, y - 14 * unit, width, 28 * unit)
    canvas.rect(key, cap.color, 6 * unit)
    canvas.rect(key, LINE, 6 * unit, 1.5 * unit)
    red, green, blue = cap.color
    ink = BACKGROUND if 0.3 * red + 0.6 * green + 0.1 * blue > 120 else INK
    canvas.text((x + width / 2, y), cap.text, size, ink, "center", max_width=most)
    return width
