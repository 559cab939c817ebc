"""Mazes walked move by move are not for an HRM of the segment MDP, and training says so."""

from __future__ import annotations

import pytest

from hrm_agents.errors import UserError
from hrm_agents.trainer import Trainer


def test_training_says_what_is_wrong(tiny_config, tmp_path):
    with pytest.raises(UserError, match=r"HRM/MazeMoves-9x9-v0 is not a reasoning environment; `hrm-agents envs`"):
        Trainer(tiny_config("HRM/MazeMoves-9x9-v0"), tmp_path)
