"""TensorBoard event files, written immediately by the calling thread."""

from __future__ import annotations

import io
import itertools
import os
import re
import socket
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_agents.errors import UserError
from hrm_agents.records.append_file import FLAGS, AppendFile, cannot_record

_NAME = re.compile(r"events\.out\.tfevents\.(\d{10})\.")
#: The last second that fits the ten digits in a name.
_LAST_SECOND = 9_999_999_999


class EventFile:
    """One ``events.out.tfevents`` file, written as :class:`AppendFile` writes.

    TensorBoard sees a record at once. It would read nothing beyond an incomplete one, which a failed call removes.

    Args:
        folder: of the file; created with its parents if it does not exist.
        purge_step: TensorBoard hides records of older files in the folder from this step on.

    Raises:
        UserError: the file cannot be created.
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        with warnings.catch_warnings():
            # Raised by imports inside tensorboard and torch.
            warnings.simplefilter("ignore", DeprecationWarning)
            from tensorboard.compat.proto import event_pb2  # type: ignore[import-untyped]
            from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]
            from torch.utils.tensorboard import summary
        self._protos: Any = event_pb2
        self._summaries: Any = summary
        self._record_writer = RecordWriter
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.path, descriptor = _open_new(folder)
        except (OSError, ValueError) as error:  # ValueError: such as a null character in the name
            raise UserError(cannot_record(folder, error)) from error
        self._file = AppendFile(descriptor, folder)
        try:
            source = event_pb2.SourceMetadata(writer="hrm_agents.records.event_file")
            self._write(event_pb2.Event(file_version="brain.Event:2", source_metadata=source))
            if purge_step is not None:
                start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
                self._write(event_pb2.Event(step=purge_step, session_log=start))
        except UserError:
            self.close()
            raise

    def __enter__(self) -> EventFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            with suppress(UserError):  # the first error matters more
                self.close()

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Add a point of the curve ``tag``.

        Raises:
            UserError: it cannot be written, as in all ``add`` methods.
        """
        self._add(self._summaries.scalar(tag, value), step)

    def add_text(self, tag: str, text: str, step: int = 0) -> None:
        """Add Markdown text, which TensorBoard shows as ``tag/text_summary``."""
        self._add(self._summaries.text(tag, _writable(text)), step)

    def add_image(self, tag: str, image: NDArray[np.uint8], step: int) -> None:
        """Add an image, uint8 ``[H, W, 3]``."""
        self._add(self._summaries.image(tag, image, dataformats="HWC"), step)

    def add_hparams(self, settings: Mapping[str, bool | int | float | str], results: Mapping[str, float]) -> None:
        """Add settings and results to the HPARAMS table, and the results as curves of one point."""
        plain = {name: _writable(value) if isinstance(value, str) else value for name, value in settings.items()}
        for part in self._summaries.hparams(plain, dict(results)):
            self._add(part)
        for name, value in results.items():
            self.add_scalar(name, value, 0)

    def fileno(self) -> int:
        """The descriptor of the open file."""
        return self._file.fileno()

    def flush(self) -> None:
        """Do nothing: records are never buffered."""

    def close(self) -> None:
        """Close the file if it is open.

        Raises:
            UserError: the file system reports a failed write on closing.
        """
        self._file.close()

    def _add(self, summary: Any, step: int = 0) -> None:
        self._write(self._protos.Event(step=step, summary=summary))

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        record = io.BytesIO()
        self._record_writer(record).write(event.SerializeToString())
        self._file.append(record.getvalue())


def _open_new(folder: Path) -> tuple[Path, int]:
    """Create a file whose name sorts after those in the folder, the order in which TensorBoard reads them.

    The time in the name may thus differ from the clock, which may also have been set back.
    """
    found = [int(match[1]) for match in map(_NAME.match, os.listdir(folder)) if match]
    second = min(max([int(time.time()), *(other + 1 for other in found)]), _LAST_SECOND)
    host = re.sub(r"[^\w.-]", "_", socket.gethostname())
    for number in itertools.count():
        path = folder / f"events.out.tfevents.{second:010d}.{host}.{os.getpid()}.{number}"
        with suppress(FileExistsError):
            return path, os.open(path, FLAGS | os.O_EXCL, 0o666)
    raise AssertionError("there is always another number")


def _writable(text: str) -> str:
    """Escape lone surrogates, which paths may contain and UTF-8 cannot encode."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
