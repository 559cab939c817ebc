"""Untrusted files: only regular files are opened, and one-line errors name the file and the problem."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import hrm_envs
from hrm_envs.arc.files import load_tasks
from hrm_envs.env import ReasoningEnv
from hrm_envs.puzzles import files
from hrm_envs.puzzles.arrays import load_arrays
from hrm_envs.puzzles.files import is_plain_name, kind_of, read_json, read_text
from hrm_envs.sudoku import SudokuTask

TASK = SudokuTask(4)
BATCH = TASK.sample(np.random.default_rng(0), 4)
PAIR = {"input": [[1, 2]], "output": [[2, 1]]}


def make(source):
    return ReasoningEnv("hrm_envs.sudoku:SudokuTask", size=4, split="all", puzzles=source)


def refusal(function, *arguments) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the callers look at the text)
        function(*arguments)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 300
    return text


def test_json_documents(tmp_path):
    path = tmp_path / "a.json"
    for content, expected in ((b"{}", {}), (b' {"a": [1, -2.5e3, null, "\xc3\xa9"]}\n', {"a": [1, -2500, None, "é"]}),
                              (b"\xef\xbb\xbf[]", [])):  # fmt: skip
        path.write_bytes(content)
        assert read_json(path) == read_json(str(path)) == expected
    assert hrm_envs.read_json is read_json


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "line 1, column 1: Expecting value"),
        (b"\n\n  [1,]", "line 3, column"),
        (b'{"a": 1', "line 1, column 8"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"a":' * 100_000, "it is nested too deeply"),
        (b"9" * 10_000, "Exceeds the limit"),
        (b"[NaN]", "'NaN' is not valid JSON"),
        (b"[-Infinity]", "'-Infinity' is not valid JSON"),
        (b'\n{"a": "\xff"}', "a.json, line 2: byte 0xff is not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "is not UTF-8"),
        (b'{"a": "\x01"}', "Invalid control character"),
        (b"\x00", "Expecting value"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value,
)
def test_bad_json_documents(tmp_path, content, reason):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    text = refusal(read_json, path)
    assert "a.json" in text
    assert reason in text


def test_documents_that_are_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 2**20)
    (tmp_path / "a.json").write_bytes(b" " * (2**20 + 1))
    assert "it is larger than 1 MiB" in refusal(read_json, tmp_path / "a.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_devices_and_folders_are_never_opened(tmp_path):
    """Reading from a pipe without a writer blocks forever."""
    for name in ("pipe", "pipe.npz", "pipe.csv", "pipe.txt", "all__inputs.npy", "dataset.json", "task.json"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path / "loop"):
        assert kind_of(path) == "other"
        for reader in (read_json, read_text, load_arrays):
            assert "is not a regular file" in refusal(reader, path)
    for path in (*(tmp_path / f"pipe{end}" for end in ("", ".npz", ".csv", ".txt")), Path("/dev/zero"), "/dev/zero"):
        assert "is neither a regular file nor a readable folder" in refusal(make, path)
    for reader in (read_json, read_text, load_arrays):
        assert "is a folder, not a file" in refusal(reader, tmp_path / "folder.npz")
    assert "not a regular file" in refusal(make, tmp_path)  # dataset.json
    assert "not a regular file" in refusal(load_tasks, tmp_path)  # dataset.json, task.json


@pytest.mark.parametrize("name", ["nowhere", "a\0b", "x" * 300, "\ud800", "a.npz/b", "folder/" * 2000])
def test_names_that_no_file_has(tmp_path, name):
    path = tmp_path / name
    (tmp_path / "a.npz").write_bytes(b"")
    assert kind_of(path) == "absent"
    for reader in (read_json, read_text, load_arrays):
        assert "there is no such file" in refusal(reader, path)
    assert "there is no such file or folder" in refusal(make, path)
    assert "there is no such folder" in refusal(load_tasks, path)


def test_files_that_may_not_be_read(tmp_path, monkeypatch):
    """Simulated, because the tests may run as a user who can read everything."""
    (tmp_path / "folder").mkdir()
    for name in ("a.json", "a.npz", "a.csv", "a.txt"):
        (tmp_path / name).write_text("x")

    def forbid(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbid)
    monkeypatch.setattr(Path, "iterdir", forbid)
    for name, function in (("a.json", read_json), ("a.npz", load_arrays), ("a.npz", make), ("a.csv", make),
                           ("a.txt", make), ("folder", make), ("folder", load_tasks)):  # fmt: skip
        text = refusal(function, tmp_path / name)
        assert name in text
        assert "Permission denied" in text
    monkeypatch.setattr(Path, "stat", forbid)
    assert "is neither a regular file nor a readable folder" in refusal(make, tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"12..\n\xff...\n", "line 2: byte 0xff is not UTF-8"),
        ("a.txt", b"12\0.", "line 1, column 3: '\\x00'"),
        ("a.txt", b"1" * 3_000_000, "line 1: has 3000000 cells"),
        ("a.csv", b"question,answer\n\xff,1\n", "byte 0xff is not UTF-8; save it as UTF-8 text"),
        ("a.csv", b"question,answer\n" + b"1" * 3_000_000, "line 2: field larger than field limit"),
        ("a.csv", b"question,answer\n" + b"," * 1_000_000 + b"1", "line 2: has 1000001 fields, the header has 2"),
        ("a.csv", b"," * 100_000, "the text holds no Sudoku grid"),
        ("a.csv", b"question,answer\n" + b"\0" * 16 + b"," + b"1" * 16, "line 2: 'question' holds '\\x00'"),
        ("a.csv", b"", "the text holds no Sudoku grid"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value,
)
def test_bad_text(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    text = refusal(make, tmp_path / name)
    assert str(tmp_path / name) in text
    assert reason in text


@pytest.mark.parametrize("name", ["all", "a b", ".hidden", "a.b", "é"])
def test_plain_names(name):
    assert is_plain_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/x", "a\\b", "C:x", "C:\\x", "a\0b", 3, None, ["a"]])
def test_names_that_lead_elsewhere(name):
    assert not is_plain_name(name)


def write_folder(folder: Path, **facts) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps({"seq_len": 16, "vocab_size": 6, "pad_id": 0, **facts}))
    np.save(folder / "all__inputs.npy", BATCH.puzzle)
    np.save(folder / "all__labels.npy", BATCH.solution)
    return folder


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"sets": ["../outside"]}, "'sets' must list plain file names, found '../outside'"),
        ({"sets": ["all", "/outside"]}, "found '/outside'"),
        ({"sets": ["x\\outside"]}, "found 'x"),
        ({"sets": ["a\0b"]}, "found 'a\\x00b'"),
        ({"sets": [""]}, "found ''"),
        ({"sets": ["."]}, "found '.'"),
        ({"sets": [3]}, "found 3"),
        ({"sets": []}, "'sets' must list the names of the sets, found []"),
        ({"sets": ["all", "all"]}, "names a set twice"),
        ({"sets": ["\ud800"]}, "is missing"),
        ({"sets": ["x" * 5000]}, "is missing"),
        ({"ignore_label_id": "0"}, "ignore_label_id='0' must be a whole number"),
        ({"ignore_label_id": [1]}, "ignore_label_id=[1] must be a whole number"),
        ({"ignore_label_id": 10**20}, "ignore_label_id=100000000000000000000 must be from"),
        ({"seq_len": 10**300}, "another task (<an integer of about 300 digits> cells, 6 tokens)"),
        ({"vocab_size": ["6"]}, "must be whole numbers"),
    ],
    ids=str,
)
def test_what_a_folder_says_of_itself(tmp_path, facts, reason):
    (tmp_path / "outside__inputs.npy").write_bytes(b"secret")
    assert reason in refusal(make, write_folder(tmp_path / "folder", **facts))


def test_folders_may_hold_links(tmp_path):
    real = write_folder(tmp_path / "real")
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in real.iterdir():
        (linked / path.name).symlink_to(path)
    assert make(linked).num_puzzles == make(real).num_puzzles == 4
    assert "there is no such file" in refusal(make, tmp_path / "real2")
    (tmp_path / "short").symlink_to(real)
    assert make(tmp_path / "short").num_puzzles == 4


def test_arrays_of_a_folder_that_do_not_go_together(tmp_path):
    folder = write_folder(tmp_path / "folder", sets=["all", "more"])
    for array in (BATCH.puzzle.reshape(-1, 4, 4), np.array(3)):
        for part in ("inputs", "labels"):
            np.save(folder / f"more__{part}.npy", array)
        assert "have incompatible shapes" in refusal(make, folder)
    np.savez(folder / "more", x=BATCH.puzzle)
    (folder / "more.npz").rename(folder / "more__inputs.npy")
    assert "holds ['x']; expected one array" in refusal(make, folder)


def test_arc_tasks_of_strangers(tmp_path):
    path = tmp_path / "a.json"
    for content in (b"[" * 100_000, b"\xff", b"NaN", b"9" * 9999, b""):
        path.write_bytes(content)
        assert "a.json" in refusal(load_tasks, tmp_path)
    path.write_text(json.dumps({"train": [PAIR], "test": [{"input": [[10**400]], "output": [[1]]}]}))
    assert "row 1, column 1 holds <an integer of about 400 digits>" in refusal(load_tasks, tmp_path)
    path.write_text(json.dumps({"train": [PAIR], "test": [{"input": [[3]], "output": [[4]]}]}))
    try:
        os.rename(path, os.fsencode(tmp_path) + b"/\xff.json")
    except OSError:
        pytest.skip("no such names here")
    assert "is not valid UTF-8" in refusal(load_tasks, tmp_path)
