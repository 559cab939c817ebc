"""When cells settle: the segment from which on the answer in a cell stays the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_agents.analysis.observing import Progress, observe, record_answers
from hrm_agents.solving.solver import Solver


@dataclass(frozen=True)
class Settling:
    """Segments after which the cells of ``N`` puzzles keep their tokens."""

    env_id: str
    #: Rows and columns of the board.
    grid_shape: tuple[int, int]
    #: One per token.
    symbols: tuple[str, ...]
    #: uint8 ``[N, S]``, the puzzles and the answers of the last segment.
    puzzle: NDArray[np.uint8]
    answer: NDArray[np.uint8]
    #: int64 ``[N, S]``, from 1: the first segment whose token is that of all later segments too.
    settled: NDArray[np.int64]
    #: bool ``[N, M]``, whether the answer of the segment is right.
    solved: NDArray[np.bool_]


def settling_segments(answers: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The segment (from 1) from which on each cell keeps its token: int64 ``[N, S]``.

    Args:
        answers: uint8 ``[N, M, S]``, of each segment.
    """
    first = np.ones_like(answers[:, :1], bool)
    changed = np.concatenate([first, answers[:, 1:] != answers[:, :-1]], axis=1)
    return answers.shape[1] - changed[:, ::-1].argmax(axis=1)


def cell_settling(
    solver: Solver,
    *,
    num_puzzles: int = 256,
    segments: int | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Settling:
    """Find the segment after which each cell of unseen puzzles keeps its token.

    Args:
        solver: the model and its environment.
        num_puzzles: number of puzzles.
        segments: number of segments; as in training if omitted.
        env_kwargs: keywords of the environment, changed or added.
        progress: called with the share done.

    Raises:
        UserError: as for :func:`hrm_agents.analysis.observing.observe`.
    """

    found = observe(
        solver, record_answers, num_puzzles=num_puzzles, segments=segments, env_kwargs=env_kwargs, progress=progress
    )
    (answers,) = found.records
    return Settling(
        env_id=found.env_id,
        grid_shape=found.spec.grid_shape,
        symbols=found.spec.symbols,
        puzzle=found.puzzle,
        answer=answers[:, -1],
        settled=settling_segments(answers),
        solved=found.trace.success,
    )
