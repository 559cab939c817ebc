"""What all measurements of ``hrm-agents bench`` share: options, and the form of their figures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from hrm_agents.commands.common import EXPLAINED
from hrm_agents.limits import Limits


@dataclass(frozen=True)
class Result:
    """What was measured."""

    columns: Sequence[str]
    lines: Sequence[Sequence[str]]
    document: Mapping[str, Any]
    """For JSON."""
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Bench(ABC):
    """Options that all share."""

    json: Annotated[Path | None, EXPLAINED] = None
    """Write all figures to this file; - for standard output, in place of the table."""

    @abstractmethod
    def measure(self) -> Result:
        """Measure what the options ask for.

        Raises:
            UserError: an option is out of its limits.
        """


@dataclass(frozen=True)
class MeasuredBench(Bench):
    """Options of what is measured here, in rounds."""

    rounds: int = 5
    """How often to measure each; tables show the median and the quartiles."""

    def check_rounds(self) -> None:
        """Check the number of rounds.

        Raises:
            UserError: it is out of its limits.
        """
        Limits(1, 1000).check("--rounds", self.rounds)
