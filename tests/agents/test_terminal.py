"""Output that a terminal cannot take."""

import errno
import io
import os
import subprocess
import sys

import pytest
from rich.console import Console
from rich.progress import Progress

from hrm_agents.terminal import SteadyOutput, steady_console


class Broken(io.StringIO):
    """A terminal that is gone."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error

    def flush(self):
        raise self.error

    def isatty(self):
        return True


def encoded(encoding):
    return io.TextIOWrapper(io.BytesIO(), encoding, write_through=True)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "koi8-r", "utf-8"])
def test_what_an_encoding_does_not_have(encoding):
    file = encoded(encoding)
    console = steady_console(Console(file=file, force_terminal=True, width=100))
    console.print("Grüße 数独 \udcff ━", markup=False)
    with Progress(console=console) as bar:
        bar.update(bar.add_task("数独", total=2), completed=1)
    assert "数独" in file.buffer.getvalue().decode(encoding).encode().decode("unicode-escape") or encoding == "utf-8"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        ValueError("I/O operation on closed file"),
    ],
)
def test_a_terminal_that_is_gone(error):
    console = steady_console(Console(file=Broken(error), width=100))
    console.print("one")
    with Progress(console=console, refresh_per_second=100) as bar:
        task = bar.add_task("training", total=2)
        for _ in range(2):
            bar.advance(task)
            bar.refresh()
    console.print("two")


def test_a_closed_file():
    file = encoded("utf-8")
    output = SteadyOutput(file)
    file.close()
    assert output.write("text") == 4
    output.flush()
    assert not output.isatty()


def test_what_it_says_of_the_file(tmp_path):
    with open(tmp_path / "out", "w", encoding="latin-1") as file:
        output = SteadyOutput(file)
        assert (output.encoding, output.isatty(), output.fileno()) == ("latin-1", False, file.fileno())
        output.write("ü数")
        output.flush()
        assert (tmp_path / "out").read_bytes() == b"\xfc\\u6570"
    assert SteadyOutput(io.StringIO()).encoding == "utf-8"


def test_a_console_is_made_steady_once():
    console = Console(file=io.StringIO())
    assert steady_console(console) is console
    output = console.file
    assert steady_console(console).file is output


def test_standard_error_that_is_not_there(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    steady_console().print("text")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs pseudo-terminals")
def test_a_terminal_that_hangs_up():
    """A run that was started in a window goes on when the window is closed."""
    code = (
        "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from hrm_agents.terminal import steady_console; from rich.progress import Progress\n"
        "console = steady_console()\n"
        "assert console.is_terminal\n"
        "with Progress(console=console, refresh_per_second=50) as bar:\n"
        "    task = bar.add_task('training', total=9)\n"
        "    sys.stdin.readline()\n"
        "    for _ in range(9): bar.advance(task); bar.refresh(); console.print('line')\n"
        "print('done', flush=True)\n"
    )
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=slave, text=True
    )
    os.close(slave)
    os.read(master, 1)  # the bar is there
    os.close(master)
    output, _ = process.communicate("go on\n", timeout=60)
    assert (output, process.returncode) == ("done\n", 0)
