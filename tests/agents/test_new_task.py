"""``hrm-agents new-task`` writes a file that is a correct task, registered and ready to train on, as it is."""

import subprocess
import sys

import gymnasium as gym
import pytest

from hrm_agents.cli import main
from hrm_agents.commands.new_task import environment_id, render
from hrm_envs import Task
from hrm_envs.testing import check_task


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_written_file_passes_its_own_check(folder, capsys):
    assert main(["new-task", "queens_4x4"]) == 0
    printed = capsys.readouterr().out
    assert "train on it with: hrm-agents train queens_4x4:Mine/Queens4x4-v0" in printed
    assert [path.name for path in folder.iterdir()] == ["queens_4x4.py"]
    command = [sys.executable, "-W", "error", "queens_4x4.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert (
        done.stdout == "Queens 4x4 passes all checks; train on it with: hrm-agents train queens_4x4:Mine/Queens4x4-v0\n"
    )


def test_one_update_is_trained_on_it(folder, tiny_flags):
    assert main(["new-task", "written_puzzle"]) == 0
    flags = tiny_flags[: tiny_flags.index("--kwargs")] + tiny_flags[tiny_flags.index("--kwargs") + 3 :]
    arguments = ["written_puzzle:Mine/WrittenPuzzle-v0", *flags, "--run.updates", "1", "--out", "run"]
    assert main(["train", *arguments]) == 0
    assert (folder / "run" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("name", "class_name"),
    [
        ("task", "TaskTask"),
        ("my_task", "MyTask"),
        ("_hidden", "HiddenTask"),
        ("verdict", "VerdictTask"),
        ("puzzle_batch", "PuzzleBatchTask"),
        ("größe", "GrößeTask"),
        ("match", "MatchTask"),
        ("x", "XTask"),
    ],
)
def test_no_name_hides_what_the_file_uses(name, class_name):
    written = {"__name__": name}
    exec(compile(render(name), f"{name}.py", "exec"), written)
    try:
        assert issubclass(written[class_name], Task)
        check_task(written[class_name]())
        assert gym.spec(environment_id(name)).kwargs["task"] is written[class_name]
    finally:
        gym.registry.pop(environment_id(name), None)


def test_its_class_has_three_methods_and_fits_the_line():
    written = {"__name__": "nonogram"}
    exec(render("nonogram"), written)
    gym.registry.pop(environment_id("nonogram"))
    methods = [name for name, value in vars(written["NonogramTask"]).items() if callable(value)]
    assert methods == ["sample", "verify", "draw"]
    assert max(map(len, render("nonogram").splitlines())) <= 120


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("my-task", "'my-task' is not a Python identifier"),
        ("nonogram.py", "'nonogram.py' is not a Python identifier"),
        ("folder/nonogram", "'folder/nonogram' is not a Python identifier"),
        ("5x5", "'5x5' is not a Python identifier"),
        ("", "argument 1 is empty"),
        ("x" * 61, "at most 60 letters, got 61"),
        ("_", "'_' is not a Python identifier that begins with a letter"),
        ("_1", "'_1' is not a Python identifier that begins with a letter"),
        ("class", "'class' is a Python keyword"),
        ("numpy", "Python has a module 'numpy' already"),
        ("this", "Python has a module 'this' already"),
        ("__main__", "Python has a module '__main__' already"),
        ("taken", "taken.py exists already"),
    ],
)
def test_names_that_would_not_work_are_refused(folder, capsys, name, reason):
    (folder / "taken.py").write_text("mine = 1\n")
    assert main(["new-task", name]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert reason in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["taken.py"]
    assert (folder / "taken.py").read_text() == "mine = 1\n"


def test_a_place_that_cannot_be_written_is_named(folder, capsys):
    (folder / "dangling.py").symlink_to(folder / "nowhere" / "file.py")
    assert main(["new-task", "dangling"]) == 2
    assert "dangling.py cannot be written: File exists" in capsys.readouterr().err


def test_help(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["new-task", "--help"]) == 0
    text, errors = capsys.readouterr()
    assert errors == ""
    assert "NAME" in text
    assert max(map(len, text.splitlines())) <= 80
    assert main(["new-task"]) == 2
