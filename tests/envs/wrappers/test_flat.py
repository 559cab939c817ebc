"""The flat action equals the dictionary action, and its masks allow exactly the answers that keep the givens."""

from __future__ import annotations

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from hypothesis import given, settings
from hypothesis import strategies as st
from twins import FAMILIES, MODES, ROWS, gymnasium_has_no_complaint, rows_equal_singles, single, vector

from hrm_envs.wrappers import FlattenAnswer, FlattenAnswerVector


def choose(rng, env, solution):
    """Right and random answers; half of the rows halt."""
    actions = np.array([space.sample() for space in [env.single_action_space] * len(solution)])
    right = rng.random(len(solution)) < 0.5
    actions[right, :-1] = solution[right]
    actions[:, -1] = rng.integers(0, 2, len(solution))
    return actions


@pytest.mark.parametrize("id", FAMILIES)
def test_gymnasium_has_no_complaint(id, monkeypatch):
    gymnasium_has_no_complaint(FlattenAnswer(single(id)), monkeypatch)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("id", FAMILIES)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_rows_equal_single_wrappers(id, mode, seed):
    env = FlattenAnswerVector(vector(id, autoreset_mode=mode))
    env.single_action_space.seed(seed)
    singles = [FlattenAnswer(single(id)) for _ in range(ROWS)]
    assert (rows_equal_singles(env, singles, choose, steps=16, seed=seed) >= 2).all()


def test_the_action_is_the_answer_and_then_the_halt():
    env = FlattenAnswer(single(reward="exact"))
    assert env.action_space == gym.spaces.MultiDiscrete([6] * 16 + [2])
    _, info = env.reset(seed=0)
    obs, reward, terminated, _, _ = env.step(np.append(info["solution"], 0))
    assert (obs["answer"] == info["solution"]).all()
    assert (reward, terminated) == (-0.1, False)
    _, reward, terminated, _, _ = env.step(np.append(info["solution"], 1))
    assert (reward, terminated) == (1.0, True)


@pytest.mark.parametrize(("id", "blank", "tokens"), [(FAMILIES[0], 1, [2, 3, 4, 5]), (FAMILIES[1], 2, [2, 5])])
def test_masks_leave_the_givens_and_the_answer_tokens(id, blank, tokens):
    """Sudoku: digits in the blanks (token 1). Mazes: path or free on the free cells (token 2)."""
    env = FlattenAnswer(single(id))
    obs, info = env.reset(seed=3)
    masks = env.action_masks()
    assert masks.dtype == np.bool_
    assert info["action_mask"].dtype == np.int8
    assert np.array_equal(info["action_mask"], masks)
    assert masks[-2:].all()
    for cell, allowed in enumerate(masks[:-2].reshape(obs["puzzle"].size, -1)):
        given = int(obs["puzzle"][cell])
        assert np.flatnonzero(allowed).tolist() == (tokens if given == blank else [given])
    sizes = np.cumsum(env.action_space.nvec)[:-1]
    env.action_space.seed(0)
    action = env.action_space.sample(mask=tuple(np.split(info["action_mask"], sizes)))
    kept = obs["puzzle"] != blank
    assert (action[:-1][kept] == obs["puzzle"][kept]).all()


def test_bad_actions_and_environments():
    env, many = FlattenAnswer(single()), FlattenAnswerVector(vector())
    for one in (env, many):
        with pytest.raises(ResetNeeded, match="call reset"):
            one.action_masks()
        one.reset(seed=0)
    with pytest.raises(ValueError, match=r"expected shape \(17,\).*found \(16,\)"):
        env.step(np.zeros(16, int))
    with pytest.raises(ValueError, match=r"expected shape \(3, 17\).*found \(17, 3\)"):
        many.step(np.zeros((17, 3), int))
    with pytest.raises(ValueError, match="holds 6 at cell 0"):
        env.step(np.full(17, 6))
    with pytest.raises(ValueError, match="FlattenAnswer wraps a ReasoningEnv, not a CartPoleEnv"):
        FlattenAnswer(gym.make("CartPole-v1"))
    with pytest.raises(ValueError, match="wraps a ReasoningVectorEnv, not a ReasoningEnv"):
        FlattenAnswerVector(single())


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_on_alike(twin):
    env = FlattenAnswerVector(vector())
    env.reset(seed=0)
    other = twin(env)
    action = np.ones((ROWS, 17), int)
    assert data_equivalence(env.step(action), other.step(action), exact=True)
