"""Size and colours of images, and windows of any size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

pygame = pytest.importorskip("pygame")

import hrm_envs  # noqa: E402, F401  (registers the ids)
from hrm_envs.arc import drawing as arc_drawing  # noqa: E402
from hrm_envs.play import Game, play, render_game  # noqa: E402
from hrm_envs.rendering.canvas import Canvas  # noqa: E402
from hrm_envs.rendering.theme import DARK, LIGHT, THEMES, Theme, contrast  # noqa: E402
from hrm_envs.rendering.window import Window, fitting  # noqa: E402
from hrm_envs.wrappers import CellEdit, MazeMoves  # noqa: E402


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((255, 255, 255), (119, 119, 119)) == pytest.approx(4.48, abs=0.005)  # a well-known near miss
    assert contrast((7, 8, 9), (7, 8, 9)) == 1


@pytest.mark.parametrize("theme", THEMES.values(), ids=list(THEMES))
def test_colours_can_be_told_apart(theme: Theme) -> None:
    for text, ground in (("ink", "background"), ("ink", "given"), ("muted", "background"), ("muted", "panel"),
                         ("blue", "tile"), ("red", "wrong"), ("ink", "raised")):  # fmt: skip
        assert contrast(getattr(theme, text), getattr(theme, ground)) >= 4.5, (text, ground)
    for mark in ("blue", "amber", "red", "wall", "ink"):
        assert contrast(getattr(theme, mark), theme.floor) >= 3, mark


def image(id: str, **kwargs: Any) -> np.ndarray:
    env = gym.make(id, render_mode="rgb_array", **kwargs)
    env.reset(seed=0)
    return np.asarray(env.render())


def large_maze(**kwargs: Any) -> np.ndarray:
    cells = np.where(np.random.default_rng(0).random((30, 30)) < 0.4, "#", " ")
    cells[5] = ["S", *" " * 28, "G"]
    env = gym.make("HRM/Maze-30x30-v0", render_mode="rgb_array", **kwargs)
    env.reset(options={"puzzle": "\n".join("".join(row) for row in cells)})
    return np.asarray(env.render())


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", [960, 480])
def test_walls_and_floor_of_a_large_maze_differ(theme: str, size: int) -> None:
    board = large_maze(theme=theme, render_size=size)[:, : size * 62 // 100]
    codes, counts = np.unique(board @ np.array([2**16, 2**8, 1]), return_counts=True)
    two = [(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255) for code in codes[counts.argsort()[-2:]]]
    assert set(two) == {THEMES[theme].wall, THEMES[theme].floor}
    assert contrast(*two) >= 3


@pytest.mark.parametrize(("size", "least"), [(960, 14), (480, 10), (1600, 16)])
def test_the_letters_of_a_large_maze_can_be_read(monkeypatch: pytest.MonkeyPatch, size: int, least: float) -> None:
    letters = {}
    draw = Canvas.text

    def record(self: Canvas, at: Any, text: str, size: float, *args: Any, **options: Any) -> float:
        letters[text] = size
        return draw(self, at, text, size, *args, **options)

    monkeypatch.setattr(Canvas, "text", record)
    large_maze(render_size=size)
    assert min(letters["S"], letters["G"]) >= least


IDS = ["HRM/Sudoku-4x4-v0", "HRM/Maze-7x7-v0", "HRM/MazeMoves-9x9-Doors-v0"]


@pytest.mark.parametrize("id", IDS)
def test_every_environment_takes_size_and_theme(id: str) -> None:
    assert image(id, num_puzzles=3).shape == (640, 960, 3)
    dark, light = (image(id, num_puzzles=3, render_size=300, theme=theme) for theme in ("dark", "light"))
    assert dark.shape == light.shape == (200, 300, 3)
    assert light.mean() > 128 > dark.mean()
    assert tuple(dark[0, 0]) == DARK.background
    assert tuple(light[0, 0]) == LIGHT.background
    tall = gym.make_vec(id, num_envs=2, render_mode="rgb_array", num_puzzles=3, render_size=(200, 320), theme="light")
    tall.reset(seed=0)
    frames = tall.render()
    assert frames is not None
    assert [frame.shape for frame in frames] == [(320, 200, 3)] * 2
    assert all(tuple(frame[0, 0]) == LIGHT.background for frame in frames)


def test_arc_takes_them_too(tmp_path: Path) -> None:
    pairs = [{"input": [[1, color], [3, 4]], "output": [[4, 3], [color, 1]]} for color in (2, 5)]
    (tmp_path / "task.json").write_text(json.dumps({"train": pairs[:1], "test": pairs[1:]}))
    tasks = {"puzzles": str(tmp_path / "task.json"), "split": "test", "augmentations": 1}
    light = image("HRM/ARC-AGI-1-v0", **tasks, render_size=300, theme="light")
    assert light.shape == (200, 300, 3)
    assert tuple(light[0, 0]) == LIGHT.background


def test_wrappers_show_the_look_of_their_environment() -> None:
    env = gym.make("HRM/Sudoku-4x4-v0", num_puzzles=3, render_mode="rgb_array", render_size=(240, 160), theme="light")
    maze = gym.make("HRM/Maze-7x7-v0", num_puzzles=3, render_mode="rgb_array", render_size=(240, 160), theme="light")
    for wrapped in (CellEdit(env), MazeMoves(maze)):
        wrapped.reset(seed=0)
        picture = wrapped.render()
        assert picture.shape == (160, 240, 3)
        assert tuple(picture[0, 0]) == LIGHT.background


@pytest.mark.parametrize("id", ["HRM/Sudoku-4x4-v0", "HRM/MazeMoves-9x9-v0"])
@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"theme": "blue"}, "theme='blue': choose one of 'dark', 'light'"),
        ({"theme": 3}, "theme=3: choose one of 'dark', 'light'"),
        ({"render_size": 100}, "render_size=100 must be from 180 to 4096"),
        ({"render_size": (100, 300)}, "render_size=100 must be from 120 to 4096"),
        ({"render_size": (300, 200, 100)}, r"render_size=\(300, 200, 100\) must be one number of pixels or \(width"),
        ({"render_size": "large"}, "render_size='large' must be a whole number"),
        ({"render_size": 10**6}, "render_size=1000000 must be from 180 to 4096"),
    ],
)
def test_looks_that_there_are_not(id: str, keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gym.make(id, num_puzzles=3, **keywords)


def test_doors_are_called_doors() -> None:
    env = gym.make("HRM/MazeMoves-9x9-Doors-v0", num_puzzles=3, render_mode="ansi")
    env.reset(seed=0)
    assert str(env.render()).startswith("Maze 9x9 with doors | step 0/")
    plain = gym.make("HRM/MazeMoves-9x9-v0", num_puzzles=3)
    assert (env.unwrapped.title, plain.unwrapped.title) == ("Maze 9x9 with doors", "Maze 9x9")  # type: ignore[attr-defined]


def test_demonstrations_are_as_large_as_the_test() -> None:
    """Four pairs of 28x28 grids: 2.6 pixels a cell where they have two fifths of the board, as small tasks do."""
    pairs = [(np.zeros((28, 28), np.uint8),) * 2] * 4
    shares = []
    for share in (0.4, 0.6):
        space = arc_drawing._inside_titled((0, 0, 576, 576 * share), 1.0)
        shares.append(arc_drawing._legible(pairs, space, 1.0)[1])
    assert shares[0] < 3
    assert shares[1] > 4


# Windows


@pytest.mark.parametrize(
    ("size", "screen", "window"),
    [
        ((960, 640), (1920, 1080), (960, 640)),
        ((1280, 720), (1366, 768), (1201, 675)),
        ((960, 640), (640, 480), (614, 409)),
        ((300, 900), (640, 480), (140, 422)),
    ],
)
def test_a_window_fits_the_screen(size: Any, screen: Any, window: Any) -> None:
    assert fitting(size, screen) == window
    assert all(side <= room for side, room in zip(window, screen, strict=True))


@pytest.mark.usefixtures("screen")
def test_a_resized_window_is_filled() -> None:
    window, picture = Window(), np.full((80, 120, 3), 200, np.uint8)
    assert window.size_for((300, 200)) == (300, 200)
    assert pygame.display.get_surface().get_flags() & pygame.RESIZABLE
    pygame.display.set_mode((640, 480), pygame.RESIZABLE)
    assert window.size_for((300, 200)) == (640, 480)
    picture[0, 0] = 7  # the colour around the picture
    assert window.show(picture, fps=100)
    shown = pygame.surfarray.array3d(pygame.display.get_surface()).transpose(1, 0, 2)
    assert shown.shape == (480, 640, 3)
    assert (shown[:24] == 7).all()  # 640 x 427 in the middle of 640 x 480
    assert (shown[40:440, 10:] == 200).all()
    window.close()


@pytest.mark.usefixtures("screen")
@pytest.mark.parametrize("id", ["HRM/Sudoku-4x4-v0", "HRM/MazeMoves-9x9-v0"])
def test_environments_draw_for_the_size_of_their_window(id: str) -> None:
    env = gym.make(id, render_mode="human", num_puzzles=3, render_size=300, theme="light")
    env.unwrapped.metadata = {**env.unwrapped.metadata, "render_fps": 1000}
    env.reset(seed=0)
    assert pygame.display.get_surface().get_size() == (300, 200)
    pygame.display.set_mode((240, 400), pygame.RESIZABLE)
    env.reset()
    shown = pygame.surfarray.array3d(pygame.display.get_surface()).transpose(1, 0, 2)
    assert shown.shape == (400, 240, 3)
    assert len(np.unique(shown[:, 100:140].reshape(-1, 3), axis=0)) > 5  # drawn, not letterboxed
    assert tuple(shown[0, 0]) == LIGHT.background
    env.close()


@pytest.mark.usefixtures("screen")
@pytest.mark.parametrize("key", [pygame.K_ESCAPE, pygame.K_q])
def test_keys_close_a_window(key: int) -> None:
    window = Window()
    assert window.show(np.zeros((40, 60, 3), np.uint8), fps=1000)
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, {"key": key, "unicode": ""}))
    assert not window.show(np.zeros((40, 60, 3), np.uint8), fps=0.1)  # at once, not after ten seconds
    assert window.dismissed
    assert not window.is_open


# The game


def game(**kwargs: Any) -> Game:
    env: Any = gym.make("HRM/Sudoku-4x4-v0", puzzles="1234\n34..\n.143\n432.", split="all").unwrapped
    return Game(env, **kwargs)


@pytest.mark.parametrize("size", [(640, 480), (1366, 768), (1201, 675), (400, 700)])
def test_a_game_fits_any_window(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    sizes: list[float] = []
    draw = Canvas.text

    def record(self: Canvas, at: Any, text: str, size: float, *args: Any, **options: Any) -> float:
        sizes.append(size)
        return draw(self, at, text, size, *args, **options)

    monkeypatch.setattr(Canvas, "text", record)
    picture = render_game(game(theme=LIGHT), size)
    assert picture.pixels.shape == (size[1], size[0], 3)
    edge = np.concatenate([picture.pixels[:4].reshape(-1, 3), picture.pixels[:, -4:].reshape(-1, 3)])
    assert (edge == LIGHT.background).all()
    if size == (640, 480):
        assert min(sizes) >= 9  # smaller letters cannot be read


@pytest.mark.usefixtures("screen")
def test_clicks_find_their_cells_in_a_resized_window() -> None:
    playing = game()
    pygame.display.set_mode((640, 480), pygame.RESIZABLE)
    x, y, width, height = render_game(playing, (640, 480)).cell_rects[15]
    window = Window.size_for
    at = (round(x + width / 2), round(y + height / 2))

    def resized(self: Window, preferred: Any) -> Any:
        window(self, preferred)
        pygame.display.set_mode((640, 480), pygame.RESIZABLE)
        return window(self, preferred)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Window, "size_for", resized)
        pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, {"button": 1, "pos": at}))
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, {"key": pygame.K_q, "unicode": "q"}))
        play(playing)
    assert playing.cursor == 15
    assert not pygame.display.get_init()
