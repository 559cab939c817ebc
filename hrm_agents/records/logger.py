"""Where a training run reports to. Derive from :class:`Logger` to send it somewhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from hrm_agents.evaluation.evaluate import Evaluation
from hrm_agents.rollout import SegmentBatch


class Logger:
    """Takes in all that a training run reports, and ignores it: override what you need.

    It is entered when training starts and left when it ends.
    """

    def __enter__(self) -> Logger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Finish: also called on its own for a logger that was never entered."""

    def segment(self, batch: SegmentBatch, metrics: dict[str, float], step: int) -> None:
        """Update ``step``, counted from 1: its batch, its losses and norms."""

    @contextmanager
    def evaluating(self) -> Iterator[Callable[[float], None]]:
        """An evaluation begins; gives a function to call with the share done."""
        yield lambda share: None

    def evaluation(self, report: Evaluation, step: int) -> None:
        """An evaluation after update ``step``."""

    def warning(self, line: str) -> None:
        """Something goes wrong that the run survives."""

    def hyperparameters(self, report: Evaluation) -> None:
        """The final evaluation, at the end of the run."""
