"""Output for people that never fails: a lost terminal stops no run."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from rich.console import Console


class SteadyOutput(io.TextIOBase):
    """A text file whose writes never raise.

    Characters that the encoding lacks are escaped. Text that cannot be written is dropped, for example after the
    terminal's window was closed, the connection ended, or the reader of the pipe exited.

    Args:
        file: receives the text; the caller closes it.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the file, or UTF-8 if it has none."""
        return getattr(self._file, "encoding", None) or "utf-8"

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, text: str) -> int:
        """Write ``text``, as far as possible."""
        # ValueError: the file is closed.
        with suppress(OSError, ValueError):
            try:
                self._file.write(text)
            except UnicodeError:
                self._file.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
        return len(text)

    def flush(self) -> None:
        """Flush the file."""
        with suppress(OSError, ValueError):
            self._file.flush()

    def isatty(self) -> bool:
        """Whether the file is a terminal."""
        with suppress(OSError, ValueError):
            return self._file.isatty()
        return False

    def fileno(self) -> int:
        """File descriptor of the file."""
        return self._file.fileno()


def steady_console(console: Console | None = None) -> Console:
    """Make a console whose output never raises.

    Args:
        console: console to change; a new one on standard error if omitted.
    """
    console = Console(stderr=True) if console is None else console
    if not isinstance(console.file, SteadyOutput):
        console.file = SteadyOutput(console.file)  # type: ignore[assignment]
    return console


class _Notes(logging.Handler):
    """Keeps messages, each once, until they are printed on standard error."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()
        self._waiting: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message of a record, unless it came before."""
        text = f"{'warning: ' if record.levelno >= logging.WARNING else ''}{record.getMessage()}"
        if text not in self._seen:
            self._seen.add(text)
            self._waiting.append(text)

    def print(self) -> None:
        """Print the messages that wait; never fails."""
        SteadyOutput(sys.stderr).write("".join(f"{text}\n" for text in self._waiting))
        self._waiting.clear()


_LOGGER = logging.getLogger("hrm_envs")


def print_notes() -> None:
    """Print what environments have said since the last call, inside :func:`notes_of_environments`."""
    for handler in _LOGGER.handlers:
        if isinstance(handler, _Notes):
            handler.print()


@contextmanager
def notes_of_environments() -> Iterator[None]:
    """Print what environments say of the files that they read, each message once.

    The messages wait for :func:`print_notes`, or for the end; an error, which is one line alone, comes without them.
    """
    notes, level = _Notes(), _LOGGER.level
    _LOGGER.addHandler(notes)
    _LOGGER.setLevel(logging.INFO)
    try:
        yield
        notes.print()
    finally:
        _LOGGER.removeHandler(notes)
        _LOGGER.setLevel(level)
