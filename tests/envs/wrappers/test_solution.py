"""The solution in the observation always belongs to its puzzle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cell_edit import choose as choose_edits
from twins import FAMILIES, MODES, ROWS, gymnasium_has_no_complaint, rows_equal_singles, single, vector

from hrm_envs.wrappers import CellEdit, CellEditVector, HaltOnly, SolutionInObs, SolutionInObsVector


@pytest.mark.parametrize("id", FAMILIES)
def test_gymnasium_has_no_complaint(id, monkeypatch):
    gymnasium_has_no_complaint(SolutionInObs(single(id)), monkeypatch)


def solves(env, obs):
    """Whether the solutions solve their puzzles."""
    puzzle, solution = np.atleast_2d(obs["puzzle"]), np.atleast_2d(obs["solution"])
    task = env.unwrapped.task
    return task.verify(task.complete(puzzle), solution).success


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("id", FAMILIES)
def test_puzzle_and_solution_belong_together(id, mode):
    env = SolutionInObsVector(vector(id, autoreset_mode=mode, num_puzzles=50))
    obs, _ = env.reset(seed=0)
    rng, puzzles, finals = np.random.default_rng(0), set(), 0
    ended = np.zeros(ROWS, bool)
    for _ in range(12):
        assert solves(env, obs).all()
        puzzles |= {row.tobytes() for row in obs["puzzle"]}
        if ended.any() and str(mode.value) == "Disabled":
            obs, _ = env.reset(options={"reset_mask": ended})
            assert solves(env, obs).all()
        halt = rng.integers(0, 2, ROWS)
        obs, _, ended, _, info = env.step({"answer": obs["solution"], "halt": halt})
        assert obs in env.observation_space
        if "final_obs" in info:
            for last in info["final_obs"][ended]:
                assert solves(env, last).all()
                assert (last["answer"] == last["solution"]).all()
                finals += 1
    assert len(puzzles) > 2 * ROWS
    assert bool(finals) == (str(mode.value) == "SameStep")


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_rows_equal_single_wrappers_around_others(mode, seed):
    inner = CellEditVector(vector(autoreset_mode=mode), max_edits=5)
    env = SolutionInObsVector(inner)
    inner.single_action_space.seed(seed)
    singles = [SolutionInObs(CellEdit(single(), max_edits=5)) for _ in range(ROWS)]
    resets = rows_equal_singles(env, singles, lambda rng, _, s: choose_edits(rng, inner, s), steps=30, seed=seed)
    assert (resets >= 2).all()


def test_hidden_solutions_stay_hidden():
    with pytest.raises(ValueError, match=r"SolutionInObs: solutions are hidden.*expose_solution=True"):
        SolutionInObs(single(expose_solution=False))
    with pytest.raises(ValueError, match="SolutionInObsVector: solutions are hidden"):
        SolutionInObsVector(vector(expose_solution=False))
    with pytest.raises(ValueError, match=r"the observation must be a Dict .*, not a Box"):
        SolutionInObs(HaltOnly(single(), Mute()))


class Mute:
    num_features = 0

    def start(self, obs):
        return ()

    def think(self, obs, memory):
        return obs["puzzle"], np.zeros((len(obs["puzzle"]), 0), np.float32), memory


def test_what_is_told_can_be_changed_without_harm():
    env = SolutionInObs(single())
    obs, _ = env.reset(seed=0)
    right = obs["solution"].copy()
    obs["solution"][:] = 0
    obs, *_ = env.step({"answer": right, "halt": 0})
    assert (obs["solution"] == right).all()
