"""How well a model solves the puzzles of an environment, at every segment and with its own halting rule.

Every puzzle is thought through to the last segment and judged by the environment after each, so that one pass
gives the success of any fixed number of segments and of the Q-head's choice: halting would only freeze the
answer of the segment at which the Q-head first prefers to halt.

Where the environment shows several views of each puzzle, its task combines the answers to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from hrm_agents.environments import make_vector
from hrm_agents.models.hrm import HRM
from hrm_agents.policy import HRMPolicy

if TYPE_CHECKING:
    from hrm_envs.ensemble import Ensemble


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
    #: What the task made of the answers to all views of each puzzle; None if it has no views or nobody asked.
    #: The figures above count every view as a puzzle of its own.
    ensemble: Ensemble | None = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON; of the ensemble its metrics, where there is one."""
        figures = {part.name: getattr(self, part.name) for part in fields(self) if part.name != "ensemble"}
        return figures if self.ensemble is None else {**figures, "ensemble": dict(self.ensemble.metrics)}


@dataclass(frozen=True)
class Trace:
    """What happened to each of ``N`` puzzles at each of ``M`` segments."""

    #: bool ``[N, M]``, the verifier's word.
    success: NDArray[np.bool_]
    #: float32 ``[N, M]``, partial credit.
    score: NDArray[np.float32]
    #: float32 ``[N, M]``, the Q-head's values.
    q_halt: NDArray[np.float32]
    q_continue: NDArray[np.float32]
    #: uint8 ``[N, S]``, the answer at the halt. Those of the other segments are not kept: they would not fit in memory.
    answer: NDArray[np.uint8]

    @classmethod
    def empty(cls, num_puzzles: int, max_segments: int, num_cells: int) -> Trace:
        """Zeros, to be filled in."""
        shape = (num_puzzles, max_segments)
        return cls(
            success=np.zeros(shape, np.bool_),
            score=np.zeros(shape, np.float32),
            q_halt=np.zeros(shape, np.float32),
            q_continue=np.zeros(shape, np.float32),
            answer=np.zeros((num_puzzles, num_cells), np.uint8),
        )

    def wants_halt(self) -> NDArray[np.bool_]:
        """Where the Q-head prefers to halt, bool ``[N, M]``: :func:`hrm_agents.halting.should_halt` in numpy."""
        return self.q_halt > self.q_continue

    def halt_segment(self) -> NDArray[np.int64]:
        """Index (from 0) of the segment after which each episode ends: int64 ``[N]``."""
        wants = self.wants_halt()
        wants[:, -1] = True
        return wants.argmax(axis=1)

    def halt_probability(self, values_are_logits: bool) -> NDArray[np.float32]:
        """How sure the model was of the answer at the halt: float32 ``[N]`` in [0, 1].

        Args:
            values_are_logits: whether the Q-head was trained on logits of a probability; else its plain value of
                halting is taken for one, cut to [0, 1].
        """
        q = self.q_halt[np.arange(len(self.q_halt)), self.halt_segment()]
        # The sigmoid, without overflow for large negative values.
        return np.exp(-np.logaddexp(np.float32(0), -q)) if values_are_logits else q.clip(0, 1)

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


def open_env(
    env_id: str, env_kwargs: Mapping[str, Any] | None = None, *, num_puzzles: int | None = None, batch_size: int = 250
) -> Any:
    """The vector environment of an evaluation: the test split unless told otherwise, and no automatic resets.

    Args:
        env_id: a Gymnasium id.
        env_kwargs: keywords of the environment, such as ``split="test"``.
        num_puzzles: how many puzzles the environment holds; its own default if not given.
        batch_size: puzzles at a time.

    Raises:
        UserError: the id is unknown or a keyword is wrong.
    """
    kwargs = {
        "split": "test",
        **(env_kwargs or {}),
        "autoreset_mode": AutoresetMode.DISABLED,
        "expose_solution": False,
    }
    if num_puzzles is not None:
        kwargs["num_puzzles"] = num_puzzles
    return make_vector(env_id, batch_size, kwargs)


def trace(model: HRM, env: Any, *, first: int | None = None, progress: Callable[[float], None] | None = None) -> Trace:
    """Think every puzzle of an environment through to the last segment.

    Args:
        model: the network; it is not changed.
        env: from :func:`open_env`.
        first: only the first so many of its puzzles, or all if there are fewer; all by default.
        progress: called with the share done.
    """
    total = env.num_puzzles if first is None else min(env.num_puzzles, first)
    result = Trace.empty(total, env.max_segments, env.task_spec.num_cells)
    policy = HRMPolicy(model)
    for start in range(0, total, env.num_envs):
        stop = min(total, start + env.num_envs)
        _trace_batch(policy, env, start, stop, result)
        if progress is not None:
            progress(stop / total)
    return result


@torch.no_grad()
def _trace_batch(policy: HRMPolicy, env: Any, start: int, stop: int, result: Trace) -> None:
    """Fill in the rows of puzzles ``start`` to ``stop``, at most as many as the environment has rows."""
    rows, used = slice(start, stop), stop - start
    # The last batch is filled up with copies of its last puzzle, which are then ignored.
    obs, _ = env.reset(seed=0, options={"index": np.minimum(np.arange(start, start + env.num_envs), stop - 1)})
    carry = policy.initial_carry(env.num_envs)
    reset = np.ones(env.num_envs, np.bool_)
    halted = np.zeros((used, 1), np.bool_)
    for segment in range(env.max_segments):
        decision = policy.act(obs, carry, reset)
        carry, reset = decision.carry, np.zeros_like(reset)
        answer = decision.answer.cpu().numpy()
        obs, _, _, _, info = env.step({"answer": answer, "halt": np.zeros(env.num_envs, np.int64)})
        result.success[rows, segment] = info["is_success"][:used]
        result.score[rows, segment] = info["score"][:used]
        result.q_halt[rows, segment] = decision.output.q_halt.cpu().numpy()[:used]
        result.q_continue[rows, segment] = decision.output.q_continue.cpu().numpy()[:used]
        np.copyto(result.answer[rows], answer[:used], where=~halted)
        halted[:, 0] |= decision.halt.cpu().numpy()[:used]


def evaluate(
    model: HRM,
    env_id: str,
    env_kwargs: Mapping[str, Any] | None = None,
    *,
    num_puzzles: int | None = None,
    first: int | None = None,
    batch_size: int = 250,
    values_are_logits: bool | None = None,
    progress: Callable[[float], None] | None = None,
) -> Evaluation:
    """:func:`trace` and its summary, with the ensemble of the answers where the task makes one.

    Args:
        model: the network; it is not changed.
        env_id: a Gymnasium id.
        env_kwargs: keywords of the environment, such as ``split="test"``.
        num_puzzles: how many puzzles the environment holds; its own default if not given.
        first: only the first so many of these, or all if there are fewer; all by default.
        batch_size: puzzles at a time.
        values_are_logits: what the Q-head's values are, for :meth:`Trace.halt_probability`; None to make no ensemble.
        progress: called with the share done.

    Raises:
        UserError: the id is unknown or a keyword is wrong.
    """
    was_training = model.training
    model.eval()
    with closing(open_env(env_id, env_kwargs, num_puzzles=num_puzzles, batch_size=batch_size)) as env:
        try:
            result = trace(model, env, first=first, progress=progress)
        finally:
            model.train(was_training)
        report = result.summarise(env_id, (env_kwargs or {}).get("split", "test"))
        if values_are_logits is None:
            return report
        puzzles = env.puzzles.take(slice(len(result.answer)))
        ensemble = env.task.ensemble(puzzles, result.answer, result.halt_probability(values_are_logits))
    return replace(report, ensemble=ensemble)
