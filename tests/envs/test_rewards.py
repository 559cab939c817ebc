"""Halt rewards."""

from __future__ import annotations

import numpy as np
import pytest

from hrm_envs.rewards import REWARDS, exact, partial, resolve_reward
from hrm_envs.task import Verdict

VERDICT = Verdict(np.array([True, False, False]), np.array([1, 0.5, 0], np.float32))


def test_rewards_computed_by_hand():
    assert exact(VERDICT).tolist() == [1, 0, 0]
    assert partial(VERDICT).tolist() == [1, 0.5, 0]


@pytest.mark.parametrize("name", sorted(REWARDS))
def test_rewards_are_new_float32_arrays(name):
    reward = REWARDS[name](VERDICT)
    assert reward.dtype == np.float32
    reward[:] = 7
    assert VERDICT.score.tolist() == [1, 0.5, 0]


def test_names_and_functions():
    assert resolve_reward("exact") is exact
    assert resolve_reward(len) is len
    with pytest.raises(ValueError, match=r"unknown reward 'fast': choose one of \['exact', 'partial'\] or pass"):
        resolve_reward("fast")
