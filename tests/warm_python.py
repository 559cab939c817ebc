"""Python programs that start in a moment: forks of an interpreter that has imported torch, and nothing of ours.

Importing torch with its compiler, as every optimiser does, takes most of the time of a short program. A program here
is like one started from a shell: it has its own folder, arguments, streams and environment, it imports our packages
itself, and it ends as Python ends, with the same messages and exit code.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[1]


class Program:
    """A running program."""

    def __init__(self, news: IO[bytes]) -> None:
        self._news = news
        self.pid = int(news.readline())

    def wait(self, timeout: float = 120) -> int:
        """Wait for the end; return the exit code, or the negative number of the signal that ended it.

        Raises:
            TimeoutError: it has not ended after ``timeout`` seconds, and is killed.
        """
        with self._news:
            on_time = bool(select.select([self._news], [], [], timeout)[0])
            if not on_time:
                os.kill(self.pid, signal.SIGKILL)
            code = int(self._news.readline())
        if not on_time:
            raise TimeoutError(f"it ran for more than {timeout} s")
        return code


class WarmPython:
    """An interpreter that waits with torch imported, and forks programs from itself."""

    def __init__(self) -> None:
        self._socket, other = socket.socketpair()
        path = os.pathsep.join(map(str, (ROOT, ROOT / "envs")))  # also found from a folder of its own
        with other:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(other.fileno())],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )

    def start(self, *arguments: str, folder: Path, streams: Mapping[int, IO[Any] | None]) -> Program:
        """Start ``python ARGUMENTS``.

        Args:
            arguments: ``-c CODE``, ``-m MODULE`` or a file, and what follows it.
            folder: the working directory.
            streams: files for standard input (0), output (1) and error (2); None closes one.
        """
        news, report = os.pipe()
        files = {number: stream.fileno() for number, stream in streams.items() if stream is not None}
        job = {"arguments": arguments, "folder": str(folder), "streams": list(files)}
        socket.send_fds(self._socket, [json.dumps(job).encode() + b"\n"], [report, *files.values()])
        os.close(report)
        return Program(os.fdopen(news, "rb", buffering=0))

    def run(
        self, *arguments: str, folder: Path, streams: Mapping[int, IO[Any] | None] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``python ARGUMENTS`` to its end and return its exit code, with what it printed on other ``streams``."""
        printed = tempfile.TemporaryFile
        with open(os.devnull) as nothing, printed("w+") as output, printed("w+") as errors:
            given = {0: nothing, 1: output, 2: errors, **(streams or {})}
            code = self.start(*arguments, folder=folder, streams=given).wait()
            for stream in (output, errors):
                stream.seek(0)
            return subprocess.CompletedProcess(arguments, code, output.read(), errors.read())

    def close(self) -> None:
        """End the waiting interpreter."""
        self._socket.close()
        self._process.wait()


def _next_job(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Wait for jobs, and return one in each fork; the process that waits never returns."""
    while True:
        message, files, _, _ = socket.recv_fds(control, 1 << 16, 4)
        if not message:
            os._exit(0)
        while not message.endswith(b"\n"):
            message += control.recv(1 << 16)
        if os.fork() == 0:
            control.close()
            return json.loads(message), files
        for file in files:
            os.close(file)


def _watch(report: int) -> None:
    """Fork the program, which returns; this process reports its number and how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    program = os.fork()
    if program == 0:
        os.close(report)
        return
    with os.fdopen(report, "w") as news:
        print(program, file=news, flush=True)
        _, status = os.waitpid(program, 0)
        print(os.waitstatus_to_exitcode(status), file=news)
    os._exit(0)


#: The names of the standard streams and how Python opens them.
_STREAMS = (
    ("stdin", {"mode": "r"}),
    ("stdout", {"mode": "w"}),
    ("stderr", {"mode": "w", "buffering": 1, "errors": "backslashreplace"}),
)


def _become(job: dict[str, Any], files: Sequence[int]) -> None:
    """Take over the job's streams and folder. A closed stream is None, as when Python starts without it."""
    for number, (name, options) in enumerate(_STREAMS):
        stream = None
        if number in job["streams"]:
            os.dup2(files[job["streams"].index(number)], number)
            # Anew, since it remembers the kind of file; open until the program ends.
            stream = open(number, closefd=False, **options)  # noqa: SIM115
        else:
            os.close(number)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    for file in files:
        os.close(file)
    os.chdir(job["folder"])
    sys.path[0] = ""


def _execute(arguments: Sequence[str]) -> None:
    if arguments[0] == "-m":
        sys.argv[:] = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv[:] = ["-c", *arguments[2:]]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(arguments[1], "<string>", "exec"), main.__dict__)
    else:
        sys.argv[:] = arguments
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    import torch
    import torch._dynamo  # noqa: F401  (imported by the first optimiser otherwise)

    gc.freeze()  # what every fork shares, none looks through at its end
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the waiting interpreter asks for no exit code
    job, files = _next_job(socket.socket(fileno=int(sys.argv[1])))
    _watch(files.pop(0))
    _become(job, files)
    _execute(job["arguments"])
