"""The last checkpoints of a run, kept beside the latest."""

from __future__ import annotations

import shutil
from pathlib import Path

from hrm_agents.errors import UserError
from hrm_agents.records.checkpoint import copy_checkpoint
from hrm_agents.records.files import reason


class KeptCheckpoints:
    """Folder ``checkpoints`` of a run, with a checkpoint in each subfolder, named by its number of updates.

    Files that several of them share are hard links where possible.

    Args:
        run: folder of the run.
        most: how many to keep; none if 0.
    """

    def __init__(self, run: Path, most: int) -> None:
        self._run, self._most, self.folder = run, most, run / "checkpoints"

    def add(self, updates: int) -> None:
        """Keep the latest checkpoint of the run, and remove the oldest of more than ``most``.

        Args:
            updates: of the checkpoint.

        Raises:
            UserError: the folder cannot be written.
        """
        if not self._most:
            return
        copy_checkpoint(self._run, self.folder / str(updates), {})
        for old in self.kept()[: -self._most]:
            try:
                shutil.rmtree(self.folder / str(old))
            except OSError as error:
                raise UserError(f"cannot remove {self.folder / str(old)}: {reason(error)}") from error

    def kept(self) -> list[int]:
        """Numbers of updates of the kept checkpoints, from the fewest on."""
        if not self.folder.is_dir():
            return []
        return sorted(int(place.name) for place in self.folder.iterdir() if place.name.isdecimal())
