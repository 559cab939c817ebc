"""A window that shows pictures, where there is a display."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.error import Error
from numpy.typing import NDArray

from hrm_envs.rendering.canvas import import_pygame

if TYPE_CHECKING:
    pass


class NoDisplay(Error):
    """There is no display to open a window on."""


class Window:
    """A window that shows frames one after another. It opens at the first :meth:`show`.

    A copy of it, by ``copy`` or ``pickle``, has no window on the screen yet and opens one at its own first show. pygame
    knows only one window: where several of these are shown by turns, they share it.

    Args:
        title: of the window.
    """

    def __init__(self, title: str = "hrm-agents") -> None:
        self._title = title
        self._pygame: Any = None
        self._clock: Any = None
        self._dismissed = False

    def __getstate__(self) -> dict[str, Any]:
        # Modules, clocks and windows of the operating system cannot be copied.
        return {**self.__dict__, "_pygame": None, "_clock": None}

    @property
    def is_open(self) -> bool:
        """The window is on the screen."""
        return self._pygame is not None and bool(self._pygame.display.get_init())

    @property
    def dismissed(self) -> bool:
        """Somebody closed the window, and :meth:`close` was not called since."""
        return self._dismissed

    def show(self, picture: NDArray[np.uint8], fps: float = 4) -> bool:
        """Show pixels, uint8 ``[H, W, 3]``; returns False once the user has closed the window.

        After that nothing opens again before :meth:`close`, and the episode may go on unseen. At most ``fps`` pictures
        a second are shown: it sleeps as long as that takes.

        Raises:
            DependencyNotInstalled: pygame is absent.
            NoDisplay: there is no display.
        """
        if self._dismissed:
            return False
        self.draw(picture)
        if any(event.type == self._pygame.QUIT for event in self._pygame.event.get()):
            self.close()
            self._dismissed = True
            return False
        self._clock.tick(fps)
        return True

    def draw(self, picture: NDArray[np.uint8]) -> None:
        """Show pixels, uint8 ``[H, W, 3]``, and leave pygame's events to the caller.

        Raises:
            DependencyNotInstalled: pygame is absent.
            NoDisplay: there is no display.
        """
        size = (picture.shape[1], picture.shape[0])
        # Not open yet, or another window was closed, and this one with it.
        if not self.is_open:
            self._open(size)
        pygame = self._pygame
        screen = pygame.display.get_surface()
        if screen is None or screen.get_size() != size:
            screen = pygame.display.set_mode(size)
        screen.blit(pygame.image.frombuffer(np.ascontiguousarray(picture).tobytes(), size, "RGB"), (0, 0))
        pygame.display.flip()

    def close(self) -> None:
        """Close the window, if it is open. The next :meth:`show` opens it anew."""
        self._dismissed = False
        if self._pygame is not None:
            self._pygame.display.quit()
            self._pygame = self._clock = None

    def _open(self, size: tuple[int, int]) -> None:
        pygame = import_pygame()
        advice = 'no display to open a window on: use render_mode="rgb_array" or "ansi" here'
        try:
            pygame.display.init()
            # Without a screen SDL may choose a driver that draws into memory. Only tests want that, by name.
            unseen = pygame.display.get_driver() in ("offscreen", "dummy")
            if unseen and not os.environ.get("SDL_VIDEODRIVER"):
                pygame.display.quit()
                raise NoDisplay(advice)
            pygame.display.set_mode(size)
        except pygame.error as error:
            raise NoDisplay(f"{advice} ({error})") from error
        # Titles are whatever tasks call themselves; pygame takes neither lone surrogates nor NUL.
        pygame.display.set_caption(self._title.encode("utf-8", "replace").decode("utf-8").replace("\0", " "))
        self._pygame, self._clock = pygame, pygame.time.Clock()
