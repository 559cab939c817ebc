"""The Futoshiki of the examples, held to the rules of the puzzle as they are read off its text."""

import importlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from hrm_agents.cli import main
from hrm_envs.task import PuzzleBatch
from hrm_envs.testing import check_task

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def futoshiki():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        return importlib.import_module("futoshiki")


@pytest.fixture(scope="module")
def task(futoshiki):
    return futoshiki.Futoshiki()


@pytest.fixture(scope="module")
def batch(task):
    return task.sample(np.random.default_rng(0), 200)


def keeps_rules(puzzle, answer):
    """Whether seven lines of an answer solve seven lines of a puzzle: the rules, written without the example."""
    for asked, given in zip("".join(puzzle), "".join(answer), strict=True):
        if given != asked and not (asked == "." and given in "1234"):
            return False
    digits = [[answer[2 * row][2 * column] for column in range(4)] for row in range(4)]
    if any(set(line) != set("1234") for line in [*digits, *zip(*digits, strict=True)]):
        return False
    for row, column in product(range(7), range(7)):
        if (sign := puzzle[row][column]) in "<>":
            left, right = answer[row][column - 1], answer[row][column + 1]
            if not (left < right if sign == "<" else left > right):
                return False
        elif sign in "^v":
            upper, lower = answer[row - 1][column], answer[row + 1][column]
            if not (upper < lower if sign == "^" else upper > lower):
                return False
    return True


def solutions(puzzle):
    """Every solution of seven lines of text, by trying digits cell by cell."""
    cells = [(row, column) for row in range(0, 7, 2) for column in range(0, 7, 2)]
    found, grid = [], [list(line) for line in puzzle]

    def fill(index):
        if index == len(cells):
            lines = ["".join(line) for line in grid]
            if keeps_rules(puzzle, lines):
                found.append(lines)
            return
        row, column = cells[index]
        if puzzle[row][column] != ".":
            fill(index + 1)
            return
        for digit in "1234":
            # The rules on lines prune; those on signs are left to the judge of the full grid.
            above = {grid[other][column] for other in range(0, 7, 2) if other != row}
            beside = {grid[row][other] for other in range(0, 7, 2) if other != column}
            if digit not in above | beside:
                grid[row][column] = digit
                fill(index + 1)
        grid[row][column] = "."

    fill(0)
    return found


def lines(task, tokens):
    return task.format(tokens).splitlines()


def test_it_conforms(task):
    check_task(task)


def test_every_puzzle_has_one_solution_by_trying_them_all(task, batch):
    for puzzle, solution in zip(batch.puzzle[:60], batch.solution, strict=False):
        assert solutions(lines(task, puzzle)) == [lines(task, solution)]


def test_puzzles_range_from_bare_to_full_and_differ(batch, futoshiki):
    clues = (batch.puzzle != futoshiki.EMPTY).sum(axis=1)
    assert clues.min() <= 6
    assert clues.max() >= 16
    assert len(np.unique(batch.puzzle, axis=0)) == len(batch)


def test_some_puzzles_can_spare_no_clue(task, batch, futoshiki):
    bare = (batch.puzzle != futoshiki.EMPTY).sum(axis=1).argmin()
    for cell in np.flatnonzero(batch.puzzle[bare] != futoshiki.EMPTY):
        poorer = batch.puzzle[bare].copy()
        poorer[cell] = futoshiki.EMPTY[cell]
        assert len(solutions(lines(task, poorer))) > 1


def test_the_verifier_accepts_every_solution_and_nothing_else(task, batch, futoshiki):
    """A puzzle with too few clues has many solutions; of all squares the verifier picks just these."""
    puzzle = batch.puzzle[0].copy()
    clues = np.flatnonzero(puzzle != futoshiki.EMPTY)
    puzzle[clues[::2]] = futoshiki.EMPTY[clues[::2]]
    squares = np.where(futoshiki.EMPTY == futoshiki.BLANK, futoshiki.SQUARES, puzzle)
    many = PuzzleBatch(np.tile(puzzle, (len(squares), 1)), np.tile(batch.solution[0], (len(squares), 1)))
    accepted = squares[task.verify(many, squares).success]
    expected = solutions(lines(task, puzzle))
    assert 1 < len(expected) < 576
    assert sorted(lines(task, answer) for answer in accepted) == sorted(expected)


def test_the_verifier_agrees_with_the_rules_on_every_filling(task, batch, futoshiki):
    """All 4**5 fillings of a puzzle with five blanks; one is right."""
    puzzle = batch.solution[1].copy()
    shown = np.flatnonzero(batch.puzzle[1] != futoshiki.BLANK)
    blanks = np.setdiff1d(np.flatnonzero(futoshiki.EMPTY == futoshiki.BLANK), shown)[:5]
    puzzle[blanks] = futoshiki.BLANK
    answers = np.tile(puzzle, (4**5, 1))
    answers[:, blanks] = 2 + np.array(list(product(range(4), repeat=5)))
    many = PuzzleBatch(np.tile(puzzle, (4**5, 1)), np.tile(batch.solution[1], (4**5, 1)))
    expected = [keeps_rules(lines(task, puzzle), lines(task, answer)) for answer in answers]
    verdict = task.verify(many, answers)
    assert verdict.success.tolist() == expected
    assert sum(expected) == 1
    right = (answers[:, blanks] == batch.solution[1, blanks]).mean(axis=1)
    np.testing.assert_allclose(verdict.score, right)


def test_the_verifier_agrees_with_the_rules_on_spoilt_solutions(task, batch, futoshiki):
    """One cell of a solution is overwritten, with any token anywhere: clues and empty places too."""
    puzzle, solution = batch.puzzle[2], batch.solution[2]
    cells = [(cell, token) for cell in range(49) for token in range(task.spec.vocab_size)]
    answers = np.tile(solution, (len(cells), 1))
    for answer, (cell, token) in zip(answers, cells, strict=True):
        answer[cell] = token
    many = PuzzleBatch(np.tile(puzzle, (len(cells), 1)), np.tile(solution, (len(cells), 1)))
    expected = [keeps_rules(lines(task, puzzle), lines(task, answer)) for answer in answers]
    assert task.verify(many, answers).success.tolist() == expected
    assert sum(expected) == 49  # once for each cell, overwritten with what it holds


def test_a_sign_turns_red_where_digits_break_it(task, futoshiki):
    pytest.importorskip("pygame")
    from hrm_envs.rendering.board import Board
    from hrm_envs.rendering.canvas import Canvas
    from hrm_envs.rendering.frame_data import Frame

    def red_pixels(sign, before, after):
        answer = futoshiki.EMPTY.copy()
        row, column = (0, 1) if sign in "<>" else (1, 0)
        answer[row * 7 + column] = task.spec.symbols.index(sign)
        puzzle = answer.copy()
        answer[0], answer[(2 - 2 * column) * 7 + 2 * column] = 1 + before, 1 + after
        nothing = np.zeros(49, np.uint8)
        canvas = Canvas(300, 300)
        frame = Frame(puzzle, answer, nothing, nothing, 1, 8, False, 0.0, False, False)
        task.draw(Board(canvas, task.spec, frame, (0, 0, 300, 300)))
        return (canvas.pixels() == canvas.theme.red).all(axis=2).sum()

    for sign, holds in (("<", int.__lt__), (">", int.__gt__), ("^", int.__lt__), ("v", int.__gt__)):
        for before, after in ((1, 4), (4, 1), (2, 3)):
            assert (red_pixels(sign, before, after) == 0) == holds(before, after)
        assert red_pixels(sign, 0, 1) == 0  # a blank breaks nothing yet


@pytest.mark.usefixtures("futoshiki")
def test_one_update_is_trained_on_it(tmp_path, tiny_flags):
    arguments = [
        "futoshiki:Examples/Futoshiki-4x4-v0",
        *tiny_flags,
        "--run.updates",
        "1",
        "--out",
        str(tmp_path / "run"),
    ]
    assert main(["train", *arguments]) == 0
