"""Streams that are closed, full or gone: one line and an exit code, from a program of its own."""

import os
import shutil
import stat

import pytest

from hrm_agents.trainer import Trainer

FULL = os.path.exists("/dev/full") and stat.S_ISCHR(os.stat("/dev/full").st_mode)


@pytest.fixture
def program(warm_python, tmp_path):
    """Runs ``hrm-agents WORDS`` in the test's folder with some standard streams replaced, or closed by None."""

    def run(*words, streams=None):
        code = "import sys; from hrm_agents.cli import main; sys.exit(main())"
        return warm_python.run("-c", code, *words, folder=tmp_path, streams=streams)

    return run


@pytest.mark.skipif(not FULL, reason="needs a device that is always full")
@pytest.mark.parametrize("words", [["--version"], ["--help"], ["envs"], ["nonsense"]], ids=" ".join)
def test_standard_output_that_is_full(program, words):
    with open("/dev/full", "w") as full:
        done = program(*words, streams={1: full})
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")


@pytest.mark.skipif(not FULL, reason="needs a device that is always full")
def test_a_full_terminal_stops_no_run(program, tiny_flags, tmp_path):
    with open("/dev/full", "w") as full:
        done = program("train", *tiny_flags, "--out", str(tmp_path / "run"), streams={2: full})
    assert done.returncode == 0
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_streams_that_are_closed(program, sudoku_run):
    assert "no puzzle" in program("solve", str(sudoku_run), "-", streams={0: None}).stderr
    for closed in ({1}, {2}, {0, 1, 2}):
        done = program("solve", str(sudoku_run), "1.3. .... .... .2.4", streams=dict.fromkeys(closed))
        assert done.returncode == 1
        assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away(program, sudoku_run):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe:
        done = program("solve", str(sudoku_run), "1.3. .... .... .2.4", streams={1: pipe})
    assert done.returncode in (1, 141)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_a_report_to_standard_output_adds_to_the_file_behind_it(program, sudoku_run, tmp_path, place):
    log = tmp_path / "log"
    log.write_text("before\n")
    with log.open("a") as end:
        done = program("evaluate", str(sudoku_run), "--num-puzzles", "2", "--json", place, streams={1: end})
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


def test_one_bad_registration_does_not_hide_the_others(program, tmp_path):
    (tmp_path / "bad.py").write_text(
        "from hrm_envs import Task, register_task\n"
        "class NoSpec(Task):\n"
        "    def sample(self, rng, num): ...\n"
        "    def verify(self, batch, answer): ...\n"
        "register_task('Bad/NoSpec-v0', NoSpec)\n"
    )
    done = program("envs", "--module", "bad")
    assert done.returncode == 0, done.stderr
    assert "HRM/Sudoku-4x4-v0" in done.stdout
    assert "Bad/NoSpec-v0: AttributeError" in done.stdout
