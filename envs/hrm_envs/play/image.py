"""Renders a game: the player's board on the left, the model's answer on the right, and the keys below."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrm_envs.play.game import Game
from hrm_envs.play.keycaps import draw_key_helps
from hrm_envs.play.keys import ask_key, key_helps
from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import BACKGROUND, BLUE, INK, MUTED, PANEL, RED, Canvas, Rect
from hrm_envs.rendering.render import draw_board
from hrm_envs.rendering.strip import Strip

#: Width and height of an image, in pixels.
SIZE = (1280, 720)

_PLAYER: Rect = (32, 68, 548, 548)
_MODEL: Rect = (636, 68, 400, 400)
_RIGHT = SIZE[0] - 32  # the right edge of all parts


@dataclass(frozen=True)
class GameImage:
    """An image of a game, and where on it the cells of the player's board are."""

    #: uint8 ``[H, W, 3]``.
    pixels: NDArray[np.uint8]
    #: The rectangle of each visible cell, by its index.
    cell_rects: dict[int, Rect]

    def cell_at(self, at: tuple[int, int]) -> int | None:
        """The cell at a point (x, y), or None."""
        for cell, (x, y, width, height) in self.cell_rects.items():
            if x <= at[0] < x + width and y <= at[1] < y + height:
                return cell
        return None


def render_game(game: Game) -> GameImage:
    """Render a game; equal states give equal pixels. Needs no display.

    Raises:
        DependencyNotInstalled: pygame is not installed.
    """
    canvas, frame = Canvas(*SIZE), game.frame()
    board = draw_board(canvas, game.task, frame, _PLAYER)
    left, _, width, _ = _PLAYER
    Strip(canvas, frame, 1.0).title(game.task.spec.name, left, 24, width * 0.6)
    score = f"puzzle {game.num_played}, {game.num_solved} solved"
    canvas.text((left + width, 37), score, 17, MUTED, "right", max_width=width * 0.38)
    _draw_model(canvas, game)
    _draw_message(canvas, board, game)
    draw_key_helps(canvas, key_helps(game, board.token_colors), (left, 686.0), _RIGHT - left)
    return GameImage(canvas.pixels(), dict(board.cell_rects))


def _draw_message(canvas: Canvas, board: Board, game: Game) -> None:
    """The message, after a tick for good news or a cross for bad news."""
    text, tone = game.message
    x, y = _PLAYER[0], 642.0
    if tone == "good":
        canvas.circle((x + 11, y), 11, BLUE)
        canvas.line([(x + 5.5, y), (x + 9.5, y + 4), (x + 16.5, y - 4.5)], BACKGROUND, 2.6)
    elif tone == "bad":
        board.strike((x + 11, y), 11)
    left = x if tone == "plain" else x + 32
    color = {"plain": INK, "good": BLUE, "bad": RED}[tone]
    canvas.text((left, y), text, 19, color, max_width=_RIGHT - left)


def _draw_model(canvas: Canvas, game: Game) -> None:
    """The model's latest answer and its Q-values, or how to ask it."""
    frame = game.advice_frame()
    x, y, width, height = _MODEL
    strip = Strip(canvas, game.frame() if frame is None else frame, 1.0)
    strip.title("The model", x, 24, (_RIGHT - x) * 0.6)
    if frame is None:
        _draw_invitation(canvas, (x, y, _RIGHT - x, _PLAYER[3]), game)
        return
    board = draw_board(canvas, game.task, frame, _MODEL)
    left, room = x + width + 28, _RIGHT - x - width - 28
    strip.progress(left, y + 10, room)
    strip.score(left, y + 78, room)
    strip.q_values(left, y + 150, room)
    strip.decision(left, y + 240, room)
    strip.history(x, y + height + 24, 290, 96)
    strip.legend(board, x + 318, y + height + 36, _RIGHT - x - 318)


def _draw_invitation(canvas: Canvas, panel: Rect, game: Game) -> None:
    """How to ask the model, or how to load one."""
    canvas.rect(panel, PANEL, 14)
    text = game.no_adviser
    if game.has_adviser:
        text = (
            f"Press {ask_key(game)} to ask the model. Each time it thinks for one segment and shows its answer here, "
            "with the Q-values of halting and of continuing."
        )
    lines = [line for paragraph in text.splitlines() for line in textwrap.wrap(paragraph, 62, break_on_hyphens=False)]
    top = panel[1] + panel[3] / 2 - (len(lines) - 1) * 15
    for number, line in enumerate(lines):
        at = (panel[0] + panel[2] / 2, top + number * 30)
        canvas.text(at, line, 19, MUTED, "center", max_width=panel[2] - 48)
