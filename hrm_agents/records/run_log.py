"""Default logger: records with the usual tags of RL libraries, and a progress line on the terminal."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hrm_agents.config import TrainConfig, flat_settings
from hrm_agents.errors import UserError
from hrm_agents.evaluation.evaluate import Evaluation
from hrm_agents.records.event_file import EventFile
from hrm_agents.records.logger import Logger
from hrm_agents.records.recorder import Opening, Record
from hrm_agents.records.recorders import close, opened
from hrm_agents.rollout import SegmentBatch
from hrm_agents.terminal import steady_console

#: Seconds between two plain lines when the output is not a terminal.
PLAIN_EVERY = 30.0
#: Means over the episodes that ended, of return, length and success.
_ROLLOUT = ("rollout/ep_rew_mean", "rollout/ep_len_mean", "rollout/success_rate")
#: Figures of an evaluation that are recorded.
_FIGURES = (
    "success_rate",
    "mean_score",
    "mean_segments",
    "forced_rate",
    "forced_solved_rate",
    "forced_unsolved_rate",
)


class RunLog(Logger):
    """Records means over ``log_every`` updates as ``run.log`` says, and shows progress on the terminal.

    Tags: ``rollout/ep_rew_mean``, ``rollout/ep_len_mean``, ``rollout/success_rate``, over the episodes that ended
    since the last record; ``train/*``, means over the updates since then; ``eval/*``; ``time/sps``, segments per
    second.

    Errors of the terminal are ignored. Records that cannot be written raise UserError in every method that adds some.

    Args:
        out: folder of the run.
        config: settings to record; the number of updates gives the ETA.
        console: for progress; standard error if None.
        done: updates of an earlier part of the run; later records of it are removed or hidden.

    Raises:
        UserError: ``out`` cannot be written, or a package is missing.
    """

    def __init__(self, out: Path, config: TrainConfig, console: Console | None = None, done: int = 0) -> None:
        self._config = config
        self._console = steady_console(console)
        self._recorders = opened(Opening(out, config, done))
        self._sums: dict[str, float] = defaultdict(float)
        self._updates = 0
        self._episodes: list[tuple[float, int, bool]] = []
        self._returns: NDArray[np.float64] | None = None
        self._started = self._row_started = self._line_at = time.monotonic()
        self._first_step: int | None = None
        self._success: float | None = None
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            refresh_per_second=4,
        )
        self._task = self._progress.add_task("training", total=config.run.updates, note="")

    def __enter__(self) -> RunLog:
        if self._console.is_terminal:
            self._progress.start()
        self._started = self._row_started = self._line_at = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._progress.stop()
        try:
            self.close()
        except UserError:
            if kind is None:  # otherwise the error that ended the run matters more
                raise

    def close(self) -> None:
        """Close the records."""
        close(self._recorders)

    def segment(self, batch: SegmentBatch, metrics: dict[str, float], step: int) -> None:
        """Log update ``step``; adds a record every ``log_every`` updates."""
        if self._first_step is None:
            self._first_step = step - 1
            self._returns = np.zeros(len(batch.reward))
        assert self._returns is not None
        self._returns += batch.reward
        for row in np.flatnonzero(batch.terminated):
            self._episodes.append((self._returns[row], int(batch.host.segment[row]), bool(batch.success[row])))
        self._returns[batch.terminated] = 0.0
        for name, value in metrics.items():
            self._sums[name] += value
        self._sums["exact_accuracy"] += float(batch.success.mean())
        self._sums["score"] += float(batch.score.mean())
        self._updates += 1
        if step % self._config.run.log_every == 0:
            self._add_row(step)

    @contextmanager
    def evaluating(self) -> Iterator[Callable[[float], None]]:
        """Show the progress of an evaluation; yields a function to call with the fraction done."""
        task = self._progress.add_task("evaluating", total=100, note="")
        before = time.monotonic()
        try:
            yield lambda share: self._progress.update(task, completed=100 * share)
        finally:
            self._progress.remove_task(task)
            # An evaluation does not count as training time.
            self._row_started += time.monotonic() - before

    def evaluation(self, report: Evaluation, step: int) -> None:
        """Record an evaluation after update ``step``."""
        self._success = report.success_rate
        figures = {f"eval/{name}": getattr(report, name) for name in _FIGURES}
        for segment, success in enumerate(report.success_per_segment, 1):
            figures[f"eval_segments/success_{segment:02d}"] = success
        self._record(Record("evaluation", step, figures, {"split": report.split, "num_puzzles": report.num_puzzles}))
        per_segment = " ".join(f"{100 * share:.1f}" for share in report.success_per_segment)
        bounds = report.intervals.get("success_rate")
        interval = "" if bounds is None else f" [{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]"
        self._say(
            f"[{step}] {report.num_puzzles} {report.split} puzzles of {report.num_classes} classes: "
            f"{100 * report.success_rate:.1f}%{interval} solved in {report.mean_segments:.2f} segments "
            f"(forced: {100 * report.forced_solved_rate:.1f}% solved, {100 * report.forced_unsolved_rate:.1f}% "
            f"unsolved); by segment {per_segment}"
        )

    def warning(self, line: str) -> None:
        """Print a problem that does not end the run."""
        self._say(f"warning: {line}")

    def hyperparameters(self, report: Evaluation) -> None:
        """Record all settings with the final results."""
        results = {f"final/{name}": getattr(report, name) for name in ("success_rate", "mean_segments")}
        for recorder in self._recorders:
            recorder.results(flat_settings(self._config), results)

    def _add_row(self, step: int) -> None:
        now = time.monotonic()
        sps = self._updates * self._config.run.batch_size / max(1e-9, now - self._row_started)
        figures: dict[str, float | None] = {
            f"train/{name}": total / self._updates for name, total in self._sums.items()
        }
        figures["time/sps"] = sps
        episodes = zip(*self._episodes, strict=True) if self._episodes else [None] * len(_ROLLOUT)
        figures |= {
            tag: None if values is None else float(np.mean(values))
            for tag, values in zip(_ROLLOUT, episodes, strict=True)
        }
        self._record(Record("training", step, figures))
        solved = figures["rollout/success_rate"] or 0.0
        note = f"loss {figures['train/loss']:.3f}  solved {100 * solved:.0f}%  {sps:.0f} seg/s"
        if self._success is not None:
            note += f"  unseen {100 * self._success:.1f}%"
        self._progress.update(self._task, completed=step, note=note)
        if not self._console.is_terminal and now - self._line_at >= PLAIN_EVERY:
            self._line_at = now
            left = (now - self._started) / (step - (self._first_step or 0)) * (self._config.run.updates - step)
            self._say(f"[{step}/{self._config.run.updates}] {note}  ETA {left / 60:.1f} min")
        self._sums.clear()
        self._episodes.clear()
        self._updates = 0
        self._row_started = now

    def _record(self, record: Record) -> None:
        for recorder in self._recorders:
            recorder.add(record)

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def write_frames(out: Path, frames: Sequence[NDArray[np.uint8]], step: int) -> None:
    """Add images, each uint8 ``[H, W, 3]``, to the TensorBoard records of a run.

    Raises:
        UserError: they cannot be written.
    """
    with EventFile(out / "tensorboard") as events:
        for number, frame in enumerate(frames, 1):
            events.add_image(f"solved/puzzle_{number}", frame, step)
