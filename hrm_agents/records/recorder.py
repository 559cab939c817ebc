"""Interface of what keeps the figures of a training run: TensorBoard, text files, Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hrm_agents.config import TrainConfig


@dataclass(frozen=True)
class Opening:
    """What a recorder knows of a run when it opens."""

    out: Path
    """Folder of the run."""
    config: TrainConfig
    done: int = 0
    """Updates of an earlier part of the run. Later records of it are of updates that are about to be done again."""


@dataclass(frozen=True)
class Record:
    """Figures after an update."""

    kind: Literal["training", "evaluation"]
    step: int
    figures: Mapping[str, float | None]
    """By tag, such as ``train/loss``; None where there was nothing to average. All records of a kind in a run have the
    same tags."""
    facts: Mapping[str, str | int] = field(default_factory=dict)
    """What an evaluation is on."""

    def known(self) -> dict[str, float]:
        """The figures that are not None."""
        return {tag: value for tag, value in self.figures.items() if value is not None}


class Recorder:
    """Keeps the records of a run. All methods may raise UserError if nothing can be written."""

    def add(self, record: Record) -> None:
        """Keep a record."""

    def results(self, settings: Mapping[str, Any], results: Mapping[str, float]) -> None:
        """Keep all settings and the results, at the end of the run.

        Args:
            settings: by full name, such as ``run.seed``, as plain types.
            results: by tag.
        """

    def close(self) -> None:
        """Close what is open; may be called twice."""
