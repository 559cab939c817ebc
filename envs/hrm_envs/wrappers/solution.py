"""A right answer in the observation, for imitation learning and oracles."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from hrm_envs.env import ReasoningEnv
from hrm_envs.spec import TaskSpec, Tokens
from hrm_envs.vector_env import ReasoningVectorEnv
from hrm_envs.wrappers.base import AutoresetVectorWrapper, base_of, change_final_obs

ENTRY = "solution"


class SolutionInObs(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Adds ``solution`` uint8 ``[S]`` to the observation, which always belongs to the puzzle of the observation.

    It can be applied to other wrappers with dictionary observations.

    Args:
        env: a :class:`~hrm_envs.env.ReasoningEnv` made with ``expose_solution=True``, wrapped or not.

    Raises:
        ValueError: the environment hides its solutions, or the observation is not a dictionary.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        base = base_of(env, ReasoningEnv, "SolutionInObs")
        _check_exposed(base, "SolutionInObs")
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self.observation_space = _with_solution(env.observation_space, base.task_spec)
        self._solution: Tokens = np.zeros(base.task_spec.num_cells, np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a new episode."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._solution = info[ENTRY].copy()
        return {**obs, ENTRY: self._solution.copy()}, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take one step."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return {**obs, ENTRY: self._solution.copy()}, reward, terminated, truncated, info


class SolutionInObsVector(AutoresetVectorWrapper):
    """:class:`SolutionInObs` for a vector environment: ``solution`` is uint8 ``[n, S]``.

    Args:
        env: a :class:`~hrm_envs.vector_env.ReasoningVectorEnv` made with ``expose_solution=True``, wrapped or not.

    Raises:
        ValueError: the environment hides its solutions, or the observation is not a dictionary.
    """

    def __init__(self, env: gym.vector.VectorEnv[Any, Any, Any]) -> None:
        base = base_of(env, ReasoningVectorEnv, "SolutionInObsVector")
        _check_exposed(base, "SolutionInObsVector")
        super().__init__(env)
        self.single_observation_space = _with_solution(env.single_observation_space, base.task_spec)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self._solution: Tokens = np.zeros((base.num_envs, base.task_spec.num_cells), np.uint8)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Begin new episodes."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._look(info)
        return {**obs, ENTRY: self._solution.copy()}, info

    def step(self, actions: Any) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Take one step in every row."""
        obs, reward, terminated, truncated, info = self.env.step(actions)
        # The stored solutions belong to the old puzzles, info["solution"] to the new ones.
        info = change_final_obs(info, lambda last, row: {**last, ENTRY: self._solution[row].copy()})
        self._look(info)
        return {**obs, ENTRY: self._solution.copy()}, reward, terminated, truncated, info

    def _look(self, info: dict[str, Any]) -> None:
        present = info[f"_{ENTRY}"]
        self._solution[present] = info[ENTRY][present]


def _check_exposed(base: ReasoningEnv | ReasoningVectorEnv, wrapper: str) -> None:
    if not base.expose_solution:
        raise ValueError(f"{wrapper}: solutions are hidden; make the environment with expose_solution=True")


def _with_solution(space: spaces.Space[Any], spec: TaskSpec) -> spaces.Dict:
    if not isinstance(space, spaces.Dict):
        raise ValueError(f"the observation must be a Dict to add the solution, not a {type(space).__name__}")
    return spaces.Dict({**space, ENTRY: spaces.Box(0, spec.vocab_size - 1, (spec.num_cells,), np.uint8)})
