"""Search at test time: think about each puzzle several times, from disturbed initial states, and choose an answer.

The states z_H and z_L of the first try start where training had them start; those of every further try start there
plus normal noise. What the noise is depends on the seed, the try and the puzzle's number alone: neither the batch size
nor the number of tries changes it, so the first k of n tries are what k tries would have been.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from hrm_agents.evaluation.think import Initial, Solutions, think_to_halt
from hrm_agents.models.hrm import Carry
from hrm_agents.policy import HRMPolicy

#: How to choose among the answers to a puzzle: see :func:`choose_tries`.
Choose = Literal["q", "verifier"]

#: Standard deviation of the noise unless told otherwise; the initial states have about 1.
NOISE = 0.3


class TriesPoint(NamedTuple):
    """What the first ``tries`` tries at each puzzle give."""

    tries: int
    #: Segments spent on a puzzle, over all these tries.
    mean_segments: float
    #: Share of puzzles solved by the answer with the highest Q(halt), in [0, 1].
    q: float
    #: Share of puzzles that any of these tries solves: what a verifier would choose.
    verifier: float


@dataclass(frozen=True)
class Search:
    """Several tries at each of ``N`` puzzles."""

    #: How each ended; the first is the one without noise.
    tries: tuple[Solutions, ...]
    #: Standard deviation of the others' noise.
    noise: float
    #: How an answer is chosen among them.
    choose: Choose

    def solutions(self) -> Solutions:
        """The chosen answers. ``segments`` counts those of all tries: what the answer cost."""
        chosen = choose_tries(self.tries, self.choose)
        rows = np.arange(len(chosen))
        parts = {
            part.name: np.stack([getattr(one, part.name) for one in self.tries])[chosen, rows]
            for part in fields(Solutions)
        }
        return replace(Solutions(**parts), segments=np.sum([one.segments for one in self.tries], axis=0))

    def points(self) -> tuple[TriesPoint, ...]:
        """Success against compute: for the first 1, 2, ... tries."""
        result = []
        for number in range(1, len(self.tries) + 1):
            tries = self.tries[:number]
            success, rows = np.stack([one.success for one in tries]), np.arange(len(tries[0]))
            result.append(
                TriesPoint(
                    tries=number,
                    mean_segments=float(np.sum([one.segments for one in tries]) / len(rows)),
                    q=float(success[choose_tries(tries, "q"), rows].mean()),
                    verifier=float(success.any(axis=0).mean()),
                )
            )
        return tuple(result)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON: the settings and the points."""
        return {"choose": self.choose, "noise": self.noise, "tries": [point._asdict() for point in self.points()]}


def choose_tries(tries: Sequence[Solutions], choose: Choose) -> NDArray[np.int64]:
    """The try, from 0, whose answer is handed in for each puzzle: int64 ``[N]``. Among equals it is the earliest.

    Args:
        tries: at least one, of the same ``N`` puzzles.
        choose: ``"q"`` takes the answer with the highest Q(halt) at its halt. ``"verifier"`` takes one that the
            verifier accepts, where there is any, else as ``"q"``: that is an agent which may hand in every answer, and
            the most that any choice could reach.
    """
    best = np.stack([one.q_halt for one in tries]).argmax(axis=0)
    if choose == "q":
        return best
    success = np.stack([one.success for one in tries])
    return np.where(success.any(axis=0), success.argmax(axis=0), best)


def check_search(tries: int, noise: float, choose: str, seed: int) -> None:
    """Refuse settings of :func:`search` that make no sense.

    Raises:
        ValueError: there is no try, the noise is negative or no number, the seed is negative, or there is no such
            way to choose.
    """
    if tries < 1:
        raise ValueError(f"tries={tries}: each puzzle needs at least one")
    if not 0.0 <= noise < float("inf"):
        raise ValueError(f"noise={noise}: a standard deviation must be a number from 0 on")
    if choose not in get_args(Choose):
        raise ValueError(f"choose={choose!r}: choose one of {', '.join(map(repr, get_args(Choose)))}")
    if seed < 0:
        raise ValueError(f"seed={seed}: the seed of the noise must not be negative")


def search(
    policy: HRMPolicy,
    env: Any,
    *,
    tries: int,
    noise: float = NOISE,
    choose: Choose = "q",
    seed: int = 0,
    first: int | None = None,
    first_try: Solutions | None = None,
    progress: Callable[[float], None] | None = None,
) -> Search:
    """Think about every puzzle of an environment ``tries`` times, each time until the policy halts.

    Args:
        policy: thinks, and halts by its rule; its model is not changed.
        env: as for :func:`hrm_agents.evaluation.think.think_to_halt`.
        tries: how often, at least once; the cost grows with it.
        noise: standard deviation of what is added to every number of the initial states.
        choose: how to choose among the answers: see :func:`choose_tries`.
        seed: of the noise.
        first: only the first so many of its puzzles, or all if there are fewer; all by default.
        first_try: how the try without noise ended, if that is known; it is not made again then.
        progress: called with the share done.

    Raises:
        ValueError: a setting makes no sense: see :func:`check_search`.
    """
    check_search(tries, noise, choose, seed)
    done = [] if first_try is None else [first_try]
    for number in range(len(done), tries):
        initial = noisy_start(policy, noise, seed, number) if number else None
        share = part_of(progress, number, tries)
        done.append(think_to_halt(policy, env, first=first, initial=initial, progress=share))
    return Search(tuple(done), noise, choose)


def noisy_start(policy: HRMPolicy, noise: float, seed: int, number: int) -> Initial:
    """Initial states with noise of its own for every puzzle, for :func:`hrm_agents.evaluation.think.think_to_halt`.

    Args:
        policy: its initial states are disturbed.
        noise: standard deviation.
        seed: of the noise.
        number: of the try; each has other noise.
    """

    def start(puzzles: NDArray[np.int64]) -> Carry:
        states = policy.initial_carry(len(puzzles))
        normal = np.empty((len(puzzles), 2, *states.z_H.shape[1:]), np.float32)
        for row, puzzle in enumerate(puzzles):
            # A generator for each puzzle, as it may share its batch with any others.
            sequence = np.random.SeedSequence(seed, spawn_key=(number, int(puzzle)))
            normal[row] = np.random.default_rng(sequence).standard_normal(normal.shape[1:], np.float32)
        added = torch.from_numpy(noise * normal).to(policy.device)
        return Carry((states.z_H + added[:, 0]).to(states.z_H.dtype), (states.z_L + added[:, 1]).to(states.z_L.dtype))

    return start


def part_of(progress: Callable[[float], None] | None, part: int, parts: int) -> Callable[[float], None] | None:
    """What to call with the share done of one part, from 0, of several that take equally long."""
    return None if progress is None else lambda share: progress((part + share) / parts)
