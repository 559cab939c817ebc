"""The table behind ``--run.log``: what can keep the records of a run, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from hrm_agents.errors import UserError
from hrm_agents.records.recorder import Opening, Recorder
from hrm_agents.records.tensorboard import TensorBoard
from hrm_agents.records.text_records import Csv, JsonLines
from hrm_agents.records.wandb_records import WandB

RECORDERS: dict[str, Callable[[Opening], Recorder]] = {
    "tensorboard": TensorBoard,
    "jsonl": JsonLines,
    "csv": Csv,
    "wandb": WandB,
}


def opened(run: Opening) -> list[Recorder]:
    """The recorders that the settings name.

    Raises:
        UserError: one of them cannot write or lacks its package; then none is open.
    """
    recorders: list[Recorder] = []
    try:
        for name in run.config.run.log:
            recorders.append(RECORDERS[name](run))
    except UserError:
        with suppress(UserError):
            close(recorders)
        raise
    return recorders


def close(recorders: Iterable[Recorder]) -> None:
    """Close all, whatever goes wrong with one of them.

    Raises:
        UserError: the first error.
    """
    errors = []
    for recorder in recorders:
        try:
            recorder.close()
        except UserError as error:
            errors.append(error)
    if errors:
        raise errors[0]
