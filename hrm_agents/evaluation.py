"""How well a model solves the puzzles of an environment, at every segment and with its own halting rule.

Every puzzle is thought through to the last segment and judged by the environment after each, so that one pass
gives the success of any fixed number of segments and of the Q-head's choice: halting would only freeze the
answer of the segment at which the Q-head first prefers to halt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from hrm_agents.environments import make_vector
from hrm_agents.models.hrm import HRM
from hrm_agents.policy import HRMPolicy


@dataclass(frozen=True)
class Evaluation:
    """The report of one evaluation, over ``num_puzzles`` distinct puzzles."""

    env_id: str
    split: str
    num_puzzles: int
    #: Segments until every answer is graded.
    max_segments: int
    #: Share of puzzles solved when the Q-head decides when to halt.
    success_rate: float
    #: Mean partial credit, likewise.
    mean_score: float
    #: Mean number of segments until the halt.
    mean_segments: float
    #: Share of episodes that ended because the segments ran out.
    forced_rate: float
    #: Share solved by the answer of segment 1, 2, ..., whatever the Q-head says.
    success_per_segment: tuple[float, ...]
    #: Share of episodes that halt at segment 1, 2, ...
    halts_per_segment: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Trace:
    """What happened to each puzzle at each segment: arrays ``[N, M]``."""

    #: bool, the verifier's word.
    success: NDArray[np.bool_]
    #: float32, partial credit.
    score: NDArray[np.float32]
    #: float32, the Q-head's values.
    q_halt: NDArray[np.float32]
    q_continue: NDArray[np.float32]

    def wants_halt(self) -> NDArray[np.bool_]:
        """Where the Q-head prefers to halt, bool ``[N, M]``: :func:`hrm_agents.halting.should_halt` in numpy."""
        return self.q_halt > self.q_continue

    def halt_segment(self) -> NDArray[np.int64]:
        """Index (from 0) of the segment after which each episode ends: int64 ``[N]``."""
        wants = self.wants_halt()
        wants[:, -1] = True
        return wants.argmax(axis=1)

    def summarise(self, env_id: str, split: str) -> Evaluation:
        """The report."""
        num, segments = self.success.shape
        last = self.halt_segment()
        rows = np.arange(num)
        forced = (last == segments - 1) & ~self.wants_halt()[:, -1]
        return Evaluation(
            env_id=env_id,
            split=split,
            num_puzzles=num,
            max_segments=segments,
            success_rate=float(self.success[rows, last].mean()),
            mean_score=float(self.score[rows, last].mean()),
            mean_segments=float(last.mean() + 1),
            forced_rate=float(forced.mean()),
            success_per_segment=tuple(self.success.mean(axis=0).tolist()),
            halts_per_segment=tuple((np.bincount(last, minlength=segments) / num).tolist()),
        )


def trace(
    model: HRM,
    env_id: str,
    env_kwargs: Mapping[str, Any] | None = None,
    *,
    num_puzzles: int | None = None,
    first: int | None = None,
    batch_size: int = 250,
    progress: Callable[[float], None] | None = None,
) -> Trace:
    """Think every puzzle of an environment through to the last segment.

    Args:
        model: the network; it is not changed.
        env_id: a Gymnasium id.
        env_kwargs: keywords of the environment, such as ``split="test"``.
        num_puzzles: how many puzzles the environment holds; its own default if not given.
        first: only the first so many of these, or all if there are fewer; all by default.
        batch_size: puzzles at a time.
        progress: called with the share done.
    """
    kwargs = {
        "split": "test",
        **(env_kwargs or {}),
        "autoreset_mode": AutoresetMode.DISABLED,
        "expose_solution": False,
    }
    if num_puzzles is not None:
        kwargs["num_puzzles"] = num_puzzles
    env = make_vector(env_id, batch_size, kwargs)
    total = env.num_puzzles if first is None else min(env.num_puzzles, first)
    parts: list[tuple[NDArray[Any], ...]] = []
    for start in range(0, total, batch_size):
        index = np.arange(start, min(total, start + batch_size))
        # The last batch is filled up with copies of its last puzzle, whose rows are then dropped.
        filled = np.pad(index, (0, batch_size - len(index)), "edge")
        columns = _trace_batch(HRMPolicy(model), env, filled)
        parts.append(tuple(column[: len(index)] for column in columns))
        if progress is not None:
            progress((index[-1] + 1) / total)
    env.close()
    return Trace(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


@torch.no_grad()
def _trace_batch(policy: HRMPolicy, env: Any, index: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
    obs, _ = env.reset(seed=0, options={"index": index})
    carry = policy.initial_carry(len(index))
    reset = np.ones(len(index), np.bool_)
    columns: list[tuple[NDArray[Any], ...]] = []
    for _ in range(env.max_segments):
        decision = policy.act(obs, carry, reset)
        carry, reset = decision.carry, np.zeros_like(reset)
        action = {"answer": decision.answer.cpu().numpy(), "halt": np.zeros(len(index), np.int64)}
        obs, _, _, _, info = env.step(action)
        q_halt, q_continue = decision.output.q_halt.cpu().numpy(), decision.output.q_continue.cpu().numpy()
        columns.append((info["is_success"], info["score"], q_halt, q_continue))
    return tuple(np.stack(column, axis=1) for column in zip(*columns, strict=True))


def evaluate(model: HRM, env_id: str, env_kwargs: Mapping[str, Any] | None = None, **options: Any) -> Evaluation:
    """:func:`trace` and its summary. Takes the options of :func:`trace`."""
    was_training = model.training
    model.eval()
    try:
        result = trace(model, env_id, env_kwargs, **options)
    finally:
        model.train(was_training)
    return result.summarise(env_id, (env_kwargs or {}).get("split", "test"))
