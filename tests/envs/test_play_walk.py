"""A player walks through mazes: keys, score, image and window."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

import hrm_envs  # noqa: F401  (registers the ids)
from hrm_envs.play import WalkGame, play_walk
from hrm_envs.rendering.theme import DARK
from hrm_envs.rendering.window import NoDisplay

pygame = pytest.importorskip("pygame")

MAZE = "#####\n#S  #\n### #\n#G  #\n#####"
WAY = ("right", "right", "down", "down", "left", "left")


def walks(puzzle: str | None = MAZE, seed: int = 0, **kwargs) -> WalkGame:
    chosen = {"puzzles": puzzle, "split": "all"} if puzzle else {"num_puzzles": 5}
    return WalkGame(gym.make("HRM/MazeMoves-9x9-v0", size=5, render_mode="rgb_array", **chosen, **kwargs), seed=seed)


def press(game: WalkGame, *keys: str) -> list[bool]:
    return [game.press(key) for key in keys]


def test_arrows_walk_to_the_goal() -> None:
    game = walks()
    assert (game.num_played, game.num_solved, game.over) == (1, 0, False)
    assert press(game, *WAY[:-1]) == [True] * 5
    assert not game.over
    game.press(WAY[-1])
    assert (game.over, game.solved, game.num_solved) == (True, True, 1)
    press(game, *WAY)  # nothing is left to walk
    assert (game.num_played, game.num_solved) == (1, 1)


def test_a_walk_into_walls_runs_out_of_steps() -> None:
    game = walks(max_steps=3)
    press(game, "up", "up")
    assert not game.over
    game.press("left")
    assert (game.over, game.solved, game.num_solved) == (True, False, 0)


@pytest.mark.parametrize("key", [("", "n"), ("", "N"), ("f2", "")])
def test_n_begins_another_walk_at_any_time(key: tuple[str, str]) -> None:
    game = walks()
    press(game, *WAY)
    assert game.press(*key)
    assert (game.num_played, game.num_solved, game.over, game.solved) == (2, 1, False, False)
    game.press("right")
    assert game.press(*key)
    press(game, *WAY)
    assert (game.num_played, game.num_solved) == (3, 2)


def test_other_keys_do_nothing_and_escape_leaves() -> None:
    game = walks()
    before = game.render()
    for key, text in (("return", "\r"), ("", "x"), ("", ""), ("backspace", "\b"), ("f1", "")):
        assert game.press(key, text)
    np.testing.assert_array_equal(game.render(), before)
    assert not game.press("escape", "\x1b")


def test_the_picture_shows_the_walk_the_score_and_the_doors() -> None:
    game = walks(None, door_probability=0.5)
    first = game.render()
    assert first.dtype == np.uint8
    assert first.shape[1:] == (960, 3)
    board, footer = slice(0, 640), slice(640, None)
    np.testing.assert_array_equal(first, game.render())
    game.press("up")
    second = game.render()
    assert (second[board] != first[board]).any()
    np.testing.assert_array_equal(second[footer], first[footer])
    game.press("", "n")
    assert (game.render()[footer] != first[footer]).any()  # the number of the maze
    assert (first[board] == DARK.amber).all(axis=-1).sum() > 500, "doors are amber"
    assert (walks(None).render()[board] == DARK.amber).all(axis=-1).sum() == 0, "and nothing else is"


def test_the_seed_chooses_the_mazes() -> None:
    one, same, other = (walks(None, seed=seed) for seed in (1, 1, 2))
    pictures = []
    for game in (one, same, other):
        shown = []
        for _ in range(4):
            shown.append(game.render()[:640])
            game.press("", "n")
        pictures.append(shown)
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert (np.array(pictures[0]) != np.array(pictures[2])).any()


def test_what_cannot_be_walked_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a MazeMoves"):
        WalkGame(gym.make("HRM/Maze-5x5-v0", render_mode="rgb_array"))
    with pytest.raises(ValueError, match='render_mode="rgb_array"'):
        WalkGame(gym.make("HRM/MazeMoves-9x9-v0", size=5))
    with pytest.raises(ValueError, match="seed=-1"):
        walks(seed=-1)


def tap(key: int, text: str = "") -> None:
    for kind in (pygame.KEYDOWN, pygame.KEYUP):
        pygame.event.post(pygame.event.Event(kind, {"key": key, "unicode": text}))


@pytest.mark.usefixtures("screen")
@pytest.mark.parametrize("end", ["escape", "close"])
def test_a_walk_in_a_window(end: str) -> None:
    game = walks()
    for name in WAY:
        tap(getattr(pygame, f"K_{name.upper()}"))
    tap(pygame.K_n, "n")
    pygame.event.post(pygame.event.Event(pygame.MOUSEMOTION, pos=(50, 50), rel=(1, 1), buttons=(1, 0, 0)))
    tap(pygame.K_RIGHT)
    if end == "escape":
        tap(pygame.K_ESCAPE, "\x1b")
    else:
        pygame.event.post(pygame.event.Event(pygame.QUIT))
    play_walk(game)
    assert (game.num_played, game.num_solved) == (2, 1)
    assert not pygame.display.get_init()


@pytest.mark.usefixtures("screen")
def test_an_arrow_that_is_held_walks_on_and_n_does_not() -> None:
    game = walks()
    for _ in range(3):
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, {"key": pygame.K_n, "unicode": "n"}))
    for _ in range(2):
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, {"key": pygame.K_RIGHT, "unicode": ""}))
    tap(pygame.K_DOWN)
    tap(pygame.K_DOWN)
    tap(pygame.K_LEFT)
    tap(pygame.K_LEFT)
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    play_walk(game)
    assert (game.num_played, game.num_solved) == (2, 1)


@pytest.mark.usefixtures("no_screen")
def test_without_a_display_it_says_so() -> None:
    with pytest.raises(NoDisplay, match="no display to open a window on"):
        play_walk(walks())
