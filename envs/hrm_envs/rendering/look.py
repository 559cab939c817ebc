"""What the keywords ``render_size`` and ``theme`` ask for, and how an image of any size is divided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hrm_envs.checks import shown, whole_number
from hrm_envs.rendering.theme import DARK, Theme, theme_named

Size = tuple[int, int]

#: Default width and height of an image, in pixels, and the smallest and the largest side.
DEFAULT_SIZE: Size = (960, 640)
MIN_SIDE, MAX_SIDE = 120, 4096
#: What a layout is made for: the sides of a wide and of a tall image, in units.
_WIDE, _TALL = (960, 640), (720, 960)


@dataclass(frozen=True)
class Look:
    """Size and colours of images."""

    size: Size = DEFAULT_SIZE
    theme: Theme = DARK


def as_look(render_size: Any, theme: Any) -> Look:
    """The look that the keywords of an environment ask for.

    Args:
        render_size: the longer side of a 3:2 image in pixels, or (width, height).
        theme: ``"dark"`` or ``"light"``.

    Raises:
        ValueError: not a size, a side out of range, or an unknown theme.
    """
    sides = render_size
    if not isinstance(render_size, tuple | list):
        longer = whole_number("render_size", render_size, MIN_SIDE * 3 // 2, MAX_SIDE)
        sides = (longer, round(longer * DEFAULT_SIZE[1] / DEFAULT_SIZE[0]))
    if len(sides) != 2:
        raise ValueError(f"render_size={shown(render_size)} must be one number of pixels or (width, height)")
    width, height = (whole_number("render_size", side, MIN_SIDE, MAX_SIDE) for side in sides)
    return Look((width, height), theme_named(theme))


@dataclass(frozen=True)
class Layout:
    """Where the board and the strip of an image are, as (left, top, width, height)."""

    board: tuple[float, float, float, float]
    strip: tuple[float, float, float, float]
    #: Pixels per unit of the layout.
    unit: float
    #: Whether the strip is beside the board, as in a wide image, or below it.
    beside: bool


def arrange(size: Size) -> Layout:
    """The layout of an image.

    Args:
        size: width and height in pixels.

    Raises:
        ValueError: a side is under 120 pixels.
    """
    width, height = size
    if min(width, height) < MIN_SIDE:
        raise ValueError(f"an image needs at least {MIN_SIDE} pixels on each side, got {width} x {height}")
    if width >= 1.2 * height:
        unit = min(width / _WIDE[0], height / _WIDE[1])
        strip_width, strip_height, margin = 284 * unit, 576 * unit, 32 * unit
        side = min(height - 2 * margin, width - strip_width - 3 * margin)
        left = (width - side - strip_width - margin) / 2
        board = (left, (height - side) / 2, side, side)
        return Layout(board, (left + side + margin, (height - strip_height) / 2, strip_width, strip_height), unit, True)
    unit = min(width / _TALL[0], height / _TALL[1])
    margin, strip_height = 36 * unit, 240 * unit
    side = min(width - 2 * margin, height - 3 * margin - strip_height)
    top = (height - side - margin - strip_height) / 2
    strip_width = max(side, 600 * unit)
    strip = ((width - strip_width) / 2, top + side + margin, strip_width, strip_height)
    return Layout(((width - side) / 2, top, side, side), strip, unit, False)
