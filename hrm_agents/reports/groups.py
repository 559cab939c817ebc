"""Runs that differ in the seed alone, and what sets groups of such runs apart."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from hrm_agents.reports.frontier_interval import Spread
from hrm_agents.reports.headline import Figure
from hrm_agents.reports.run_record import NOT_RECORDED, SEED, RunRecord

#: Longer names are replaced by a letter.
_LONGEST = 32
#: Entries of a run's origin that are results, not settings.
_RESULTS = {"SHA-256 of the weights"}


@dataclass(frozen=True)
class Group:
    """Runs with the same settings, puzzles and versions, but for the seed."""

    label: str
    runs: tuple[RunRecord, ...]
    settings: dict[str, str]
    """All settings, versions and hashes, without the seed."""

    def spread(self, figure: Figure) -> Spread | None:
        """Mean of a final figure over the seeds of finished runs, with its 95% t interval; None if no run is finished.

        There is no interval if two runs have the same seed, for these are not independent.
        """
        finished = [run for run in self.runs if figure.name in run.evaluation]
        if not finished:
            return None
        values = [float(run.evaluation[figure.name]) for run in finished]
        longest = max(float(run.evaluation.get("max_segments", "inf")) for run in finished)
        spread = Spread.of(values, *figure.bounds(longest))
        seeds = {run.settings().get(SEED) for run in finished}
        return spread if len(seeds) == len(finished) else Spread(spread.mean)


def grouped(records: Sequence[RunRecord], free: Collection[str]) -> list[Group]:
    """Group runs by all that may change what they learn, in the order of their first runs.

    Args:
        records: at least one.
        free: settings that do not change what a model learns.
    """
    found: list[tuple[dict[str, str], list[RunRecord]]] = []
    for record in records:
        mine = _identity(record, free)
        for settings, runs in found:
            if settings == mine:
                runs.append(record)
                break
        else:
            found.append((mine, [record]))
    different = differences([settings for settings, _ in found])
    labels = _labels([{name: settings.get(name, NOT_RECORDED) for name in different} for settings, _ in found])
    return [Group(label, tuple(runs), settings) for label, (settings, runs) in zip(labels, found, strict=True)]


def differences(settings: Sequence[dict[str, str]]) -> list[str]:
    """Names of the settings that are not the same in all, in their order."""
    names = dict.fromkeys(name for each in settings for name in each)
    return [name for name in names if len({each.get(name) for each in settings}) > 1]


def _identity(record: RunRecord, free: Collection[str]) -> dict[str, str]:
    """All that tells runs apart but for the seed."""
    origin = {name: value for name, value in record.origin().items() if name not in _RESULTS}
    return {name: value for name, value in {**record.settings(), **origin}.items() if name not in {SEED, *free}}


def _labels(different: Sequence[dict[str, str]]) -> list[str]:
    """A name for each group: the settings that set it apart if that is short and plain, a letter otherwise."""
    if len(different) == 1:
        return ["all runs"]
    names = [", ".join(f"{name.rpartition('.')[2]}={value}" for name, value in group.items()) for group in different]
    if all(len(name) <= _LONGEST and re.fullmatch(r"[A-Za-z0-9][\w .,=+/-]*", name) for name in names):
        return names
    return [_letters(rank) for rank in range(len(different))]


def _letters(rank: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    return (_letters(rank // 26 - 1) if rank >= 26 else "") + chr(ord("A") + rank % 26)
