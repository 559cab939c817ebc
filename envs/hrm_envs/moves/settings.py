"""Keywords, tokens and spaces that the single and the vector environment of maze walks share."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from hrm_envs.checks import as_array, choice, flag, real_number, shown, unexpected_keyword, whole_number
from hrm_envs.limits import MAX_CELLS, MAX_COST, MAX_STEPS
from hrm_envs.maze import MazeTask
from hrm_envs.maze.tokens import SYMBOLS as MAZE_SYMBOLS

#: Tokens of walks in addition to those of mazes (5, the path, is unused).
AGENT, DOOR_OPEN, DOOR_SHUT = range(6, 9)
#: One character per token.
SYMBOLS = (*MAZE_SYMBOLS, "@", "'", "+")
#: The planes of the observation, in order.
PLANES = ("wall", "goal", "walker", "open door", "shut door")

#: Rows and columns by which each action moves: up, down, left, right.
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))

Observation = Literal["tokens", "planes"]

#: Cells of the grid per door, by default.
_CELLS_PER_DOOR = 10
_MAZE_KEYWORDS = (
    *inspect.signature(MazeTask).parameters,
    *("split", "num_puzzles", "puzzles", "pool_seed", "augment", "render_size", "theme"),
)


@dataclass(frozen=True)
class MoveSettings:
    """Keywords of a walk, in addition to those of the mazes."""

    #: Steps until truncation; by default the number of open cells, including doors: enough for every shortest path,
    #: but seldom for a random walk (on 9x9, 6% arrive; with four times as many steps, 23%).
    max_steps: int | None = None
    #: Cost of every step that does not reach G.
    step_cost: float = 0.01
    #: Whether to add potential-based shaping, which rewards getting closer to G and keeps the optimal policy.
    shaping: bool = False
    #: Discount of the shaping; use that of the agent.
    gamma: float = 0.99
    #: Probability that a door flips in a step; 0 for a maze without doors.
    door_probability: float = 0.0
    #: Number of doors; by default one per ten cells of the grid if ``door_probability`` is above 0.
    num_doors: int | None = None
    #: Whether each walk starts on a random cell from which G can be reached ("exploring starts"). Helps training:
    #: short walks are learned first, and long ones build on them.
    exploring_starts: bool = False
    #: Whether ``info`` has the best moves and the distance to G, through the doors that are open now. For teachers and
    #: tests: the agent should not see them.
    oracle: bool = False
    #: "tokens" for uint8 ``[S]``, "planes" for uint8 ``[5, rows, columns]`` of 0 and 255.
    observation: Observation = "tokens"

    def __post_init__(self) -> None:
        bounds = {"max_steps": (1, MAX_STEPS), "num_doors": (0, MAX_CELLS)}
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, whole_number(name, value, low, high))
        ranges = {"step_cost": (-MAX_COST, MAX_COST), "gamma": (0.0, 1.0), "door_probability": (0.0, 1.0)}
        for name, (least, most) in ranges.items():
            object.__setattr__(self, name, real_number(name, getattr(self, name), least, most))
        for name in ("shaping", "exploring_starts", "oracle"):
            object.__setattr__(self, name, flag(name, getattr(self, name)))
        choice("observation", self.observation, get_args(Observation))
        if self.num_doors and not self.door_probability:
            raise ValueError(
                f"num_doors={self.num_doors} needs a door_probability above 0: fixed doors could block every way to G"
            )

    def count_doors(self, num_cells: int) -> int:
        """Number of doors in a grid of ``num_cells`` cells."""
        if not self.door_probability:
            return 0
        return num_cells // _CELLS_PER_DOOR if self.num_doors is None else self.num_doors


#: Equivalents of keywords from Gymnasium.
_ADVICE = {"max_episode_steps": "a walk ends after max_steps: set that"}


def split_keywords(
    kwargs: Mapping[str, Any], mazes_given: bool, constructor: str = "MazeMoves"
) -> tuple[MoveSettings, dict[str, Any]]:
    """Split keywords into those of the walk and those of the maze environment.

    Args:
        kwargs: all keywords.
        mazes_given: whether the maze environment exists already and takes no keywords.
        constructor: name of the class for error messages.

    Raises:
        TypeError: a keyword belongs to neither, or to the maze environment that exists already.
    """
    fields = MoveSettings.__dataclass_fields__
    ours = {name: value for name, value in kwargs.items() if name in fields}
    rest = {name: value for name, value in kwargs.items() if name not in ours}
    known = () if mazes_given else _MAZE_KEYWORDS
    unknown = min(set(rest) - set(known), default=None)
    if unknown is not None:
        advice = "give it to the maze environment itself" if unknown in _MAZE_KEYWORDS else _ADVICE.get(unknown, "")
        raise unexpected_keyword(constructor, unknown, (*fields, "render_mode", *known), advice)
    return MoveSettings(**ours), rest


def observation_space(task: MazeTask, settings: MoveSettings) -> spaces.Box:
    """The observation space of one walk."""
    if settings.observation == "tokens":
        return spaces.Box(0, DOOR_SHUT, (task.spec.num_cells,), np.uint8)
    return spaces.Box(0, 255, (len(PLANES), *task.spec.grid_shape), np.uint8)


def check_render_mode(mode: str | None, modes: Sequence[str]) -> str | None:
    """Return ``mode`` unchanged.

    Raises:
        ValueError: ``mode`` is neither None nor among ``modes``.
    """
    return None if mode is None else choice("render_mode", mode, modes)


def as_moves(action: Any, num_rows: int) -> NDArray[Any]:
    """Convert the actions of ``num_rows`` rows to integers ``[n]``.

    Raises:
        ValueError: wrong number of actions, not integers, or out of range.
    """
    moves = as_array("action", action)
    if moves.size != num_rows or moves.dtype.kind not in "ui":
        raise ValueError(f"action: expected {num_rows} integer(s), found {shown(action)}")
    moves = moves.reshape(num_rows)
    if moves.min() < 0 or moves.max() >= len(MOVES):
        raise ValueError(f"action: moves are 0 up, 1 down, 2 left and 3 right, found {shown(action)}")
    return moves
