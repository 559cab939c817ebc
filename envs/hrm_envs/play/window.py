"""The window in which a person plays: turns what pygame reports into keys and clicks."""

from __future__ import annotations

from typing import Any

from hrm_envs.canvas import import_pygame
from hrm_envs.play.game import Game
from hrm_envs.play.keys import REPEATING, press
from hrm_envs.play.picture import Picture, paint_game
from hrm_envs.rendering import Window

#: Milliseconds until a key that is held down repeats, and between its repetitions.
_REPEAT = (350, 60)
#: Milliseconds of waiting after which Python looks whether somebody pressed Ctrl-C.
_PATIENCE = 250


def play(game: Game) -> None:
    """Play in a window until the person leaves or closes it.

    Raises:
        DependencyNotInstalled: pygame is absent.
        gymnasium.error.Error: there is no display.
    """
    pygame = import_pygame()
    window = Window(f"{game.task.spec.name} - hrm-agents")
    try:
        picture = paint_game(game)
        window.draw(picture.pixels)
        pygame.key.set_repeat(*_REPEAT)
        hands = _Hands(pygame, game)
        while True:
            # Waits for the first, then takes all there are: a picture for each step of the mouse would lag behind.
            for event in [pygame.event.wait(_PATIENCE), *pygame.event.get()]:
                if not hands.handle(event, picture):
                    return
            if hands.busy:
                picture = paint_game(game)
                window.draw(picture.pixels)
                hands.busy = False
    finally:
        window.close()


class _Hands:
    """Remembers what is held down.

    Attributes:
        busy: something was done since this was last set to False, so that there may be something to see.
    """

    def __init__(self, pygame: Any, game: Game) -> None:
        self._pygame, self._game = pygame, game
        self._keys = {
            pygame.K_UP: "up", pygame.K_DOWN: "down", pygame.K_LEFT: "left", pygame.K_RIGHT: "right",
            pygame.K_RETURN: "return", pygame.K_KP_ENTER: "return", pygame.K_BACKSPACE: "backspace",
            pygame.K_DELETE: "delete", pygame.K_ESCAPE: "escape", pygame.K_F1: "f1", pygame.K_F2: "f2",
        }  # fmt: skip
        self._held: set[int] = set()
        self.busy = False

    def handle(self, event: Any, picture: Picture) -> bool:
        """Do what an event asks for; False if the person wants to leave."""
        pygame, game = self._pygame, self._game
        if event.type == pygame.QUIT:
            return False
        if event.type == pygame.KEYDOWN:
            self.busy = True
            again, name = event.key in self._held, self._keys.get(event.key, "")
            self._held.add(event.key)
            return (again and name not in REPEATING) or press(game, name, event.unicode)
        if event.type == pygame.KEYUP:
            self._held.discard(event.key)
        elif event.type == pygame.WINDOWFOCUSLOST:
            self._held.clear()  # the key may come up unseen
        elif event.type == pygame.WINDOWEXPOSED:
            self.busy = True
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button in (pygame.BUTTON_LEFT, pygame.BUTTON_RIGHT):
            cell = picture.cell_at(event.pos)
            if cell is not None:
                self.busy = True
                game.click(cell, write=event.button == pygame.BUTTON_RIGHT)
        elif event.type == pygame.MOUSEBUTTONUP:
            game.release()
        elif event.type == pygame.MOUSEMOTION and any(event.buttons):
            cell = picture.cell_at(event.pos)
            if cell is not None:
                self.busy = True
                game.drag(cell)
        return True
