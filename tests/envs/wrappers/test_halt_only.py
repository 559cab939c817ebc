"""The thinker computes before the agent decides, restarts with each puzzle, and never mixes rows."""

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

from hrm_envs.wrappers import HaltOnly, HaltOnlyVector


class Counter:
    """Remembers, and tells, how often it has thought and what the first two cells added up to all the while.

    Its answers are wrong, but each segment's differs from the last one's.
    """

    num_features = 3

    def start(self, obs):
        rows = len(obs["puzzle"])
        return np.zeros(rows, np.int64), np.zeros((rows, 2), np.float32)

    def think(self, obs, memory):
        count, seen = memory[0] + 1, memory[1] + obs["puzzle"][:, :2]
        answer = np.minimum(obs["puzzle"] + count[:, None], 5).astype(np.uint8)
        return answer, np.column_stack([count, seen]).astype(np.float32), (count, seen)


def choose(rng, env, solution):
    return rng.integers(0, 2, len(solution))


@pytest.mark.parametrize("id", FAMILIES)
def test_gymnasium_has_no_complaint(id, monkeypatch):
    gymnasium_has_no_complaint(HaltOnly(single(id), Counter()), monkeypatch)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("id", FAMILIES)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_rows_equal_single_wrappers(id, mode, seed):
    thinker = Counter()  # shared by all
    env = HaltOnlyVector(vector(id, autoreset_mode=mode), thinker)
    singles = [HaltOnly(single(id), thinker) for _ in range(ROWS)]
    assert (rows_equal_singles(env, singles, choose, steps=24, seed=seed) >= 2).all()


class Recorder(gym.Wrapper):
    """Records the actions that the environment receives."""

    def __init__(self, env):
        super().__init__(env)
        self.actions = []

    def step(self, action):
        self.actions.append({"answer": action["answer"].copy(), "halt": action["halt"]})
        return super().step(action)


def test_the_answer_is_thought_before_it_is_handed_in():
    """M = 3. Features: the number of segments and the sums of the first two cells; then the share of used segments."""
    inner = Recorder(single())
    env = HaltOnly(inner, Counter())
    assert env.action_space == gym.spaces.Discrete(2)
    assert env.observation_space.shape == (4,)
    first, _ = env.reset(options={"puzzle": "12.. 34.. 2143 43.1"})
    assert first.dtype == np.float32
    assert first.tolist() == [1, 2, 3, np.float32(1 / 3)]
    second, reward, terminated, _, info = env.step(0)
    assert second.tolist() == [2, 4, 6, np.float32(2 / 3)]
    assert (reward, terminated) == (-0.1, False)
    assert inner.actions[0]["answer"][2] == 1 + 1  # the answer of the first segment was proposed
    last, _, terminated, _, info = env.step(1)
    assert terminated
    assert inner.actions[1]["answer"][2] == 1 + 2
    assert last.tolist() == second.tolist()  # no further segment was computed
    assert info["forced_halt"] is False


def test_segments_run_out():
    env = HaltOnly(single(), Counter())
    env.reset(seed=0)
    results = [env.step(0) for _ in range(3)]
    assert [result[2] for result in results] == [False, False, True]
    assert results[-1][-1]["forced_halt"] is True
    assert results[-1][0][[0, -1]].tolist() == [3, 1]


def test_a_refilled_row_starts_from_nothing_and_its_last_observation_is_kept():
    env = HaltOnlyVector(vector(num_envs=2), Counter())
    env.reset(seed=0)
    before, *_ = env.step(np.array([0, 0]))
    obs, _, ended, _, info = env.step(np.array([1, 0]))
    assert ended.tolist() == [True, False]
    assert obs[:, 0].tolist() == [1, 3]
    assert obs[:, 3].tolist() == [np.float32(1 / 3), 1]
    assert info["final_obs"][0].tolist() == before[0].tolist()
    assert info["final_obs"][1] is None


def test_a_masked_reset_has_only_those_rows_think():
    env = HaltOnlyVector(vector(num_envs=3), Counter())
    env.reset(seed=0)
    env.step(np.zeros(3, int))
    obs, _ = env.reset(options={"reset_mask": np.array([False, True, False])})
    assert obs[:, 0].tolist() == [2, 1, 2]
    obs, *_ = env.step(np.zeros(3, int))
    assert obs[:, 0].tolist() == [3, 2, 3]


def test_bad_thinkers_actions_and_environments():
    class Talkative(Counter):
        num_features = 2

    with pytest.raises(ValueError, match=r"Talkative.think: expected answers \(1, 16\) and features \(1, 2\)"):
        HaltOnly(single(), Talkative()).reset(seed=0)
    env, many = HaltOnly(single(), Counter()), HaltOnlyVector(vector(), Counter())
    for one, action in ((env, 1), (many, np.ones(ROWS, int))):
        with pytest.raises(ResetNeeded):
            one.step(action)
        one.reset(seed=0)
    with pytest.raises(ValueError, match="'halt' must be 0 or 1"):
        env.step(2)
    with pytest.raises(ValueError, match="'halt' of 3"):
        many.step(np.ones(2, int))
    with pytest.raises(ValueError, match="HaltOnly wraps a ReasoningEnv"):
        HaltOnly(gym.make("CartPole-v1"), Counter())


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_on_alike(twin):
    for env, action in ((HaltOnly(single(), Counter()), 0), (HaltOnlyVector(vector(), Counter()), np.array([0, 1, 0]))):
        env.reset(seed=0)
        other = twin(env)
        for _ in range(2):
            assert data_equivalence(env.step(action), other.step(action), exact=True)


@pytest.mark.parametrize(
    "wrapper", [lambda thinker: HaltOnly(single(), thinker), lambda thinker: HaltOnlyVector(vector(), thinker)]
)
def test_what_is_no_thinker(wrapper):
    class Deaf:
        num_features = 1

        def start(self, obs):
            return ()

    class Boundless(Deaf):
        num_features = 10**20

        def think(self, obs, memory):
            return obs["puzzle"], None, memory

    for thinker in (None, 5, "x", Deaf(), Deaf):
        with pytest.raises(ValueError, match=r"a thinker needs num_features, start\(\) and think\(\)"):
            wrapper(thinker)
    with pytest.raises(ValueError, match=r"thinker.num_features=100000000000000000000 must be from 0"):
        wrapper(Boundless())


@pytest.mark.parametrize("answer", [np.full(16, 6), np.full(16, 300), np.full(16, -1), np.full(16, 2.0)])
def test_a_thinkers_answers_are_not_cut_to_fit(answer):
    class Wild:
        num_features = 1

        def start(self, obs):
            return ()

        def think(self, obs, memory):
            return np.tile(answer, (len(obs["puzzle"]), 1)), np.zeros((len(obs["puzzle"]), 1), np.float32), memory

    for env in (HaltOnly(single(), Wild()), HaltOnlyVector(vector(), Wild())):
        with pytest.raises(ValueError, match=r"Wild.think: answers must be integers from 0 to 5, found"):
            env.reset(seed=0)
