"""A person solves the puzzles of an environment in a window, alone or with the advice of a model.

:class:`Game` is the game itself and knows neither pictures nor windows; :mod:`.keys` says what a key does,
:mod:`.picture` paints, and :func:`play` opens the window. :class:`WalkGame` and :func:`play_walk` are for mazes that
are walked move by move.
"""

from hrm_envs.play.game import Advice, Adviser, Game
from hrm_envs.play.picture import paint_game
from hrm_envs.play.walk import WalkGame
from hrm_envs.play.window import play, play_walk

__all__ = ["Advice", "Adviser", "Game", "WalkGame", "paint_game", "play", "play_walk"]
