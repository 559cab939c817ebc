"""Files that grow by whole records, written at once by the calling thread."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from pathlib import Path

from hrm_agents.errors import UserError, shown_path
from hrm_agents.records.files import disk_is_full, reason

#: How to open a file for :class:`AppendFile`.
FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)


class AppendFile:
    """An open file to which records are added.

    Each call writes its record to the operating system before it returns, so that readers see it at once and the call
    itself reports a full disk. A failed call removes its incomplete record and may be repeated.

    If the folder is deleted, records go to the open file and are lost.

    Args:
        descriptor: of the file, opened with :data:`FLAGS`; this object closes it.
        folder: of the run's records, for messages.
    """

    def __init__(self, descriptor: int, folder: Path) -> None:
        self._descriptor, self._folder = descriptor, folder
        # Closes the file with its owner, without the warning of an unclosed io object.
        self._close = weakref.finalize(self, os.close, descriptor)
        self._size = os.fstat(descriptor).st_size

    @classmethod
    def open(cls, path: Path) -> AppendFile:
        """Open a file, which is created with its folder if it does not exist.

        Raises:
            UserError: it cannot be opened.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return cls(os.open(path, FLAGS, 0o666), path.parent)
        except (OSError, ValueError) as error:  # ValueError: such as a null character in the name
            raise UserError(cannot_record(path.parent, error)) from error

    def append(self, record: bytes) -> None:
        """Add a record.

        Raises:
            UserError: it cannot be written, or the file is closed.
        """
        if not self._close.alive:
            raise UserError(f"the records in {shown_path(self._folder)} are closed")
        rest = record
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise UserError(cannot_record(self._folder, error)) from error
        self._size += len(record)

    def fileno(self) -> int:
        """The descriptor of the open file."""
        return self._descriptor

    def close(self) -> None:
        """Close the file if it is open.

        Raises:
            UserError: the file system reports a failed write on closing.
        """
        try:
            self._close()
        except OSError as error:
            raise UserError(cannot_record(self._folder, error)) from error


def cannot_record(folder: Path, error: OSError | ValueError) -> str:
    """The message of a run whose records cannot be written."""
    advice = "choose another folder with --out"
    if disk_is_full(error):
        advice = f"free some space, or {advice}"
    return f"cannot write the records of the run to {shown_path(folder)}: {reason(error)}; {advice}"
