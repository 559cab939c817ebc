"""Exploration of longer episodes: a minimum number of segments in training."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hrm_agents.distributed import Rows


@dataclass(frozen=True)
class Exploration:
    """Draws a random minimum number of segments before the agent may halt.

    With probability ``probability`` the minimum is uniform over 2..max_segments, else 1 (Wang et al. 2025, arXiv
    2506.21734, section 2, "Adaptive computational time"). The environment ends the episode at max_segments in any
    case.
    """

    per: Literal["episode", "segment"]
    """Draw once per episode (the paper) or at every segment (its authors' code).

    A minimum that is redrawn at every segment rarely holds twice in a row, so it delays halting by a segment or two,
    rarely up to M.
    """
    probability: float
    """Probability of a minimum above 1."""
    max_segments: int
    """M, the largest number of segments in an episode."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: ``max_segments`` is below 1, or ``probability`` outside [0, 1].
        """
        if self.max_segments < 1:
            raise ValueError(f"max_segments must be at least 1, got {self.max_segments}")
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"probability must lie in [0, 1], got {self.probability}")

    def minimum(
        self,
        rng: np.random.Generator,
        previous: NDArray[np.int64],
        reset: NDArray[np.bool_],
        rows: Rows | None = None,
    ) -> NDArray[np.int64]:
        """Minimum number of segments of each row, int64 [B]: the agent may halt at segment t if t >= minimum.

        Call it once before each segment.

        Args:
            rng: generator; each call draws the same amount, whatever ``reset`` is.
            previous: int64 [B], returned by the last call; ignored at a reset.
            reset: bool [B], rows whose episode starts with this segment.
            rows: which rows of a joint batch these are; all by default.
        """
        rows = Rows.all(len(previous)) if rows is None else rows
        explore = rows.of(rng.random(rows.total)) < self.probability
        length = rows.of(rng.integers(2, max(self.max_segments, 2), size=rows.total, endpoint=True))
        drawn = np.where(explore & (self.max_segments > 1), length, 1)
        return drawn if self.per == "segment" else np.where(reset, drawn, previous)
