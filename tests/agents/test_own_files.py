"""Puzzles in the user's own files: evaluated whole, chosen by keywords, and said what was read."""

from __future__ import annotations

import json

import numpy as np
import pytest

import hrm_agents
from hrm_agents.cli import main
from hrm_envs.env import ReasoningEnv
from hrm_envs.maze import MazeTask
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
