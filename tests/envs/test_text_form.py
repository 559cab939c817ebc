"""Puzzles and answers as text."""

from __future__ import annotations

import json
import re
import tempfile
from functools import cache
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sort_task import SortTask

import hrm_envs  # noqa: F401  (registers the ids)
from hrm_envs.arc import ARCTask
from hrm_envs.arc.grids import place
from hrm_envs.env import ReasoningEnv
from hrm_envs.maze import MazeTask
from hrm_envs.spec import TaskSpec
from hrm_envs.sudoku import SudokuTask
from hrm_envs.task import Task


class Numbered(SortTask):
    """Sort many tokens.

    This paragraph is not about the rules.
    """

    spec = TaskSpec("Numbers", (2, 6), ("", *("x" for _ in range(40))))


class Spaced(SortTask):
    spec = TaskSpec("Spaces", (3, 2), (" ", ".", "-", "\t", "a"))


TASKS: dict[str, Task] = {
    "sudoku": SudokuTask(4), "large sudoku": SudokuTask(16), "maze": MazeTask(7), "letters": SortTask(),
    "numbers": Numbered(), "spaces": Spaced(),
}  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_every_answer_survives_its_text(name: str, data: st.DataObject) -> None:
    task = TASKS[name]
    seed, halt = data.draw(st.integers(0, 2**32)), data.draw(st.booleans())
    answer = np.random.default_rng(seed).integers(task.spec.vocab_size, size=task.spec.num_cells).astype(np.uint8)
    text = task.grid_to_text(answer, answer)
    decorate = data.draw(st.sampled_from(["{}", "```\n{}\n```", "\n\n{}\n\n", "```text\n{}\n", "{}\r\n"]))
    action = task.action_from_text(decorate.format(text) + ("" if halt else "\nThink on.\n"), answer)
    np.testing.assert_array_equal(action["answer"], answer)
    assert action["answer"].dtype == np.uint8
    assert action["halt"] == halt
    apart = "\n".join(re.sub(r"(?<=[^ ])(?=[^ ])", ", ", row) for row in text.splitlines())
    if name != "numbers":
        np.testing.assert_array_equal(task.answer_from_text(apart, answer), answer)


@cache
def arc() -> ARCTask:
    pair = {"input": [[1, 2], [3, 4]], "output": [[4, 3], [2, 1]]}
    other = {"input": [[1, 5], [3, 4]], "output": [[4, 3], [5, 1]]}
    with tempfile.TemporaryDirectory() as folder:  # read when the task is made
        path = Path(folder) / "task.json"
        path.write_text(json.dumps({"train": [pair], "test": [other]}))
        return ARCTask(canvas=12, puzzles=str(path), augmentations=2, demonstrations=3)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 4), st.integers(0, 4), st.integers(0, 2**32))
def test_every_grid_of_arc_survives_its_text(height: int, width: int, row: int, column: int, seed: int) -> None:
    """At any position on the canvas, the same as if the task had placed it there."""
    grid = np.random.default_rng(seed).integers(10, size=(height, width)).astype(np.uint8)
    puzzle, expected = np.zeros((2, 12, 12), np.uint8)
    puzzle[row, column] = 2
    expected[row:, column:] = place([grid], 12).reshape(12, 12)[: 12 - row, : 12 - column]
    text = "\n".join("".join(map(str, line)) for line in grid)
    answer = arc().answer_from_text(text, puzzle.reshape(-1))
    np.testing.assert_array_equal(answer, expected.reshape(-1))
    assert arc().grid_to_text(answer, puzzle.reshape(-1)) == text


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_right_answer_in_text_is_right(split: str) -> None:
    """Also at the positions at which training shows ARC's grids."""
    ids = ("HRM/Sudoku-4x4-v0", "HRM/Maze-7x7-v0")
    envs = [gym.make(id, split=split, num_puzzles=4, expose_solution=True).unwrapped for id in ids]
    for env in (*envs, ReasoningEnv(arc(), split=split, expose_solution=True)):
        for seed in range(4):
            obs, info = env.reset(seed=seed)
            text = env.task.grid_to_text(info["solution"], obs["puzzle"])
            obs, reward, terminated, *_ = env.step(env.action_from_text(f"{text}\nthink on"))
            assert (reward, terminated) == (0.0, False)
            assert f"Your last answer:\n{text}\n" in env.obs_to_text(obs)
            _, reward, terminated, *_ = env.step(env.action_from_text(f"{text}\nhalt"))
            assert (reward, terminated) == (1.0, True)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("sudoku", "1234\n34x1\n2143\n4321", "line 2, cell 3: 'x' is not one of '_ . 1 2 3 4'"),
        ("sudoku", "1 2 3 4\n3 4 5 1\n", "line 2, cell 3: '5' is not one of"),
        ("sudoku", "1234\n341\n2143\n4321", "line 2: 3 cells, expected 4"),
        ("sudoku", "1234\n\n3412\n2143", "the answer has 3 rows, expected 4"),
        ("sudoku", "12|34\n--+--\n34|12\n21|43", "the answer has 3 rows, expected 4"),
        ("sudoku", "", "the answer has 0 rows, expected 4"),
        ("sudoku", "halt", "the answer has 0 rows, expected 4"),
        ("sudoku", "The answer is:\n1234\n3412\n2143\n4321", "line 1, cell 1: 'T' is not one of"),
        ("maze", "#######\n#So  G \n", "line 2: 4 cells, expected 7"),
        ("numbers", "1 2 3 4 5 6\n1 2 3 41 5 6", "line 2, cell 4: '41' is not one of"),
        ("numbers", "123456\n", "line 1, cell 1: '123456' is not one of"),
    ],
)
def test_a_malformed_answer_is_refused_with_its_place(name: str, text: str, message: str) -> None:
    task = TASKS[name]
    with pytest.raises(ValueError, match=re.escape(message)):
        task.action_from_text(text, np.ones(task.spec.num_cells, np.uint8))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("12\n3a", "line 2, cell 2: 'a' is not one of '0 1 2 3 4 5 6 7 8 9'"),
        ("12\n3", "line 2: 1 cells, expected 2 as in the first row"),
        ("1" * 13, "line 1: the grid is larger than 12 x 12, the room on the canvas"),
        ("1\n" * 13, "line 13: the grid is larger than 12 x 12, the room on the canvas"),
        ("no grid", "line 1, cell 1: 'n' is not one of"),
        ("```\n```", "the answer has 0 rows, expected at least 1"),
    ],
)
def test_a_malformed_grid_of_arc_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        arc().action_from_text(text, place([np.ones((2, 2), np.uint8)], 12)[0])
    with pytest.raises(ValueError, match="the answer is a string, not 7"):
        arc().action_from_text(7, place([np.ones((2, 2), np.uint8)], 12)[0])  # type: ignore[arg-type]


def test_what_a_player_reads() -> None:
    env = gym.make("HRM/Maze-5x5-v0", puzzles="#####\n#S  #\n### #\n#G  #\n#####", split="all").unwrapped
    obs, _ = env.reset(seed=0)
    text = env.obs_to_text(obs)
    assert text.startswith("Maze 5x5, after 0 segments\n\nMark a shortest path from S to G")
    assert "\n\nPuzzle:\n#####\n#S..#\n###.#\n#G..#\n#####\n\n" in text
    assert "last answer" not in text
    assert "box of 2 rows and 3 columns holds each of 1 2 3 4 5 6 once" in SudokuTask(6).rules


def test_a_task_of_ones_own_has_the_rules_of_its_docstring() -> None:
    assert (Numbered().rules, Spaced().rules) == ("Sort many tokens.", "")
    assert Spaced().letters == ("_", ".", "-", "~", "a")
    assert Numbered().letters[:3] == ("0", "1", "2")
    batch = SortTask().sample(np.random.default_rng(0), 1)
    obs = {"puzzle": batch.puzzle[0], "answer": batch.solution[0], "segment": np.array([2])}
    text = SortTask().obs_to_text(obs)
    assert text.startswith("Sort, after 2 segments\n\nPuzzle:\n")
    assert f"Your last answer:\n{''.join(sorted(SortTask().grid_to_text(batch.puzzle[0], batch.puzzle[0])))}\n" in text


def test_arc_shows_its_examples_only_if_the_observation_has_them() -> None:
    env = ReasoningEnv(arc(), split="test")
    obs, _ = env.reset(seed=0)
    assert "Example 1, input:\n12\n34\noutput:\n43\n21\n\nPuzzle:\n15\n34\n\n" in env.obs_to_text(obs)
    bare = {name: array for name, array in obs.items() if not name.startswith("demonstration")}
    assert "make the environment with demonstrations=10" in env.obs_to_text(bare)
