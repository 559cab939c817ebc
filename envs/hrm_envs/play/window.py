"""The window of a game: turns pygame's events into keys and clicks."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hrm_envs.play.game import Game
from hrm_envs.play.image import SIZE, render_game
from hrm_envs.play.keys import REPEATING, press
from hrm_envs.play.walk import WalkGame
from hrm_envs.rendering.canvas import import_pygame
from hrm_envs.rendering.look import Size
from hrm_envs.rendering.window import Window

#: Milliseconds until a held key repeats, and between its repetitions.
_KEY_REPEAT = (350, 60)
#: Milliseconds to wait for an event before checking for Ctrl-C.
_EVENT_TIMEOUT = 250


def play(game: Game) -> None:
    """Play in a window until the player leaves or closes it.

    Raises:
        DependencyNotInstalled: pygame is not installed.
        hrm_envs.rendering.window.NoDisplay: there is no display.
    """
    _run(_PuzzleScreen(import_pygame(), game), game.task.spec.name)


def play_walk(game: WalkGame) -> None:
    """Walk in a window until the player leaves or closes it.

    Raises:
        DependencyNotInstalled: pygame is not installed.
        hrm_envs.rendering.window.NoDisplay: there is no display.
    """
    _run(_WalkScreen(game), game.name)


class _Screen(Protocol):
    """The content of the window."""

    #: Preferred width and height, in pixels.
    size: Size

    def render(self, size: Size) -> NDArray[np.uint8]:
        """The current image, uint8 ``[H, W, 3]``, of that width and height."""

    def press(self, key: str, text: str) -> bool:
        """Handle a pressed key; False if the player wants to leave."""

    def handle_mouse(self, event: Any) -> bool:
        """Handle any other event; True if the image may have changed."""


def _run(screen: _Screen, name: str) -> None:
    pygame = import_pygame()
    window = Window(f"{name} - hrm-agents")
    try:
        window.draw(screen.render(window.size_for(screen.size)))
        pygame.key.set_repeat(*_KEY_REPEAT)
        state = _InputState(pygame, screen)
        while True:
            # Handles all waiting events before drawing: an image for each mouse movement would lag behind.
            for event in [pygame.event.wait(_EVENT_TIMEOUT), *pygame.event.get()]:
                if not state.handle(event):
                    return
            if state.dirty:
                window.draw(screen.render(window.size_for(screen.size)))
                state.dirty = False
    finally:
        window.close()


class _InputState:
    """Passes events on to a screen and keeps track of the keys held down.

    Attributes:
        dirty: whether the image may have changed since this was last set to False.
    """

    def __init__(self, pygame: Any, screen: _Screen) -> None:
        self._pygame, self._screen = pygame, screen
        self._names = {
            pygame.K_UP: "up", pygame.K_DOWN: "down", pygame.K_LEFT: "left", pygame.K_RIGHT: "right",
            pygame.K_RETURN: "return", pygame.K_KP_ENTER: "return", pygame.K_BACKSPACE: "backspace",
            pygame.K_DELETE: "delete", pygame.K_ESCAPE: "escape", pygame.K_F1: "f1", pygame.K_F2: "f2",
        }  # fmt: skip
        self._held: set[int] = set()
        self.dirty = False

    def handle(self, event: Any) -> bool:
        """Handle an event; False if the player wants to leave."""
        pygame = self._pygame
        if event.type == pygame.QUIT:
            return False
        if event.type == pygame.KEYDOWN:
            self.dirty = True
            repeated, name = event.key in self._held, self._names.get(event.key, "")
            self._held.add(event.key)
            return (repeated and name not in REPEATING) or self._screen.press(name, event.unicode)
        if event.type == pygame.KEYUP:
            self._held.discard(event.key)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._held.clear()  # another window gets the release of the key
        elif event.type in (pygame.WINDOWEXPOSED, pygame.WINDOWSIZECHANGED) or self._screen.handle_mouse(event):
            self.dirty = True
        return True


class _PuzzleScreen:
    """A puzzle, played with keys and mouse."""

    def __init__(self, pygame: Any, game: Game) -> None:
        self._pygame, self._game, self.size = pygame, game, SIZE

    def render(self, size: Size) -> NDArray[np.uint8]:
        self._image = render_game(self._game, size)
        return self._image.pixels

    def press(self, key: str, text: str) -> bool:
        return press(self._game, key, text)

    def handle_mouse(self, event: Any) -> bool:
        pygame, game = self._pygame, self._game
        if event.type == pygame.MOUSEBUTTONUP:
            game.release()
            return False
        pressed = event.type == pygame.MOUSEBUTTONDOWN and event.button in (pygame.BUTTON_LEFT, pygame.BUTTON_RIGHT)
        dragged = event.type == pygame.MOUSEMOTION and any(event.buttons)
        cell = self._image.cell_at(event.pos) if pressed or dragged else None
        if cell is None:
            return False
        if pressed:
            game.click(cell, write=event.button == pygame.BUTTON_RIGHT)
        else:
            game.drag(cell)
        return True


class _WalkScreen:
    """A walk, played with keys alone."""

    def __init__(self, game: WalkGame) -> None:
        self.size, self.render, self.press = game.size, game.render, game.press

    def handle_mouse(self, event: Any) -> bool:
        return False
