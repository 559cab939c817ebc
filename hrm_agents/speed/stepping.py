"""Steps per second of vector environments."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from hrm_agents.environments import make_vector, plain_id
from hrm_agents.errors import user_errors

#: A vector environment, and for each kind of action the actions to take in turn.
Opened = tuple[Any, dict[str, list[Any]]]


def open_reasoning(env_id: str, num_envs: int) -> Opened:
    """An environment whose steps are segments, with random answers."""
    env = make_vector(env_id, num_envs, {})
    drawn = _drawn_actions(env)
    # Policies give uint8 answers; the action space draws int64, which is slower to check.
    kinds = {"answers from the action space": np.int64, "uint8 answers": np.uint8}
    return env, {
        kind: [{"answer": action["answer"].astype(dtype), "halt": action["halt"]} for action in drawn]
        for kind, dtype in kinds.items()
    }


def open_walks(env_id: str, num_envs: int) -> Opened:
    """An environment whose steps are moves, with random ones."""
    with user_errors(env_id):
        env = gym.make_vec(plain_id(env_id), num_envs=num_envs)
    return env, {"random moves": _drawn_actions(env)}


def _drawn_actions(env: Any) -> list[Any]:
    """Random actions, drawn before the measurement, since drawing one is slower than a step."""
    env.action_space.seed(0)
    return [env.action_space.sample() for _ in range(16)]


def steps_per_second(env: Any, actions: Sequence[Any], seconds: float) -> float:
    """Rows stepped per second over about ``seconds``, taking the actions in turn after one warm-up of each."""
    env.reset(seed=0)
    for action in actions:
        env.step(action)
    steps, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        env.step(actions[steps % len(actions)])
        steps += 1
    return steps * env.num_envs / elapsed
