"""Shared by the tests of wrappers: small environments, and the comparison of vector and single versions."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode

import hrm_envs  # noqa: F401  (registers the ids)

FAMILIES = ["HRM/Sudoku-4x4-v0", "HRM/Maze-5x5-v0"]
MODES = list(AutoresetMode)
ROWS = 3
SETTINGS = {"num_puzzles": 8, "max_segments": 3, "segment_cost": 0.1, "expose_solution": True, "reward": "partial"}


def single(id=FAMILIES[0], **kwargs):
    return gym.make(id, **{**SETTINGS, **kwargs})


def vector(id=FAMILIES[0], num_envs=ROWS, **kwargs):
    return gym.make_vec(id, num_envs=num_envs, **{**SETTINGS, **kwargs})


def gymnasium_has_no_complaint(env, monkeypatch):
    """Run Gymnasium's checker, without its warning about wrappers."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is different from the unwrapped version")
        check_env(env)


def row_of(tree, row):
    return {name: array[row] for name, array in tree.items()} if isinstance(tree, dict) else tree[row]


def assert_info(info, row, expected):
    """Check that the vector info of a row equals the info of the single environment."""
    for name in info:
        if not name.startswith(("_", "final_")):
            assert bool(info[f"_{name}"][row]) == (name in expected), name
    for name, value in expected.items():
        assert np.array_equal(info[name][row], value), name


def assert_observation(obs, row, expected):
    assert data_equivalence(row_of(obs, row), expected, exact=True)


def rows_equal_singles(env, singles, choose, *, steps, seed):
    """Step a vector wrapper and single wrappers with the same actions; returns how often each row was reset.

    ``choose(rng, info)`` makes the actions ``[n]`` from the info that the vector wrapper gave last.
    """
    mode, rows, rng = env.autoreset_mode, range(len(singles)), np.random.default_rng(seed)
    masks = getattr(env, "action_masks", None)
    obs, info = env.reset(seed=seed)
    solution = info["solution"].copy()
    for row, one in enumerate(singles):
        own_obs, own_info = one.reset(seed=seed + row)
        assert_observation(obs, row, own_obs)
        assert_info(info, row, own_info)
    ended, resets = np.zeros(len(singles), bool), np.zeros(len(singles), int)
    for _ in range(steps):
        if mode is AutoresetMode.DISABLED and ended.any():
            obs, info = env.reset(options={"reset_mask": ended})
            for row, one in enumerate(singles):
                own_obs, own_info = one.reset() if ended[row] else (None, {})
                if ended[row]:
                    assert_observation(obs, row, own_obs)
                assert_info(info, row, own_info)
            resets += ended
            solution[ended] = info["solution"][ended]
        actions = choose(rng, env, solution)
        obs, reward, terminated, truncated, info = env.step(actions)
        assert obs in env.observation_space
        assert not truncated.any()
        for row, one in zip(rows, singles, strict=True):
            if mode is AutoresetMode.NEXT_STEP and ended[row]:
                own_obs, own_info = one.reset()
                assert (reward[row], terminated[row]) == (0, False)
                resets[row] += 1
            else:
                own_obs, own_reward, own_end, own_cut, own_info = one.step(actions[row])
                assert (reward[row], terminated[row]) == (own_reward, own_end)
                assert own_cut is False
                if own_end and mode is AutoresetMode.SAME_STEP:
                    assert data_equivalence(info["final_obs"][row], own_obs, exact=True)
                    assert_info(info["final_info"], row, own_info)
                    own_obs, own_info = one.reset()
                    resets[row] += 1
            assert_observation(obs, row, own_obs)
            assert_info(info, row, own_info)
            if masks is not None:
                assert np.array_equal(masks()[row], one.get_wrapper_attr("action_masks")())
        told = info["_solution"]
        solution[told] = info["solution"][told]
        ended = terminated
    return resets
