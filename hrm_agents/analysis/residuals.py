"""Forward residuals: how far each step moves the states of a network.

Wang et al. 2025, arXiv 2506.21734, section 2 "Hierarchical convergence" and figure 3: within a cycle the worker L
converges, each step of the planner H gives it a new problem, and H itself converges steadily.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from hrm_agents.analysis.observing import Progress, observe, state_names
from hrm_agents.models.interface import SegmentOutput
from hrm_agents.solving.solver import Solver


@dataclass(frozen=True)
class Residuals:
    """Residuals of ``N`` puzzles in ``M`` segments of ``K`` steps."""

    env_id: str
    #: Name of the state that each of the ``K`` steps of a segment changes, in order, such as z_L z_L z_H.
    steps: tuple[str, ...]
    #: float32 ``[N, M, K]``, root mean square of the change of that state, over its positions and features.
    residual: NDArray[np.float32]
    #: bool ``[N, M]``, whether the answer of the segment is right.
    solved: NDArray[np.bool_]


def forward_residuals(
    solver: Solver,
    *,
    num_puzzles: int = 64,
    segments: int | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Residuals:
    """Measure how far each step moves a state, on unseen puzzles.

    A step is a call of a module of the network that turns a state of the carry into its next value, as the modules H
    and L of an HRM do. A network whose carry changes in other ways counts one step per segment for each state.

    Args:
        solver: the model and its environment.
        num_puzzles: number of puzzles.
        segments: number of segments; as in training if omitted.
        env_kwargs: keywords of the environment, changed or added.
        progress: called with the share done.

    Raises:
        UserError: as for :func:`hrm_agents.analysis.observing.observe`, or the network has no state.
    """
    states = state_names(solver)
    names: list[str] = []
    with recorded_calls(solver.model) as calls:

        def record(before: Any, after: Any, output: SegmentOutput) -> list[Tensor]:
            steps = steps_of(calls, {name: (before[place], after[place]) for place, name in states.items()})
            calls.clear()
            names[:] = [name for name, _ in steps]
            return [residual for _, residual in steps]

        found = observe(
            solver, record, num_puzzles=num_puzzles, segments=segments, env_kwargs=env_kwargs, progress=progress
        )
    return Residuals(found.env_id, tuple(names), np.stack(found.records, axis=-1), found.trace.success)


class Call(NamedTuple):
    """A call of a module that returned a tensor of the shape of its first argument."""

    before: Tensor
    after: Tensor


@contextmanager
def recorded_calls(model: nn.Module) -> Iterator[list[Call]]:
    """Append every such call of the model's own modules, not of their parts, to the list."""
    calls: list[Call] = []

    def note(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        if arguments and isinstance(output, Tensor) and getattr(arguments[0], "shape", None) == output.shape:
            calls.append(Call(arguments[0], output))

    handles = [module.register_forward_hook(note) for module in model.children()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def steps_of(calls: Sequence[Call], states: Mapping[str, tuple[Tensor, Tensor]]) -> list[tuple[str, Tensor]]:
    """The steps of a segment in order: the name of the state and the residual, float32 ``[B]``.

    Calls in which each takes what the one before returned form a chain. The steps are the calls of the chains that lead
    from the old value of a state to its new one; if a state has none, each state counts one step.

    Args:
        calls: of the segment, in order.
        states: before and after the segment, by name.
    """
    chains: list[list[int]] = []
    for number, call in enumerate(calls):
        for chain in chains:
            if calls[chain[-1]].after is call.before:
                chain.append(number)
                break
        else:
            chains.append([number])
    owner: dict[int, str] = {}
    for name, (before, after) in states.items():
        for chain in chains:
            if _same(calls[chain[0]].before, before) and _same(calls[chain[-1]].after, after):
                owner |= dict.fromkeys(chain, name)
    if set(owner.values()) != set(states):
        return [(name, change(before, after)) for name, (before, after) in states.items()]
    return [(owner[number], change(*calls[number])) for number in sorted(owner)]


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors share their values: detaching makes another object of them."""
    return one.data_ptr() == other.data_ptr() and one.shape == other.shape


def change(before: Tensor, after: Tensor) -> Tensor:
    """Root mean square of ``after - before`` (``[B, ...]``) over all but the first axis: float32 ``[B]``."""
    return (after.float() - before.float()).flatten(1).square().mean(dim=1).sqrt()
