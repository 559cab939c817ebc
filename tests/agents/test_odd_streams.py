"""Streams that are closed, full or gone: one line and an exit code, from a program of its own."""

import os
import shutil
import stat
import subprocess
import sys

import pytest

from hrm_agents.trainer import Trainer

PROGRAM = [sys.executable, "-c", "import sys; from hrm_agents.cli import main; sys.exit(main())"]
FULL = os.path.exists("/dev/full") and stat.S_ISCHR(os.stat("/dev/full").st_mode)


def shell(command, *words, cwd=None):
    """Runs ``$program WORDS`` with the redirections of ``command``."""
    script = command.replace("PROGRAM", '"$@"')
    return subprocess.run(["bash", "-c", script, "bash", *PROGRAM, *words], capture_output=True, text=True, cwd=cwd)


@pytest.mark.skipif(not FULL, reason="needs a device that is always full")
@pytest.mark.parametrize("words", [["--version"], ["--help"], ["envs"], ["nonsense"]], ids=" ".join)
def test_standard_output_that_is_full(words):
    done = shell("PROGRAM > /dev/full", *words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")


@pytest.mark.skipif(not FULL, reason="needs a device that is always full")
def test_a_full_terminal_stops_no_run(tiny_flags, tmp_path):
    done = shell("PROGRAM 2> /dev/full", "train", *tiny_flags, "--out", str(tmp_path / "run"))
    assert done.returncode == 0
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_streams_that_are_closed(sudoku_run):
    assert "no puzzle" in shell("PROGRAM <&-", "solve", str(sudoku_run), "-").stderr
    for command in ("PROGRAM >&-", "PROGRAM 2>&-", "PROGRAM <&- >&- 2>&-"):
        done = shell(command, "solve", str(sudoku_run), "1.3. .... .... .2.4")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away(sudoku_run):
    done = shell("PROGRAM | true; exit ${PIPESTATUS[0]}", "solve", str(sudoku_run), "1.3. .... .... .2.4")
    assert done.returncode in (1, 141)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_a_report_to_standard_output_adds_to_the_file_behind_it(sudoku_run, tmp_path, place):
    log = tmp_path / "log"
    log.write_text("before\n")
    words = ["evaluate", str(sudoku_run), "--num-puzzles", "2", "--json", place]
    done = shell(f"PROGRAM >> '{log}'", *words)
    assert done.returncode == 0, done.stderr
    text = log.read_text()
    assert text.startswith("before\n")
    assert '"reports"' in text
    assert os.listdir(tmp_path) == ["log"]


def test_a_linked_config_takes_no_other_run_with_it(sudoku_run, tmp_path):
    """A run whose config is a link to that of another is written beside it, not through it."""
    first, second = shutil.copytree(sudoku_run, tmp_path / "first"), tmp_path / "second"
    shutil.copytree(first, second)
    (second / "config.json").unlink()
    (second / "config.json").symlink_to(first / "config.json")
    before = (first / "config.json").read_bytes()
    Trainer.resume(second).save()
    assert (first / "config.json").read_bytes() == before
    assert not (second / "config.json").is_symlink()


def test_one_bad_registration_does_not_hide_the_others(tmp_path):
    (tmp_path / "bad.py").write_text(
        "from hrm_envs import Task, register_task\n"
        "class NoSpec(Task):\n"
        "    def sample(self, rng, num): ...\n"
        "    def verify(self, batch, answer): ...\n"
        "register_task('Bad/NoSpec-v0', NoSpec)\n"
    )
    done = shell("PROGRAM", "envs", "--module", "bad", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "HRM/Sudoku-4x4-v0" in done.stdout
    assert "Bad/NoSpec-v0: AttributeError" in done.stdout
