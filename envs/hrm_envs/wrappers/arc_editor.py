"""ARC grids drawn with a cursor: painted cell by cell, resized, and then submitted."""

from __future__ import annotations

from hrm_envs.wrappers.arc_drafts import ArcDrafts
from hrm_envs.wrappers.drafting import DraftVectorWrapper, DraftWrapper


class ArcEditor(DraftWrapper):
    """Solve an ARC task by drawing its output grid step by step, with 19 actions for any size of canvas.

    The draft starts as the test input, with the cursor on its first cell. Every action except submitting is an edit,
    including cursor moves; an edit that changes nothing counts and costs as much as any. An edit is not a segment: the
    environment takes its only segment when the grid is submitted.

    **Action**: ``Discrete(19)``, see :class:`.ArcAction`: 0 to 3 move the cursor up, down, left and right within the
    grid; 4 to 13 paint its cell with colour 0 to 9; 14 to 17 add or remove the last row, add or remove the last column;
    18 submits. A grid has at least one row and one column, and must fit the canvas from its first cell on. New cells
    have colour 0, removed cells are lost, and the cursor stays within the grid. ``info["action_mask"]`` int8 ``[19]``
    and ``action_masks()``, the same as bool, allow submitting and the edits that change something.

    **Observation**: ``puzzle`` uint8 ``[S]``; ``board`` uint8 ``[S]``, the canvas with the draft; ``cursor`` int32
    ``[2]``, its row and column *on the canvas* (the train split places grids anywhere on it); ``size`` int32 ``[2]``,
    height and width of the grid; ``edits`` int32 ``[1]``, the number of edits; ``task_id``, and ``demonstrations`` if
    the environment has them.

    **Reward** and **episode end**: as in :class:`.CellEdit`.

    Args:
        env: a :class:`~hrm_envs.env.ReasoningEnv` of ARC tasks, wrapped or not.
        start: ``"input"`` (default), or ``"blank"`` for a grid of the input's size and colour 0.
        max_edits: maximum number of edits; by default twice the cells plus twice the side of the canvas, which is
            enough for any grid.
        edit_cost: cost of an edit, 0 by default.
        shaping: whether to reward better grids immediately; False by default.
        gamma: discount factor of the shaping, 1 by default; use the agent's own.

    Raises:
        ValueError: another kind of environment, or a keyword is out of range.
        TypeError: unknown keyword.
    """

    drafts_class = ArcDrafts


class ArcEditorVector(DraftVectorWrapper):
    """:class:`ArcEditor` for a vector environment. Rows submit independently; masks are ``[n, 19]``.

    Args:
        env: an unwrapped :class:`~hrm_envs.vector_env.ReasoningVectorEnv` of ARC tasks; apply other wrappers to it.
        start: see :class:`ArcEditor`, also for the other keywords.

    Raises:
        ValueError, TypeError: as :class:`ArcEditor`.
    """

    drafts_class = ArcDrafts
