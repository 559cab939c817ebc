"""The window in which a person plays: turns what pygame reports into keys and clicks."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hrm_envs.play.game import Game
from hrm_envs.play.keys import REPEATING, press
from hrm_envs.play.picture import paint_game
from hrm_envs.play.walk import WalkGame
from hrm_envs.rendering.canvas import import_pygame
from hrm_envs.rendering.window import Window

#: Milliseconds until a key that is held down repeats, and between its repetitions.
_REPEAT = (350, 60)
#: Milliseconds of waiting after which Python looks whether somebody pressed Ctrl-C.
_PATIENCE = 250


def play(game: Game) -> None:
    """Play in a window until the person leaves or closes it.

    Raises:
        DependencyNotInstalled: pygame is absent.
        hrm_envs.rendering.window.NoDisplay: there is no display.
    """
    _show(_Board(import_pygame(), game), game.task.spec.name)


def play_walk(game: WalkGame) -> None:
    """Walk in a window until the person leaves or closes it.

    Raises:
        DependencyNotInstalled: pygame is absent.
        hrm_envs.rendering.window.NoDisplay: there is no display.
    """
    _show(_Walk(game), game.name)


class _Table(Protocol):
    """What lies in the window."""

    def paint(self) -> NDArray[np.uint8]:
        """The picture of now."""

    def press(self, key: str, text: str) -> bool:
        """A key is pressed; False if the person wants to leave."""

    def point(self, event: Any) -> bool:
        """Something happened that is no key; True if there may be something new to see."""


def _show(table: _Table, name: str) -> None:
    pygame = import_pygame()
    window = Window(f"{name} - hrm-agents")
    try:
        window.draw(table.paint())
        pygame.key.set_repeat(*_REPEAT)
        hands = _Hands(pygame, table)
        while True:
            # Waits for the first, then takes all there are: a picture for each step of the mouse would lag behind.
            for event in [pygame.event.wait(_PATIENCE), *pygame.event.get()]:
                if not hands.handle(event):
                    return
            if hands.busy:
                window.draw(table.paint())
                hands.busy = False
    finally:
        window.close()


class _Hands:
    """Remembers what is held down.

    Attributes:
        busy: something was done since this was last set to False, so that there may be something to see.
    """

    def __init__(self, pygame: Any, table: _Table) -> None:
        self._pygame, self._table = pygame, table
        self._keys = {
            pygame.K_UP: "up", pygame.K_DOWN: "down", pygame.K_LEFT: "left", pygame.K_RIGHT: "right",
            pygame.K_RETURN: "return", pygame.K_KP_ENTER: "return", pygame.K_BACKSPACE: "backspace",
            pygame.K_DELETE: "delete", pygame.K_ESCAPE: "escape", pygame.K_F1: "f1", pygame.K_F2: "f2",
        }  # fmt: skip
        self._held: set[int] = set()
        self.busy = False

    def handle(self, event: Any) -> bool:
        """Do what an event asks for; False if the person wants to leave."""
        pygame = self._pygame
        if event.type == pygame.QUIT:
            return False
        if event.type == pygame.KEYDOWN:
            self.busy = True
            again, name = event.key in self._held, self._keys.get(event.key, "")
            self._held.add(event.key)
            return (again and name not in REPEATING) or self._table.press(name, event.unicode)
        if event.type == pygame.KEYUP:
            self._held.discard(event.key)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._held.clear()  # the key may come up unseen
        elif event.type == pygame.WINDOWEXPOSED or self._table.point(event):
            self.busy = True
        return True


class _Board:
    """The puzzle, which is written on with keys and with the mouse."""

    def __init__(self, pygame: Any, game: Game) -> None:
        self._pygame, self._game = pygame, game

    def paint(self) -> NDArray[np.uint8]:
        self._picture = paint_game(self._game)
        return self._picture.pixels

    def press(self, key: str, text: str) -> bool:
        return press(self._game, key, text)

    def point(self, event: Any) -> bool:
        pygame, game = self._pygame, self._game
        if event.type == pygame.MOUSEBUTTONDOWN and event.button in (pygame.BUTTON_LEFT, pygame.BUTTON_RIGHT):
            cell = self._picture.cell_at(event.pos)
            if cell is None:
                return False
            game.click(cell, write=event.button == pygame.BUTTON_RIGHT)
            return True
        if event.type == pygame.MOUSEBUTTONUP:
            game.release()
        elif event.type == pygame.MOUSEMOTION and any(event.buttons):
            cell = self._picture.cell_at(event.pos)
            if cell is not None:
                game.drag(cell)
                return True
        return False


class _Walk:
    """The maze, which is walked with keys alone."""

    def __init__(self, game: WalkGame) -> None:
        self._game = game

    def paint(self) -> NDArray[np.uint8]:
        return self._game.picture()

    def press(self, key: str, text: str) -> bool:
        return self._game.press(key, text)

    def point(self, event: Any) -> bool:
        return False
