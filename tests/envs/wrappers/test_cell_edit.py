"""Answers written cell by cell: hand-computed episodes, solvable in every task, and equal twins."""

from __future__ import annotations

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.wrappers import RecordEpisodeStatistics
from hypothesis import given, settings
from hypothesis import strategies as st
from twins import FAMILIES, MODES, ROWS, gymnasium_has_no_complaint, rows_equal_singles, single, vector

import hrm_envs
from hrm_envs.maze.tokens import FREE, PATH
from hrm_envs.wrappers import CellEdit, CellEditVector

PUZZLE = "12.. 34.. 2143 43.1"  # five blanks: cells 2, 3, 6, 7 and 14
KEYWORDS = {"max_edits": 6, "edit_cost": 0.01, "shaping": True, "gamma": 0.9}


def choose(rng, env, solution):
    """Random, masked, solving and submitting actions for the rows."""
    masks, drafts = env.action_masks(), env.drafts
    actions = np.array([env.single_action_space.sample() for _ in solution])
    for row, kind in enumerate(rng.integers(0, 8, len(solution))):
        if kind == 0:
            actions[row] = env.single_action_space.n - 1
        elif kind < 3:
            actions[row] = rng.choice(np.flatnonzero(masks[row]))
        elif kind < 7:
            wrong = np.flatnonzero(drafts.answer[row] != solution[row])
            actions[row] = write(env, wrong[0], solution[row][wrong[0]]) if len(wrong) else actions.max()
    return actions


def write(env, cell, token):
    """The action that writes a token into a cell."""
    tokens = env.unwrapped.task.answer_tokens
    return int(cell) * len(tokens) + int(np.flatnonzero(tokens == token)[0])


@pytest.mark.parametrize("id", FAMILIES)
def test_gymnasium_has_no_complaint(id, monkeypatch):
    gymnasium_has_no_complaint(CellEdit(single(id), **KEYWORDS), monkeypatch)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("id", FAMILIES)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10_000), shaping=st.booleans())
def test_rows_equal_single_wrappers(id, mode, seed, shaping):
    keywords = {**KEYWORDS, "shaping": shaping}
    env = CellEditVector(vector(id, autoreset_mode=mode, render_mode="ansi"), **keywords)
    env.single_action_space.seed(seed)
    singles = [CellEdit(single(id, render_mode="ansi"), **keywords) for _ in range(ROWS)]
    assert (rows_equal_singles(env, singles, choose, steps=40, seed=seed) >= 2).all()
    assert env.render() == tuple(one.render() for one in singles)


def test_an_episode_computed_by_hand():
    """A wrong digit and its correction cost one edit each; then the other blanks are filled and submitted."""
    env = CellEdit(RecordEpisodeStatistics(single(reward="exact", segment_cost=0.5)), edit_cost=0.125)
    assert env.action_space == gym.spaces.Discrete(16 * 4 + 1)
    obs, info = env.reset(options={"puzzle": PUZZLE})
    solution = info["solution"]
    assert (solution[[2, 3, 6, 7, 14]] - 1).tolist() == [3, 4, 1, 2, 2]
    assert (obs["board"] == obs["puzzle"]).all()
    assert set(obs) == {"puzzle", "board", "edits", "task_id"}
    rewards = []
    for cell, digit in ((2, 4), (2, 3), (3, 4), (6, 1), (7, 2), (14, 2)):
        obs, reward, terminated, truncated, info = env.step(write(env, cell, digit + 1))
        assert obs["board"][cell] == digit + 1
        assert set(info) == {"action_mask", "solution"}
        rewards.append((reward, terminated, truncated))
    assert rewards == [(-0.125, False, False)] * 6
    assert obs["edits"] == [6]
    assert (obs["board"] == solution).all()
    obs, reward, terminated, truncated, info = env.step(64)
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert (info["is_success"], info["forced_halt"]) == (True, False)
    assert info["episode"]["l"] == 1  # the environment took one segment
    with pytest.raises(ResetNeeded):
        env.step(64)


def test_shaping_computed_by_hand():
    """Scores of the drafts: 0, 1/5, 0, with gamma 1/2; the wrong draft is rewarded 0 and loses its score."""
    env = CellEdit(single(reward="exact"), shaping=True, gamma=0.5)
    env.reset(options={"puzzle": PUZZLE})
    rewards = [env.step(action)[1] for action in (write(env, 2, 4), write(env, 2, 5), write(env, 3, 5), 64)]
    fifth = float(np.float32(1) / np.float32(5))
    assert rewards == [0.5 * fifth, 0.5 * 0.0 - fifth, 0.5 * fifth, 0.0 - fifth]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 64), max_size=7), st.sampled_from([1.0, 0.75]))
def test_shaping_changes_no_return_but_by_a_constant(actions, gamma):
    """Shaping changes the discounted return of a puzzle only by the score of its start."""
    returns, first = [], None
    for shaping in (False, True):
        env = CellEdit(single(), edit_cost=0.25, max_edits=6, shaping=shaping, gamma=gamma)
        obs, _ = env.reset(options={"puzzle": PUZZLE})
        first = env.unwrapped.judge(obs["puzzle"]).score[0]
        total, weight = 0.0, 1.0
        for action in [*actions, 64]:
            _, reward, terminated, _, _ = env.step(action)
            total, weight = total + weight * reward, weight * gamma
            if terminated:
                break
        returns.append(total)
    assert returns[1] == pytest.approx(returns[0] - first, abs=1e-6)


def test_givens_are_masked_and_stay():
    env = CellEdit(single(), edit_cost=0.25)
    obs, info = env.reset(options={"puzzle": PUZZLE})
    masks = env.action_masks()
    assert np.array_equal(info["action_mask"], masks)
    assert (info["action_mask"].dtype, masks.dtype) == (np.int8, np.bool_)
    assert np.flatnonzero(masks[:-1].reshape(16, 4).all(axis=1)).tolist() == [2, 3, 6, 7, 14]
    assert masks[-1]
    assert masks.sum() == 5 * 4 + 1
    later, reward, terminated, _, _ = env.step(write(env, 0, 5))
    assert (later["board"] == obs["board"]).all()
    assert (reward, terminated, later["edits"].tolist()) == (-0.25, False, [1])
    _, _, _, _, info = env.step(write(env, 2, 5))
    assert info["action_mask"].sum() == 5 * 4  # writing the same digit again would change nothing


def test_a_maze_is_painted_and_scraped():
    env = CellEdit(single(FAMILIES[1], reward="exact"))
    obs, info = env.reset(seed=0)
    free = np.flatnonzero(obs["puzzle"] == FREE)
    assert env.unwrapped.task.answer_tokens.tolist() == [FREE, PATH]
    assert info["action_mask"].sum() == len(free) + 1  # one way to change each free cell
    for cell in free:
        obs, *_ = env.step(write(env, cell, PATH))
    for cell in np.flatnonzero(obs["board"] != info["solution"]):
        obs, *_ = env.step(write(env, cell, FREE))
    assert (obs["board"] == info["solution"]).all()
    assert env.step(env.action_space.n - 1)[1:3] == (1.0, True)


def test_edits_run_out():
    env = CellEdit(single(reward="exact"), max_edits=2, edit_cost=0.25)
    env.reset(options={"puzzle": PUZZLE})
    assert env.step(write(env, 2, 4))[2] is False
    obs, reward, terminated, _, info = env.step(write(env, 3, 5))
    assert (reward, terminated, info["forced_halt"], info["is_success"]) == (-0.25, True, True, False)
    assert info["score"] == np.float32(2) / np.float32(5)
    assert obs["edits"] == [2]
    assert CellEdit(single()).observation_space["edits"].high == 32


@pytest.mark.parametrize("id", [id for id in hrm_envs.registered_ids() if id.startswith("HRM/")])
def test_edits_reach_the_solution_in_every_task(id):
    kwargs = {"canvas": 8} if "ARC" in id else {}
    task = gym.make(id, disable_env_checker=True, **kwargs).unwrapped.task
    stored = task.stored("train")
    batch = (task.sample(np.random.default_rng(0), 4) if stored is None else stored).take(slice(4))
    editable, tokens = task.editable(batch.puzzle), task.answer_tokens
    assert (editable.shape, editable.dtype, tokens.dtype) == (batch.puzzle.shape, np.bool_, np.uint8)
    changed = batch.puzzle != batch.solution
    assert changed.any()
    assert editable[changed].all()
    assert np.isin(batch.solution[changed], tokens).all()
    assert (np.diff(tokens.astype(int)) > 0).all()


def test_waiting_rows_keep_their_segments():
    """Only the submitting row takes a segment; the others never reach max_segments."""
    env = CellEditVector(vector(max_segments=1), max_edits=9)
    env.reset(seed=0)
    for _ in range(5):
        _, reward, ended, _, info = env.step(np.array([64, 1, 2]))
        assert ended.tolist() == [True, False, False]
        assert info["final_info"]["_is_success"].tolist() == [True, False, False]
        assert not info["_is_success"].any()
        assert reward[1:].tolist() == [0, 0]
        assert env.unwrapped.get_state()["segment"].tolist() == [0, 0, 0]


def test_bad_keywords_actions_and_environments():
    env, many = CellEdit(single()), CellEditVector(vector())
    with pytest.raises(ResetNeeded):
        env.step(0)
    with pytest.raises(ResetNeeded, match="row 0"):
        many.step(np.zeros(ROWS, int))
    env.reset(seed=0)
    before, _ = many.reset(seed=0)
    for action in (-1, 65, 0.5):
        with pytest.raises(ValueError, match="action: "):
            env.step(action)
    with pytest.raises(ValueError, match="unknown value 65; actions are 0 to 64"):
        many.step(np.array([write(many, 1, 2), 0, 65]))
    after, *_ = many.step(np.full(ROWS, 0))
    assert (after["board"][:, 1:] == before["board"][:, 1:]).all()
    with pytest.raises(ValueError, match=r"expected 3 integer\(s\)"):
        many.step(np.zeros((ROWS, 1), int))
    for keywords, message in (
        ({"max_edits": 0}, "max_edits=0"),
        ({"max_edits": 1.5}, "max_edits=1.5"),
        ({"edit_cost": float("nan")}, "edit_cost=nan"),
        ({"gamma": 1.5}, "gamma=1.5"),
        ({"shaping": 1}, "shaping=1"),
    ):
        with pytest.raises(ValueError, match=message):
            CellEdit(single(), **keywords)
        with pytest.raises(ValueError, match=message):
            CellEditVector(vector(), **keywords)
    with pytest.raises(ValueError, match="must wrap the environment directly"):
        CellEditVector(many)
    ended = CellEditVector(vector(autoreset_mode="Disabled"))
    ended.reset(seed=0)
    ended.step(np.array([0, 64, 0]))
    with pytest.raises(ResetNeeded, match="row 1"):
        ended.step(np.array([0, 0, 0]))


def test_pictures_show_the_board():
    env = CellEdit(single(render_mode="rgb_array"))
    env.reset(options={"puzzle": PUZZLE})
    before = env.render()
    env.step(write(env, 2, 4))
    assert (env.render() != before).any()
    text = CellEdit(single(render_mode="ansi"))
    text.reset(options={"puzzle": PUZZLE})
    lines = text.render().splitlines()
    text.step(write(text, 3, 3))
    changed = [i for i, line in enumerate(text.render().splitlines()) if line != lines[i]]
    assert changed == [0, 1]
    assert "edit 1/32 | writing" in text.render().splitlines()[0]
    assert "2" in text.render().splitlines()[1].split("4m")[-1]


def test_the_last_picture_counts_the_edit_that_hands_in():
    env = CellEdit(single(render_mode="ansi"), max_edits=2)
    many = CellEditVector(vector(render_mode="ansi", autoreset_mode="Disabled"), max_edits=2)
    env.reset(options={"puzzle": PUZZLE})
    many.reset(options={"puzzle": np.tile(env.unwrapped.task.parse(PUZZLE), (many.num_envs, 1))})
    for cell in (2, 3):
        action = write(env, cell, 4)
        env.step(action)
        many.step(np.full(many.num_envs, action))
    assert "edit 2/2 | wrong" in env.render()
    assert many.render()[0] == env.render()


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_on_alike(twin):
    for env, action in ((CellEdit(single()), 7), (CellEditVector(vector()), np.array([7, 8, 64]))):
        env.reset(seed=0)
        other = twin(env)
        assert data_equivalence(env.step(action), other.step(action), exact=True)
        assert data_equivalence(env.reset(), other.reset(), exact=True)
        assert env.unwrapped is not other.unwrapped
