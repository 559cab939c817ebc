"""When a training run does what: its learning rate, evaluations and checkpoints, by the number of updates done."""

from __future__ import annotations

from hrm_agents.optim import lr_at
from hrm_agents.settings import OptimConfig, RunConfig


class Schedule:
    """The times of a run.

    Args:
        optim: learning rates.
        run: numbers of updates.
    """

    def __init__(self, optim: OptimConfig, run: RunConfig) -> None:
        self._optim, self._run = optim, run

    def learning_rate(self, done: int) -> float:
        """Of the update after ``done`` updates, as a share of the peak."""
        optim = self._optim
        return lr_at(
            done,
            base=1.0,
            warmup=optim.warmup,
            total=self._run.updates,
            schedule=optim.schedule,
            min_ratio=optim.min_lr_ratio,
        )

    def evaluates(self, done: int, last: int) -> bool:
        """Whether an evaluation on the way is due, the last one having been after ``last`` updates."""
        at_a_multiple = bool(self._run.eval_every) and done % self._run.eval_every == 0
        return at_a_multiple and last < done < self._run.updates

    def saves(self, done: int) -> bool:
        """Whether a checkpoint is due that is not for an evaluation."""
        return done % self._run.save_every == 0
