"""The result of a vote: metrics, a submission, all votes, and images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

from hrm_envs.arc.augmentation import Augmentation
from hrm_envs.arc.grids import Grid
from hrm_envs.arc.sheet import write_sheets
from hrm_envs.arc.voting import Ballot, Candidate, TestInput, by_task, count_votes, known_tasks, pass_rate
from hrm_envs.spec import Tokens

#: Values of k for which pass@k is reported.
ATTEMPTS = (1, 2, 10, 100)
#: Number of attempts in a submission and on a sheet.
SUBMITTED = 2


@dataclass(frozen=True)
class ARCResult:
    """The votes on the test inputs of some tasks; a :class:`hrm_envs.task.Ensemble`."""

    #: One ballot per test input.
    ballots: tuple[Ballot, ...]

    @cached_property
    def metrics(self) -> Mapping[str, float]:
        """Metrics by name.

        - ``pass@1``, ``pass@2``, ``pass@10``, ``pass@100``: share of tasks with *all* outputs right within so many
          attempts each. ``pass@1 (mean over outputs)`` and so on: each task counts by its share of right outputs.
          Only tasks with all outputs known are scored; if there are none, these metrics are omitted.
        - ``right views``: share of right single answers in scored tasks, for comparison with the vote.
        - ``votes per output`` and ``candidates per output``: mean number of answers with a grid, and of distinct grids,
          over the outputs of tasks that were played.
        - ``scored tasks``, ``tasks``, ``outputs``: counts.
        """
        groups = known_tasks(self.ballots)
        scored = [ballot for group in groups for ballot in group]
        figures: dict[str, float] = {}
        for attempts in ATTEMPTS if scored else ():
            rate = pass_rate(scored, attempts)
            figures[f"pass@{attempts}"] = rate.all_outputs
            figures[f"pass@{attempts} (mean over outputs)"] = rate.mean_over_outputs
        if views := sum(ballot.views for ballot in scored):
            right = sum(ballot.candidates[ballot.rank - 1].count for ballot in scored if ballot.rank is not None)
            figures["right views"] = right / views
        if played := [ballot for ballot in self.ballots if ballot.views]:
            figures["votes per output"] = sum(ballot.votes for ballot in played) / len(played)
            figures["candidates per output"] = sum(len(ballot.candidates) for ballot in played) / len(played)
        figures["scored tasks"] = float(len(groups))
        figures["tasks"] = float(len(by_task(self.ballots)))
        figures["outputs"] = float(len(self.ballots))
        return figures

    def submission(self) -> dict[str, list[dict[str, list[list[int]]]]]:
        """The first two candidates for each test input, in the format of the ARC Prize.

        ``{task: [{"attempt_1": grid, "attempt_2": grid}, ...]}``, test inputs in order. Both attempts are always
        present: a single candidate is repeated, and ``[[0]]`` is used if there is none.
        """
        return {task: [_attempts(ballot) for ballot in group] for task, group in by_task(self.ballots).items()}

    def votes(self) -> dict[str, list[dict[str, Any]]]:
        """All candidates, best first: enough to rescore, or to combine the votes of several runs.

        ``{task: [{"views": number of answers, "output": grid or null, "candidates": [{"grid": grid, "count": votes,
        "halt_probability": mean, "right": true, false or null}, ...]}, ...]}``, test inputs in order. To keep the file
        small, a grid is a list of rows, each a string of digits.
        """
        return {task: [_votes(ballot) for ballot in group] for task, group in by_task(self.ballots).items()}

    def write(self, folder: Path) -> list[Path]:
        """Write ``submission.json``, ``votes.json`` and the images ``sheet.png``, ``sheet-2.png``, ...

        See :meth:`submission`, :meth:`votes` and :func:`hrm_envs.arc.sheet.write_sheets`. Without pygame there are no
        images.
        """
        paths = []
        for name, content in (("submission.json", self.submission()), ("votes.json", self.votes())):
            paths.append(folder / name)
            paths[-1].write_text(json.dumps(content, separators=(",", ":")) + "\n")
        with suppress(DependencyNotInstalled):
            paths += write_sheets(self.ballots, folder, SUBMITTED)
        return paths


def collect(
    answers: Tokens,
    halt_probability: NDArray[np.float32],
    side: int,
    augmentations: Sequence[Augmentation],
    which: Sequence[tuple[str, int]],
    tests: Sequence[TestInput],
) -> ARCResult:
    """The result of all answers; arguments and errors as in :func:`hrm_envs.arc.voting.count_votes`."""
    return ARCResult(tuple(count_votes(answers, halt_probability, side, augmentations, which, tests)))


def _attempts(ballot: Ballot) -> dict[str, list[list[int]]]:
    grids: list[list[list[int]]] = [candidate.grid.tolist() for candidate in ballot.candidates[:SUBMITTED]]
    grids = grids or [[[0]]]
    grids += grids[-1:] * (SUBMITTED - len(grids))
    return {f"attempt_{number}": grid for number, grid in enumerate(grids, 1)}


def _votes(ballot: Ballot) -> dict[str, Any]:
    return {
        "views": ballot.views,
        "output": None if ballot.test.output is None else _digits(ballot.test.output),
        "candidates": [_vote(ballot, candidate) for candidate in ballot.candidates],
    }


def _vote(ballot: Ballot, candidate: Candidate) -> dict[str, Any]:
    return {
        "grid": _digits(candidate.grid),
        "count": candidate.count,
        "halt_probability": candidate.halt_probability,
        "right": None if ballot.test.output is None else ballot.is_right(candidate),
    }


def _digits(grid: Grid) -> list[str]:
    return ["".join(map(str, row)) for row in grid.tolist()]
