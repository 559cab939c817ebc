"""Puzzles in the user's own files: evaluated whole, chosen by keywords, and said what was read."""

from __future__ import annotations

import json

import numpy as np
import pytest

import hrm_agents
from hrm_agents.cli import main
from hrm_envs.env import ReasoningEnv
from hrm_envs.maze import MazeTask
from hrm_envs.puzzles.splits import in_split
from hrm_envs.sudoku import SudokuTask
from hrm_envs.sudoku.solver import solve

TASK = SudokuTask(4)
BATCH = TASK.sample(np.random.default_rng(0), 20)


def lines(batch):
    return ["".join("." if token == 1 else str(token - 1) for token in row) for row in batch]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("Twenty puzzles\n" + "\n".join(lines(BATCH.puzzle)))
    return path


def evaluated(arguments, capsys):
    assert main(["evaluate", *arguments, "--json", "-"]) == 0
    text, errors = capsys.readouterr()
    document = json.loads(text)
    return document["reports"][0]["num_puzzles"], document["split"], errors


def test_a_file_of_ones_own_is_evaluated_whole(sudoku_run, file, capsys):
    given = [str(sudoku_run), "--kwargs", f"puzzles={file}"]
    number, split, errors = evaluated(given, capsys)
    assert (number, split) == (20, "all")
    assert errors.splitlines().count(f"read 20 puzzles (Sudoku 4x4) from {file}, 1 line skipped") == 1
    number, split, errors = evaluated([*given, "--split", "test"], capsys)
    assert split == "test"
    assert f"{number} of 20 puzzles are in split 'test'; split='all' has them all" in errors
    assert hrm_agents.load(sudoku_run).evaluate({"puzzles": file}, until="halt").num_puzzles == 20
    assert evaluated([str(sudoku_run), "--num-puzzles", "5"], capsys)[:2] == (5, "test")


def test_a_folder_with_both_splits_is_evaluated_on_its_test_split(sudoku_run, tmp_path, capsys):
    for name, part in (("train", BATCH.puzzle[:13]), ("test", BATCH.puzzle[13:])):
        (tmp_path / f"{name}.csv").write_text("id,puzzle\n" + "".join(f"1,{text}\n" for text in lines(part)))
    assert evaluated([str(sudoku_run), "--kwargs", f"puzzles={tmp_path}"], capsys)[:2] == (7, "test")


def test_keywords_of_training_do_not_choose_among_the_users_puzzles(tiny_config, tmp_path, file):
    from hrm_agents.trainer import Trainer

    Trainer(tiny_config(kwargs={"num_puzzles": 8, "empty_cells": [4, 5], "max_segments": 2}), tmp_path / "run").save()
    solver = hrm_agents.load(tmp_path / "run")
    assert solver.evaluate({"puzzles": file}, until="halt").num_puzzles == 20
    assert len(solver.solve_all(file)) == 20
    blanks = (BATCH.puzzle == 1).sum(axis=1)
    chosen = solver.evaluate({"puzzles": file, "empty_cells": (4, 6)}, until="halt")
    assert chosen.num_puzzles == ((blanks >= 4) & (blanks <= 6)).sum() not in (0, 20)


def test_ranges_choose_among_the_puzzles_of_a_file():
    task = SudokuTask(9)
    batch = task.sample(np.random.default_rng(1), 6)
    guesses = solve(task.layout, batch.puzzle).guesses
    blanks = (batch.puzzle == 1).sum(axis=1)
    make = {"task": "hrm_envs.sudoku:SudokuTask", "puzzles": batch, "split": "all"}
    middle = int(np.median(blanks))
    assert ReasoningEnv(**make, empty_cells=(middle, 64)).num_puzzles == (blanks >= middle).sum()
    assert ReasoningEnv(**make, difficulty=(0, 0)).num_puzzles == (guesses == 0).sum()
    for asked in ({"difficulty": (500, 600)}, {"level": "hard"}):
        with pytest.raises(
            ValueError, match="none of the 6 puzzles has the level and empty_cells and difficulty asked"
        ):
            ReasoningEnv(**make, **asked)


def test_a_shortest_path_chooses_among_the_mazes_of_a_file():
    batch = MazeTask(7).sample(np.random.default_rng(0), 20)
    steps = (batch.solution == 5).sum(axis=1) + 1
    make = {"task": "hrm_envs.maze:MazeTask", "size": 7, "puzzles": batch, "split": "all"}
    assert ReasoningEnv(**make).num_puzzles == 20
    assert ReasoningEnv(**make, min_path=6).num_puzzles == (steps >= 6).sum() not in (0, 20)


# copies of training puzzles


def swapped(batch):
    """The puzzles with digits 1 and 2 exchanged."""
    return np.array([0, 1, 3, 2, 4, 5], np.uint8)[batch]


def write_folder(folder, train, test):
    for name, part in (("train", train), ("test", test)):
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.csv").write_text("id,puzzle\n" + "".join(f"1,{text}\n" for text in lines(part)))
    return folder


def test_copies_across_the_splits_of_a_folder_are_warned_of_once(tmp_path, caplog):
    folder = write_folder(tmp_path / "leaks", BATCH.puzzle[:12], swapped(BATCH.puzzle[:7]))
    for split in ("train", "test", "all", "validation"):
        ReasoningEnv(TASK, puzzles=folder, split=split)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [
        f"7 of 7 test puzzles in {folder} are symmetric copies of training puzzles: a model may know them by heart"
    ]


def test_copies_of_the_puzzles_of_training_are_counted(sudoku_run, tiny_config, tmp_path, capsys):
    from hrm_agents.trainer import Trainer

    (tmp_path / "train.txt").write_text("\n".join(lines(BATCH.puzzle[:10])))
    config = tiny_config(kwargs={"puzzles": str(tmp_path / "train.txt"), "max_segments": 2})
    Trainer(config, tmp_path / "run").save()
    (tmp_path / "test.txt").write_text("\n".join(lines(swapped(BATCH.puzzle[:4]))))
    given = [str(tmp_path / "run"), "--kwargs", f"puzzles={tmp_path / 'test.txt'}"]
    seen = in_split(TASK, BATCH.puzzle[:4], "train").sum()
    assert f"warning: {seen} of 4 puzzles are symmetric copies of training puzzles" in evaluated(given, capsys)[2]
    (tmp_path / "train.txt").unlink()
    assert "were not compared with those of training: " in evaluated(given, capsys)[2]


def test_a_run_resumes_after_its_file_has_moved(tiny_config, tmp_path, capsys):
    from hrm_agents.errors import UserError
    from hrm_agents.trainer import Trainer

    old, new = tmp_path / "old.txt", tmp_path / "new.csv"
    old.write_text("\n".join(lines(BATCH.puzzle)))
    config = tiny_config(kwargs={"puzzles": str(old), "max_segments": 2}, run={"updates": 2})
    Trainer(config, tmp_path / "run").save()
    new.write_text("id,puzzle\n" + "".join(f"1,{text}\n" for text in lines(BATCH.puzzle)))
    old.unlink()
    resume = ["train", "--resume", str(tmp_path / "run"), "--no-gif", "--kwargs"]
    assert main([*resume, f"puzzles={old}"]) == 2
    assert "there is no such file" in capsys.readouterr().err
    moved = tiny_config(kwargs={**config.env.kwargs, "puzzles": str(new)}, run={"updates": 2})
    assert Trainer.resume(tmp_path / "run", moved).config.env.kwargs["puzzles"] == str(new)
    new.write_text("\n".join(lines(BATCH.puzzle[:19])))
    with pytest.raises(UserError, match="the puzzles of Sudoku 4x4 are not those the run began with"):
        Trainer.resume(tmp_path / "run", moved)
    assert main([*resume, f"puzzles={new}", "max_segments=3"]) == 2
    assert "env.kwargs.max_segments=2, not 3" in capsys.readouterr().err
