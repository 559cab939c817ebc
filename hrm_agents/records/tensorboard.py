"""Records for TensorBoard, in the folder ``tensorboard`` of the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hrm_agents.config import to_dict
from hrm_agents.records.event_file import EventFile
from hrm_agents.records.recorder import Opening, Record, Recorder


class TensorBoard(Recorder):
    """Writes curves, the settings as text, and the HPARAMS table.

    TensorBoard hides records of earlier parts of the run that are written again.

    Raises:
        UserError: the folder cannot be written.
    """

    def __init__(self, run: Opening) -> None:
        self._events = EventFile(run.out / "tensorboard", purge_step=run.done + 1 if run.done else None)
        self._events.add_text("config", f"```json\n{json.dumps(to_dict(run.config), indent=2)}\n```")

    def add(self, record: Record) -> None:
        """Add a point to each curve."""
        for tag, value in record.known().items():
            self._events.add_scalar(tag, value, record.step)

    def results(self, settings: Mapping[str, Any], results: Mapping[str, float]) -> None:
        """Add a row to the HPARAMS table."""
        plain = {
            name: value if isinstance(value, (int, float, str, bool)) else json.dumps(value)
            for name, value in settings.items()
        }
        self._events.add_hparams(plain, results)

    def close(self) -> None:
        """Close the event file."""
        self._events.close()
