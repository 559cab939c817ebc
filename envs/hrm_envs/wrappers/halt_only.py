"""Only the halting decision: another model computes the answers, and the agent decides when to halt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from hrm_envs.checks import shown, whole_number
from hrm_envs.env import ReasoningEnv
from hrm_envs.limits import MAX_CELLS
from hrm_envs.spec import TaskSpec
from hrm_envs.vector_env import ReasoningVectorEnv
from hrm_envs.wrappers.base import AutoresetVectorWrapper, base_of, change_final_obs, reset_rows

#: The state of a thinker: any number of arrays (numpy, torch, ...), each with one entry per row.
Memory = Sequence[Any]


class Thinker(Protocol):
    """A model that computes answers in segments, for any number ``B`` of independent rows.

    A thinker is stateless, so that several environments can share it: the wrapper holds its memory. The wrapper indexes
    and modifies the arrays of a memory, so each call must return new arrays.
    """

    @property
    def num_features(self) -> int:
        """``F``, the number of features of each segment."""

    def start(self, obs: Mapping[str, NDArray[Any]]) -> Memory:
        """The initial memory of ``B`` rows, for a batched observation of the environment."""

    def think(
        self, obs: Mapping[str, NDArray[Any]], memory: Memory
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], Memory]:
        """Compute one segment.

        Args:
            obs: a batched observation of the environment.
            memory: the memory after the previous segment.

        Returns:
            The answers uint8 ``[B, S]``, features float32 ``[B, F]`` for the decision, and the new memory.
        """


class HaltOnly(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """A thinker computes the answers, and the agent decides when to halt.

    The thinker computes the answer of a segment before the agent decides: 1 submits the answer that the observation
    describes, 0 continues. Rewards, episode end and info are those of the environment.

    **Action**: ``Discrete(2)``. **Observation**: ``Box`` float32 ``[F + 1]``: the thinker's features of the answer, and
    the segment number divided by the maximum.

    Args:
        env: a :class:`~hrm_envs.env.ReasoningEnv`, wrapped or not.
        thinker: see :class:`Thinker`, such as ``hrm_agents.solving.thinker.HRMThinker``.

    Raises:
        ValueError: another kind of environment, or ``thinker`` is not a thinker.
    """

    def __init__(self, env: gym.Env[Any, Any], thinker: Thinker) -> None:
        base = base_of(env, ReasoningEnv, "HaltOnly")
        _check_thinker(thinker)
        RecordConstructorArgs.__init__(self, _disable_deepcopy=True, thinker=thinker)
        super().__init__(env)
        self._mind = _Mind(thinker, 1, base.task_spec, base.max_segments)
        self.action_space = spaces.Discrete(2)
        self.observation_space = self._mind.space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin a new episode and compute its first segment; see :meth:`.ReasoningEnv.reset`."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._mind.begin(_batch(obs), _ONE)
        self._mind.think(_batch(obs), _ONE)
        return self._mind.observe()[0], info

    def step(self, action: int) -> tuple[NDArray[np.float32], Any, bool, bool, dict[str, Any]]:
        """Submit the answer (1) or continue (0).

        Raises:
            ValueError: another action.
            gymnasium.error.ResetNeeded: the episode is over, or none has begun.
        """
        obs, reward, terminated, truncated, info = self.env.step({"answer": self._mind.answer[0], "halt": action})
        if not terminated:
            self._mind.think(_batch(obs), _ONE)
        return self._mind.observe()[0], reward, terminated, truncated, info


class HaltOnlyVector(AutoresetVectorWrapper):
    """:class:`HaltOnly` for a vector environment: observations are ``[n, F + 1]``, and all rows share one batch.

    Args:
        env: a :class:`~hrm_envs.vector_env.ReasoningVectorEnv`, wrapped or not.
        thinker: see :class:`Thinker`.

    Raises:
        ValueError: another kind of environment, or ``thinker`` is not a thinker.
    """

    def __init__(self, env: gym.vector.VectorEnv[Any, Any, Any], thinker: Thinker) -> None:
        base = base_of(env, ReasoningVectorEnv, "HaltOnlyVector")
        _check_thinker(thinker)
        super().__init__(env)
        self._mind = _Mind(thinker, env.num_envs, base.task_spec, base.max_segments)
        self._over = np.zeros(env.num_envs, np.bool_)
        self.single_action_space = spaces.Discrete(2)
        self.single_observation_space = self._mind.space
        self.action_space = batch_space(self.single_action_space, env.num_envs)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin new episodes and compute their first segments; see :meth:`.ReasoningVectorEnv.reset`."""
        obs, info = self.env.reset(seed=seed, options=options)
        rows = reset_rows(options, self.num_envs)
        self._over[rows] = False
        self._mind.begin(obs, np.flatnonzero(rows))
        self._mind.think(obs, np.flatnonzero(rows))
        return self._mind.observe(), info

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Submit (1) or continue (0) in each row, with actions ``[n]``.

        Raises:
            ValueError: the actions do not fit the action space.
            gymnasium.error.ResetNeeded: no episode has begun.
        """
        obs, reward, ended, truncated, info = self.env.step({"answer": self._mind.answer, "halt": actions})
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            last = self._mind.observe()
            info = change_final_obs(info, lambda _, row: last[row].copy())
            fresh, thinking = ended, np.ones(self.num_envs, np.bool_)
        else:
            # Ended rows compute no further segment. Under NEXT_STEP, rows that had ended before were reset.
            fresh, thinking = self._over, ~ended
            self._over = ended.copy()
        self._mind.begin(obs, np.flatnonzero(fresh))
        self._mind.think(obs, np.flatnonzero(thinking))
        return self._mind.observe(), reward, ended, truncated, info


def _check_thinker(thinker: Thinker) -> None:
    if not all(callable(getattr(thinker, name, None)) for name in ("start", "think")):
        raise ValueError(f"thinker={shown(thinker)}: a thinker needs num_features, start() and think()")
    whole_number("thinker.num_features", getattr(thinker, "num_features", None), 0, MAX_CELLS)


class _Mind:
    """The last answers, features and memory of a thinker for ``num_rows`` rows."""

    def __init__(self, thinker: Thinker, num_rows: int, spec: TaskSpec, max_segments: int) -> None:
        self._thinker, self._max_segments, self._vocab_size = thinker, max_segments, spec.vocab_size
        self.answer = np.zeros((num_rows, spec.num_cells), np.uint8)
        self._features = np.zeros((num_rows, thinker.num_features), np.float32)
        self._segment = np.zeros(num_rows, np.int32)
        self._memory: Memory | None = None

    @property
    def space(self) -> spaces.Box:
        """The observation space of one row."""
        # Features are unbounded, but Gymnasium's checker requires finite bounds.
        high = np.full(self._features.shape[1] + 1, np.finfo(np.float32).max, np.float32)
        low = -high
        low[-1], high[-1] = 0, 1
        return spaces.Box(low, high, dtype=np.float32)

    def begin(self, obs: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]) -> None:
        """Reset the memory of the given rows."""
        if self._memory is None or len(rows) == len(self.answer):
            self._memory = tuple(self._thinker.start(obs))
        elif len(rows):
            for kept, new in zip(self._memory, self._thinker.start(_take(obs, rows)), strict=True):
                kept[rows] = new

    def think(self, obs: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]) -> None:
        """Compute one segment in the given rows."""
        assert self._memory is not None, "a step needs a reset, which the environment has checked"
        if not len(rows):
            return
        if len(rows) == len(self.answer):
            answer, features, memory = self._thinker.think(obs, self._memory)
            self._memory = tuple(memory)
        else:
            answer, features, memory = self._thinker.think(_take(obs, rows), tuple(part[rows] for part in self._memory))
            for kept, new in zip(self._memory, memory, strict=True):
                kept[rows] = new
        wanted = (len(rows), self.answer.shape[1]), (len(rows), self._features.shape[1])
        if (np.shape(answer), np.shape(features)) != wanted:
            raise ValueError(
                f"{type(self._thinker).__name__}.think: expected answers {wanted[0]} and features {wanted[1]}, "
                f"found {np.shape(answer)} and {np.shape(features)}"
            )
        answer = np.asarray(answer)
        if answer.dtype.kind not in "ui" or answer.min() < 0 or answer.max() >= self._vocab_size:
            raise ValueError(
                f"{type(self._thinker).__name__}.think: answers must be integers from 0 to {self._vocab_size - 1}, "
                f"found {answer.dtype} from {answer.min()} to {answer.max()}"
            )
        self.answer[rows], self._features[rows] = answer, features
        self._segment[rows] = obs["segment"][rows, 0] + 1

    def observe(self) -> NDArray[np.float32]:
        """Features and the share of used segments, float32 ``[B, F + 1]``, as a new array."""
        share = (self._segment / self._max_segments).astype(np.float32)
        return np.concatenate([self._features, share[:, None]], axis=1)


_ONE = np.array([0])


def _batch(obs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: array[None] for name, array in obs.items()}


def _take(obs: Mapping[str, NDArray[Any]], rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    return {name: array[rows] for name, array in obs.items()}
