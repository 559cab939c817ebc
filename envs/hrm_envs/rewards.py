"""Halt rewards: pure functions from a verdict to one reward per row.

The segment cost is not part of them: the dynamics charge it for each segment after which the agent continues.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import shown
from hrm_envs.task import Verdict

#: Maps a verdict of ``B`` answers to float32 ``[B]``.
Reward = Callable[[Verdict], NDArray[np.float32]]


def exact(verdict: Verdict) -> NDArray[np.float32]:
    """1 for a right answer, else 0: the reward of the paper (Wang et al. 2025, section 2)."""
    return verdict.success.astype(np.float32)


def partial(verdict: Verdict) -> NDArray[np.float32]:
    """The verifier's partial credit, in [0, 1]."""
    return verdict.score.astype(np.float32)


REWARDS: dict[str, Reward] = {"exact": exact, "partial": partial}


def resolve_reward(reward: str | Reward) -> Reward:
    """The reward function called ``reward``, or ``reward`` itself if it is a function.

    Raises:
        ValueError: unknown name.
    """
    if callable(reward):
        return reward
    if not isinstance(reward, str) or reward not in REWARDS:
        raise ValueError(f"unknown reward {shown(reward)}: choose one of {sorted(REWARDS)} or pass a function")
    return REWARDS[reward]
