"""When a training run does what: its learning rate, evaluations and checkpoints, and whether it stops early."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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

    def saves(self, done: int, last: int) -> bool:
        """Whether a checkpoint is due, of its own or for the evaluation that is."""
        return done % self._run.save_every == 0 or self.evaluates(done, last)


class Patience:
    """Early stopping: counts the evaluations on the way since the last one with a higher success rate than all before.

    Args:
        most: a run stops after so many; None never stops it.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        #: The highest success rate so far; None before the first evaluation.
        self.best: float | None = None
        self.waited = 0

    @property
    def is_over(self) -> bool:
        """Whether the run should stop."""
        return self._most is not None and self.waited >= self._most

    def observe(self, success_rate: float) -> None:
        """Count an evaluation."""
        if self.best is None or success_rate > self.best:
            self.best, self.waited = success_rate, 0
        else:
            self.waited += 1

    def state_dict(self) -> dict[str, Any]:
        """The counts, as plain values."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`.

        Raises:
            KeyError, TypeError, ValueError: the state is damaged.
        """
        best, waited = state["best"], state["waited"]
        if not (best is None or (isinstance(best, float) and 0.0 <= best <= 1.0)):
            raise ValueError(f"the highest success rate is {best!r}")
        if type(waited) is not int or waited < 0:
            raise ValueError(f"the number of evaluations without a higher success rate is {waited!r}")
        self.best, self.waited = best, waited
