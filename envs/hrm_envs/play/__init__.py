"""Play the puzzles of an environment in a window, alone or with advice from a model.

:class:`Game` is the game itself, without images or windows; :func:`render_game` draws it and :func:`play` opens the
window. :class:`WalkGame` and :func:`play_walk` do the same for mazes walked move by move.
"""

from hrm_envs.play.game import Advice, Adviser, Game
from hrm_envs.play.image import GameImage, render_game
from hrm_envs.play.walk import WalkGame
from hrm_envs.play.window import play, play_walk

__all__ = ["Advice", "Adviser", "Game", "GameImage", "WalkGame", "play", "play_walk", "render_game"]
