"""ARC grids drawn with a cursor: painted cell by cell, made larger and smaller, and then handed in."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from hrm_envs.wrappers.arc_drafts import ArcBoards, Start
from hrm_envs.wrappers.draft_view import BoardVectorView, BoardView


class ArcEditor(BoardView, RecordConstructorArgs):
    """Solve an ARC task by drawing its output grid step by step, with 19 actions whatever the size of the canvas.

    The grid begins as the test input, with the cursor on its first cell. Every action but handing in is an edit, a move
    of the cursor too, and one that changes nothing counts and costs as much as any. An edit is no segment: the
    environment takes its one segment when the grid is handed in.

    **Action**: ``Discrete(19)``, named by :class:`.ArcAction`: 0 to 3 move the cursor up, down, left, right, within the
    grid; 4 to 13 paint its cell with colour 0 to 9; 14 to 17 add or remove a row, add or remove a column, always the
    last one; 18 hands in. A grid has at least one row and one column and at most as many as the canvas has from the
    grid's first cell on. New cells are of colour 0, removed ones are lost, and the cursor steps back into the grid.
    ``info["action_mask"]`` int8 ``[19]`` and ``action_masks()``, the same as bool, leave the edits that change
    something, and handing in.

    **Observation**: ``puzzle`` uint8 ``[S]``; ``board`` uint8 ``[S]``, the canvas with the grid of now, which is what
    would be handed in; ``cursor`` int32 ``[2]``, its row and column *on the canvas* (the train split places grids
    anywhere on it); ``size`` int32 ``[2]``, height and width of the grid; ``edits`` int32 ``[1]``, those made;
    ``task_id``, and ``demonstrations`` if the environment has them.

    **Reward**: the environment's when the grid is handed in; ``-edit_cost`` for each edit; with ``shaping`` also
    ``gamma * score(after) - score(before)``, as in :class:`.CellEdit`.

    **End**: the grid is handed in, by the agent or by the edit that uses ``max_edits`` up (``info["forced_halt"]``).

    Args:
        env: a :class:`~hrm_envs.env.ReasoningEnv` of ARC tasks, wrapped or not.
        start: ``"input"``, or ``"blank"``: of the input's size, all colour 0.
        max_edits: edits at most; by default twice the cells and twice the side of the canvas, enough for any grid.
        edit_cost: price of an edit.
        shaping: whether better grids pay at once.
        gamma: discount of the shaping; use the agent's own.

    Raises:
        ValueError: it is no such environment, or a keyword is out of range.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        *,
        start: Start = "input",
        max_edits: int | None = None,
        edit_cost: float = 0.0,
        shaping: bool = False,
        gamma: float = 1.0,
    ) -> None:
        boards = partial(ArcBoards, start=start, max_edits=max_edits)
        super().__init__(env, boards, edit_cost=edit_cost, shaping=shaping, gamma=gamma)
        # After the checks: it copies what it is given.
        RecordConstructorArgs.__init__(
            self, start=start, max_edits=max_edits, edit_cost=edit_cost, shaping=shaping, gamma=gamma
        )


class ArcEditorVector(BoardVectorView):
    """:class:`ArcEditor` for a vector environment: rows draw on while others hand in; masks are ``[n, 19]``.

    Args:
        env: a :class:`~hrm_envs.vector_env.ReasoningVectorEnv` of ARC tasks itself; other wrappers go around this one.
        start: see :class:`ArcEditor`, as for the other keywords.

    Raises:
        ValueError: it is no such environment, or a keyword is out of range.
    """

    def __init__(
        self,
        env: gym.vector.VectorEnv[Any, Any, Any],
        *,
        start: Start = "input",
        max_edits: int | None = None,
        edit_cost: float = 0.0,
        shaping: bool = False,
        gamma: float = 1.0,
    ) -> None:
        boards = partial(ArcBoards, start=start, max_edits=max_edits)
        super().__init__(env, boards, edit_cost=edit_cost, shaping=shaping, gamma=gamma)
