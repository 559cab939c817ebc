"""Anti-aliased shapes and text, drawn with pygame and read back as a numpy array.

Everything is drawn at :data:`SCALE` times the image size and averaged down at the end, which smooths all edges.
Coordinates are floats in pixels of the image; a rectangle is ``(left, top, width, height)``. No display is needed.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

from hrm_envs.rendering.theme import DARK, Color, Theme

if TYPE_CHECKING:
    import pygame

Point = tuple[float, float]
Rect = tuple[float, float, float, float]
Align = Literal["left", "center", "right"]

#: Pixels drawn per pixel of the image, along each axis.
SCALE = 2

# The font that comes with pygame: its height above the baseline, and that of its capitals, in font sizes.
_ASCENT, _CAP_HEIGHT = 0.8, 0.73
#: Longer texts are cut off, since no image has room for them.
_MAX_CHARACTERS = 200


def import_pygame() -> Any:
    """Import pygame on first use.

    Raises:
        DependencyNotInstalled: pygame-ce is not installed.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
        import pygame.font
    except ImportError as error:
        raise DependencyNotInstalled(
            'rendering needs pygame, which is not installed: run `pip install "hrm-agents[render]"`'
        ) from error
    if not hasattr(pygame.draw, "aacircle"):
        raise DependencyNotInstalled(
            "rendering needs pygame-ce, but the older pygame is installed instead: run `pip uninstall pygame`, "
            'then `pip install --force-reinstall "hrm-agents[render]"`'
        )
    return pygame


def blend(low: Color, high: Color, amount: float) -> Color:
    """Interpolate between two colours; ``amount`` is clipped to [0, 1]."""
    t = min(max(amount, 0.0), 1.0)
    red, green, blue = (round(a + (b - a) * t) for a, b in zip(low, high, strict=True))
    return red, green, blue


def inset(rect: Rect, margin: float) -> Rect:
    """Shrink ``rect`` by ``margin`` on all four sides."""
    x, y, w, h = rect
    return x + margin, y + margin, w - 2 * margin, h - 2 * margin


def center(rect: Rect) -> Point:
    """The centre of ``rect``."""
    return rect[0] + rect[2] / 2, rect[1] + rect[3] / 2


def printable(text: str) -> str:
    """``text`` on one line that pygame accepts: other characters, such as NUL and lone surrogates, become U+FFFD."""
    text = unicodedata.normalize("NFC", text)
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)


def text_width(text: str, size: float, max_width: float | None = None) -> float:
    """Width in pixels that :meth:`Canvas.text` would take."""
    return _text_line(text, size, DARK.ink, max_width)[0].get_width() / SCALE


def _text_line(text: str, size: float, color: Color, max_width: float | None) -> tuple[pygame.Surface, int]:
    """One line of text, and its font size in drawn pixels."""
    text = printable(text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 1] + "\N{HORIZONTAL ELLIPSIS}")
    em = max(4, round(size * SCALE))
    surface = _text_surface(text, em, color)
    if max_width is not None and surface.get_width() > max_width * SCALE:
        em = max(4, int(em * max_width * SCALE / surface.get_width()))
        surface = _text_surface(text, em, color)
    return surface, em


# Caches surfaces rather than fonts: they survive a pygame.font.quit() elsewhere in the process.
@lru_cache(maxsize=4096)
def _text_surface(text: str, em: int, color: Color) -> pygame.Surface:
    """``text`` on a transparent surface, at font size ``em``."""
    pygame = import_pygame()
    pygame.font.init()
    # Drawn large and scaled down, letters keep their shapes and spacing instead of snapping to the pixel grid.
    zoom = 4 if em * len(text) < 800 else 2
    font = pygame.font.Font(pygame.font.get_default_font(), em * zoom)
    # Letters are placed one by one because the font's kerning spreads pairs such as "tt" and "00". pygame cannot render
    # characters without width, such as variation selectors.
    letters = [font.render(letter, True, color) for letter in text if font.size(letter)[0]]
    width = sum(letter.get_width() for letter in letters)
    height = max((letter.get_height() for letter in letters), default=0)
    line = pygame.Surface((width, height), pygame.SRCALPHA)
    line.fill((*color, 0))
    x = 0
    for letter in letters:
        line.blit(letter, (x, 0))
        x += letter.get_width()
    return pygame.transform.smoothscale(line, (-(-width // zoom), -(-height // zoom)))


class Canvas:
    """An image to draw on.

    Args:
        width: in pixels.
        height: in pixels.
        theme: its colours; the canvas starts in that of the background.

    Attributes:
        theme: the colours to draw with.
    """

    def __init__(self, width: int, height: int, theme: Theme = DARK) -> None:
        self.theme = theme
        self._pygame = import_pygame()
        self._draw = self._pygame.draw
        self._size = (width, height)
        self._surface = self._pygame.Surface((width * SCALE, height * SCALE), depth=32)
        self._surface.fill(theme.background)

    def pixels(self) -> NDArray[np.uint8]:
        """The finished image, a new uint8 array ``[H, W, 3]``."""
        small = self._pygame.transform.smoothscale(self._surface, self._size)
        raw = np.frombuffer(self._pygame.image.tobytes(small, "RGB"), np.uint8)
        return raw.reshape(self._size[1], self._size[0], 3).copy()

    def rect(
        self,
        rect: Rect,
        color: Color,
        radius: float = 0,
        width: float = 0,
        corners: tuple[bool, bool, bool, bool] = (True, True, True, True),
    ) -> None:
        """Draw a rectangle, filled or (``width`` > 0) as an outline inside its edge.

        ``corners`` selects those to round: top left, top right, bottom left, bottom right.
        """
        # Rounds both edges rather than the size, so that neighbours leave no gap.
        left, top = round(rect[0] * SCALE), round(rect[1] * SCALE)
        right, bottom = round((rect[0] + rect[2]) * SCALE), round((rect[1] + rect[3]) * SCALE)
        if right <= left or bottom <= top:
            return
        stroke = max(1, round(width * SCALE)) if width > 0 else 0
        box = (left, top, right - left, bottom - top)
        if radius <= 0 or not any(corners):
            self._draw.rect(self._surface, color, box, stroke)
            return
        r = round(radius * SCALE)
        radii = [r if corner else 0 for corner in corners]
        self._draw.rect(self._surface, color, box, stroke, -1, *radii)

    def circle(self, at: Point, radius: float, color: Color, width: float = 0) -> None:
        """Draw a disc, or (``width`` > 0) a ring inside its edge."""
        stroke = max(1, round(width * SCALE)) if width > 0 else 0
        self._draw.aacircle(self._surface, color, (at[0] * SCALE, at[1] * SCALE), max(1.0, radius * SCALE), stroke)

    def polygon(self, points: Sequence[Point], color: Color) -> None:
        """Draw a filled polygon."""
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self._draw.polygon(self._surface, color, scaled)

    def line(self, points: Sequence[Point], color: Color, width: float, caps: bool = True) -> None:
        """Draw a line through ``points`` with round joints and (``caps``) round ends."""
        half = width / 2
        for (x0, y0), (x1, y1) in pairwise(points):
            length = float(np.hypot(x1 - x0, y1 - y0))
            if length == 0:
                continue
            nx, ny = (y0 - y1) / length * half, (x1 - x0) / length * half
            left, right = [(x0 + nx, y0 + ny), (x1 + nx, y1 + ny)], [(x1 - nx, y1 - ny), (x0 - nx, y0 - ny)]
            self.polygon(left + right, color)
        for point in points if caps else points[1:-1]:
            self.circle(point, half, color)

    def dashes(self, start: Point, end: Point, color: Color, width: float, dash: float) -> None:
        """Draw a straight dashed line; dashes and gaps are about ``dash`` long, and both ends are dashes."""
        length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
        pieces = max(1, round(length / dash / 2)) * 2 - 1

        def at(piece: int) -> Point:
            share = piece / pieces
            return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share

        for piece in range(0, pieces, 2):
            self.line([at(piece), at(piece + 1)], color, width, caps=False)

    def cross(self, at: Point, arm: float, color: Color, width: float) -> None:
        """Draw a diagonal cross that reaches ``arm`` pixels from ``at`` along each axis."""
        x, y = at
        for sign in (-1, 1):
            self.line([(x - arm, y - sign * arm), (x + arm, y + sign * arm)], color, width)

    def text(
        self,
        at: Point,
        text: str,
        size: float,
        color: Color | None = None,
        align: Align = "left",
        max_width: float | None = None,
    ) -> float:
        """Write one line of text and return its width in pixels.

        Args:
            at: anchor; its height is the middle of the capitals.
            text: characters that cannot be shown become replacement characters; texts over 200 characters are cut.
            size: font size (em) in pixels.
            color: of the text; the theme's ink if omitted.
            align: which end of the line the anchor is.
            max_width: shrink the font until the line fits.
        """
        surface, em = _text_line(text, size, self.theme.ink if color is None else color, max_width)
        width = surface.get_width()
        left = at[0] * SCALE - {"left": 0.0, "center": 0.5, "right": 1.0}[align] * width
        top = at[1] * SCALE - (_ASCENT - _CAP_HEIGHT / 2) * em
        self._surface.blit(surface, (round(left), round(top)))
        return width / SCALE
