"""How a game looks: the person's board on the left, the model's answer on the right, the keys below."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrm_envs.play.game import Game
from hrm_envs.play.keycaps import Cap, KeyHelp, draw_key_helps
from hrm_envs.play.keys import ask_key, hints
from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import BACKGROUND, BLUE, INK, MUTED, PANEL, RED, Canvas, Rect
from hrm_envs.rendering.strip import Strip

#: Width and height of a picture, in pixels.
SIZE = (1280, 720)

_OWN: Rect = (32, 68, 548, 548)
_OTHER: Rect = (636, 68, 400, 400)
_RIGHT = SIZE[0] - 32  # where everything ends


@dataclass(frozen=True)
class Picture:
    """A picture of a game, and where on it the cells of the person's board are."""

    #: uint8 ``[H, W, 3]``.
    pixels: NDArray[np.uint8]
    #: The rectangle of each cell on show, by its index.
    places: dict[int, Rect]

    def cell_at(self, at: tuple[int, int]) -> int | None:
        """The cell at a point (x, y), or None."""
        for cell, (x, y, width, height) in self.places.items():
            if x <= at[0] < x + width and y <= at[1] < y + height:
                return cell
        return None


def paint_game(game: Game) -> Picture:
    """Paint a game; equal states give equal pixels. Needs no display.

    Raises:
        DependencyNotInstalled: pygame is absent.
    """
    canvas = Canvas(*SIZE)
    frame = game.frame()
    own = Board(canvas, game.task.spec, frame, _OWN)
    game.task.draw(own)
    own.draw_cursor()
    strip = _Panel(canvas, frame, 1.0)
    strip.heading(game.task.spec.name, _OWN[0], _OWN[2], f"puzzle {game.num_played}, {game.num_solved} solved")
    _draw_adviser(canvas, game)
    _draw_message(canvas, own, game)
    _draw_keys(canvas, game, own)
    return Picture(canvas.pixels(), dict(own.places))


def _draw_message(canvas: Canvas, board: Board, game: Game) -> None:
    """What there is to say, with a tick or a cross in front of good and bad news."""
    text, tone = game.message
    x, y = _OWN[0], 642.0
    if tone == "good":
        canvas.circle((x + 11, y), 11, BLUE)
        canvas.line([(x + 5.5, y), (x + 9.5, y + 4), (x + 16.5, y - 4.5)], BACKGROUND, 2.6)
    elif tone == "bad":
        board.strike((x + 11, y), 11)
    left = x if tone == "plain" else x + 32
    color = {"plain": INK, "good": BLUE, "bad": RED}[tone]
    canvas.text((left, y), text, 19, color, max_width=_RIGHT - left)


# -- the model ---------------------------------------------------------------------------------------------------


def _draw_adviser(canvas: Canvas, game: Game) -> None:
    frame = game.advice_frame()
    strip = _Panel(canvas, game.frame() if frame is None else frame, 1.0)
    x, y, width, height = _OTHER
    strip.heading("The model", x, _RIGHT - x)
    if frame is None:
        _draw_invitation(canvas, (x, y, _RIGHT - x, _OWN[3]), game)
        return
    board = Board(canvas, game.task.spec, frame, _OTHER)
    game.task.draw(board)
    strip.thoughts(x + width + 28, y, _RIGHT - x - width - 28)
    strip.past(x, y + height + 24, 290)
    strip.explain(board, x + 318, y + height + 36, _RIGHT - x - 318)


def _draw_invitation(canvas: Canvas, panel: Rect, game: Game) -> None:
    """How to ask the model, or what to do to have one."""
    canvas.rect(panel, PANEL, 14)
    text = game.no_adviser
    if game.has_adviser:
        text = (
            f"Press {ask_key(game)} to ask the model. It thinks for one segment each time and shows its answer here, "
            "with what it expects of halting on it and of thinking on."
        )
    lines = [line for paragraph in text.splitlines() for line in textwrap.wrap(paragraph, 62, break_on_hyphens=False)]
    top = panel[1] + panel[3] / 2 - (len(lines) - 1) * 15
    for number, line in enumerate(lines):
        at = (panel[0] + panel[2] / 2, top + number * 30)
        canvas.text(at, line, 19, MUTED, False, "center", max_width=panel[2] - 48)


class _Panel(Strip):
    """Blocks of the strip beside a board, in other places."""

    def heading(self, name: str, x: float, width: float, more: str = "") -> None:
        """A title, and what else there is to say on the right."""
        self._title(name, x, 24, width * 0.6)
        self._canvas.text((x + width, 37), more, 17, MUTED, False, "right", max_width=width * 0.38)

    def thoughts(self, x: float, y: float, width: float) -> None:
        """The segment, the score and the Q-values of the latest answer, and what the model makes of them."""
        self._segments(x, y + 10, width)
        self._score(x, y + 78, width)
        self._values(x, y + 150, width)
        self._decision(x, y + 240, width)

    def past(self, x: float, y: float, width: float) -> None:
        """The Q-values of all segments."""
        self._history(x, y, width, 96)

    def explain(self, board: Board, x: float, y: float, width: float) -> None:
        """What the marks mean."""
        self._key(board, x, y, width)


# -- keys --------------------------------------------------------------------------------------------------------


def _draw_keys(canvas: Canvas, game: Game, board: Board) -> None:
    """One line with every key and what it does."""
    helps = []
    for hint in hints(game, tuple(board.colours)):
        coloured = [Cap(board.symbol(token), board.colours[token]) for token in hint.tokens]
        helps.append(KeyHelp([*coloured, *map(Cap, hint.caps)], hint.text))
    draw_key_helps(canvas, helps, (_OWN[0], 686.0), _RIGHT - _OWN[0])
