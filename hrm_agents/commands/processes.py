"""Several runs of ``hrm-agents`` side by side, each a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import IO

from hrm_agents.commands.common import say
from hrm_agents.interrupts import TIME_IS_UP, stop_requests

#: Seconds between two looks at the processes.
_PAUSE = 0.1


def run_processes(
    commands: Mapping[str, Sequence[str]], at_once: int, max_seconds: float | None = None, threads: int | None = None
) -> tuple[dict[str, int], int | None]:
    """Run ``hrm-agents`` several times and wait for all.

    After Ctrl-C, SIGTERM or the end of the time no more are started, and those that run are asked to stop, so that
    each can save. What several processes say begins with their names; one at a time has the terminal for itself.

    Args:
        commands: arguments by name.
        at_once: most processes at a time.
        max_seconds: stop after this time.
        threads: CPU threads of each; torch's default if None.

    Returns:
        The exit codes of those that were started, by name, and the reason to stop: the number of a signal,
        :data:`TIME_IS_UP`, or None.
    """
    waiting, codes = list(commands), {}
    running: dict[str, _Child] = {}
    with stop_requests(max_seconds) as stop:
        try:
            while running or (waiting and not stop):
                while waiting and len(running) < at_once and not stop:
                    name = waiting.pop(0)
                    running[name] = _Child(name, commands[name], threads, speaks_alone=at_once == 1)
                if stop:
                    _ask_to_stop(running.values(), signal.SIGTERM if stop[0] == TIME_IS_UP else stop[0])
                for name in [name for name, child in running.items() if child.has_ended()]:
                    codes[name] = running.pop(name).code()
                time.sleep(_PAUSE)
        except BaseException:  # such as a second Ctrl-C, which interrupts at once
            for child in running.values():
                child.send(signal.SIGINT)
            raise
    return codes, stop[0] if stop else None


def _ask_to_stop(children: Iterable[_Child], number: int) -> None:
    """Send a signal to those that have not had one, since a second one interrupts at once."""
    for child in children:
        if not child.was_asked:
            child.was_asked = True
            child.send(number)


class _Child:
    """A running process.

    It has a session of its own, so that Ctrl-C in the terminal reaches it once, through :meth:`send`, not twice.
    """

    def __init__(self, name: str, arguments: Sequence[str], threads: int | None, *, speaks_alone: bool) -> None:
        self.was_asked = False
        # The modules of this process, found in the same places; `python -m` would search the working directory too.
        code = f"import sys; sys.path[:] = {sys.path!r}; from hrm_agents.cli import main; sys.exit(main())"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=subprocess.DEVNULL,
            stderr=None if speaks_alone else subprocess.PIPE,
            env=None if threads is None else {**os.environ, "OMP_NUM_THREADS": str(threads)},
            start_new_session=True,
        )
        self._reader: threading.Thread | None = None
        if self._process.stderr is not None:
            self._reader = threading.Thread(target=_repeat, args=(name, self._process.stderr), daemon=True)
            self._reader.start()

    def send(self, number: int) -> None:
        """Send a signal; on Windows the console itself sends Ctrl-C to all of its processes."""
        if os.name == "posix":
            self._process.send_signal(number)

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def code(self) -> int:
        """The exit code of the ended process, once all that it said is repeated."""
        if self._reader is not None:
            self._reader.join()
        return self._process.wait()


def _repeat(name: str, lines: IO[bytes]) -> None:
    with lines:
        for line in lines:
            say(f"{name}: {line.decode(errors='replace').rstrip()}")
