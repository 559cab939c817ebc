"""Watching a model think: puzzles thought through to the last segment, with records of every segment.

All analyses rest on this and on :mod:`hrm_agents.models.interface`, so they apply to any network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrm_agents.errors import UserError
from hrm_agents.evaluation.evaluate import open_env, trace
from hrm_agents.evaluation.outcomes import Trace
from hrm_agents.models.interface import SegmentOutput
from hrm_agents.policy import HRMPolicy
from hrm_agents.solving.solver import Solver
from hrm_agents.solving.task_check import check_task
from hrm_envs import TaskSpec

#: Called with the carry before and after a segment of ``B`` rows and its outputs; returns tensors ``[B, ...]``.
Record = Callable[[Any, Any, SegmentOutput], Sequence[Tensor]]
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Observation:
    """``N`` puzzles thought through ``M`` segments of a model."""

    env_id: str
    spec: TaskSpec
    trace: Trace
    #: uint8 ``[N, S]``.
    puzzle: NDArray[np.uint8]
    #: int64 ``[N]``, equal for puzzles of the same symmetry class.
    classes: NDArray[np.int64]
    #: What was recorded: arrays ``[N, M, ...]``, or ``[N, 1, ...]`` of a single segment.
    records: tuple[NDArray[Any], ...]


def observe(
    solver: Solver,
    record: Record = lambda before, after, output: (),
    *,
    num_puzzles: int,
    segments: int | None = None,
    only_last: bool = False,
    env_kwargs: Mapping[str, Any] | None = None,
    batch_size: int = 64,
    progress: Progress | None = None,
) -> Observation:
    """Think unseen puzzles through to the last segment, and record something of each segment.

    Args:
        solver: the model and its environment.
        record: what to keep of each segment.
        num_puzzles: number of puzzles, from the first on; all if the environment has fewer.
        segments: number of segments ``M``; as in training if omitted.
        only_last: record the last segment alone.
        env_kwargs: keywords of the environment, changed or added.
        batch_size: puzzles at a time.
        progress: called with the share done, after each segment of a batch.

    Raises:
        UserError: a number is below 1, a keyword is wrong, or the environment does not suit the model.
    """
    limit = {} if segments is None else {"max_segments": segments}
    changed = {**(env_kwargs or {}), **limit}
    if num_puzzles < 1:
        raise UserError(f"the number of puzzles must be at least 1, got {num_puzzles}")
    kwargs = {**solver.saved_kwargs(changed), **changed}
    with closing(open_env(solver.env_id, kwargs, batch_size=batch_size)) as env:
        check_task(solver.model, solver.config, env.task_spec, solver.folder)
        calls, total = 0, math.ceil(min(num_puzzles, env.num_puzzles) / env.num_envs) * env.max_segments
        recorded: list[list[NDArray[Any]]] = []

        def forward(carry: Any, puzzle: Tensor, task_id: Tensor | None) -> tuple[Any, SegmentOutput]:
            nonlocal calls
            after, output = solver.model(carry, puzzle, task_id)
            calls += 1
            if progress is not None:
                progress(calls / total)
            parts = record(carry, after, output)
            if not only_last or calls % env.max_segments == 0:
                recorded.append([part.cpu().numpy() for part in parts])
            return after, output

        traced = trace(HRMPolicy(solver.model, forward, solver.rule), env, first=num_puzzles)
        # The calls of a batch follow each other, one for each segment.
        each = 1 if only_last else env.max_segments
        batches = [
            [np.stack(parts, axis=1) for parts in zip(*recorded[start : start + each], strict=True)]
            for start in range(0, len(recorded), each)
        ]
        return Observation(
            env_id=solver.env_id,
            spec=env.task_spec,
            trace=traced,
            puzzle=env.puzzles.puzzle[: len(traced)].copy(),
            classes=np.unique(env.puzzle_classes[: len(traced)], axis=0, return_inverse=True)[1].reshape(-1),
            records=tuple(np.concatenate(parts) for parts in zip(*batches, strict=True)),
        )


def record_answers(before: Any, after: Any, output: SegmentOutput) -> list[Tensor]:
    """Record the answers of a segment, uint8 ``[B, S]``."""
    return [output.logits.argmax(-1).to(torch.uint8)]


def state_names(solver: Solver) -> dict[int, str]:
    """Names of the floating-point tensors in the model's carry, by their place in it.

    Raises:
        UserError: the carry has none.
    """
    carry = solver.model.initial_carry(1)
    names = getattr(carry, "_fields", [f"state {number}" for number in range(1, len(carry) + 1)])
    found = {place: names[place] for place, state in enumerate(carry) if state.is_floating_point()}
    if not found:
        raise UserError(
            f"{solver.name}: its network carries no state from segment to segment, and this analysis needs one: "
            "choose settling, attention or depth"
        )
    return found


def plain(value: Any) -> Any:
    """A result as plain types, for JSON: dataclasses as dicts, arrays and tuples as lists."""
    if hasattr(value, "__dataclass_fields__"):
        return {part.name: plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value
