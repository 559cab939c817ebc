"""``hrm-agents solve`` with many puzzles: what it reads, and the answers as text, CSV and JSON."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys

import numpy as np
import pytest

import hrm_agents
from hrm_agents.cli import main
from hrm_agents.solving.answers import format_of, write_answers
from hrm_envs import PuzzleBatch, read_puzzles
from hrm_envs.maze import MazeTask
from hrm_envs.sudoku import SudokuTask

BATCH = SudokuTask(4).sample(np.random.default_rng(0), 5)
LINES = ["".join("." if token == 1 else str(token - 1) for token in row) for row in BATCH.puzzle]


def solve(capsys, *arguments):
    code = main(["solve", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_many_puzzles_of_every_form_have_the_same_answers(sudoku_run, tmp_path, capsys, monkeypatch):
    solver = hrm_agents.load(sudoku_run)
    expected = solver.solve_all(BATCH)
    lines = ["".join(solver.task.spec.symbols[token] for token in answer) for answer in expected.answer]
    (tmp_path / "list.sdm").write_text("\n".join(LINES))
    (tmp_path / "table").write_text("id;question\n" + "".join(f"1;{text}\n" for text in LINES))
    (tmp_path / "a.gz").write_bytes(gzip.compress(json.dumps(LINES).encode()))
    np.savez(tmp_path / "a.npz", inputs=BATCH.puzzle)
    for name in ("list.sdm", "table", "a.gz", "a.npz"):
        code, text, errors = solve(capsys, sudoku_run, tmp_path / name)
        assert text.splitlines() == lines
        assert code == int(not expected.success.all())
        assert f"{expected.success.sum()} of 5 solved" in errors
    for content in ("\n".join(LINES).encode(), "\n".join(LINES).encode("utf-16"), (tmp_path / "a.gz").read_bytes()):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert solve(capsys, sudoku_run)[1].splitlines() == lines


def test_answers_in_files_by_suffix_or_format(sudoku_run, tmp_path, capsys):
    source = "\n".join(LINES)
    for name, form in (("a.csv", None), ("b.txt", "csv")):
        _, text, errors = solve(
            capsys, sudoku_run, source, "--out", tmp_path / name, *(["--format", form] if form else [])
        )
        assert text == ""
        assert f"wrote {tmp_path / name}" in errors
        with (tmp_path / name).open() as file:
            table = list(csv.DictReader(file))
        assert list(table[0]) == ["puzzle", "answer", "correct", "segments"]
        assert [row["puzzle"] for row in table] == LINES
    records = json.loads(solve(capsys, sudoku_run, source, "--format", "json")[1])
    assert records == [
        json.loads(line) for line in solve(capsys, sudoku_run, source, "--format", "jsonl")[1].splitlines()
    ]
    assert [(r["answer"], str(r["correct"]), str(r["segments"])) for r in records] == [
        (row["answer"], row["correct"], row["segments"]) for row in table
    ]
    one = json.loads(solve(capsys, sudoku_run, LINES[0], "--format", "json")[1])
    assert one == records[:1]
    assert "--steps shows the segments of one puzzle" in solve(capsys, sudoku_run, source, "--steps")[2]


def test_right_answers_can_be_read_as_puzzles_with_solutions():
    for task in (SudokuTask(4), MazeTask(5)):
        batch = task.sample(np.random.default_rng(1), 4)
        ones = np.ones(4)
        solutions = hrm_agents.evaluation.outcomes.Solutions(
            batch.solution, ones > 0, ones, ones, ones, ones.astype(int), ones < 0
        )
        for form in ("csv", "json", "jsonl"):
            again = read_puzzles(write_answers(task, batch, solutions, form), task)
            np.testing.assert_array_equal(again.puzzle, batch.puzzle)
            np.testing.assert_array_equal(again.solution, batch.solution)
        text = write_answers(task, PuzzleBatch(batch.puzzle, batch.solution), solutions, "text")
        assert len(text.strip("\n").split("\n")) == (4 if task.spec.name.startswith("Sudoku") else 4 * 6 - 1)


@pytest.mark.parametrize(
    ("name", "form"), [(None, "text"), ("a", "text"), ("a.CSV", "csv"), ("a.json", "json"), ("a.jsonl", "jsonl")]
)
def test_format_by_suffix(tmp_path, name, form):
    assert format_of(None if name is None else tmp_path / name) == form
