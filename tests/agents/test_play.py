"""The command: which model is asked about which puzzles, and one game in a window."""

import sys

import numpy as np
import pytest

import hrm_agents
import hrm_envs
from hrm_agents.cli import main
from hrm_agents.commands.play import Play, new_game
from hrm_agents.errors import UserError


def test_the_model_thinks_one_segment_a_question_as_it_does_alone(sudoku_run):
    game = new_game(Play(checkpoint=sudoku_run, seed=2))
    solver = hrm_agents.load(sudoku_run)
    for _ in range(2):  # the second puzzle is begun while the first is unfinished
        alone = solver.think(solver.make_env(), options={"index": game.index})
        for number, segment in enumerate(alone, 1):
            game.ask()
            assert len(game.advice) == number
            said = game.advice[-1]
            np.testing.assert_array_equal(said.answer, segment.answer)
            np.testing.assert_array_equal(said.thoughts.confidence, segment.confidence)
            assert (said.thoughts.q_halt, said.thoughts.q_continue) == (segment.q_halt, segment.q_continue)
            assert said.halted == segment.halt
        game.ask()
        assert len(game.advice) == number
        frame = game.advice_frame()
        assert (frame.success, frame.score) == (segment.success, pytest.approx(segment.score))
        game.next_puzzle()
        game.ask()
        game.next_puzzle()


def test_puzzles_are_those_of_the_test_split(sudoku_run):
    train = {row.tobytes() for row in hrm_agents.load(sudoku_run).make_env(split="train").unwrapped.puzzles.puzzle}
    for options in (Play(checkpoint=sudoku_run), Play("HRM/Sudoku-4x4-v0", kwargs=("num_puzzles=32",))):
        game = new_game(options)
        for _ in range(32):
            assert game.puzzle.tobytes() not in train
            game.next_puzzle()


def test_the_bundled_model_is_asked_where_it_fits():
    for id in (None, "HRM/Maze-9x9-v0", "hrm_envs:HRM/Maze-9x9-v0"):
        game = new_game(Play(id, kwargs=("num_puzzles=3",)))
        assert game.task.spec.name == "Maze 9x9"
        assert game.has_adviser
    for options in (Play("HRM/Maze-7x7-v0"), Play(kwargs=("size=7", "num_puzzles=3"))):
        game = new_game(options)
        assert not game.has_adviser
        assert "hrm-agents train HRM/Maze-" in game.no_adviser


def test_the_bundled_model_is_worth_asking():
    game = new_game(Play(seed=1, kwargs=("num_puzzles=5",)))
    right = 0
    for _ in range(5):
        while not game.advice or not game.advice[-1].halted:
            game.ask()
        right += game.advice_frame().success
        game.next_puzzle()
    assert right >= 4


def test_a_model_of_another_environment_with_the_same_board_may_be_asked(sudoku_run):
    hrm_envs.register_task(
        "Test/OtherSudoku-v0", "hrm_envs.sudoku:SudokuTask", kwargs={"size": 4, "empty_cells": (4, 4)}
    )
    game = new_game(Play("Test/OtherSudoku-v0", checkpoint=sudoku_run, kwargs=("num_puzzles=2",)))
    assert (game.puzzle == 1).sum() == 4
    game.ask()
    assert game.advice


def test_a_task_with_identities_tells_the_model_which_it_is(shift_run):
    game = new_game(Play(checkpoint=shift_run))
    solver = hrm_agents.load(shift_run)
    for _ in range(3):
        game.ask()
        env = solver.make_env()
        segment = next(iter(solver.think(env, options={"index": game.index})))
        assert env.unwrapped.puzzles.task_id[game.index] == game.frame().task_id > 0
        np.testing.assert_array_equal(game.advice[0].answer, segment.answer)
        assert game.advice[0].thoughts.q_halt == segment.q_halt
        game.next_puzzle()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Play("HRM/Nothing-v0"), "hrm-agents envs"),
        (Play("CartPole-v1"), "is not a reasoning environment"),
        (Play("HRM/Sudoku-4x4-v0", kwargs=("colour=3",)), "'colour'"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(UserError, match=message):
        new_game(options)


def test_a_model_that_does_not_fit(sudoku_run, tmp_path):
    with pytest.raises(UserError, match="4 x 4 with 6 tokens; Sudoku 6x6"):
        new_game(Play("HRM/Sudoku-6x6-v0", checkpoint=sudoku_run))
    with pytest.raises(UserError, match="nowhere"):
        new_game(Play(checkpoint=tmp_path / "nowhere"))


def test_the_command_plays_in_a_window(sudoku_run, capsys, screen):
    for key, text in ((screen.K_h, "h"), (screen.K_1, "1"), (screen.K_n, "n"), (screen.K_RETURN, "\r")):
        screen.event.post(screen.event.Event(screen.KEYDOWN, key=key, unicode=text))
    screen.event.post(screen.event.Event(screen.QUIT))
    assert main(["play", "--checkpoint", str(sudoku_run)]) == 0
    assert capsys.readouterr().err == "solved 0 of 2\n"
    assert not screen.display.get_init()


@pytest.mark.usefixtures("no_screen")
def test_without_a_display_it_says_what_does_without(capsys):
    assert main(["play", "HRM/Sudoku-4x4-v0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "there is no display to open a window on: playing needs one; " in line
    assert "`hrm-agents watch --record FILE.gif` does not" in line
    assert "render_mode" not in line


def test_the_command_explains_mistakes(capsys, monkeypatch, tmp_path):
    pytest.importorskip("pygame")
    assert main(["play", "--seed", "-1"]) == 2
    assert capsys.readouterr().err == "error: --seed must not be negative, got -1\n"
    assert main(["play", "--checkpoint", str(tmp_path)]) == 2
    assert "is not a checkpoint" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "pygame", None)
    assert main(["play", "HRM/Sudoku-4x4-v0"]) == 2
    assert 'pip install "hrm-agents[render]"' in capsys.readouterr().err


def test_nobody_at_the_keyboard(warm_python, sudoku_run, tmp_path):
    """Standard input is closed, and there is no screen: it says so, and waits for nothing."""
    pytest.importorskip("pygame")
    code = (
        "import os, sys; sys.stdin.close()\n"
        "for name in ('SDL_VIDEODRIVER', 'DISPLAY', 'WAYLAND_DISPLAY'): os.environ.pop(name, None)\n"
        "from hrm_agents.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = warm_python.run("-c", code, "play", "--checkpoint", str(sudoku_run), folder=tmp_path)
    assert done.returncode == 2
    assert "there is no display to open a window on" in done.stderr
