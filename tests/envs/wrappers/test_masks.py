"""The mask in the observation belongs to the state of the observation, for every wrapper."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cell_edit import choose as choose_edits
from test_flat import choose as choose_answers
from twins import FAMILIES, MODES, ROWS, gymnasium_has_no_complaint, rows_equal_singles, single, vector

from hrm_envs.wrappers import (
    CellEdit,
    CellEditVector,
    FlattenAnswer,
    FlattenAnswerVector,
    MaskInObs,
    MaskInObsVector,
    SolutionInObs,
    SolutionInObsVector,
)


@pytest.mark.parametrize("wrapper", [CellEdit, FlattenAnswer])
def test_gymnasium_has_no_complaint(wrapper, monkeypatch):
    gymnasium_has_no_complaint(MaskInObs(wrapper(single())), monkeypatch)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("one", "many", "choose"),
    [(CellEdit, CellEditVector, choose_edits), (FlattenAnswer, FlattenAnswerVector, choose_answers)],
)
@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_rows_equal_single_wrappers(one, many, choose, mode, seed):
    inner = many(vector(FAMILIES[1], autoreset_mode=mode))
    inner.single_action_space.seed(seed)
    env = MaskInObsVector(SolutionInObsVector(inner))
    singles = [MaskInObs(SolutionInObs(one(single(FAMILIES[1])))) for _ in range(ROWS)]
    resets = rows_equal_singles(env, singles, lambda rng, _, s: choose(rng, inner, s), steps=40, seed=seed)
    assert (resets >= 1).all()


def test_the_mask_is_the_one_in_info():
    env = MaskInObs(CellEdit(single()))
    assert env.observation_space["action_mask"] == gym.spaces.Box(0, 1, (65,), np.int8)
    obs, info = env.reset(seed=0)
    for action in (3, 4, 64):
        assert obs["action_mask"].dtype == np.int8
        assert (obs["action_mask"] == info["action_mask"]).all()
        assert (obs["action_mask"] == env.action_masks()).all()
        obs, *_, info = env.step(action)
    flat = MaskInObs(FlattenAnswer(single()))
    assert flat.observation_space["action_mask"].shape == (16 * 6 + 2,)


def test_masks_that_do_not_exist_and_observations_that_do():
    with pytest.raises(ValueError, match=r"MaskInObs: .* has no action_masks\(\)"):
        MaskInObs(single())
    with pytest.raises(ValueError, match=r"MaskInObsVector: .* has no action_masks\(\)"):
        MaskInObsVector(vector())
    with pytest.raises(ValueError, match="already has an entry 'action_mask'"):
        MaskInObs(MaskInObs(CellEdit(single())))


def test_observations_that_are_no_dictionaries_become_an_entry():
    env = MaskInObs(gym.wrappers.FlattenObservation(CellEdit(single())))
    obs, _ = env.reset(seed=0)
    assert set(obs) == {"observation", "action_mask"}
    assert obs in env.observation_space


def test_sb3_contrib_finds_and_obeys_the_masks():
    masking = pytest.importorskip("sb3_contrib.common.maskable.utils")
    vec_env = pytest.importorskip("stable_baselines3.common.vec_env")
    env = vec_env.DummyVecEnv([lambda: CellEdit(single())] * 2)
    assert masking.is_masking_supported(env)
    env.reset()
    masks = masking.get_action_masks(env)
    assert masks.shape == (2, 65)
    assert masks[:, -1].all()
