"""One cell at a time: an answer is written step by step on a board and then handed in."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from hrm_envs.wrappers.draft_view import BoardVectorView, BoardView
from hrm_envs.wrappers.drafts import CellBoards


class CellEdit(BoardView, RecordConstructorArgs):
    """Solve a puzzle by writing one token into one cell a step.

    The board begins as the puzzle. Action ``cell * V' + k`` writes the ``k``-th of the task's ``answer_tokens`` into a
    cell, the last action hands the board in. Writing into a given cell changes nothing and costs as much as any edit.
    An edit is no segment: the environment takes its one segment when the board is handed in.

    **Action**: ``Discrete(S * V' + 1)``. ``info["action_mask"]`` int8 ``[S * V' + 1]`` and ``action_masks()``, the same
    as bool, leave the edits that change something, and handing in.

    **Observation**: ``puzzle`` and ``board`` uint8 ``[S]``, ``edits`` int32 ``[1]`` (those made), ``task_id``, and what
    the task adds.

    **Reward**: the environment's when the board is handed in; ``-edit_cost`` for each edit; with ``shaping`` also
    ``gamma * score(after) - score(before)``, the score after the end being 0, which leaves the best policy the best
    one (Ng, Harada and Russell 1999).

    **End**: the board is handed in, by the agent or by the edit that uses ``max_edits`` up (``info["forced_halt"]``).

    Args:
        env: a :class:`~hrm_envs.env.ReasoningEnv`, wrapped or not.
        max_edits: edits at most; twice the cells by default.
        edit_cost: price of an edit.
        shaping: whether better boards pay at once.
        gamma: discount of the shaping; use the agent's own.

    Raises:
        ValueError: it is no such environment, or a keyword is out of range.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        *,
        max_edits: int | None = None,
        edit_cost: float = 0.0,
        shaping: bool = False,
        gamma: float = 1.0,
    ) -> None:
        super().__init__(
            env, partial(CellBoards, max_edits=max_edits), edit_cost=edit_cost, shaping=shaping, gamma=gamma
        )
        # After the checks: it copies what it is given.
        RecordConstructorArgs.__init__(self, max_edits=max_edits, edit_cost=edit_cost, shaping=shaping, gamma=gamma)


class CellEditVector(BoardVectorView):
    """:class:`CellEdit` for a vector environment: rows write on while others hand in; masks are ``[n, S * V' + 1]``.

    Args:
        env: a :class:`~hrm_envs.vector_env.ReasoningVectorEnv` itself; other wrappers go around this one.
        max_edits: see :class:`CellEdit`, as for the other keywords.

    Raises:
        ValueError: it is no such environment, or a keyword is out of range.
    """

    def __init__(
        self,
        env: gym.vector.VectorEnv[Any, Any, Any],
        *,
        max_edits: int | None = None,
        edit_cost: float = 0.0,
        shaping: bool = False,
        gamma: float = 1.0,
    ) -> None:
        super().__init__(
            env, partial(CellBoards, max_edits=max_edits), edit_cost=edit_cost, shaping=shaping, gamma=gamma
        )
