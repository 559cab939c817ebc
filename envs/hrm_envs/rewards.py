"""What halting pays: pure functions from a verdict to a reward per row.

The price of thinking on, ``segment_cost``, is not among them: the dynamics charge it for every segment after
which the agent continues, whatever the reward.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import shown
from hrm_envs.task import Verdict

#: Maps a verdict on ``B`` answers to float32 ``[B]``.
Reward = Callable[[Verdict], NDArray[np.float32]]


def exact(verdict: Verdict) -> NDArray[np.float32]:
    """1 for a right answer, else 0: the paper's reward (Wang et al. 2025, section 2, adaptive computation)."""
    return verdict.success.astype(np.float32)


def partial(verdict: Verdict) -> NDArray[np.float32]:
    """The verifier's partial credit, in [0, 1]."""
    return verdict.score.astype(np.float32)


REWARDS: dict[str, Reward] = {"exact": exact, "partial": partial}


def resolve_reward(reward: str | Reward) -> Reward:
    """The reward function of a name, or the function itself.

    Raises:
        ValueError: the name is unknown.
    """
    if callable(reward):
        return reward
    if not isinstance(reward, str) or reward not in REWARDS:
        raise ValueError(f"unknown reward {shown(reward)}: choose one of {sorted(REWARDS)} or pass a function")
    return REWARDS[reward]
