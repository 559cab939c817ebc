"""Measuring several things in turn, so that what slows the machine for a while slows all of them."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of the rounds of one measurement."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """Half of the rounds are below it."""
        return float(np.median(self.values))

    @property
    def quartiles(self) -> tuple[float, float]:
        """A quarter of the rounds is below the first, and a quarter above the second."""
        low, high = np.quantile(self.values, (0.25, 0.75))
        return float(low), float(high)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"median": self.median, "quartiles": list(self.quartiles), "rounds": list(self.values)}

    def text(self, form: str = ",.0f") -> str:
        """Such as ``120 [118, 123]``; without quartiles after one round."""
        low, high = self.quartiles
        around = f" [{low:{form}}, {high:{form}}]" if len(self.values) > 1 else ""
        return f"{self.median:{form}}{around}"


def in_turn(
    measurements: Mapping[str, Callable[[], float]], rounds: int, progress: Callable[[float], None] | None = None
) -> dict[str, Spread]:
    """Take each measurement once per round: A B, A B, ....

    Args:
        measurements: by name; each is called ``rounds`` times.
        rounds: their number, at least 1.
        progress: called with the share done.
    """
    values: dict[str, list[float]] = {name: [] for name in measurements}
    for number in range(rounds):
        for place, (name, measure) in enumerate(measurements.items(), start=1):
            values[name].append(measure())
            if progress is not None:
                progress((number + place / len(measurements)) / rounds)
    return {name: Spread(tuple(found)) for name, found in values.items()}


def ratio(of: Spread, to: Spread) -> Spread:
    """The ratio of two measurements, round by round."""
    return Spread(tuple(a / b for a, b in zip(of.values, to.values, strict=True)))


def machine(device: torch.device | None = None) -> dict[str, Any]:
    """What the figures were measured on."""
    figures: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if device is not None and device.type == "cuda":
        figures["gpu"] = torch.cuda.get_device_name(device)
    return figures
