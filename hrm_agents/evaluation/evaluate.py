"""How well a model solves the puzzles of an environment, with its own halting rule and at every segment.

There are two ways to find out. Until the *halt*: each puzzle is thought about for as long as the rule wants, which
costs as many segments as there are. Until the *end*: every puzzle is thought through to the last segment and judged
by the environment after each, so that one pass gives the success of any fixed number of segments too; halting would
only freeze the answer of the segment at which the rule first wants to halt, so the other figures are the same.

Either way each puzzle may then be tried again, from disturbed initial states, and an answer chosen.

Where the environment shows several views of each puzzle, its task combines the answers to them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from hrm_agents.environments import make_vector
from hrm_agents.evaluation.halting_report import HaltingReport, halting_report
from hrm_agents.evaluation.search import NOISE, Choose, Search, check_search, part_of, search
from hrm_agents.evaluation.think import Solutions, think_to_halt
from hrm_agents.halting.q_scale import QScale
from hrm_agents.halting.rules import GreaterValue, HaltingRule
from hrm_agents.models.interface import SegmentModel
from hrm_agents.policy import HRMPolicy

if TYPE_CHECKING:
    from hrm_envs.task import Ensemble

#: How long to think about each puzzle: until the rule wants to halt, or to the last segment.
Until = Literal["halt", "end"]


@dataclass(frozen=True)
class Evaluation:
    """The report of one evaluation, over ``num_puzzles`` distinct puzzles."""

    env_id: str
    split: str
    num_puzzles: int
    #: Segments until every answer is graded.
    max_segments: int
    #: Share of puzzles solved when the agent decides when to halt.
    success_rate: float
    #: Mean partial credit, likewise.
    mean_score: float
    #: Mean number of segments until the halt.
    mean_segments: float
    #: Share of episodes that ended because the segments ran out.
    forced_rate: float
    #: Share solved by the answer of segment 1, 2, ..., whatever the agent wants; empty if nobody thought to the end.
    success_per_segment: tuple[float, ...]
    #: Share of episodes that halt at segment 1, 2, ...
    halts_per_segment: tuple[float, ...]
    #: What the task made of the answers to all views of each puzzle; None if it has no views or nobody asked.
    #: The figures above count every view as a puzzle of its own.
    ensemble: Ensemble | None = field(default=None, compare=False, repr=False)
    #: How good the choice of when to halt was; None if the puzzles were not thought through to the end.
    halting: HaltingReport | None = field(default=None, compare=False)
    #: What further tries at each puzzle add; None if there was one try. All figures above are of the first, but the
    #: ensemble is of the chosen answers.
    search: Search | None = field(default=None, compare=False, repr=False)
    #: How long the thinking took, without making the puzzles; None if nobody measured.
    seconds: float | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON; of the ensemble its metrics and of the tries their figures, where there are any.

        Without the time, which varies, and the halting report, which is long.
        """
        kept_back = ("ensemble", "halting", "search", "seconds")
        figures = {part.name: getattr(self, part.name) for part in fields(self) if part.name not in kept_back}
        if self.ensemble is not None:
            figures["ensemble"] = dict(self.ensemble.metrics)
        if self.search is not None:
            figures["search"] = self.search.to_dict()
        return figures


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
    #: float32 ``[N, M]``, what halting pays.
    halt_reward: NDArray[np.float32]
    #: bool ``[N, M]``, where the agent wants to halt.
    wants_halt: NDArray[np.bool_]
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
            halt_reward=np.zeros(shape, np.float32),
            wants_halt=np.zeros(shape, np.bool_),
            answer=np.zeros((num_puzzles, num_cells), np.uint8),
        )

    def halt_segment(self) -> NDArray[np.int64]:
        """Index (from 0) of the segment after which each episode ends: int64 ``[N]``."""
        wants = self.wants_halt.copy()
        wants[:, -1] = True
        return wants.argmax(axis=1)

    def at_halt(self) -> Solutions:
        """What halting by itself gives, all that :func:`hrm_agents.evaluation.think.think_to_halt` finds out."""
        rows, last = np.arange(len(self.success)), self.halt_segment()
        return Solutions(
            answer=self.answer,
            success=self.success[rows, last],
            score=self.score[rows, last],
            segments=last + 1,
            forced_halt=~self.wants_halt[rows, last],
            q_halt=self.q_halt[rows, last],
            q_continue=self.q_continue[rows, last],
        )

    def judge_halts(
        self,
        q_scale: QScale,
        segment_cost: float = 0.0,
        gamma: float = 1.0,
        *,
        values_continue: bool = True,
    ) -> HaltingReport:
        """How good the agent's choice of when to halt is; see :func:`hrm_agents.evaluation.halting_report`.

        Args:
            q_scale: what the Q-values stand for.
            segment_cost: price of thinking on for one more segment.
            gamma: discount.
            values_continue: whether ``q_continue`` is the value of thinking on; else it is left out.
        """
        return halting_report(
            self.success,
            self.score,
            self.q_halt,
            self.q_continue if values_continue else None,
            wants_halt=self.wants_halt,
            q_scale=q_scale,
            reward=self.halt_reward,
            segment_cost=segment_cost,
            gamma=gamma,
        )

    def summarise(self, env_id: str, split: str) -> Evaluation:
        """The report."""
        report = summarise(self.at_halt(), env_id, split, self.success.shape[1])
        return replace(report, success_per_segment=tuple(self.success.mean(axis=0).tolist()))


def summarise(solutions: Solutions, env_id: str, split: str, max_segments: int) -> Evaluation:
    """The report of what halting by itself gives, without that of each segment."""
    num = len(solutions)
    return Evaluation(
        env_id=env_id,
        split=split,
        num_puzzles=num,
        max_segments=max_segments,
        success_rate=float(solutions.success.mean()),
        mean_score=float(solutions.score.mean()),
        mean_segments=float(solutions.segments.mean()),
        forced_rate=float(solutions.forced_halt.mean()),
        success_per_segment=(),
        halts_per_segment=tuple((np.bincount(solutions.segments - 1, minlength=max_segments) / num).tolist()),
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


def trace(
    model: SegmentModel,
    env: Any,
    *,
    first: int | None = None,
    rule: HaltingRule | None = None,
    progress: Callable[[float], None] | None = None,
) -> Trace:
    """Think every puzzle of an environment through to the last segment.

    Args:
        model: the network; it is not changed.
        env: from :func:`open_env`.
        first: only the first so many of its puzzles, or all if there are fewer; all by default.
        rule: decides when to halt; the paper's if not given.
        progress: called with the share done.
    """
    total = env.num_puzzles if first is None else min(env.num_puzzles, first)
    result = Trace.empty(total, env.max_segments, env.task_spec.num_cells)
    policy = HRMPolicy(model, rule=rule)
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
    # In the last batch the environment's further rows play copies of the last puzzle; the model need not see them.
    obs, _ = env.reset(seed=0, options={"index": np.minimum(np.arange(start, start + env.num_envs), stop - 1)})
    carry = policy.initial_carry(used)
    reset = np.ones(used, np.bool_)
    halted = np.zeros((used, 1), np.bool_)
    proposed = np.zeros((env.num_envs, env.task_spec.num_cells), np.uint8)
    for segment in range(env.max_segments):
        decision = policy.act({name: array[:used] for name, array in obs.items()}, carry, reset)
        carry, reset = decision.carry, np.zeros_like(reset)
        proposed[:used] = answer = decision.answer.cpu().numpy()
        obs, _, _, _, info = env.step({"answer": proposed, "halt": np.zeros(env.num_envs, np.int64)})
        result.success[rows, segment] = info["is_success"][:used]
        result.score[rows, segment] = info["score"][:used]
        result.halt_reward[rows, segment] = info["halt_reward"][:used]
        result.q_halt[rows, segment] = decision.output.q_halt.cpu().numpy()
        result.q_continue[rows, segment] = decision.output.q_continue.cpu().numpy()
        result.wants_halt[rows, segment] = wants = decision.halt.cpu().numpy()
        np.copyto(result.answer[rows], answer, where=~halted)
        halted[:, 0] |= wants


def evaluate(
    model: SegmentModel,
    env_id: str,
    env_kwargs: Mapping[str, Any] | None = None,
    *,
    num_puzzles: int | None = None,
    first: int | None = None,
    batch_size: int = 250,
    until: Until = "end",
    tries: int = 1,
    noise: float = NOISE,
    choose: Choose = "q",
    noise_seed: int = 0,
    q_scale: QScale | None = None,
    gamma: float = 1.0,
    rule: HaltingRule | None = None,
    progress: Callable[[float], None] | None = None,
) -> Evaluation:
    """Think about all puzzles and report, with the ensemble of the answers where the task makes one.

    Args:
        model: the network; it is not changed.
        env_id: a Gymnasium id.
        env_kwargs: keywords of the environment, such as ``split="test"``.
        num_puzzles: how many puzzles the environment holds; its own default if not given.
        first: only the first so many of these, or all if there are fewer; all by default.
        batch_size: puzzles at a time.
        until: ``"end"`` thinks each puzzle through to the last segment, for the success of every segment; ``"halt"``
            costs no more segments than the agent wants and leaves ``success_per_segment`` empty.
        tries: how often to think about each puzzle; all tries but the first start from disturbed states and end at
            the halt. This and the next three are those of :func:`hrm_agents.evaluation.search.search`.
        noise: standard deviation of the disturbance.
        choose: how to choose among the answers.
        noise_seed: of the disturbance.
        q_scale: what the Q-values stand for; None makes neither an ensemble nor a halting report.
        gamma: the discount of those returns.
        rule: decides when to halt; the paper's if not given.
        progress: called with the share done.

    Raises:
        UserError: the id is unknown or a keyword is wrong.
        ValueError: ``until`` is neither, ``first`` leaves no puzzle, or there can be no such tries.
    """
    if until not in get_args(Until):
        raise ValueError(f"until={until!r}: choose 'halt' or 'end'")
    if first is not None and first < 1:
        raise ValueError(f"first={first}: an evaluation needs at least one puzzle")
    rule = GreaterValue() if rule is None else rule
    was_training = model.training
    with closing(open_env(env_id, env_kwargs, num_puzzles=num_puzzles, batch_size=batch_size)) as env:
        check_search(tries, noise, choose, noise_seed)
        started = time.perf_counter()
        traced: Trace | None = None
        split = (env_kwargs or {}).get("split", "test")
        policy, share = HRMPolicy(model, rule=rule), part_of(progress, 0, tries)
        model.eval()
        try:
            if until == "halt":
                solutions = think_to_halt(policy, env, first=first, progress=share)
                report = summarise(solutions, env_id, split, env.max_segments)
            else:
                traced = trace(model, env, first=first, rule=rule, progress=share)
                solutions, report = traced.at_halt(), traced.summarise(env_id, split)
            if tries > 1:
                found = search(
                    policy,
                    env,
                    tries=tries,
                    noise=noise,
                    choose=choose,
                    seed=noise_seed,
                    first=first,
                    first_try=solutions,
                    progress=progress,
                )
                solutions, report = found.solutions(), replace(report, search=found)
        finally:
            model.train(was_training)
        report = replace(report, seconds=time.perf_counter() - started)
        if q_scale is None:
            return report
        if traced is not None:
            halting = traced.judge_halts(q_scale, env.segment_cost, gamma, values_continue=rule.values_continue)
            report = replace(report, halting=halting)
        puzzles = env.puzzles.take(slice(len(solutions)))
        ensemble = env.task.ensemble(puzzles, solutions.answer, q_scale.probability(solutions.q_halt))
    return replace(report, ensemble=ensemble)
