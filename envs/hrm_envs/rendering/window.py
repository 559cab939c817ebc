"""A window that shows images on the display."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
from gymnasium.error import Error
from numpy.typing import NDArray

from hrm_envs.rendering.canvas import import_pygame, printable
from hrm_envs.rendering.look import MIN_SIDE, Size

#: Share of the screen that a new window may take, which leaves room for its frame and for a task bar.
_SHARE = (0.96, 0.88)
#: Drivers that draw in memory.
_INVISIBLE = ("offscreen", "dummy")
#: Milliseconds between checks of the user's events while an image is on show.
_PATIENCE = 40


class NoDisplay(Error):
    """There is no display to open a window on."""


class Window:
    """A window that opens at the first :meth:`show`, :meth:`draw` or :meth:`size_for`. The user may resize it.

    A copy made by ``copy`` or ``pickle`` starts closed. pygame supports a single window, so open instances share it.

    Args:
        title: of the window.
    """

    def __init__(self, title: str = "hrm-agents") -> None:
        self._title = title
        self._pygame: Any = None
        self._shown_at = 0.0
        self._dismissed = False

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pygame": None}  # modules cannot be pickled

    @property
    def is_open(self) -> bool:
        """Whether the window is on the screen."""
        return self._pygame is not None and bool(self._pygame.display.get_init())

    @property
    def dismissed(self) -> bool:
        """Whether the user closed the window, with its button, q or Esc, until :meth:`close` is called."""
        return self._dismissed

    def size_for(self, preferred: Size) -> Size:
        """The size to draw the next image in: that of the window, which opens at ``preferred`` if the screen allows.

        Raises:
            DependencyNotInstalled: pygame is not installed.
            NoDisplay: there is no display.
        """
        if self._dismissed:
            return preferred
        if not self.is_open:  # also after another instance closed the shared window
            self._open(preferred)
        width, height = self._pygame.display.get_surface().get_size()
        return max(width, MIN_SIDE), max(height, MIN_SIDE)

    def show(self, image: NDArray[np.uint8], fps: float = 4) -> bool:
        """Show an image, uint8 ``[H, W, 3]``, then wait to keep to ``fps`` images a second.

        Returns:
            False if the user has closed the window. It stays closed until :meth:`close` is called.

        Raises:
            DependencyNotInstalled: pygame is not installed.
            NoDisplay: there is no display.
        """
        if self._dismissed:
            return False
        self.draw(image)
        pygame = self._pygame
        end = self._shown_at + 1 / fps
        events = pygame.event.get()
        while not any(self._leaves(event) for event in events):
            if any(event.type in (pygame.WINDOWSIZECHANGED, pygame.WINDOWEXPOSED) for event in events):
                self.draw(image)
            left = end - time.monotonic()
            if left <= 0:
                self._shown_at = time.monotonic()
                return True
            events = [pygame.event.wait(max(1, min(_PATIENCE, round(left * 1000)))), *pygame.event.get()]
        self.close()
        self._dismissed = True
        return False

    def draw(self, image: NDArray[np.uint8]) -> None:
        """Show an image, uint8 ``[H, W, 3]``, scaled to the window, without reading pygame's events.

        Raises:
            DependencyNotInstalled: pygame is not installed.
            NoDisplay: there is no display.
        """
        size = (image.shape[1], image.shape[0])
        if not self.is_open:
            self._open(size)
        pygame = self._pygame
        screen = pygame.display.get_surface()
        picture = pygame.image.frombuffer(np.ascontiguousarray(image).tobytes(), size, "RGB")
        room = screen.get_size()
        if room != size:
            share = min(room[0] / size[0], room[1] / size[1])
            picture = pygame.transform.smoothscale(picture, [max(1, round(side * share)) for side in size])
            screen.fill(tuple(int(level) for level in image[0, 0]))
        screen.blit(picture, [(whole - part) // 2 for whole, part in zip(room, picture.get_size(), strict=True)])
        pygame.display.flip()

    def close(self) -> None:
        """Close the window if it is open; the next :meth:`show` reopens it."""
        self._dismissed = False
        if self._pygame is not None:
            self._pygame.display.quit()
            self._pygame = None

    def _leaves(self, event: Any) -> bool:
        """Whether the user wants to close the window."""
        pygame = self._pygame
        return event.type == pygame.QUIT or (
            event.type == pygame.KEYDOWN and event.key in (pygame.K_ESCAPE, pygame.K_q)
        )

    def _open(self, size: Size) -> None:
        pygame = import_pygame()
        advice = 'no display to open a window on: use render_mode="rgb_array" or "ansi" here'
        try:
            pygame.display.init()
            # Without a screen SDL may fall back to a driver that draws in memory, which only tests ask for.
            invisible = pygame.display.get_driver() in _INVISIBLE
            if invisible and not os.environ.get("SDL_VIDEODRIVER"):
                pygame.display.quit()
                raise NoDisplay(advice)
            if not invisible:
                size = fitting(size, pygame.display.get_desktop_sizes()[0])
            pygame.display.set_mode(size, pygame.RESIZABLE)
        except pygame.error as error:
            raise NoDisplay(f"{advice} ({error})") from error
        pygame.display.set_caption(printable(self._title))
        self._pygame, self._shown_at = pygame, time.monotonic()


def fitting(size: Size, screen: Size) -> Size:
    """``size``, scaled down where a window of that size would not fit a screen beside its frame and a task bar."""
    share = min(1.0, *(most * whole / side for most, whole, side in zip(_SHARE, screen, size, strict=True)))
    return int(size[0] * share), int(size[1] * share)
