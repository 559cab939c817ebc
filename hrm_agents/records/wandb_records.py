"""Records for Weights & Biases (``pip install "hrm-agents[wandb]"``), in the folder ``wandb`` of the run."""

from __future__ import annotations

import importlib
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hrm_agents.config import flat_settings
from hrm_agents.errors import UserError, one_line
from hrm_agents.records.files import write_atomically
from hrm_agents.records.recorder import Opening, Record, Recorder

#: Name of the axis of all curves.
STEP = "update"


class WandB(Recorder):
    """Logs to one run of Weights & Biases, which a resumed training continues.

    Its own variables of the environment apply, such as WANDB_PROJECT (``hrm-agents`` if not set), WANDB_NAME (the
    folder's) and WANDB_MODE=offline.

    Raises:
        UserError: the package is not installed, or it cannot start a run.
    """

    def __init__(self, run: Opening) -> None:
        self._wandb = _package()
        with self._errors():
            self._run = self._wandb.init(
                project=os.environ.get("WANDB_PROJECT", "hrm-agents"),
                name=os.environ.get("WANDB_NAME", run.out.resolve().name),
                id=_run_id(run.out / "wandb" / "run-id.txt", is_new=not run.done),
                resume="allow",
                dir=run.out,
                config=flat_settings(run.config),
                settings=self._wandb.Settings(console="off"),
            )
            # Its own counter of steps only grows, whereas a resumed run takes up an earlier update.
            self._run.define_metric(STEP)
            self._run.define_metric("*", step_metric=STEP)

    def add(self, record: Record) -> None:
        """Log the figures."""
        with self._errors():
            self._run.log({STEP: record.step, **record.known()})

    def results(self, settings: Mapping[str, Any], results: Mapping[str, float]) -> None:
        """Add the results to the summary; the settings are its config already."""
        with self._errors():
            self._run.summary.update(dict(results))

    def close(self) -> None:
        """Finish the run."""
        with self._errors():
            self._run.finish()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Convert the package's errors."""
        try:
            yield
        except (self._wandb.Error, OSError) as error:
            raise UserError(
                f"Weights & Biases cannot record the run: {one_line(str(error))}; log in with `wandb login`, set "
                "WANDB_MODE=offline, or omit wandb from --run.log"
            ) from error


def _package() -> Any:
    """The package ``wandb``.

    Raises:
        UserError: it is not installed.
    """
    try:
        package = importlib.import_module("wandb")
    except ImportError:
        package = None
    # Without it, Python takes a folder wandb in the working directory for a package.
    if getattr(package, "__file__", None) is None:
        raise UserError('--run.log wandb needs the package wandb: pip install "hrm-agents[wandb]"')
    return package


def _run_id(path: Path, *, is_new: bool) -> str:
    """The id of the run, kept in a file; a new run has a new one."""
    if not is_new and path.is_file():
        return path.read_text().strip()
    run_id = secrets.token_hex(4)
    write_atomically(path, f"{run_id}\n".encode())
    return run_id
