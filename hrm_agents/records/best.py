"""The best checkpoint of a run, kept beside the latest."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from hrm_agents.errors import UserError
from hrm_agents.evaluation.evaluate import Evaluation
from hrm_agents.records.checkpoint import copy_checkpoint, read_config


class Kept(NamedTuple):
    """Record of a kept checkpoint."""

    updates: int
    success_rate: float


class BestCheckpoint:
    """Folder ``best`` of a run.

    Args:
        run: folder of the run.
    """

    def __init__(self, run: Path) -> None:
        self._run, self.folder = run, run / "best"

    def kept(self) -> Kept | None:
        """Updates and success rate of the best checkpoint; None if none is kept."""
        try:
            config: dict[str, Any] = read_config(self.folder)
            return Kept(int(config["updates"]), float(config["evaluation"]["success_rate"]))
        except (UserError, KeyError, TypeError, ValueError):  # missing or damaged: the next offer replaces it
            return None

    def offer(self, report: Evaluation) -> None:
        """Keep the latest checkpoint of the run if it evaluated at least as well as the kept one.

        Args:
            report: evaluation of the latest checkpoint.

        Raises:
            UserError: the folder cannot be written.
        """
        kept = self.kept()
        if kept is None or report.success_rate >= kept.success_rate:
            copy_checkpoint(self._run, self.folder, {"evaluation": report.to_dict()})

    def advice(self, updates_saved: int | None) -> str:
        """Advice after divergence on which checkpoint to resume.

        Args:
            updates_saved: updates of the latest checkpoint of the run; None if there is none.
        """
        kept = self.kept()
        if kept is not None and kept.updates != updates_saved:
            return (
                f"the best checkpoint is in {self.folder} (update {kept.updates}, {kept.success_rate:.1%} solved): "
                "resume it with a lower --optim.lr"
            )
        if updates_saved is not None:
            return f"the last checkpoint is in {self._run} (update {updates_saved}): resume it with a lower --optim.lr"
        return "start again with a lower --optim.lr"
