"""Plays episodes in a vector environment and hands out one batch of segments per step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from torch import Tensor

from hrm_agents.halting.exploration import Exploration
from hrm_agents.models.interface import map_carry
from hrm_agents.policy import Decision, HRMPolicy
from hrm_envs import independent_seeds


@dataclass(frozen=True)
class SegmentBatch:
    """One segment of every row: what was seen, thought and paid. ``B`` rows, ``S`` cells."""

    #: uint8 ``[B, S]`` and int64 ``[B]``, the observation acted on.
    puzzle: Tensor
    task_id: Tensor
    #: uint8 ``[B, S]``, a right answer to *that* puzzle, not to the one that replaced it if the row ended; zeros where
    #: the environment tells none.
    solution: Tensor
    #: int64 ``[B]``, number of this segment in its episode, from 1.
    segment: Tensor
    #: bool ``[B]``, halting or thinking on was the agent's choice: neither exploration nor the last segment forced it.
    chosen: NDArray[np.bool_]
    #: Answer, halt decision, new carry, logits and Q-values.
    decision: Decision
    #: float32 ``[B]``, what halting on the answer pays.
    halt_reward: Tensor
    #: float64 ``[B]``, the reward of the step.
    reward: NDArray[np.float64]
    #: bool ``[B]``, the episode ended with this segment; and whether by force.
    terminated: NDArray[np.bool_]
    forced_halt: NDArray[np.bool_]
    #: bool and float32 ``[B]``, the verifier on the answer.
    success: NDArray[np.bool_]
    score: NDArray[np.float32]
    #: Answers sampled beside the one that was given, if anybody learns from them.
    tries: Tries | None = None


def step_info(info: dict[str, Any], name: str) -> NDArray[Any]:
    """The value of ``info[name]`` that belongs to the step just taken, in every row.

    Under SAME_STEP autoreset the rows that ended keep theirs in ``final_info``.
    """
    if "final_info" not in info:
        return info[name]
    return np.where(info["_final_info"], info["final_info"][name], info[name])


class Rollout:
    """An endless iterator over segments; the policy's weights may change between two steps.

    Args:
        env: a ``ReasoningVectorEnv`` in SAME_STEP mode, with ``expose_solution=True`` if solutions are learned from.
        policy: acts, and keeps gradients for the caller's loss.
        exploration: draws how long an episode must think before it may halt.
        seed: of the environment, whose rows get independent seeds from it, and of the exploration.
        num_tries: how many answers to sample and have judged in every segment, beside the one that is given.
        earns: what these earn, the verifier's partial credit or what halting on them pays.

    Raises:
        ValueError: the environment is in another autoreset mode, where solutions would belong to other puzzles.
    """

    def __init__(
        self,
        env: Any,
        policy: HRMPolicy,
        exploration: Exploration,
        seed: int,
        *,
        num_tries: int = 0,
        earns: Literal["score", "reward"] = "score",
    ) -> None:
        mode = env.metadata["autoreset_mode"]
        if mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"training needs rows that are refilled in the same step, not autoreset_mode={mode.value}")
        self.env, self.policy, self._exploration = env, policy, exploration
        self._num_tries, self._earns = num_tries, earns
        self._rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
        self._obs, info = env.reset(seed=independent_seeds(seed, env.num_envs))
        self._solution = self._solutions(info)
        self._carry = policy.initial_carry(env.num_envs)
        self._reset = np.ones(env.num_envs, np.bool_)
        self._min_segments = np.ones(env.num_envs, np.int64)

    def __iter__(self) -> Iterator[SegmentBatch]:
        while True:
            yield self.step()

    def step(self) -> SegmentBatch:
        """Think and act once in every row."""
        obs, solution = self._obs, self._solution
        self._min_segments = self._exploration.minimum(self._rng, self._min_segments, self._reset)
        # Other rules draw nothing, so that they take the same numbers whatever rules there are.
        draws = self._rng.random(self.env.num_envs, np.float32) if self.policy.rule.samples else None
        decision = self.policy.act(obs, self._carry, self._reset, self._min_segments, draws)
        # Before the step, which may put other puzzles in place of these.
        tries = self._try_answers(decision.output.logits) if self._num_tries else None
        self._obs, reward, terminated, _, info = self.env.step(decision.action())
        self._solution, self._carry, self._reset = self._solutions(info), decision.carry, terminated
        puzzle, task_id = self.policy.observe(obs)
        device = self.policy.device
        segment = obs["segment"].reshape(-1).astype(np.int64) + 1
        return SegmentBatch(
            puzzle=puzzle,
            task_id=task_id,
            solution=torch.from_numpy(solution).to(device),
            segment=torch.from_numpy(segment).to(device),
            chosen=(segment >= self._min_segments) & (segment < self.env.max_segments),
            decision=decision,
            halt_reward=torch.from_numpy(step_info(info, "halt_reward")).to(device),
            reward=reward,
            terminated=terminated,
            forced_halt=step_info(info, "forced_halt"),
            success=step_info(info, "is_success"),
            score=step_info(info, "score"),
            tries=tries,
        )

    def _solutions(self, info: dict[str, Any]) -> NDArray[np.uint8]:
        """The solutions in ``info``; zeros where the environment does not expose them."""
        if self.env.expose_solution:
            return info["solution"]
        return np.zeros((self.env.num_envs, self.env.task_spec.num_cells), np.uint8)

    def _try_answers(self, logits: Tensor) -> Tries:
        shape = (self.env.num_envs, self._num_tries, self.env.task_spec.num_cells)
        draws = torch.from_numpy(self._rng.random(shape, np.float32)).to(logits.device)
        answers = sample_answers(logits.detach(), draws)
        judge = self.env.halt_rewards if self._earns == "reward" else lambda tried: self.env.judge(tried).score
        return Tries(answers, torch.from_numpy(judge(answers.cpu().numpy())).to(logits.device))

    def state_dict(self) -> dict[str, Any]:
        """All that the future depends on besides the weights: arrays as tensors, and the generator's state."""
        return {
            "env": {name: torch.from_numpy(array) for name, array in self.env.get_state().items()},
            "carry": {str(number): state for number, state in enumerate(self._carry)},
            "reset": torch.from_numpy(self._reset),
            "min_segments": torch.from_numpy(self._min_segments),
            "rng": dict(self._rng.bit_generator.state),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`.

        Raises:
            ValueError: the state is of another number of rows or another grid, or holds impossible values.
        """
        _check_values(state, self.env.max_segments, self.env.task_spec.vocab_size)
        self._obs = self.env.set_state({name: tensor.cpu().numpy() for name, tensor in state["env"].items()})
        if not self.env.observation_space.contains(self._obs):
            raise ValueError("the environment's puzzles, answers or segments are out of range")
        self._solution = self._solutions({"solution": self.env.solutions()} if self.env.expose_solution else {})
        # The run may continue where activations have another type.
        saved = iter(state["carry"].values())
        self._carry = map_carry(lambda own: next(saved).to(own), self._carry)
        self._reset = state["reset"].cpu().numpy()
        self._min_segments = state["min_segments"].cpu().numpy()
        self._rng.bit_generator.state = state["rng"]
        if self._rng.bit_generator.state != state["rng"]:
            raise ValueError("the state of the random numbers is not a possible one")


def _check_values(state: Mapping[str, Any], max_segments: int, vocab_size: int) -> None:
    """Refuse values that no rollout can reach, though an array of that type could hold them.

    Raises:
        ValueError: naming them.
    """
    for name, low, high in (
        ("segment", 0, max_segments - 1),
        ("episodes", 0, 2**62),
        ("solution", 0, vocab_size - 1),
        ("example", 0, 2**31 - 1),
        ("min_segments", 1, max_segments),
    ):
        values = (state if name in state else state["env"])[name].long()
        if bool(((values < low) | (values > high)).any()):
            raise ValueError(f"{name} has values outside {low} to {high}")


class Tries(NamedTuple):
    """Answers sampled in one segment and what they earned: ``B`` rows, ``K`` answers, ``S`` cells."""

    answer: Tensor
    """uint8 ``[B, K, S]``."""
    earned: Tensor
    """float32 ``[B, K]``, by the verifier."""


def sample_answers(logits: Tensor, draws: Tensor) -> Tensor:
    """Answers of the policy, uint8 ``[B, K, S]``.

    Args:
        logits: ``[B, S, V]``, scores of each token in each cell.
        draws: ``[B, K, S]``, uniform in [0, 1): a token is taken where its share of [0, 1) contains the draw.
    """
    below = logits.float().softmax(-1).cumsum(-1)[:, None]
    # The shares may add up to a little less than 1.
    return (draws[..., None] >= below[..., :-1]).sum(-1).to(torch.uint8)
