"""A person solves the puzzles of an environment in a window, alone or with the advice of a model.

:class:`Game` is the game itself and knows neither pictures nor windows; :mod:`.keys` says what a key does,
:mod:`.picture` paints, and :func:`play` opens the window.
"""

from hrm_envs.play.game import Advice, Adviser, Game
from hrm_envs.play.picture import paint_game
from hrm_envs.play.window import play

__all__ = ["Advice", "Adviser", "Game", "paint_game", "play"]
