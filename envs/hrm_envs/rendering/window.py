"""A window that shows images on the display."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from gymnasium.error import Error
from numpy.typing import NDArray

from hrm_envs.rendering.canvas import import_pygame, printable


class NoDisplay(Error):
    """There is no display to open a window on."""


class Window:
    """A window that opens at the first :meth:`show` or :meth:`draw`.

    A copy made by ``copy`` or ``pickle`` starts closed. pygame supports a single window, so open instances share it.

    Args:
        title: of the window.
    """

    def __init__(self, title: str = "hrm-agents") -> None:
        self._title = title
        self._pygame: Any = None
        self._clock: Any = None
        self._dismissed = False

    def __getstate__(self) -> dict[str, Any]:
        # Modules and clocks cannot be pickled.
        return {**self.__dict__, "_pygame": None, "_clock": None}

    @property
    def is_open(self) -> bool:
        """Whether the window is on the screen."""
        return self._pygame is not None and bool(self._pygame.display.get_init())

    @property
    def dismissed(self) -> bool:
        """Whether the user closed the window, until :meth:`close` is called."""
        return self._dismissed

    def show(self, image: NDArray[np.uint8], fps: float = 4) -> bool:
        """Show an image, uint8 ``[H, W, 3]``, then sleep to keep to ``fps`` images a second.

        Returns:
            False if the user has closed the window. It stays closed until :meth:`close` is called.

        Raises:
            DependencyNotInstalled: pygame is not installed.
            NoDisplay: there is no display.
        """
        if self._dismissed:
            return False
        self.draw(image)
        if any(event.type == self._pygame.QUIT for event in self._pygame.event.get()):
            self.close()
            self._dismissed = True
            return False
        self._clock.tick(fps)
        return True

    def draw(self, image: NDArray[np.uint8]) -> None:
        """Show an image, uint8 ``[H, W, 3]``, without reading pygame's events.

        Raises:
            DependencyNotInstalled: pygame is not installed.
            NoDisplay: there is no display.
        """
        size = (image.shape[1], image.shape[0])
        if not self.is_open:  # also after another instance closed the shared window
            self._open(size)
        pygame = self._pygame
        screen = pygame.display.get_surface()
        if screen is None or screen.get_size() != size:
            screen = pygame.display.set_mode(size)
        screen.blit(pygame.image.frombuffer(np.ascontiguousarray(image).tobytes(), size, "RGB"), (0, 0))
        pygame.display.flip()

    def close(self) -> None:
        """Close the window if it is open; the next :meth:`show` reopens it."""
        self._dismissed = False
        if self._pygame is not None:
            self._pygame.display.quit()
            self._pygame = self._clock = None

    def _open(self, size: tuple[int, int]) -> None:
        pygame = import_pygame()
        advice = 'no display to open a window on: use render_mode="rgb_array" or "ansi" here'
        try:
            pygame.display.init()
            # Without a screen SDL may fall back to a driver that draws in memory, which only tests ask for.
            invisible = pygame.display.get_driver() in ("offscreen", "dummy")
            if invisible and not os.environ.get("SDL_VIDEODRIVER"):
                pygame.display.quit()
                raise NoDisplay(advice)
            pygame.display.set_mode(size)
        except pygame.error as error:
            raise NoDisplay(f"{advice} ({error})") from error
        pygame.display.set_caption(printable(self._title))
        self._pygame, self._clock = pygame, pygame.time.Clock()
