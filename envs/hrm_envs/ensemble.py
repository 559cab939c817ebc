"""What comes of several answers to each puzzle, combined: the result of :meth:`hrm_envs.task.Task.ensemble`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class Ensemble(Protocol):
    """A combined result that can be reported and written."""

    @property
    def metrics(self) -> Mapping[str, float]:
        """Figures by name, such as ``{"pass@2": 0.4}``: for tables, JSON and TensorBoard."""
        ...

    def write(self, folder: Path) -> list[Path]:
        """Write the result's files (predictions, pictures) into ``folder``, which exists; returns their paths."""
        ...
