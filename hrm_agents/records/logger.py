"""Interface of loggers of a training run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from hrm_agents.evaluation.evaluate import Evaluation
from hrm_agents.rollout import SegmentBatch


class Logger:
    """Receives all reports of a training run and ignores them; override the methods you need.

    The trainer uses it as a context manager around training.
    """

    def __enter__(self) -> Logger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release resources; also called on a logger that was never entered."""

    def segment(self, batch: SegmentBatch, metrics: dict[str, float], step: int) -> None:
        """Log update ``step``, counted from 1.

        Args:
            batch: that was learned from.
            metrics: losses, norms of gradients, and the learning rate.
            step: number of the update.
        """

    @contextmanager
    def evaluating(self) -> Iterator[Callable[[float], None]]:
        """Surround an evaluation; yields a function to call with the fraction done."""
        yield lambda share: None

    def evaluation(self, report: Evaluation, step: int) -> None:
        """Log an evaluation after update ``step``."""

    def warning(self, line: str) -> None:
        """Log a problem that does not end the run."""

    def hyperparameters(self, report: Evaluation) -> None:
        """Log the settings with the final evaluation, at the end of the run."""
