"""Images, text and the window, all without a screen."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled

from hrm_envs.maze.drawing import draw_maze
from hrm_envs.rendering import canvas
from hrm_envs.rendering import render as rendering
from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import Canvas, text_width
from hrm_envs.rendering.frame_data import Frame, Thoughts
from hrm_envs.rendering.render import render_ansi, render_rgb
from hrm_envs.rendering.window import NoDisplay, Window
from hrm_envs.spec import MARK_NONE, MARK_RIGHT, MARK_WRONG, TaskSpec, Tokens
from hrm_envs.sudoku.drawing import draw_sudoku
from hrm_envs.task import PuzzleBatch, Task, Verdict

pytest.importorskip("pygame")


class Painted(Task):
    """A task that is only drawn."""

    def __init__(self, name: str, shape: tuple[int, int], symbols: str, draw: Any = None) -> None:
        self.spec = TaskSpec(name, shape, tuple(symbols))
        self._draw = draw

    def sample(self, rng: np.random.Generator, num: int) -> PuzzleBatch:
        raise AssertionError("painting needs no puzzles")

    def verify(self, batch: PuzzleBatch, answer: Tokens) -> Verdict:
        raise AssertionError("painting judges nothing")

    def draw(self, board: Board) -> None:
        if self._draw is None:
            super().draw(board)
        else:
            self._draw(board)


SUDOKU = Painted("Sudoku 4x4", (4, 4), "?.1234", lambda board: draw_sudoku(board, 4, (2, 2)))
MAZE = Painted("Maze 5x5", (5, 5), "?# SGo", draw_maze)
PLAIN = Painted("Letters 2x3", (2, 3), "?.ab")


def tokens(task: Task, text: str) -> Tokens:
    return np.array([task.spec.symbols.index(c) for c in text], np.uint8)


def frame(task: Task, puzzle: str, answer: str, **fields: Any) -> Frame:
    zeros = np.zeros(task.spec.num_cells, np.uint8)
    values: dict[str, Any] = {
        "previous_answer": zeros, "marks": zeros, "segment": 2, "max_segments": 8,
        "success": False, "score": 0.5, "halted": False, "forced": False,
    }  # fmt: skip
    return Frame(tokens(task, puzzle), tokens(task, answer), **(values | fields))


FRAMES = {
    "sudoku": (SUDOKU, frame(SUDOKU, "12..3..2.1...3..", "1234341221434321")),
    "maze": (MAZE, frame(MAZE, "######S  ## # ##  G######", "######Soo## #o##  G######")),
    "plain": (PLAIN, frame(PLAIN, "a....b", "ababab")),
}  # fmt: skip
THOUGHTS = Thoughts(0.25, 0.75, np.linspace(0, 1, 25, dtype=np.float32), "think on")


def gray(picture: np.ndarray) -> np.ndarray:
    return np.asarray(picture @ np.array([0.299, 0.587, 0.114]))


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("size", [None, (480, 320), (360, 480), (1300, 500), (120, 120)])
def test_a_picture_has_its_size_and_is_the_same_every_time(name: str, size: tuple[int, int] | None) -> None:
    task, shown = FRAMES[name]
    picture = render_rgb(task, shown, size)
    width, height = size or rendering.DEFAULT_SIZE
    assert picture.shape == (height, width, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.writeable
    assert picture.flags.c_contiguous
    np.testing.assert_array_equal(picture, render_rgb(task, shown, size))


def test_a_tiny_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 120 pixels"):
        render_rgb(*FRAMES["plain"], (100, 300))


@pytest.mark.parametrize("name", FRAMES)
def test_right_wrong_and_changed_cells_differ_without_colour(name: str) -> None:
    task, shown = FRAMES[name]
    cell = int(np.flatnonzero(shown.answer != shown.puzzle)[0])

    def look(mark: int, changed: bool) -> np.ndarray:
        marks, before = np.zeros_like(shown.puzzle), shown.answer.copy()
        marks[cell] = mark
        before[cell] = shown.puzzle[cell] if changed else before[cell]
        return gray(render_rgb(task, replace(shown, marks=marks, previous_answer=before)))

    right, wrong = look(MARK_RIGHT, False), look(MARK_WRONG, False)
    looks = [right, wrong, look(MARK_RIGHT, True), look(MARK_WRONG, True)]
    if name == "maze":  # a wrong path cell has one cross, new or not
        looks.pop()
    for i, a in enumerate(looks):
        for b in looks[:i]:
            assert (np.abs(a - b) > 30).sum() > 40  # pixels a viewer can tell apart


def test_a_cell_that_left_the_path_leaves_a_mark() -> None:
    task, shown = FRAMES["maze"]
    before = shown.answer.copy()
    before[16] = 5
    with_ghost = gray(render_rgb(task, replace(shown, previous_answer=before)))
    assert (np.abs(with_ghost - gray(render_rgb(task, shown))) > 30).sum() > 40


def test_the_first_answer_counts_as_new_not_as_changed() -> None:
    _, shown = FRAMES["sudoku"]
    assert not shown.changed.any()
    assert replace(shown, previous_answer=shown.puzzle).changed.sum() == 10


def test_the_strip_shows_state_and_thoughts_and_leaves_the_board_alone() -> None:
    task, shown = FRAMES["maze"]
    states = [
        shown,
        replace(shown, halted=True),
        replace(shown, halted=True, success=True, score=1.0),
        replace(shown, halted=True, forced=True),
        replace(shown, segment=3),
        replace(shown, thoughts=replace(THOUGHTS, confidence=None)),
        replace(shown, history=((0.1, None), (None, 0.3))),
        replace(shown, history=((-4.0, 3.0), (2.5, 9.0)), max_segments=1),
        replace(shown, max_segments=100),
    ]
    pictures = [render_rgb(task, state) for state in states]
    for i, a in enumerate(pictures):
        np.testing.assert_array_equal(a[:, :610], pictures[0][:, :610])
        assert all((a[:, 610:] != b[:, 610:]).any() for b in pictures[:i])


def test_nothing_touches_the_edge_of_the_picture() -> None:
    task = Painted("A task with a name far too long for its place 30x30", (2, 3), "?.ab")
    wordy = replace(FRAMES["plain"][1], thoughts=Thoughts(-123456.0, 1e9, None, "a decision of many words, too"))
    for size in (None, (360, 480), (900, 300)):
        picture = render_rgb(task, replace(wordy, history=((-123456.0, 1e9),)), size)
        rim = np.concatenate([picture[:4].reshape(-1, 3), picture[-4:].reshape(-1, 3), picture[:, -4:].reshape(-1, 3)])
        assert (rim == picture[0, 0]).all()


def test_confidence_shows() -> None:
    for name in FRAMES:
        task, shown = FRAMES[name]
        sure, unsure = (
            render_rgb(
                task,
                replace(shown, thoughts=Thoughts(confidence=np.full(task.spec.num_cells, c, np.float32))),
            )
            for c in (1.0, 0.1)
        )
        assert (sure != unsure).any()


def test_a_diverged_agent_is_painted_too() -> None:
    nan = float("nan")
    for task, shown in FRAMES.values():
        sure = np.full(task.spec.num_cells, nan, np.float32)
        render_rgb(task, replace(shown, thoughts=Thoughts(nan, float("inf"), sure), history=((nan, 0.5),)))


@pytest.mark.parametrize("size", [12, 40, 200])
@pytest.mark.parametrize("letter", "gjpqyQ|Ç")
def test_letters_are_drawn_from_top_to_bottom(letter: str, size: int) -> None:
    import pygame

    image = Canvas(320, 400)
    image.text((60, 200), letter, size)
    rows = np.flatnonzero((image.pixels() != canvas.DARK.background).any(axis=(1, 2)))
    pygame.font.init()
    ((_, _, lowest, highest, _),) = pygame.font.Font(pygame.font.get_default_font(), 1000).metrics(letter)
    assert rows[-1] - rows[0] + 1 == pytest.approx((highest - lowest) * size / 1000, abs=2)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\0b", "a\ufffdb"),
        ("lone \ud800", "lone \ufffd"),
        ("two\nlines\tand\xa0tabs", "two lines and tabs"),
        ("zero\u200bwidth", "zero\ufffdwidth"),
        ("e\u0301", "\xe9"),
        ("\N{SNOWMAN}\ufe0f", "\N{SNOWMAN}"),  # a variation selector has no width
        ("\ufe0f", ""),
        ("", ""),
        ("W" * 100_000, "W" * 199 + "\N{HORIZONTAL ELLIPSIS}"),
    ],
)
def test_any_text_can_be_drawn(text: str, shown: str) -> None:
    images = [Canvas(400, 40), Canvas(400, 40)]
    widths = [image.text((5, 20), content, 20) for image, content in zip(images, (text, shown), strict=True)]
    assert widths[0] == widths[1] == text_width(text, 20)
    np.testing.assert_array_equal(images[0].pixels(), images[1].pixels())
    assert (images[0].pixels() != canvas.DARK.background).any() == bool(shown)


def test_text_shrinks_to_its_room() -> None:
    assert text_width("as wide as it is", 20) > 120
    assert 100 < text_width("as wide as it is", 20, max_width=120) <= 120


@pytest.mark.parametrize("name", ["a\0b", "lone \ud800", "\N{SNOWMAN}"])
def test_a_task_may_have_any_name(name: str) -> None:
    task = Painted(name, (2, 3), "?.ab")
    assert (render_rgb(task, FRAMES["plain"][1]) != render_rgb(*FRAMES["plain"])).any()


def test_painting_needs_no_display() -> None:
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from tests.envs.test_rendering import FRAMES, render_rgb\n"
        "import pygame\n"
        "print(render_rgb(*FRAMES['plain'], (240, 160)).shape, pygame.display.get_init(), 'torch' in sys.modules)"
    )
    clean = {k: v for k, v in os.environ.items() if k not in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-c", code, *sys.path],
        env=clean,
        capture_output=True,
        text=True,
        cwd=os.getcwd(),
        check=False,
    )
    assert done.stdout.strip() == "(160, 240, 3) False False", done.stderr


def test_without_pygame_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(DependencyNotInstalled, match=r'pip install "hrm-agents\[render\]"'):
        render_rgb(*FRAMES["sudoku"])
    with pytest.raises(DependencyNotInstalled, match=r"hrm-agents\[render\]"):
        Window().show(np.zeros((40, 40, 3), np.uint8))
    assert "Letters" in render_ansi(*FRAMES["plain"])  # text needs none


def test_pictures_survive_a_pygame_quit() -> None:
    import pygame

    before = render_rgb(*FRAMES["sudoku"])
    pygame.quit()
    np.testing.assert_array_equal(before, render_rgb(*FRAMES["sudoku"]))


@pytest.mark.usefixtures("screen")
def test_window_opens_shows_and_closes_twice() -> None:
    import pygame

    window = Window("test")
    window.close()  # before it ever opened
    picture = render_rgb(*FRAMES["sudoku"], (300, 200))
    assert not window.is_open
    assert window.show(picture)
    assert window.is_open
    np.testing.assert_array_equal(pygame.surfarray.array3d(pygame.display.get_surface()).transpose(1, 0, 2), picture)
    assert window.show(render_rgb(*FRAMES["sudoku"], (240, 180)))  # another size
    window.close()
    window.close()
    assert not window.is_open
    assert window.show(picture)  # a closed window opens again
    window.close()


@pytest.mark.usefixtures("screen")
def test_a_window_that_the_user_closed_stays_closed() -> None:
    import pygame

    window, picture = Window(), np.zeros((40, 60, 3), np.uint8)
    assert window.show(picture)
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    assert not window.show(picture)
    assert not window.is_open
    assert not window.show(picture)
    assert window.dismissed
    window.close()
    assert not window.dismissed
    assert window.show(picture)  # for another episode
    window.close()


@pytest.mark.usefixtures("screen")
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda window: pickle.loads(pickle.dumps(window))])
def test_a_copy_of_a_window_opens_its_own(how: Any) -> None:
    import pygame

    window, picture = Window("the original"), np.zeros((40, 60, 3), np.uint8)
    window.show(picture)
    twin = how(window)
    assert (window.is_open, twin.is_open) == (True, False)
    twin.close()  # it has no window to close
    assert window.is_open
    assert twin.show(picture)
    assert pygame.display.get_caption()[0] == "the original"
    twin.close()  # pygame has a single window, so this closes both
    assert not window.is_open
    assert window.show(picture)  # reopens
    window.close()


@pytest.mark.usefixtures("screen")
@pytest.mark.parametrize("how", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
@pytest.mark.parametrize("id", ["HRM/Sudoku-4x4-v0", "HRM/MazeMoves-9x9-Doors-v0"])
def test_environments_can_be_copied_while_their_window_is_open(id: str, how: Any) -> None:
    import pygame

    env = gym.make(id, render_mode="human", num_puzzles=5)
    env.unwrapped.metadata = {**env.unwrapped.metadata, "render_fps": 1000}
    env.reset(seed=0)
    how(env).close()  # a copy has no window yet: this leaves that of the original open
    assert pygame.display.get_init()
    twin = how(env)
    env.close()
    env.action_space.seed(0)
    for _ in range(2):  # the copy goes on where the original stood
        action = env.action_space.sample()
        one, other = env.step(action), twin.step(action)
        np.testing.assert_equal(one, other)
        if one[2] or one[3]:
            break
    assert pygame.display.get_init()
    twin.close()
    env.close()
    assert not pygame.display.get_init()


@pytest.mark.usefixtures("screen")
@pytest.mark.parametrize("title", ["Rätsel \N{SNOWMAN}", "lone \ud800 surrogate", "a\0b"])
def test_any_title_will_do(title: str) -> None:
    import pygame

    window = Window(title)
    assert window.show(np.zeros((40, 60, 3), np.uint8))
    assert pygame.display.get_caption()[0] == title.replace("\ud800", "\ufffd").replace("\0", "\ufffd")
    window.close()


@pytest.mark.usefixtures("no_screen")
def test_window_without_a_display_says_so() -> None:
    with pytest.raises(NoDisplay, match='no display to open a window on: use render_mode="rgb_array" or "ansi" here'):
        Window().show(np.zeros((40, 40, 3), np.uint8))


def test_ansi_marks_cells_without_colour() -> None:
    import re

    task, shown = FRAMES["plain"]
    before = tokens(task, "aaabab")
    marks = np.array([MARK_NONE, MARK_RIGHT, MARK_WRONG, MARK_WRONG, MARK_RIGHT, MARK_NONE], np.uint8)
    shown = replace(shown, previous_answer=before, marks=marks, thoughts=THOUGHTS)
    coloured = render_ansi(task, shown)
    assert "\x1b[4" in coloured  # the answer is underlined
    head, *grid = re.sub(r"\x1b\[[0-9;]*m", "", coloured).splitlines()
    assert head == "Letters 2x3 | segment 2/8 | thinking | score 50% | Q halt 0.25 | Q continue 0.75 | think on"
    assert grid == ["a  b* a!", "b! a  b"]


def test_ansi_before_the_first_segment_is_the_puzzle() -> None:
    import re

    task, shown = FRAMES["plain"]
    text = re.sub(r"\x1b\[[0-9;]*m", "", render_ansi(task, replace(shown, answer=np.zeros(6, np.uint8), segment=0)))
    assert text == "Letters 2x3 | segment 0/8 | ready\na  .  .\n.  .  b\n"


def test_plain_pygame_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    import pygame

    monkeypatch.delattr(pygame.draw, "aacircle")
    with pytest.raises(DependencyNotInstalled, match=r"pip uninstall pygame.*hrm-agents\[render\]"):
        canvas.import_pygame()
