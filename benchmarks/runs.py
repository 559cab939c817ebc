"""Training runs of a benchmark: they resume, run side by side, and keep their course and CPU time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from hrm_agents.config import TrainConfig
from hrm_agents.evaluation.evaluate import Evaluation
from hrm_agents.models.interface import SegmentModel
from hrm_agents.records.checkpoint import STATE
from hrm_agents.records.logger import Logger
from hrm_agents.trainer import Trainer

Result = TypeVar("Result")


class Curve(Logger):
    """Keeps the evaluations of a run, and the CPU time of all its parts, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.points: list[dict[str, float]] = json.loads(path.read_text()) if path.exists() else []
        self._before = self.points[-1]["cpu_minutes"] if self.points else 0.0
        self._start = time.process_time()

    @property
    def cpu_minutes(self) -> float:
        """CPU time since the beginning of the run, its earlier parts included up to their last evaluation."""
        return self._before + (time.process_time() - self._start) / 60

    def figures(self, report: Evaluation) -> dict[str, Any]:
        """What a table says of the finished run: its CPU time, and the figures of an evaluation to the end."""
        return {
            "cpu_minutes": round(self.points[-1]["cpu_minutes"], 1) if self.points else None,
            "num_puzzles": report.num_puzzles,
            "num_classes": report.num_classes,
            "success_rate": report.success_rate,
            "success_at_M": report.success_per_segment[-1],
            "mean_segments": report.mean_segments,
        }

    def evaluation(self, report: Evaluation, step: int) -> None:
        """Add a point; one of the same update takes its place."""
        self.points = [point for point in self.points if point["updates"] < step]
        names = ("success_rate", "mean_segments", "forced_rate")
        figures = {name: getattr(report, name) for name in names}
        self.points.append({"updates": step, "cpu_minutes": round(self.cpu_minutes, 2), **figures})
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self.points, indent=1))
        print(f"  {self._path.parent.name}: {self.points[-1]}", flush=True)


def train_to_the_end(
    config: TrainConfig, folder: Path, log: Logger | None = None, model: SegmentModel | None = None
) -> None:
    """Train what is missing of a run; nothing if it is finished.

    Args:
        config: all settings.
        folder: of the run; if it holds a part of it, that is continued.
        log: where progress goes.
        model: a network of one's own, as it was at the start.
    """
    start = Trainer.resume if (folder / STATE).exists() else Trainer
    trainer = start(config=config, out=folder, log=log, model=model)
    if trainer.updates_done < config.run.updates:
        trainer.run()


def side_by_side(train: Callable[..., Result], calls: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[Result]:
    """The results of runs, as they finish, ``jobs`` of them in processes of their own at a time.

    Args:
        train: returns the result of a run, such as its row of a table.
        calls: its arguments for each run.
        jobs: number of processes.
    """
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for future in as_completed([pool.submit(train, *arguments) for arguments in calls]):
            yield future.result()
