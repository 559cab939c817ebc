"""How well a policy solves the puzzles of an environment, at its own halt and at every segment.

There are two ways to think. Until the *halt*: each puzzle takes as many segments as the halting rule wants, which is
faster. Until the *end*: each puzzle is thought through to the last segment, and the environment judges the answer of
every segment. One pass then gives the success of every fixed number of segments; the figures at the halt are the same.

Each puzzle may then be tried again from noisy initial states, and an answer chosen. If the environment shows several
views of each puzzle, its task combines the answers to them.
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

from hrm_agents.distributed import ALONE, Ranks
from hrm_agents.environments import make_vector
from hrm_agents.evaluation.halting_report import HaltingReport, halting_report
from hrm_agents.evaluation.intervals import Interval, mean_interval, share_interval
from hrm_agents.evaluation.outcomes import Solutions, Trace
from hrm_agents.evaluation.search import ONE_TRY, Search, SearchSettings, part_of, think_repeatedly
from hrm_agents.evaluation.think import think_to_halt
from hrm_agents.halting.q_scale import QScale
from hrm_agents.policy import HRMPolicy

if TYPE_CHECKING:
    from hrm_envs.task import Ensemble

#: How long to think about each puzzle: until the policy halts, or to the last segment.
Until = Literal["halt", "end"]


@dataclass(frozen=True)
class Evaluation:
    """Report of one evaluation, over ``num_puzzles`` distinct puzzles; each view of a puzzle counts as one."""

    env_id: str
    split: str
    num_puzzles: int
    #: Number of these that differ by more than symmetry; views of a puzzle count as different.
    num_classes: int
    #: Maximum number of segments.
    max_segments: int
    #: Share of puzzles solved when the policy decides when to halt.
    success_rate: float
    #: Mean partial credit at the halt.
    mean_score: float
    #: Mean number of segments until the halt.
    mean_segments: float
    #: Share of episodes that ended because the segments ran out: the sum of those that ended on a right answer and of
    #: those that ended on a wrong one.
    forced_rate: float
    forced_solved_rate: float
    forced_unsolved_rate: float
    #: Share solved by the answer of segment 1, 2, ..., whether or not the policy halts there; empty unless puzzles
    #: were thought through to the end.
    success_per_segment: tuple[float, ...]
    #: Share of episodes that halt at segment 1, 2, ...
    halts_per_segment: tuple[float, ...]
    #: Number of further puzzles, such as ARC tests without outputs, whose answers cannot be judged.
    num_unscored: int = 0
    #: Whether any answer can be judged; if not, the figures are over all answers, and none counts as right.
    is_scored: bool = True
    #: 95% intervals of the rates and means above, over the choice of puzzles and not over seeds of training. Omits
    #: those about which the sample says nothing, and all of them if puzzles have several views.
    intervals: Mapping[str, Interval] = field(default_factory=dict, hash=False)
    #: What the task makes of the (chosen) answers to all views of each puzzle; None if it has no views.
    ensemble: Ensemble | None = field(default=None, compare=False, repr=False)
    #: Quality of the halting decisions; None unless puzzles were thought through to the end.
    halting: HaltingReport | None = field(default=None, compare=False)
    #: All tries; None if there was one. The figures above are those of the first try.
    search: Search | None = field(default=None, compare=False, repr=False)
    #: Duration of the thinking, without making the puzzles.
    seconds: float | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain types, for JSON, with those of the ensemble and the tries if there are any.

        Omits the time, which varies, and the halting report, which is long.
        """
        omitted = ("ensemble", "halting", "search", "seconds")
        figures = {part.name: getattr(self, part.name) for part in fields(self) if part.name not in omitted}
        if self.ensemble is not None:
            figures["ensemble"] = dict(self.ensemble.metrics)
        if self.search is not None:
            figures["search"] = self.search.to_dict()
        return figures


@dataclass(frozen=True)
class HaltJudge:
    """What Q-values stand for, as needed to judge the halts that they decide."""

    q_scale: QScale
    #: Discount of the returns.
    gamma: float = 1.0

    def report(
        self,
        trace: Trace,
        segment_cost: float = 0.0,
        *,
        values_continue: bool = True,
        classes: NDArray[np.int64] | None = None,
    ) -> HaltingReport:
        """Judge the halts of a trace; see :func:`hrm_agents.evaluation.halting_report.halting_report`.

        Args:
            trace: from :func:`trace`.
            segment_cost: of the environment.
            values_continue: whether ``q_continue`` is the value of thinking on; it is ignored otherwise.
            classes: as for :func:`summarise`.
        """
        return halting_report(
            trace.success,
            trace.score,
            trace.q_halt,
            trace.q_continue if values_continue else None,
            wants_halt=trace.wants_halt,
            q_scale=self.q_scale,
            reward=trace.halt_reward,
            segment_cost=segment_cost,
            gamma=self.gamma,
            classes=classes,
        )


def summarise(
    solutions: Solutions,
    env_id: str,
    split: str,
    max_segments: int,
    trace: Trace | None = None,
    classes: NDArray[np.int64] | None = None,
) -> Evaluation:
    """Report on solutions, with the success per segment if a trace is given.

    Args:
        solutions: outcomes of ``N`` puzzles.
        env_id: of their environment.
        split: of the puzzles.
        max_segments: of the environment.
        trace: source of the solutions.
        classes: int64 ``[N]``, equal for puzzles of the same symmetry class. If omitted, each puzzle is a class of its
            own, and there are no intervals.
    """
    num, forced = len(solutions), solutions.forced_halt
    shares = {
        "success_rate": solutions.success,
        "forced_rate": forced,
        "forced_solved_rate": forced & solutions.success,
        "forced_unsolved_rate": forced & ~solutions.success,
    }
    means: dict[str, NDArray[Any]] = {"mean_score": solutions.score, "mean_segments": solutions.segments}
    figures = {name: float(values.mean()) for name, values in (*shares.items(), *means.items())}
    found: dict[str, Interval | None] = {}
    if classes is not None:
        found |= {name: share_interval(hits, classes) for name, hits in shares.items()}
        found |= {name: mean_interval(values, classes) for name, values in means.items()}
    return Evaluation(
        env_id=env_id,
        split=split,
        num_puzzles=num,
        num_classes=num if classes is None else len(np.unique(classes)),
        max_segments=max_segments,
        success_rate=figures["success_rate"],
        mean_score=figures["mean_score"],
        mean_segments=figures["mean_segments"],
        forced_rate=figures["forced_rate"],
        forced_solved_rate=figures["forced_solved_rate"],
        forced_unsolved_rate=figures["forced_unsolved_rate"],
        success_per_segment=() if trace is None else tuple(trace.success.mean(axis=0).tolist()),
        halts_per_segment=tuple((np.bincount(solutions.segments - 1, minlength=max_segments) / num).tolist()),
        intervals={name: interval for name, interval in found.items() if interval is not None},
    )


def open_env(
    env_id: str, env_kwargs: Mapping[str, Any] | None = None, *, num_puzzles: int | None = None, batch_size: int = 250
) -> Any:
    """Make the vector environment of an evaluation: without autoreset, and by default of the test split.

    Args:
        env_id: a Gymnasium id.
        env_kwargs: keywords of the environment.
        num_puzzles: size of the environment's pool; its own default if omitted.
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
    policy: HRMPolicy,
    env: Any,
    *,
    first: int | None = None,
    progress: Callable[[float], None] | None = None,
    ranks: Ranks = ALONE,
) -> Trace:
    """Think every puzzle of an environment through to the last segment.

    Args:
        policy: thinks, and says where it would halt; its model is not changed.
        env: from :func:`open_env`.
        first: number of puzzles, from the first on; all if omitted or if the environment has fewer.
        progress: called with the share done.
        ranks: processes that share the puzzles; each returns what all of them thought.
    """
    total = env.num_puzzles if first is None else min(env.num_puzzles, first)
    result = Trace.empty(total, env.task_spec.num_cells, env.max_segments)
    mine = ranks.part(total)

    def think() -> None:
        for start in mine[:: env.num_envs]:
            stop = min(mine.stop, start + env.num_envs)
            _trace_batch(policy, env, start, stop, result)
            if progress is not None:
                progress((stop - mine.start) / len(mine))

    ranks.each(think)
    ranks.fill([getattr(result, each.name) for each in fields(result)])
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
    policy: HRMPolicy,
    env_id: str,
    env_kwargs: Mapping[str, Any] | None = None,
    *,
    first: int | None = None,
    batch_size: int = 250,
    until: Until = "end",
    search: SearchSettings = ONE_TRY,
    judge: HaltJudge | None = None,
    progress: Callable[[float], None] | None = None,
    ranks: Ranks = ALONE,
) -> Evaluation:
    """Evaluate a policy on the puzzles of an environment.

    Args:
        policy: model and halting rule; the model is not changed.
        env_id: a Gymnasium id.
        env_kwargs: keywords of the environment, such as ``split`` (the default is ``"test"``) and ``num_puzzles``.
        first: number of puzzles, from the first on; all if omitted or if the environment has fewer.
        batch_size: puzzles at a time.
        until: ``"end"`` thinks each puzzle through to the last segment, for the success at every segment; ``"halt"``
            stops where the policy halts and leaves ``success_per_segment`` empty.
        search: how often to try each puzzle; further tries end at the halt.
        judge: adds the halting report (if ``until="end"``) and the ensemble of views.
        progress: called with the share done.
        ranks: processes that share the puzzles of the first try (if ``until="end"``), and get the same report.

    Raises:
        UserError: the id is unknown or a keyword is wrong.
        ValueError: ``until`` is unknown, or ``first`` is below 1.
    """
    if until not in get_args(Until):
        raise ValueError(f"until={until!r}: choose 'halt' or 'end'")
    if first is not None and first < 1:
        raise ValueError(f"first={first}: must be at least 1")
    kwargs = {"split": "test", **(env_kwargs or {})}
    model, traced, found = policy.model, None, None
    was_training = model.training
    with closing(open_env(env_id, kwargs, batch_size=batch_size)) as env:
        started = time.perf_counter()
        share = part_of(progress, 0, search.tries)
        model.eval()
        try:
            if until == "end":
                traced = trace(policy, env, first=first, progress=share, ranks=ranks)
                solutions = traced.at_halt()
            else:
                solutions = think_to_halt(policy, env, first=first, progress=share)
            chosen = solutions
            if search.tries > 1:
                found = think_repeatedly(policy, env, search, first=first, first_try=solutions, progress=progress)
                chosen = found.solutions()
        finally:
            model.train(was_training)
        seconds = time.perf_counter() - started
        classes = _classes(env, kwargs, len(solutions))
        scored = env.has_known_answer[: len(solutions)]
        if not scored.all() and scored.any():
            solutions, traced = solutions.take(scored), None if traced is None else traced.take(scored)
            classes = None if classes is None else classes[scored]
        report = summarise(solutions, env_id, kwargs["split"], env.max_segments, traced, classes)
        report = replace(report, search=found, seconds=seconds)
        report = replace(report, num_unscored=int((~scored).sum()), is_scored=bool(scored.any()))
        if judge is None:
            return report
        if traced is not None:
            values_continue = policy.rule.second_output == "value"
            halting = judge.report(traced, env.segment_cost, values_continue=values_continue, classes=classes)
            report = replace(report, halting=halting)
        puzzles = env.puzzles.take(slice(len(chosen)))
        ensemble = env.task.ensemble(puzzles, chosen.answer, judge.q_scale.probability(chosen.q_halt))
    return replace(report, ensemble=ensemble)


def _classes(env: Any, kwargs: Mapping[str, Any], first: int) -> NDArray[np.int64] | None:
    """Symmetry class of each of the first puzzles; None if they show several views of the same ones."""
    if env.task.max_views > 1 and kwargs.get("views", 1) > 1:
        return None
    labels: NDArray[np.int64] = np.unique(env.puzzle_classes[:first], axis=0, return_inverse=True)[1].reshape(-1)
    return labels
