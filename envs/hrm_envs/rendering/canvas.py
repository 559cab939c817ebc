"""Anti-aliased shapes and text on a numpy-readable picture: the only module that draws with pygame.

Everything is painted at :data:`SCALE` times the wanted size and averaged down once at the end, which smooths
every edge. Coordinates are floats in pixels of the finished picture; a rectangle is ``(left, top, width,
height)``. No call here needs a display.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pygame

Color = tuple[int, int, int]
Point = tuple[float, float]
Rect = tuple[float, float, float, float]
Align = Literal["left", "center", "right"]

#: Pixels painted per finished pixel, along each axis.
SCALE = 2

# One dark theme. Blue, amber and vermilion stay apart under every common colour blindness and also differ in
# lightness; no meaning rests on them alone.
BACKGROUND: Color = (13, 18, 30)
PANEL: Color = (20, 27, 43)
TILE: Color = (30, 39, 60)
RAISED: Color = (52, 65, 95)
LINE: Color = (70, 84, 116)
STRONG: Color = (128, 146, 184)
MUTED: Color = (150, 163, 190)
INK: Color = (244, 247, 252)
BLUE: Color = (100, 181, 255)
AMBER: Color = (255, 208, 84)
RED: Color = (255, 108, 82)

_CAP_HEIGHT = 0.73  # capitals and digits of the bundled font, in units of the font size


def import_pygame() -> Any:
    """The pygame module, loaded on first use.

    Raises:
        DependencyNotInstalled: pygame-ce is absent.
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
            "rendering needs pygame-ce, and the older pygame stands in its place: run `pip uninstall pygame`, "
            'then `pip install --force-reinstall "hrm-agents[render]"`'
        )
    return pygame


def blend(low: Color, high: Color, amount: float) -> Color:
    """The colour ``amount`` (cut to [0, 1]) of the way from ``low`` to ``high``."""
    t = min(max(amount, 0.0), 1.0)
    return (
        round(low[0] + (high[0] - low[0]) * t),
        round(low[1] + (high[1] - low[1]) * t),
        round(low[2] + (high[2] - low[2]) * t),
    )


def inset(rect: Rect, margin: float) -> Rect:
    """``rect`` made smaller by ``margin`` on all four sides."""
    x, y, w, h = rect
    return x + margin, y + margin, w - 2 * margin, h - 2 * margin


def center(rect: Rect) -> Point:
    """The middle of ``rect``."""
    return rect[0] + rect[2] / 2, rect[1] + rect[3] / 2


# Pictures of text are kept, not fonts: they survive a pygame.font.quit() by other code in the process.
@lru_cache(maxsize=4096)
def _text_picture(text: str, size: int, color: Color, bold: bool) -> pygame.Surface:
    """``text`` on transparent ground, ``size`` painted pixels high (em)."""
    pygame = import_pygame()
    pygame.font.init()
    # Enlarged, then shrunk: letters keep the shapes and places that small ones lose to the pixel grid.
    zoom = 4 if size * len(text) < 800 else 2
    font = pygame.font.Font(pygame.font.get_default_font(), size * zoom)
    large = _tight_line(font, text, color, (0.012 if bold else 0.04) * size * zoom)
    if not bold:
        _wear(large, 0.019 * size * zoom)
    return pygame.transform.smoothscale(large, (large.get_width() // zoom, large.get_height() // zoom))


def _wear(letters: pygame.Surface, radius: float) -> None:
    """Take ``radius`` pixels off all edges, in place.

    Only a bold face comes with pygame, and system fonts differ between machines: this makes a light one.
    """
    pygame = import_pygame()
    alpha = pygame.surfarray.pixels_alpha(letters)
    border = int(radius) + 1
    padded, thin = np.pad(alpha, border), alpha.copy()
    for angle in np.arange(16) * (np.pi / 8):
        dx, dy = round(radius * np.cos(angle)), round(radius * np.sin(angle))
        moved = padded[border + dx :, border + dy :][: alpha.shape[0], : alpha.shape[1]]
        np.minimum(thin, moved, out=thin)
    alpha[:] = thin


def _tight_line(font: pygame.font.Font, text: str, color: Color, less: float) -> pygame.Surface:
    """``text`` with letters ``less`` pixels closer than usual: worn letters stand too far apart else."""
    pygame = import_pygame()
    advances = [font.size(letter)[0] - less for letter in text]
    line = pygame.Surface((int(sum(advances) + less) + 1, font.get_height()), pygame.SRCALPHA)
    line.fill((*color, 0))
    x = 0.0
    for letter, advance in zip(text, advances, strict=True):
        line.blit(font.render(letter, True, color), (round(x), 0))
        x += advance
    return line


class Canvas:
    """A picture to paint on.

    Args:
        width: pixels of the finished picture.
        height: pixels of the finished picture.
        color: what fills it at first.
    """

    def __init__(self, width: int, height: int, color: Color = BACKGROUND) -> None:
        self._pygame = import_pygame()
        self._draw = self._pygame.draw
        self._size = (width, height)
        self._surface = self._pygame.Surface((width * SCALE, height * SCALE), depth=32)
        self._surface.fill(color)

    def pixels(self) -> NDArray[np.uint8]:
        """The finished picture, a fresh uint8 ``[H, W, 3]``."""
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
        """A rectangle, filled or (``width`` > 0) as an outline inside its edge.

        ``corners`` says which are rounded: top left, top right, bottom left, bottom right.
        """
        # Both edges are rounded, not the size: neighbours share an edge and leave no gap.
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
        """A disc, or (``width`` > 0) a ring inside its edge."""
        stroke = max(1, round(width * SCALE)) if width > 0 else 0
        self._draw.aacircle(self._surface, color, (at[0] * SCALE, at[1] * SCALE), max(1.0, radius * SCALE), stroke)

    def polygon(self, points: Sequence[Point], color: Color) -> None:
        """A filled polygon."""
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self._draw.polygon(self._surface, color, scaled)

    def line(self, points: Sequence[Point], color: Color, width: float, caps: bool = True) -> None:
        """A line through ``points`` with round joints and (``caps``) round ends."""
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
        """A straight dashed line; dashes and gaps are about ``dash`` long, and both ends show."""
        length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
        pieces = max(1, round(length / dash / 2)) * 2 - 1
        for piece in range(0, pieces, 2):
            a, b = piece / pieces, (piece + 1) / pieces
            self.line(
                [
                    (start[0] + (end[0] - start[0]) * a, start[1] + (end[1] - start[1]) * a),
                    (start[0] + (end[0] - start[0]) * b, start[1] + (end[1] - start[1]) * b),
                ],
                color,
                width,
                caps=False,
            )

    def text(
        self,
        at: Point,
        text: str,
        size: float,
        color: Color = INK,
        bold: bool = True,
        align: Align = "left",
        max_width: float | None = None,
    ) -> float:
        """Write one line; returns its width in pixels.

        Args:
            at: where the line is anchored; the middle of its capitals sits at this height.
            text: what to write.
            size: font size (em) in pixels.
            color: of the letters.
            bold: heavy letters rather than light ones.
            align: which end of the line ``at`` is.
            max_width: the size shrinks until the line fits.
        """
        em = max(4, round(size * SCALE))
        picture = _text_picture(text, em, color, bold)
        if max_width is not None and picture.get_width() > max_width * SCALE:
            em = max(4, int(em * max_width * SCALE / picture.get_width()))
            picture = _text_picture(text, em, color, bold)
        width = picture.get_width()
        left = at[0] * SCALE - {"left": 0.0, "center": 0.5, "right": 1.0}[align] * width
        # The bundled font keeps 0.8 em above the baseline.
        top = at[1] * SCALE - (0.8 - _CAP_HEIGHT / 2) * em
        self._surface.blit(picture, (round(left), round(top)))
        return width / SCALE
