"""The keywords, tokens and spaces of walks through mazes, shared by the single and the vector environment."""

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

#: Tokens that a maze has only while somebody walks in it; the others are those of the maze (5, its path, stays unused).
AGENT, DOOR_OPEN, DOOR_SHUT = range(6, 9)
#: One character per token.
SYMBOLS = (*MAZE_SYMBOLS, "@", "'", "+")
#: What the planes of the observation show, in their order.
PLANES = ("wall", "goal", "walker", "open door", "shut door")

#: Rows and columns that each action moves by: up, down, left, right.
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))

Observation = Literal["tokens", "planes"]

#: One cell in this many is a door unless told otherwise.
_CELLS_PER_DOOR = 10
#: As the ids of mazes name it, so that both share the puzzles that were made.
MAZE_TASK = "hrm_envs.maze:MazeTask"
_MAZE_KEYWORDS = (*inspect.signature(MazeTask).parameters, "split", "num_puzzles", "puzzles", "pool_seed", "augment")


@dataclass(frozen=True)
class MoveSettings:
    """The keywords of a walk, beside those of the mazes."""

    #: Steps until the walk is cut off (truncated); by default as many as the maze has open cells, doors among them:
    #: every shortest path fits, and a walker without a plan seldom arrives (on 9x9, 6% of the random ones; within
    #: four times as many, 23%).
    max_steps: int | None = None
    #: Price of every step that does not reach G.
    step_cost: float = 0.01
    #: Whether getting closer to G pays at once: potential-based, so that the best policy stays the best.
    shaping: bool = False
    #: Discount of the shaping; use the agent's own.
    gamma: float = 0.99
    #: Chance that a door flips in a step; 0 for a maze without doors.
    door_probability: float = 0.0
    #: How many doors there are; by default one for ten cells of the grid where ``door_probability`` is above 0.
    num_doors: int | None = None
    #: Whether S is moved to a random cell from which G can be reached, at the start of each walk ("exploring starts"),
    #: for training: the short walks are learned first, and the long ones build on them.
    exploring_starts: bool = False
    #: "tokens" for uint8 ``[S]``, or "planes" for uint8 ``[5, rows, columns]`` of 0 and 255.
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
        for name in ("shaping", "exploring_starts"):
            object.__setattr__(self, name, flag(name, getattr(self, name)))
        choice("observation", self.observation, get_args(Observation))
        if self.num_doors and not self.door_probability:
            raise ValueError(
                f"num_doors={self.num_doors} needs a door_probability above 0: doors that never move could shut G off"
            )

    def doors(self, num_cells: int) -> int:
        """How many doors a grid of ``num_cells`` cells gets."""
        if not self.door_probability:
            return 0
        return num_cells // _CELLS_PER_DOOR if self.num_doors is None else self.num_doors


#: What a time limit of Gymnasium is here.
_ADVICE = {"max_episode_steps": "a walk ends after max_steps: set that"}


def split_keywords(
    kwargs: Mapping[str, Any], made: bool, constructor: str = "MazeMoves"
) -> tuple[MoveSettings, dict[str, Any]]:
    """The keywords of the walk, and the rest, which make the maze environment.

    Args:
        kwargs: all of them.
        made: whether the maze environment is made already.
        constructor: what is made now, for the text of an error.

    Raises:
        TypeError: a keyword is neither the walk's nor the mazes', or the mazes are made already.
    """
    ours = {name: value for name, value in kwargs.items() if name in MoveSettings.__dataclass_fields__}
    rest = {name: value for name, value in kwargs.items() if name not in ours}
    known = () if made else _MAZE_KEYWORDS
    unknown = sorted(set(rest) - set(known))
    if unknown:
        advice = _ADVICE.get(unknown[0], "")
        if made and unknown[0] in _MAZE_KEYWORDS:
            advice = "give it to the maze environment itself"
        raise unexpected_keyword(
            constructor, unknown[0], (*MoveSettings.__dataclass_fields__, "render_mode", *known), advice
        )
    return MoveSettings(**ours), rest


def observation_space(task: MazeTask, settings: MoveSettings) -> spaces.Box:
    """One walk's observation, as the settings ask for it."""
    if settings.observation == "tokens":
        return spaces.Box(0, DOOR_SHUT, (task.spec.num_cells,), np.uint8)
    return spaces.Box(0, 255, (len(PLANES), *task.spec.grid_shape), np.uint8)


def check_render_mode(mode: str | None, modes: Sequence[str]) -> str | None:
    """``mode`` as it is.

    Raises:
        ValueError: it is not among ``modes``.
    """
    return None if mode is None else choice("render_mode", mode, modes)


def as_moves(action: Any, num_rows: int) -> NDArray[Any]:
    """Actions of ``num_rows`` rows as integers ``[n]``.

    Raises:
        ValueError: another number of them, no integers, or out of range.
    """
    moves = as_array("action", action)
    if moves.size != num_rows or moves.dtype.kind not in "ui":
        raise ValueError(f"action: expected {num_rows} integer(s), found {shown(action)}")
    moves = moves.reshape(num_rows)
    if moves.min() < 0 or moves.max() >= len(MOVES):
        raise ValueError(f"action: moves are 0 up, 1 down, 2 left and 3 right, found {shown(action)}")
    return moves
