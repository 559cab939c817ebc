"""Search at test time: think about each puzzle several times, from noisy initial states, and choose an answer.

The first try starts from the model's initial states, every further try from these plus normal noise. The noise depends
on the seed, the try and the puzzle alone, not on the batch size or the number of tries: the first k of n tries are
what k tries would be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrm_agents.evaluation.outcomes import Solutions
from hrm_agents.evaluation.think import Initial, think_to_halt
from hrm_agents.models.interface import map_carry
from hrm_agents.policy import HRMPolicy

#: How to choose among the answers to a puzzle: see :func:`choose_tries`.
Choose = Literal["q", "verifier"]


@dataclass(frozen=True)
class SearchSettings:
    """How many tries each puzzle gets, and how to choose among their answers.

    Raises:
        ValueError: a field is out of range.
    """

    tries: int = 1
    """Tries per puzzle; compute grows in proportion."""
    noise: float = 0.3
    """Standard deviation of the noise on the initial states of every try but the first; the states have about 1."""
    choose: Choose = "q"
    """The answer to return: the one with the highest Q(halt), or the verifier's choice (see :func:`choose_tries`)."""
    seed: int = 0
    """Seed of the noise."""

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise ValueError(f"tries={self.tries}: must be at least 1")
        if not 0.0 <= self.noise < float("inf"):
            raise ValueError(f"noise={self.noise}: a standard deviation must be finite and not negative")
        if self.choose not in get_args(Choose):
            raise ValueError(f"choose={self.choose!r}: choose from {', '.join(map(repr, get_args(Choose)))}")
        if self.seed < 0:
            raise ValueError(f"seed={self.seed}: must not be negative")


ONE_TRY = SearchSettings()


class TriesPoint(NamedTuple):
    """Result of the first ``tries`` tries at each puzzle."""

    tries: int
    #: Mean segments per puzzle, over all these tries.
    mean_segments: float
    #: Share of puzzles solved by the answer with the highest Q(halt), in [0, 1].
    q: float
    #: Share of puzzles solved by any of these tries, as a verifier would choose.
    verifier: float


@dataclass(frozen=True)
class Search:
    """Several tries at each of ``N`` puzzles."""

    #: How each try ended; the first has no noise.
    tries: tuple[Solutions, ...]
    settings: SearchSettings

    def solutions(self) -> Solutions:
        """The chosen answers; ``segments`` counts all tries."""
        chosen = choose_tries(self.tries, self.settings.choose)
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
        """The settings and the points as plain types, for JSON."""
        points = [point._asdict() for point in self.points()]
        return {"choose": self.settings.choose, "noise": self.settings.noise, "tries": points}


def choose_tries(tries: Sequence[Solutions], choose: Choose) -> NDArray[np.int64]:
    """Index (from 0) of the try chosen for each puzzle: int64 ``[N]``. Among equals it is the earliest.

    Args:
        tries: at least one, of the same ``N`` puzzles.
        choose: ``"q"`` takes the answer with the highest Q(halt) at its halt. ``"verifier"`` takes one that the
            verifier accepts, if there is one, else as ``"q"``. Such an agent may submit every answer: it is an upper
            bound on every way to choose.
    """
    best = np.stack([one.q_halt for one in tries]).argmax(axis=0)
    if choose == "q":
        return best
    success = np.stack([one.success for one in tries])
    return np.where(success.any(axis=0), success.argmax(axis=0), best)


def think_repeatedly(
    policy: HRMPolicy,
    env: Any,
    settings: SearchSettings,
    *,
    first: int | None = None,
    first_try: Solutions | None = None,
    progress: Callable[[float], None] | None = None,
) -> Search:
    """Think about every puzzle of an environment several times, each time until the policy halts.

    Args:
        settings: number of tries, noise, and the choice among the answers.
        first_try: outcome of the try without noise, if known; otherwise it is made here.

    The other arguments are those of :func:`hrm_agents.evaluation.think.think_to_halt`.
    """
    done = [] if first_try is None else [first_try]
    for number in range(len(done), settings.tries):
        initial = noisy_start(policy, settings, number) if number else None
        share = part_of(progress, number, settings.tries)
        done.append(think_to_halt(policy, env, first=first, initial=initial, progress=share))
    return Search(tuple(done), settings)


def noisy_start(policy: HRMPolicy, settings: SearchSettings, number: int) -> Initial:
    """Initial carries with noise on every floating-point tensor, for ``think_to_halt``.

    Args:
        policy: source of the initial carry.
        settings: standard deviation and seed of the noise.
        number: of the try; each try and each puzzle has its own noise.
    """

    def start(puzzles: NDArray[np.int64]) -> Any:
        # One generator per puzzle, which may share its batch with any others; it serves all tensors in turn.
        sequences = [np.random.SeedSequence(settings.seed, spawn_key=(number, int(puzzle))) for puzzle in puzzles]
        generators = [np.random.default_rng(sequence) for sequence in sequences]

        def disturb(state: Tensor) -> Tensor:
            if not state.is_floating_point():
                return state
            shape = tuple(state.shape[1:])
            normal = np.stack([generator.standard_normal(shape, np.float32) for generator in generators])
            return (state + torch.from_numpy(settings.noise * normal).to(state.device)).to(state.dtype)

        return map_carry(disturb, policy.initial_carry(len(puzzles)))

    return start


def part_of(progress: Callable[[float], None] | None, part: int, parts: int) -> Callable[[float], None] | None:
    """A progress callback for one part (from 0) of several equally long ones."""
    return None if progress is None else lambda share: progress((part + share) / parts)
