"""A player walks through mazes move by move."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from hrm_envs.moves.settings import MOVES
from hrm_envs.play.keycaps import Cap, KeyHelp, draw_key_helps
from hrm_envs.play.keys import ARROWS
from hrm_envs.rendering.canvas import Canvas
from hrm_envs.rendering.look import MIN_SIDE, Size
from hrm_envs.wrappers import MazeMoves

_FOOTER, _MARGIN = 72, 32
_HELPS = (
    KeyHelp([Cap("Arrows")], "walk; into a wall: wait"),
    KeyHelp([Cap("N")], "next"),
    KeyHelp([Cap("Q"), Cap("Esc")], "quit"),
)


class WalkGame:
    """One walk after another through the mazes of an environment.

    Args:
        env: a :class:`~hrm_envs.wrappers.MazeMoves`, possibly wrapped, made with ``render_mode="rgb_array"``.
        seed: of the mazes and doors.

    Raises:
        ValueError: ``env`` is another environment, or the seed is negative.
    """

    #: Whether the walk has ended, and whether the walker reached G.
    over: bool
    solved: bool
    #: Walks started and solved, including this one.
    num_played: int
    num_solved: int

    def __init__(self, env: gym.Env[Any, Any], *, seed: int = 0) -> None:
        walks = env.unwrapped
        if not isinstance(walks, MazeMoves) or walks.render_mode != "rgb_array":
            raise ValueError(f'WalkGame needs a MazeMoves made with render_mode="rgb_array", got {env}')
        if seed < 0:
            raise ValueError(f"seed={seed} must not be negative")
        self._env = walks
        self.name = walks.title
        #: Default width and height of an image, in pixels.
        self.size: Size = (walks.mazes.look.size[0], walks.mazes.look.size[1] + _FOOTER)
        self.num_played = self.num_solved = 0
        self._begin(seed)

    def move(self, rows: int, columns: int) -> None:
        """Walk one cell; a wall, a shut door or the border stops the walker, but the step counts."""
        if self.over:
            return
        *_, self.solved, truncated, _ = self._env.step(MOVES.index((rows, columns)))
        self.over = self.solved or truncated
        self.num_solved += self.solved

    def next_walk(self) -> None:
        """Start another walk, even if this one has not ended."""
        self._begin(None)

    def press(self, key: str, text: str = "") -> bool:
        """Do what a key stands for; see :func:`hrm_envs.play.keys.press`. False if the player wants to leave."""
        if key in ARROWS:
            self.move(*ARROWS[key])
        elif key == "f2" or text in ("n", "N"):
            self.next_walk()
        return key != "escape" and text not in ("q", "Q")

    def render(self, size: Size | None = None) -> NDArray[np.uint8]:
        """Render the walk with score and keys below it, uint8 ``[H, W, 3]``. Needs no display.

        Args:
            size: width and height in pixels; :attr:`size` if omitted.

        Raises:
            DependencyNotInstalled: pygame is not installed.
        """
        width, height = size or self.size
        walk = self._env.image((width, max(height - _FOOTER, MIN_SIDE)))
        footer = Canvas(width, _FOOTER, self._env.mazes.look.theme)
        middle = _FOOTER / 2 - 4
        score = f"maze {self.num_played}, {self.num_solved} solved"
        taken = footer.text((width - _MARGIN, middle), score, 17, footer.theme.muted, "right", width * 0.3)
        draw_key_helps(footer, _HELPS, (_MARGIN, middle), width - 3 * _MARGIN - taken)
        return np.concatenate([walk, footer.pixels()])

    def _begin(self, seed: int | None) -> None:
        self._env.reset(seed=seed)
        self.over = self.solved = False
        self.num_played += 1
