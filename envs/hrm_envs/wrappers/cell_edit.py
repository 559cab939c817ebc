"""One cell per step: an answer is written step by step and then submitted."""

from __future__ import annotations

from hrm_envs.wrappers.drafting import DraftVectorWrapper, DraftWrapper
from hrm_envs.wrappers.drafts import CellDrafts


class CellEdit(DraftWrapper):
    """Solve a puzzle by writing one token into one cell per step.

    The draft starts as the puzzle. Action ``cell * V' + k`` writes the ``k``-th of the task's ``answer_tokens`` into a
    cell, and the last action submits the draft. Writing into a given cell changes nothing and costs as much as any
    edit. An edit is not a segment: the environment takes its only segment when the draft is submitted.

    **Action**: ``Discrete(S * V' + 1)``. ``info["action_mask"]`` int8 ``[S * V' + 1]`` and ``action_masks()``, the same
    as bool, allow submitting and the edits that change something.

    **Observation**: ``puzzle`` and ``board`` (the draft) uint8 ``[S]``, ``edits`` int32 ``[1]`` (number of edits),
    ``task_id``, and the entries of the task.

    **Reward**: the environment's reward when the draft is submitted; ``-edit_cost`` for each edit; with ``shaping``
    also ``gamma * score(after) - score(before)``, where the score after the end is 0, which preserves the optimal
    policy (Ng, Harada and Russell 1999).

    **Episode end**: the draft is submitted, by the agent or by the edit that reaches ``max_edits``
    (``info["forced_halt"]``).

    Args:
        env: a :class:`~hrm_envs.env.ReasoningEnv`, wrapped or not.
        max_edits: maximum number of edits; by default twice the number of cells.
        edit_cost: cost of an edit, 0 by default.
        shaping: whether to reward better drafts immediately; False by default.
        gamma: discount factor of the shaping, 1 by default; use the agent's own.

    Raises:
        ValueError: another kind of environment, or a keyword is out of range.
        TypeError: unknown keyword.
    """

    drafts_class = CellDrafts


class CellEditVector(DraftVectorWrapper):
    """:class:`CellEdit` for a vector environment. Rows submit independently; masks are ``[n, S * V' + 1]``.

    Args:
        env: an unwrapped :class:`~hrm_envs.vector_env.ReasoningVectorEnv`; apply other wrappers to this one.
        max_edits: see :class:`CellEdit`, also for the other keywords.

    Raises:
        ValueError, TypeError: as :class:`CellEdit`.
    """

    drafts_class = CellDrafts
