"""A figure over several training runs: its mean, and how far chance may have moved it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hrm_agents.evaluation.intervals import t_interval


class Spread(NamedTuple):
    """Mean of a figure over seeds, with its 95% interval."""

    mean: float
    #: Lower and upper end; None if there is one seed, or none differs: this says nothing about further seeds.
    interval: tuple[float, float] | None = None

    @classmethod
    def of(cls, values: Sequence[float], least: float = -math.inf, most: float = math.inf) -> Spread:
        """Mean of at least one value, with Student's t interval from the sample deviation (ddof 1).

        Args:
            values: one of each seed.
            least: smallest possible value, where the interval is cut off.
            most: largest possible value.
        """
        mean = float(np.mean(values))
        if len(set(values)) == 1:
            return cls(mean)
        low, high = t_interval(values)
        return cls(mean, (max(least, low), min(most, high)))
