"""Sample files in formats found in the wild, which lie beside the repository; each gives what it should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hrm_envs.arc import ARCTask
from hrm_envs.arc.files import load_tasks
from hrm_envs.maze import MazeTask
from hrm_envs.puzzles.sources import read_puzzles
from hrm_envs.sudoku import SudokuTask
from hrm_envs.sudoku.solver import solve

CASES = Path(__file__).parents[2].parent / "shared" / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the sample files are not here")

SUDOKUS = {
    "s01_kaggle1m.csv": (9, 12), "s02_kaggle3m.csv": (9, 12), "s04_euler96.txt": (9, 5),
    "s07_trailing_comment.txt": (9, 12), "s09_sections.sdk": (9, 1), "s10_coll.sdm": (9, 12), "s11_frame.ss": (9, 1),
    "s12_star.txt": (9, 4), "s12d_dash.txt": (9, 4), "s14_commagrid.csv": (9, 1), "s17_semicolon.csv": (9, 12),
    "s18_puzzles.jsonl": (9, 12), "s19_question_only.csv": (9, 12), "s21_puzzles.csv.gz": (9, 12),
    "s35_spaces.csv": (4, 1), "s38_rawdigits.npz": (4, 40), "s40_dot_4clues.txt": (4, 4),
    "s40_dash_4clues.txt": (4, 4), "f4_bom.txt": (4, 1), "f4_list.txt": (4, 10), "f4_qa.csv": (4, 20),
}  # fmt: skip


@pytest.mark.parametrize("name", SUDOKUS)
def test_sudokus(name):
    size, count = SUDOKUS[name]
    task = SudokuTask(size)
    batch = read_puzzles(CASES / "sudoku" / name, task)
    assert len(batch) == count
    result = solve(task.layout, batch.puzzle)
    assert result.is_unique.all()
    np.testing.assert_array_equal(result.solution, batch.solution)
    if "4clues" in name:
        assert (batch.puzzle == 1).sum(axis=1).tolist() == [12] * 4


def test_the_same_puzzles_in_other_forms():
    """The files hold the same puzzles, as far as they go."""
    task = SudokuTask(9)
    first = read_puzzles(CASES / "sudoku" / "s01_kaggle1m.csv", task)
    for name, (size, count) in SUDOKUS.items():
        if size == 9:
            found = read_puzzles(CASES / "sudoku" / name, task)
            np.testing.assert_array_equal(found.puzzle, first.puzzle[:count])


def test_the_bad_line_is_named():
    with pytest.raises(ValueError, match=r"s24_one_bad\.txt, line 7: the puzzle has several solutions"):
        read_puzzles(CASES / "sudoku" / "s24_one_bad.txt", SudokuTask(9))


def test_a_bare_name_from_its_own_folder(monkeypatch):
    monkeypatch.chdir(CASES / "sudoku")
    assert len(read_puzzles("s10_coll.sdm", SudokuTask(9))) == 12


@pytest.mark.parametrize("name", ["m02_SE.txt", "m05_unicode.txt"])
def test_mazes(name):
    task = MazeTask(9)
    batch = read_puzzles(CASES / "maze" / name, task)
    text = (CASES / "maze" / name).read_text().replace("\u2588", "#")
    text = text.replace("E", "G")
    assert task.format(batch.puzzle[0]) == text.rstrip("\n")


def test_a_maze_of_rooms_without_ends():
    with pytest.raises(ValueError, match=r"m10_plus\.txt, line 1: no S and G are marked: write S into the cell"):
        read_puzzles(CASES / "maze" / "m10_plus.txt", MazeTask(9))


ARC = {
    "a01_kaggle": (2, 2), "a02_noout": (0, 4), "a04_concept": (0, 4), "a10_single": (0, 1),
    "a10_single/00aa11bb.json": (0, 1), "a15_macos": (0, 1), "b01_canvas": (0, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", ARC)
def test_arc_tasks(name):
    sets = load_tasks(CASES / "arc" / name)
    assert (len(sets["training"]), len(sets["evaluation"])) == ARC[name]
    outputs = [pair.output is not None for problem in sets["evaluation"] for pair in problem.tests]
    assert all(outputs) != (name == "a02_noout")


def test_a_task_larger_than_the_canvas():
    task = ARCTask(puzzles=CASES / "arc" / "b01_canvas", canvas=6, augmentations=1)
    assert [problem.name for problem in task.dropped] == ["large000"]
    batch = task.stored("test")
    result = task.ensemble(batch, batch.solution, np.ones(len(batch), np.float32))
    assert result.metrics["pass@1"] == 0.5
    assert sorted(result.submission()) == ["large000", "small000"]


def test_copies_of_training_puzzles_in_a_test_split(caplog):
    read_puzzles(CASES / "sudoku" / "leakfold", SudokuTask(4), "test")
    assert "10 of 10 test puzzles" in caplog.text
    assert "are symmetric copies of training puzzles" in caplog.text
