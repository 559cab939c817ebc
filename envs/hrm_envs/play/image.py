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
from hrm_envs.rendering.canvas import Canvas, Rect
from hrm_envs.rendering.look import Size
from hrm_envs.rendering.render import draw_board
from hrm_envs.rendering.strip import Strip

#: Default width and height of an image, in pixels.
SIZE: Size = (1280, 720)


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


@dataclass(frozen=True)
class _Layout:
    """Where the parts of an image are: a design of 720 units in height, in the middle of the image."""

    #: Pixels per unit, and where the design begins.
    unit: float
    left: float
    top: float
    #: Width of the design, and side of the model's board, in units.
    width: float
    model_side: float

    @classmethod
    def of(cls, size: Size) -> _Layout:
        """The wide design, or the narrow one for images such as 640 x 480, whose text stays larger."""
        wide = size[0] >= 1.5 * size[1]
        width, model_side = (1280.0, 400.0) if wide else (960.0, 316.0)
        unit = min(size[0] / width, size[1] / 720)
        return cls(unit, (size[0] - width * unit) / 2, (size[1] - 720 * unit) / 2, width, model_side)

    @property
    def is_wide(self) -> bool:
        """Whether the model's numbers have room beside its board."""
        return self.model_side == 400

    @property
    def player(self) -> Rect:
        """The player's board."""
        return self.rect(32, 68, 548, 548)

    @property
    def model(self) -> Rect:
        """The model's board."""
        return self.rect(636 if self.is_wide else 612, 68, self.model_side, self.model_side)

    @property
    def right(self) -> float:
        """The right edge of all parts."""
        return self.left + (self.width - 32) * self.unit

    def rect(self, x: float, y: float, width: float, height: float) -> Rect:
        """A rectangle of the design in pixels."""
        return self.left + x * self.unit, self.y(y), width * self.unit, height * self.unit

    def y(self, y: float) -> float:
        """A height of the design in pixels."""
        return self.top + y * self.unit


def render_game(game: Game, size: Size = SIZE) -> GameImage:
    """Render a game; equal states give equal pixels. Needs no display.

    Args:
        game: what to show.
        size: width and height in pixels.

    Raises:
        DependencyNotInstalled: pygame is not installed.
    """
    layout, canvas, frame = _Layout.of(size), Canvas(*size, game.theme), game.frame()
    unit, muted = layout.unit, canvas.theme.muted
    board = draw_board(canvas, game.task, frame, layout.player)
    left, _, width, _ = layout.player
    Strip(canvas, frame, unit).title(game.task.spec.name, left, layout.y(24), width * 0.6)
    score = f"puzzle {game.num_played}, {game.num_solved} solved"
    canvas.text((left + width, layout.y(37)), score, 17 * unit, muted, "right", max_width=width * 0.38)
    _draw_model(canvas, game, layout)
    _draw_message(canvas, board, game, layout)
    helps = key_helps(game, board.token_colors)
    draw_key_helps(canvas, helps, (left, layout.y(681)), layout.right - left, unit)
    return GameImage(canvas.pixels(), dict(board.cell_rects))


def _draw_message(canvas: Canvas, board: Board, game: Game, layout: _Layout) -> None:
    """The message, after a tick for good news or a cross for bad news."""
    text, tone = game.message
    u, x, y, theme = layout.unit, layout.player[0], layout.y(636), canvas.theme
    if tone == "good":
        canvas.circle((x + 11 * u, y), 11 * u, theme.blue)
        tick = [(5.5, 0.0), (9.5, 4.0), (16.5, -4.5)]
        canvas.line([(x + right * u, y + down * u) for right, down in tick], theme.background, 2.6 * u)
    elif tone == "bad":
        board.strike((x + 11 * u, y), 11 * u)
    left = x if tone == "plain" else x + 32 * u
    color = {"plain": theme.ink, "good": theme.blue, "bad": theme.red}[tone]
    canvas.text((left, y), text, 19 * u, color, max_width=layout.right - left)


def _draw_model(canvas: Canvas, game: Game, layout: _Layout) -> None:
    """The model's latest answer and its Q-values, or how to ask it."""
    frame = game.advice_frame()
    u, (x, y, width, height) = layout.unit, layout.model
    strip = Strip(canvas, game.frame() if frame is None else frame, u)
    strip.title("The model", x, layout.y(24), (layout.right - x) * 0.6)
    if frame is None:
        _draw_invitation(canvas, (x, y, layout.right - x, layout.player[3]), game, u)
        return
    board = draw_board(canvas, game.task, frame, layout.model)
    if not layout.is_wide:
        below = y + height
        strip.progress(x, below + 26 * u, width)
        strip.score(x, below + 84 * u, width)
        strip.q_values(x, below + 136 * u, width)
        strip.decision(x, below + 222 * u, width)
        return
    left, room = x + width + 28 * u, layout.right - x - width - 28 * u
    strip.progress(left, y + 10 * u, room)
    strip.score(left, y + 78 * u, room)
    strip.q_values(left, y + 150 * u, room)
    strip.decision(left, y + 240 * u, room)
    strip.history(x, y + height + 24 * u, 290 * u, 96 * u)
    strip.legend(board, x + 318 * u, y + height + 36 * u, layout.right - x - 318 * u)


def _draw_invitation(canvas: Canvas, panel: Rect, game: Game, unit: float) -> None:
    """How to ask the model, or how to load one."""
    canvas.rect(panel, canvas.theme.panel, 14 * unit)
    text = game.no_adviser
    if game.has_adviser:
        text = (
            f"Press {ask_key(game)} to ask the model. Each time it thinks for one segment and shows its answer here, "
            "with the Q-values of halting and of continuing."
        )
    letters = int(panel[2] / unit / 9.9)
    paragraphs = (textwrap.wrap(paragraph, letters, break_on_hyphens=False) for paragraph in text.splitlines())
    lines = [line for paragraph in paragraphs for line in paragraph]
    top = panel[1] + panel[3] / 2 - (len(lines) - 1) * 15 * unit
    for number, line in enumerate(lines):
        at = (panel[0] + panel[2] / 2, top + number * 30 * unit)
        canvas.text(at, line, 19 * unit, canvas.theme.muted, "center", max_width=panel[2] - 32 * unit)
