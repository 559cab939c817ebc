"""Rollout of episodes in a vector environment, one batch of segments per step.

The environment's half of each step is :mod:`hrm_envs.dynamics`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from torch import Tensor

from hrm_agents.distributed import Ranks, Rows
from hrm_agents.halting.exploration import Exploration
from hrm_agents.models.interface import map_carry
from hrm_agents.policy import Decision, HRMPolicy
from hrm_agents.transfer import to_device, to_host
from hrm_envs import independent_seeds


class OnHost(NamedTuple):
    """What is on the host of a :class:`SegmentBatch` as well, so that reading it does not wait for the device."""

    segment: NDArray[np.int64]
    """int64 ``[B]``."""
    halt_reward: NDArray[np.float32]
    """float32 ``[B]``."""
    q_halt: NDArray[np.float32]
    """float32 ``[B]``."""
    q_continue: NDArray[np.float32]
    """float32 ``[B]``."""


@dataclass(frozen=True)
class SegmentBatch:
    """One segment of every row: observation, decision and rewards. ``B`` rows, ``S`` cells.

    Tensors are on the model's device, arrays on the host.
    """

    puzzle: Tensor
    """uint8 ``[B, S]``, the puzzle that the agent acted on."""
    task_id: Tensor
    """int64 ``[B]``, its task identity."""
    solution: Tensor
    """uint8 ``[B, S]``, a right answer to ``puzzle``, even if another puzzle replaced it; zeros if not exposed."""
    segment: Tensor
    """int64 ``[B]``, number of this segment in its episode, from 1."""
    chosen: NDArray[np.bool_]
    """bool ``[B]``, the agent chose to halt or continue; at others exploration or the last segment forced it."""
    decision: Decision
    """Answer, halt decision, new carry, logits and Q-values."""
    halt_reward: Tensor
    """float32 ``[B]``, reward of halting on the answer."""
    reward: NDArray[np.float64]
    """float64 ``[B]``, reward of the step."""
    terminated: NDArray[np.bool_]
    """bool ``[B]``, the episode ended with this segment."""
    forced_halt: NDArray[np.bool_]
    """bool ``[B]``, it ended because segment M was reached."""
    success: NDArray[np.bool_]
    """bool ``[B]``, the answer is right."""
    score: NDArray[np.float32]
    """float32 ``[B]``, partial credit of the answer."""
    host: OnHost
    """Copies of tensors that are read on the host too."""
    tries: Tries | None = None
    """Answers sampled in addition, if the run learns from them."""

    def of_all(self, ranks: Ranks) -> SegmentBatch:
        """The same batch with the rows of all processes in the arrays on the host; tensors stay those of this one."""
        chosen, reward, terminated, forced_halt, success, score, *host = ranks.all_rows(
            [self.chosen, self.reward, self.terminated, self.forced_halt, self.success, self.score, *self.host]
        )
        return replace(
            self,
            chosen=chosen,
            reward=reward,
            terminated=terminated,
            forced_halt=forced_halt,
            success=success,
            score=score,
            host=OnHost(*host),
        )


def step_info(info: dict[str, Any], name: str) -> NDArray[Any]:
    """``info[name]`` of the step just taken, in every row.

    Under SAME_STEP autoreset, values of rows that ended are in ``final_info``.
    """
    if "final_info" not in info:
        return info[name]
    return np.where(info["_final_info"], info["final_info"][name], info[name])


class Rollout:
    """An endless iterator over segments; the policy's weights may change between steps.

    Args:
        env: a ``ReasoningVectorEnv`` in SAME_STEP mode, with ``expose_solution=True`` to learn from solutions.
        policy: acts, with gradients for the caller's loss.
        exploration: draws a minimum number of segments before the agent may halt.
        seed: of the environment, whose rows get independent seeds from it, and of the exploration.
        num_tries: number of answers to sample and judge in every segment, in addition to the agent's answer.
        earns: their reward: the verifier's partial credit, or the reward of halting on them.
        nearest: learn from the right answer that the logits favour most, where a puzzle has several, not from the
            stored one.
        rows: which rows of a joint batch ``env`` has; all by default.

    Raises:
        ValueError: the environment is in another autoreset mode, or has another number of rows.
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
        nearest: bool = False,
        rows: Rows | None = None,
    ) -> None:
        mode = env.metadata["autoreset_mode"]
        if mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"training needs autoreset_mode=SameStep, got {mode.value}")
        self._rows = Rows.all(env.num_envs) if rows is None else rows
        if len(self._rows) != env.num_envs:
            raise ValueError(f"an environment of {env.num_envs} rows cannot play {len(self._rows)} rows")
        self.env, self.policy, self._exploration = env, policy, exploration
        self._num_tries, self._earns, self._nearest = num_tries, earns, nearest
        self._rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
        self._obs, info = env.reset(seed=self._rows.of(independent_seeds(seed, self._rows.total)))
        self._solution = self._solutions(info)
        self._carry = policy.initial_carry(env.num_envs)
        self._reset = np.ones(env.num_envs, np.bool_)
        self._min_segments = np.ones(env.num_envs, np.int64)

    def __iter__(self) -> Iterator[SegmentBatch]:
        while True:
            yield self.step()

    def step(self) -> SegmentBatch:
        """Run one segment in every row."""
        obs, solution = self._obs, self._solution
        self._min_segments = self._exploration.minimum(self._rng, self._min_segments, self._reset, self._rows)
        # Only rules that sample draw, so that the random stream of the others stays the same.
        draws = self._draw() if self.policy.rule.samples else None
        observed = self.policy.observe(obs)
        decision = self.policy.act(observed, self._carry, self._reset, self._min_segments, draws)
        output, device = decision.output, self.policy.device
        sampled = self._sample(output.logits)
        favoured = [output.logits.detach().float()] if self._nearest else []
        # The only copy from the device, which waits for it.
        answer, halt, q_halt, q_continue, *others = to_host(
            decision.answer, decision.halt, output.q_halt.float(), output.q_continue.float(), *favoured, *sampled
        )
        # Before the step, which may replace the puzzles.
        if self._nearest:
            logits = others.pop(0)
            # Where they are not finite, neither is the loss, which ends the run.
            solution = self.env.nearest(logits) if np.isfinite(logits).all() else solution
        earned = [to_device(self._judge(tried), device) for tried in others]
        self._obs, reward, terminated, _, info = self.env.step({"answer": answer, "halt": halt})
        self._solution, self._carry, self._reset = self._solutions(info), decision.carry, terminated
        segment = obs["segment"].reshape(-1).astype(np.int64) + 1
        halt_reward = step_info(info, "halt_reward")
        return SegmentBatch(
            puzzle=observed.puzzle,
            task_id=observed.task_id,
            solution=to_device(solution, device),
            segment=observed.segment,
            chosen=(segment >= self._min_segments) & (segment < self.env.max_segments),
            decision=decision,
            halt_reward=to_device(halt_reward, device),
            reward=reward,
            terminated=terminated,
            forced_halt=step_info(info, "forced_halt"),
            success=step_info(info, "is_success"),
            score=step_info(info, "score"),
            host=OnHost(segment, halt_reward, q_halt, q_continue),
            tries=Tries(*sampled, *earned) if sampled else None,
        )

    def _solutions(self, info: dict[str, Any]) -> NDArray[np.uint8]:
        """The solutions in ``info``; zeros if the environment does not expose them."""
        if self.env.expose_solution:
            return info["solution"]
        return np.zeros((self.env.num_envs, self.env.task_spec.num_cells), np.uint8)

    def _sample(self, logits: Tensor) -> list[Tensor]:
        """Answers to try, uint8 ``[B, K, S]``, in a list; an empty list if the run tries none."""
        if not self._num_tries:
            return []
        draws = to_device(self._draw(self._num_tries, self.env.task_spec.num_cells), logits.device)
        return [sample_answers(logits.detach(), draws)]

    def _judge(self, answers: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What answers ``[B, K, S]`` earn, float32 ``[B, K]``."""
        return self.env.halt_rewards(answers) if self._earns == "reward" else self.env.judge(answers).score

    def _draw(self, *shape: int) -> NDArray[np.float32]:
        """Uniform numbers in [0, 1) for each row, float32 ``[B, *shape]``."""
        return self._rows.of(self._rng.random((self._rows.total, *shape), np.float32))

    def state_dict(self) -> dict[str, Any]:
        """State besides the weights: arrays as tensors, and the state of the random generator."""
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
            ValueError: the state has another number of rows or grid shape, or impossible values.
        """
        _check_values(state, self.env.max_segments, self.env.task_spec.vocab_size)
        self._obs = self.env.set_state({name: tensor.cpu().numpy() for name, tensor in state["env"].items()})
        if not self.env.observation_space.contains(self._obs):
            raise ValueError("the environment's puzzles, answers or segments are out of range")
        self._solution = self._solutions({"solution": self.env.solutions()} if self.env.expose_solution else {})
        # Activations may have another type on this device.
        saved = iter(state["carry"].values())
        self._carry = map_carry(lambda own: next(saved).to(own), self._carry)
        self._reset = state["reset"].cpu().numpy()
        self._min_segments = state["min_segments"].cpu().numpy()
        self._rng.bit_generator.state = state["rng"]
        if self._rng.bit_generator.state != state["rng"]:
            raise ValueError("the state of the random generator is impossible")


def _check_values(state: Mapping[str, Any], max_segments: int, vocab_size: int) -> None:
    """Check values of a saved state against their ranges.

    Raises:
        ValueError: with the name of values that no rollout can reach.
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
    """Answers sampled in one segment: ``B`` rows, ``K`` answers, ``S`` cells."""

    answer: Tensor
    """uint8 ``[B, K, S]``, the answers."""
    earned: Tensor
    """float32 ``[B, K]``, their reward from the verifier."""


def sample_answers(logits: Tensor, draws: Tensor) -> Tensor:
    """Sample answers from the policy by inverse transform sampling, uint8 ``[B, K, S]``.

    Args:
        logits: ``[B, S, V]``, of each token in each cell.
        draws: ``[B, K, S]``, uniform in [0, 1).
    """
    below = logits.float().softmax(-1).cumsum(-1)[:, None]
    # Rounding may leave the last sum a little below 1.
    return (draws[..., None] >= below[..., :-1]).sum(-1).to(torch.uint8)
