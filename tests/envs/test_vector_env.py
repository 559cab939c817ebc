"""The vector environment equals single environments, row by row, with info in Gymnasium's format."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import hrm_envs  # noqa: F401  (registers the ids)
from hrm_envs.vector_env import ReasoningVectorEnv
from hrm_envs.wrappers import (
    CellEditVector,
    FlattenAnswerVector,
    MaskInObsVector,
    MazeMovesVector,
    SolutionInObsVector,
)

FAMILIES = [
    "HRM/Sudoku-4x4-v0",
    "HRM/Sudoku-6x6-v0",
    "HRM/Sudoku-Extreme-v0",
    "HRM/Maze-5x5-v0",
    "HRM/Maze-30x30-Hard-v0",
    "HRM/ARC-AGI-1-v0",
    "HRM/ARC-AGI-2-v0",
]
MODES = list(AutoresetMode)
ROWS, SEED = 4, 11
SETTINGS = {"num_puzzles": 12, "max_segments": 3, "segment_cost": 0.1, "expose_solution": True, "reward": "partial"}


def vector(id: str = FAMILIES[0], num_envs: int = ROWS, **kwargs) -> ReasoningVectorEnv:
    return gym.make_vec(id, num_envs=num_envs, **{**SETTINGS, **kwargs})


def single(id: str = FAMILIES[0], **kwargs):
    return gym.make(id, disable_env_checker=True, **{**SETTINGS, **kwargs}).unwrapped


def random_action(rng, env, solution):
    """Right and random answers; half of the rows halt."""
    answer = rng.integers(0, env.task_spec.vocab_size, (env.num_envs, env.task_spec.num_cells))
    right = rng.random(env.num_envs) < 0.5
    answer[right] = solution[right]
    return {"answer": answer, "halt": rng.integers(0, 2, env.num_envs)}


def row_of(tree, row):
    return {name: array[row] for name, array in tree.items()}


def assert_row(info, row, expected):
    """Check that the entries of a row in the vector info equal the info of the single environment."""
    for name, value in expected.items():
        assert info[f"_{name}"][row], name
        assert np.array_equal(info[name][row], value), name


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("id", FAMILIES)
def test_rows_equal_single_environments(id, mode):
    env, rng = vector(id, autoreset_mode=mode), np.random.default_rng(0)
    singles = [single(id) for _ in range(ROWS)]
    obs, info = env.reset(seed=SEED)
    solution = info["solution"]
    for row, one in enumerate(singles):
        own_obs, own_info = one.reset(seed=SEED + row)
        assert data_equivalence(row_of(obs, row), own_obs, exact=True)
        assert_row(info, row, own_info)
    ended, resets = np.zeros(ROWS, bool), np.zeros(ROWS, int)
    for _ in range(24):
        if mode is AutoresetMode.DISABLED and ended.any():
            obs, info = env.reset(options={"reset_mask": ended})
            for row, one in enumerate(singles):
                assert info["_solution"][row] == ended[row]
                if ended[row]:
                    own_obs, own_info = one.reset()
                    assert data_equivalence(row_of(obs, row), own_obs, exact=True)
                    assert_row(info, row, own_info)
                    resets[row] += 1
            solution = np.where(ended[:, None], info["solution"], solution)
        action = random_action(rng, env, solution)
        obs, reward, terminated, truncated, info = env.step(action)
        assert not truncated.any()
        for row, one in enumerate(singles):
            if mode is AutoresetMode.NEXT_STEP and ended[row]:
                own_obs, own_info = one.reset()
                assert (reward[row], terminated[row]) == (0, False)
                assert not info["_is_success"][row]
                resets[row] += 1
            else:
                own_obs, own_reward, own_end, _, own_info = one.step(row_of(action, row))
                assert (reward[row], terminated[row]) == (own_reward, own_end)
                if own_end and mode is AutoresetMode.SAME_STEP:
                    assert data_equivalence(info["final_obs"][row], own_obs, exact=True)
                    assert_row(info["final_info"], row, own_info)
                    own_obs, own_info = one.reset()
                    assert not info["_is_success"][row]
                    resets[row] += 1
            assert data_equivalence(row_of(obs, row), own_obs, exact=True)
            assert_row(info, row, own_info)
        solution = np.where(info["_solution"][:, None], info["solution"], solution)
        ended = terminated
    assert (resets >= 3).all()


def assert_same_layout(ours, theirs):
    """Check names, masks and masked values. Gymnasium omits names that no row has; we keep them."""
    for name, array in theirs.items():
        if name.startswith("_"):
            assert np.array_equal(ours[name], array), name
        elif isinstance(array, dict):
            assert_same_layout(ours[name], array)
        else:
            mask = theirs[f"_{name}"]
            assert len(ours[name]) == len(array)
            for row in np.flatnonzero(mask):
                assert data_equivalence(ours[name][row], array[row], exact=True) or ours[name][row] == array[row], name
            assert all(not np.any(ours[name][row]) for row in np.flatnonzero(~mask)), name
    for name in set(ours) - set(theirs):
        assert name.startswith("_") or not ours[f"_{name}"].any()
        assert not np.any(ours[name])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("expose", [True, False])
def test_info_is_laid_out_as_gymnasium_does(mode, expose):
    env = vector(autoreset_mode=mode, expose_solution=expose)
    theirs = SyncVectorEnv([lambda: single(expose_solution=expose)] * ROWS, autoreset_mode=mode)
    rng = np.random.default_rng(1)
    obs, info = env.reset(seed=SEED)
    their_obs, their_info = theirs.reset(seed=SEED)
    assert_same_layout(info, their_info)
    ended = np.zeros(ROWS, bool)
    for _ in range(16):
        if mode is AutoresetMode.DISABLED and ended.any():
            obs, info = env.reset(options={"reset_mask": ended})
            their_obs, their_info = theirs.reset(options={"reset_mask": ended})
            assert_same_layout(info, their_info)
            assert data_equivalence(obs, dict(their_obs), exact=True)
        action = random_action(rng, env, env.get_state()["solution"])
        result, expected = env.step(action), theirs.step(action)
        assert data_equivalence(result[0], dict(expected[0]), exact=True)
        for ours, other in zip(result[1:4], expected[1:4], strict=True):
            assert ours.dtype == other.dtype
            assert np.array_equal(ours, other)
        assert_same_layout(result[4], expected[4])
        ended = result[2]


def test_solutions_pair_with_the_observation_they_came_with():
    """SAME_STEP: ``info`` has the solution of the new puzzle, ``final_info`` that of the old one."""
    env, rng = vector(num_puzzles=64), np.random.default_rng(2)
    obs, info = env.reset(seed=0)
    ends = 0
    for _ in range(30):
        held, solution = obs["puzzle"], info["solution"]
        assert env.judge(solution).success.all()
        given = held != 1
        assert (solution[given] == held[given]).all()
        obs, _, terminated, _, info = env.step(random_action(rng, env, solution))
        if not terminated.any():
            assert np.array_equal(info["solution"], solution)
            assert "final_info" not in info
            continue
        ends += 1
        assert np.array_equal(info["_final_info"], terminated)
        assert np.array_equal(info["final_info"]["solution"][terminated], solution[terminated])
        assert np.array_equal(info["solution"][~terminated], solution[~terminated])
        for row in np.flatnonzero(terminated):
            assert np.array_equal(info["final_obs"][row]["puzzle"], held[row])
            assert info["final_obs"][row]["segment"] > 0
            assert obs["segment"][row] == 0
            assert not obs["answer"][row].any()
    assert ends > 10


def test_hidden_solutions_stay_hidden():
    env = vector(expose_solution=False)
    obs, info = env.reset(seed=0)
    assert info == {}
    solution = env.get_state()["solution"]
    _, _, _, _, info = env.step({"answer": obs["puzzle"], "halt": np.ones(ROWS, int)})
    assert "solution" not in info
    assert "solution" not in info["final_info"]
    assert not any(np.array_equal(array, solution) for array in obs.values())
    with pytest.raises(ValueError, match="expose_solution=True"):
        env.solutions()


def test_what_the_environment_returns_is_the_users_own():
    env, twin = vector(), vector()
    for one in (env, twin):
        one.reset(seed=0)
    rng = np.random.default_rng(3)
    for _ in range(8):
        action = random_action(rng, env, twin.get_state()["solution"])
        result, expected = env.step(action), twin.step({name: array.copy() for name, array in action.items()})
        assert data_equivalence(result[0], expected[0], exact=True)
        for array in (*result[0].values(), *result[1:4], *result[4].values(), *action.values()):
            if isinstance(array, np.ndarray) and array.dtype != object:
                array[...] = 1
        assert data_equivalence(env.get_state(), twin.get_state(), exact=True)


@pytest.mark.parametrize("mode", MODES)
def test_state_continues_identically(mode):
    env, twin = vector(autoreset_mode=mode), vector(autoreset_mode=mode)
    obs, _ = env.reset(seed=5)
    rng = np.random.default_rng(4)
    halt = mode is not AutoresetMode.DISABLED
    zeros = {"answer": np.zeros((ROWS, 16), int), "halt": np.zeros(ROWS, int)}
    env.step(zeros)
    obs, *_ = env.step({**zeros, "halt": np.array([halt, 0, 0, 0], int)})
    state = env.get_state()
    assert data_equivalence(twin.set_state(state), obs, exact=True)
    for array in state.values():
        array[...] = 0
    for _ in range(8):
        action = random_action(rng, env, env.get_state()["solution"])
        ended = env.get_state()["done"]
        if mode is AutoresetMode.DISABLED and ended.any():
            first, second = (one.reset(options={"reset_mask": ended}) for one in (env, twin))
            assert data_equivalence(first, second, exact=True)
        assert data_equivalence(env.step(action), twin.step(action), exact=True)
    assert data_equivalence(env.reset(), twin.reset(), exact=True)


def test_states_of_other_environments_are_refused():
    env = vector()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"'done': expected shape \(2,\), found \(4,\)"):
        vector(num_envs=2).set_state(env.get_state())
    with pytest.raises(ValueError, match="'puzzle': expected shape"):
        vector("HRM/Sudoku-6x6-v0").set_state(env.get_state())


def puzzles_of(env, resets: int = 4, **kwargs):
    return np.stack([env.reset(**(kwargs if i == 0 else {}))[0]["puzzle"] for i in range(resets)], axis=1)


@pytest.mark.parametrize("seed", [7, [7, 8, 9, 10]])
def test_reset_without_a_seed_goes_on(seed):
    first, second = puzzles_of(vector(num_puzzles=200), seed=seed), puzzles_of(vector(num_puzzles=200), seed=seed)
    assert np.array_equal(first, second)
    assert not np.array_equal(first[:, 0], first[:, 1])


def test_lists_of_seeds():
    env = vector(num_puzzles=200)
    whole = puzzles_of(env, seed=7)
    assert np.array_equal(puzzles_of(vector(num_puzzles=200), seed=np.arange(7, 11)), whole)
    mixed = puzzles_of(vector(num_puzzles=200), seed=[None, 8, None, 10])
    assert np.array_equal(mixed[[1, 3]], whole[[1, 3]])
    assert not np.array_equal(mixed[0], mixed[2])  # rows without a seed get different streams
    with pytest.raises(ValueError, match="3 seeds for 4 rows"):
        env.reset(seed=[1, 2, 3])


def test_rows_without_a_seed_differ():
    puzzles = puzzles_of(vector(num_envs=8, num_puzzles=500))
    assert len({row.tobytes() for row in puzzles}) == 8
    assert not np.array_equal(puzzles, puzzles_of(vector(num_envs=8, num_puzzles=500)))


def test_a_masked_reset_leaves_the_other_rows():
    env = vector(autoreset_mode="Disabled")
    env.reset(seed=0)
    env.step({"answer": np.full((ROWS, 16), 2), "halt": np.zeros(ROWS, int)})
    mask = np.array([False, True, False, False])
    obs, info = env.reset(seed=40, options={"reset_mask": mask, "index": [3]})
    assert obs["segment"][:, 0].tolist() == [1, 0, 1, 1]
    assert np.array_equal(obs["puzzle"][1], env.puzzles.puzzle[3])
    assert info["_solution"].tolist() == mask.tolist()
    assert not info["solution"][~mask].any()
    alone = single()
    alone.reset(seed=41)
    assert np.array_equal(env.reset()[0]["puzzle"][1], alone.reset()[0]["puzzle"])


def test_reset_options_for_every_row():
    env = vector()
    obs, _ = env.reset(options={"index": [3, 1, 1, 0]})
    assert np.array_equal(obs["puzzle"], env.puzzles.puzzle[[3, 1, 1, 0]])
    again, _ = env.reset(options={"puzzle": obs["puzzle"]})
    assert np.array_equal(again["puzzle"], obs["puzzle"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reset_mask": np.zeros(ROWS, bool)}, "a true entry"),
        ({"reset_mask": np.ones(ROWS, int)}, r"must be bool \[4\]"),
        ({"reset_mask": np.ones(ROWS - 1, bool)}, r"must be bool \[4\]"),
        ({"index": [0, 1]}, r"must be 4 integer"),
        ({"index": [0, 1, 2, 12]}, r"in \[0, 12\)"),
        ({"puzzle": "1...\n..3.\n.4..\n...2"}, r"4 puzzle\(s\) expected, 1 found"),
        ({"mask": 1}, "unknown reset option 'mask'"),
    ],
)
def test_bad_options_change_nothing(options, message):
    env = vector()
    env.reset(seed=0)
    before = env.get_state()
    with pytest.raises(ValueError, match=message):
        env.reset(seed=1, options=options)
    assert data_equivalence(before, env.get_state(), exact=True)


def test_steps_need_episodes():
    action = {"answer": np.zeros((ROWS, 16), int), "halt": np.ones(ROWS, int)}
    for mode in MODES:
        env = vector(autoreset_mode=mode)
        with pytest.raises(ResetNeeded, match="row 0"):
            env.step(action)
        env.reset(options={"reset_mask": np.array([True, True, False, True])})
        with pytest.raises(ResetNeeded, match="row 2"):
            env.step(action)
    env = vector(autoreset_mode="Disabled")
    env.reset(seed=0)
    env.step({**action, "halt": np.array([0, 1, 0, 0])})
    with pytest.raises(ValueError, match="row 1 has ended"):
        env.step(action)


def test_actions_of_the_wrong_shape():
    env = vector()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"found shapes \(16, 4\)"):
        env.step({"answer": np.zeros((16, 4), int), "halt": np.zeros(4, int)})
    answer = np.zeros((4, 16), int)
    answer[2, 5] = 6
    with pytest.raises(ValueError, match="answer 2 holds 6 at cell 5"):
        env.step({"answer": answer, "halt": np.zeros(4, int)})


def test_spaces_and_metadata():
    env = vector(autoreset_mode="NextStep")
    assert env.metadata["autoreset_mode"] is env.autoreset_mode is AutoresetMode.NEXT_STEP
    assert vector().metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert env.single_observation_space == single().observation_space
    assert env.single_action_space == single().action_space
    obs, _ = env.reset(seed=0)
    assert obs in env.observation_space
    assert env.step(env.action_space.sample())[0] in env.observation_space
    assert env.num_puzzles == 12
    assert env.data_hash == single().data_hash
    assert env.max_segments == 3
    env.close()
    env.close()


def test_bad_keywords():
    for kwargs, message in (
        ({"num_envs": 0}, "num_envs=0 must be from 1 to 1048576"),
        ({"render_mode": "human"}, "render_mode='human': choose one of 'rgb_array', 'ansi'"),
        (
            {"autoreset_mode": "sometimes"},
            "autoreset_mode='sometimes': choose one of 'NextStep', 'SameStep', 'Disabled'",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            ReasoningVectorEnv("hrm_envs.sudoku:SudokuTask", **{"size": 4, "num_puzzles": 2, **kwargs})


def test_frames_follow_their_rows():
    env = vector(render_mode="ansi", num_envs=2)
    env.reset(seed=0)
    env.step({"answer": np.full((2, 16), 2), "halt": np.array([0, 1])})
    first, second = env.render()
    assert "segment 1/3" in first
    assert "segment 0/3" in second  # refilled
    twin = vector(render_mode="ansi", num_envs=2)
    twin.set_state(env.get_state())
    assert twin.render()[1] == second
    pictures = vector(render_mode="rgb_array", num_envs=2)
    pictures.reset(seed=0)
    assert [picture.dtype for picture in pictures.render()] == [np.uint8, np.uint8]
    silent = vector()
    with pytest.warns(UserWarning, match="render_mode="):
        assert silent.render() is None


def test_a_row_can_sit_a_step_out():
    env = vector(num_envs=2, max_segments=2)
    first, _ = env.reset(seed=0)
    actions = {"answer": np.full((2, 16), 2), "halt": np.zeros(2, int)}
    obs, reward, ended, _, info = env.step_rows(actions, np.array([False, True]))
    assert obs["segment"][:, 0].tolist() == [0, 1]
    assert data_equivalence(obs["answer"][0], first["answer"][0], exact=True)
    assert reward.tolist() == [0, -0.1]
    assert info["_score"].tolist() == [False, True]
    assert info["_solution"].all()
    _, reward, ended, _, info = env.step_rows(actions, np.array([False, True]))
    assert ended.tolist() == [False, True]
    assert info["final_info"]["_forced_halt"].tolist() == [False, True]
    assert info["final_info"]["forced_halt"].tolist() == [False, True]
    assert not info["_score"].any()


BAD_SEEDS = [
    [1.5] * ROWS, [1.0] * ROWS, np.full(ROWS, 1.5), np.ones(ROWS, bool), [True] * ROWS, ["1"] * ROWS, "1234", b"1234",
    [-1] * ROWS, np.full(ROWS, -1), -1, 1.5, True, [1] * (ROWS - 1), [1] * (ROWS + 1), np.ones((ROWS, 1), int), [],
    {0: 1, 1: 2, 2: 3, 3: 4}, [None, 1, 2, 2.5], [[1]] * ROWS, 2**128, float("nan"), [np.nan] * ROWS, object(),
]  # fmt: skip
WALK = {"num_puzzles": 12, "max_steps": 3}
VIEWS = {
    "plain": vector,
    "flat": lambda: FlattenAnswerVector(vector()),
    "cells": lambda: CellEditVector(vector()),
    "mask": lambda: MaskInObsVector(CellEditVector(vector())),
    "solution": lambda: SolutionInObsVector(vector()),
    "walk": lambda: gym.make_vec("HRM/MazeMoves-9x9-Doors-v0", num_envs=ROWS, **WALK),
    "walk around": lambda: MazeMovesVector(vector("HRM/Maze-5x5-v0"), max_steps=3),
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("seed", BAD_SEEDS, ids=lambda seed: str(seed)[:20])
def test_bad_seeds_are_refused_and_change_nothing(name, seed):
    """Fractions are not truncated, and other numbers of rows are rejected."""
    env, twin = VIEWS[name](), VIEWS[name]()
    for one in (env, twin):
        one.reset(seed=SEED)
    with pytest.raises(ValueError, match=r"seed.* must be |seeds for 4 rows"):
        env.reset(seed=seed)
    with pytest.raises(ValueError, match=r"seed.* must be |seeds for 4 rows"):
        env.reset(seed=seed, options={"reset_mask": np.array([True, False, False, True])})
    assert data_equivalence(env.reset()[0], twin.reset()[0], exact=True)


@pytest.mark.parametrize("name", VIEWS)
def test_seeds_of_every_kind_of_integer(name):
    env = VIEWS[name]()
    plain = env.reset(seed=[5, 6, 7, 8])[0]
    rows = np.arange(5, 9)
    for seed in (5, np.int64(5), np.uint8(5), np.array(5), (5, 6, 7, 8), rows, rows.astype(np.uint8), range(5, 9),
                 [np.int8(5), 6, 7, 8]):  # fmt: skip
        assert data_equivalence(env.reset(seed=seed)[0], plain, exact=True)


@pytest.mark.parametrize(
    "name", ["keys", "episodes", "puzzle", "solution", "task_id", "example", "answer", "segment", "done"]
)
def test_bad_states_are_refused_and_change_nothing(name):
    env = vector()
    env.reset(seed=0)
    state = env.get_state()
    high = {} if name in ("keys", "episodes") else {"high": state[name].astype(np.int64) + 2**40}
    bad = {"float": state[name].astype(float), "none": None, "ragged": [[1], [2, 3]], "text": "x",
           "short": state[name][1:], "objects": np.full(state[name].shape, None), **high}  # fmt: skip
    for value in bad.values():
        with pytest.raises(ValueError, match=f"environment state {name!r}"):
            env.set_state({**state, name: value})
        assert data_equivalence(env.get_state(), state, exact=True)
    for junk in (None, 5, [1], "x"):
        with pytest.raises(ValueError, match="an environment state is a dict of arrays by name"):
            env.set_state(junk)


@pytest.mark.parametrize("rows", [np.ones(ROWS, int), np.ones(ROWS - 1, bool), [[True]], "x", 1])
def test_rows_to_step_are_a_mask(rows):
    env = vector()
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"rows must be bool \[4\]|rows: expected an array"):
        env.step_rows({"answer": np.zeros((ROWS, 16), int), "halt": np.zeros(ROWS, int)}, rows)
