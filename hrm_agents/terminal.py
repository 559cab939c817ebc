"""Progress on a terminal that may fail: it is there for people, and no run stops for want of it."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import IO

from rich.console import Console


class SteadyOutput(io.TextIOBase):
    """A text file that never raises when it is written to.

    What cannot be shown in its encoding is shown as an escape. What cannot be written at all is dropped: the terminal
    is gone (its window was closed, the connection ended) or the reader of the pipe is.

    Args:
        file: where text goes; it stays the caller's to close.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the file, UTF-8 if it has none."""
        return getattr(self._file, "encoding", None) or "utf-8"

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, text: str) -> int:
        """Write ``text``, or what of it can be written."""
        # ValueError: the file is closed.
        with suppress(OSError, ValueError):
            try:
                self._file.write(text)
            except UnicodeError:
                self._file.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
        return len(text)

    def flush(self) -> None:
        """Hand over what was written."""
        with suppress(OSError, ValueError):
            self._file.flush()

    def isatty(self) -> bool:
        """Whether the file is a terminal."""
        with suppress(OSError, ValueError):
            return self._file.isatty()
        return False

    def fileno(self) -> int:
        """The file's descriptor."""
        return self._file.fileno()


def steady_console(console: Console | None = None) -> Console:
    """A console whose output never raises.

    Args:
        console: is made so; a new one on standard error if not given.
    """
    console = Console(stderr=True) if console is None else console
    if not isinstance(console.file, SteadyOutput):
        console.file = SteadyOutput(console.file)  # type: ignore[assignment]
    return console
