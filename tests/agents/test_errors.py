"""Errors are one short line that a terminal shows and does not obey."""

import pytest

from hrm_agents.cli import main
from hrm_agents.errors import one_line


def test_one_line():
    assert one_line("a\n b\t c") == "a b c"
    assert one_line("x\x1b[31m\0\udcffü") == r"x\x1b[31m\x00\udcffü"
    assert one_line("a" * 300 + "b" * 300, 10) == "aaaaa ... bbbbb"


@pytest.mark.parametrize("text", ["\x1b[31m", "a\0b", "[" * 5000, "9" * 5000, "\udcff", "a\nb", "ü" * 300])
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["evaluate"],
        ["solve", "--module"],
        ["watch", "--record"],
        ["train"],
        ["train", "--run.device"],
        ["train", "--kwargs"],
        ["train", "--halting.rule"],
        ["import"],
        ["new-task"],
        ["bench"],
        ["bench", "env"],
        ["bench", "train"],
    ],
    ids=" ".join,
)
def test_whatever_is_typed_is_answered_in_one_line(words, text, capsys):
    assert main([*words, text]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert len(captured.err) < 1000
    assert captured.err[:-1].isprintable()


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--optim.lr", "1e308"],
        ["train", "--optim.weight-decay", "1e308"],
        ["train", "--run.batch-size", str(10**12)],
        ["train", "--run.threads", "1000000"],
        ["train", "--model.hidden-size", str(10**9)],
        ["train", "--model.H-layers", str(10**9)],
        ["train", "--model.expansion", "1e308"],
        ["train", "--kwargs", f"num_puzzles={10**20}"],
        ["train", "--kwargs", f"max_segments={2**31}"],
        ["train", "--kwargs", "vectorization_mode=async"],
        ["train", "--kwargs", "render_mode=human"],
        ["train", "--kwargs", "task=os:system"],
        ["train", "--kwargs", f"size={'[' * 5000}"],
        ["evaluate", "--batch-size", str(10**12)],
        ["evaluate", "--tries", str(10**12)],
        ["watch", "--record", "out.gif", "--episodes", str(2**31)],
        ["watch", "--record", "out.avi"],
        ["bench", "env", "--seconds", "nan"],
        ["bench", "env", "--num-envs", str(10**12)],
        ["bench", "train", "--batch-size", str(10**12)],
        ["bench", "scale", "--gpus", "0"],
        ["play", "--checkpoint", ""],
        ["evaluate", "--json", ""],
        ["watch", "--record", ""],
        ["train", "--out", ""],
        ["train", "--out", "x" * 300],
        ["train", "--resume", "x" * 300],
        ["evaluate", "x" * 300],
    ],
    ids=lambda words: " ".join(words)[:60],
)
def test_sizes_and_places_that_cannot_be(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert len(error) < 1000
    assert list(tmp_path.iterdir()) == []
