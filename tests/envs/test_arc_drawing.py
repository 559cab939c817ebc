"""Drawing of ARC puzzles, all without a screen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hrm_envs.arc.drawing import draw_arc
from hrm_envs.arc.grids import END, FIRST_COLOUR, SYMBOLS, Grid, place
from hrm_envs.arc.palette import PALETTE
from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import Canvas
from hrm_envs.rendering.frame_data import Frame, Thoughts
from hrm_envs.rendering.render import DEFAULT_SIZE, render_rgb
from hrm_envs.spec import MARK_NONE, MARK_RIGHT, MARK_WRONG, TaskSpec, Tokens
from hrm_envs.task import PuzzleBatch, Task, Verdict

pytest.importorskip("pygame")

Pair = tuple[Grid, Grid]


class Painted(Task):
    """An ARC task that is only drawn."""

    def __init__(self, side: int, demonstrations: list[Pair]) -> None:
        self.spec = TaskSpec("ARC", (side, side), SYMBOLS)
        self.demonstrations = demonstrations

    def sample(self, rng: np.random.Generator, num: int) -> PuzzleBatch:
        raise AssertionError("painting needs no puzzles")

    def verify(self, batch: PuzzleBatch, answer: Tokens) -> Verdict:
        raise AssertionError("painting judges nothing")

    def draw(self, board: Board) -> None:
        draw_arc(board, self.demonstrations)


def plain(rows: int, columns: int, colour: int = 1) -> Grid:
    return np.full((rows, columns), colour, np.uint8)


def shifted(tokens: Tokens, side: int, down: int, right: int) -> Tokens:
    moved = np.zeros((side, side), np.uint8)
    moved[down:, right:] = tokens.reshape(side, side)[: side - down, : side - right]
    return moved.reshape(-1)


def frame(puzzle: Tokens, answer: Tokens, solution: Tokens | None = None, **fields: Any) -> Frame:
    """A frame; with a solution its marks are those of the ARC task."""
    marks = np.zeros(len(puzzle), np.uint8)
    if solution is not None:
        marks[:] = np.where(solution == 0, MARK_NONE, np.where(answer == solution, MARK_RIGHT, MARK_WRONG))
    values: dict[str, Any] = {
        "previous_answer": np.zeros_like(puzzle), "marks": marks, "segment": 2, "max_segments": 8,
        "success": False, "score": 0.5, "halted": False, "forced": False,
    }  # fmt: skip
    return Frame(puzzle, answer, **(values | fields))


def board_of(picture: np.ndarray) -> np.ndarray:
    """The part of an image of the default size that the task drew."""
    return picture[:, :620]


def differ(a: np.ndarray, b: np.ndarray) -> int:
    """Pixels that a viewer without colours can tell apart."""
    gray = np.array([0.299, 0.587, 0.114])
    return int((np.abs(a @ gray - b @ gray) > 30).sum())


def pixels_of(picture: np.ndarray, colour: int) -> int:
    return int((board_of(picture) == PALETTE[colour]).all(axis=2).sum())


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All text that is drawn from now on."""
    texts: list[str] = []
    paint_text = Canvas.text

    def record(self: Canvas, at: tuple[float, float], text: str, *args: Any, **options: Any) -> float:
        texts.append(text)
        return paint_text(self, at, text, *args, **options)

    monkeypatch.setattr(Canvas, "text", record)
    return texts


PAIRS = [(plain(3, 3, 1), plain(6, 6, 2)), (plain(2, 4, 3), plain(4, 8, 8))]


@pytest.mark.parametrize("size", [None, (480, 320), (360, 240), (360, 480), (1300, 500), (120, 120)])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 3), (2, 30), (30, 2), (30, 30)])
def test_every_size_is_painted_and_the_same_every_time(rows: int, columns: int, size: tuple[int, int] | None) -> None:
    rng = np.random.default_rng(0)
    grids = [rng.integers(0, 10, (rows, columns)).astype(np.uint8) for _ in range(2)]
    puzzle, solution = place(grids, 30)
    answer = np.where(rng.random(900) < 0.1, rng.integers(0, 12, 900), solution).astype(np.uint8)
    shown = frame(puzzle, answer, solution, previous_answer=solution)
    task = Painted(30, [(grids[0], grids[1])] * 3)
    picture = render_rgb(task, shown, size)
    assert picture.shape[:2] == (size or DEFAULT_SIZE)[::-1]
    np.testing.assert_array_equal(picture, render_rgb(task, shown, size))
    assert not np.array_equal(picture, render_rgb(task, replace(shown, answer=solution), size))


@pytest.mark.parametrize("side", [3, 30])
def test_right_wrong_changed_and_missing_cells_differ_without_colour(side: int) -> None:
    puzzle, solution = place([plain(side, side, 1), plain(side, side, 4)], 30)
    task = Painted(30, [])

    def look(mark: int, changed: bool = False, token: int = FIRST_COLOUR + 4) -> np.ndarray:
        marks, before, answer = np.zeros(900, np.uint8), solution.copy(), solution.copy()
        answer[side - 1], marks[side - 1] = token, mark
        before[side - 1] = FIRST_COLOUR if changed else token
        return render_rgb(task, frame(puzzle, answer, marks=marks, previous_answer=before))

    assert np.array_equal(look(MARK_RIGHT), look(MARK_NONE))
    looks = [look(MARK_RIGHT), look(MARK_WRONG), look(MARK_RIGHT, True), look(MARK_WRONG, True)]
    looks.append(look(MARK_WRONG, token=END))
    for i, a in enumerate(looks):
        for b in looks[:i]:
            assert differ(a, b) > 10  # a cell of the larger grid has 81 pixels


def test_as_many_demonstrations_as_fit_are_drawn_and_the_rest_counted(written: list[str]) -> None:
    puzzle, answer = place([plain(3, 3, 1), plain(3, 3, 1)], 30)
    shown = frame(puzzle, answer)
    areas = []
    for number in range(1, 8):
        written.clear()
        # No other part of the image has the colour of these outputs.
        picture = render_rgb(Painted(30, [(plain(2, 2, 3), plain(2, 2, 6))] * number), shown)
        areas.append(pixels_of(picture, 6))
        assert written[:2] == (["Examples", "Input"] if number <= 5 else ["Examples", f"+{number - 5} more"])
    one = areas[0]
    assert areas[:5] == pytest.approx([one * k for k in range(1, 6)], rel=0.1)
    assert areas[5] == areas[6] == areas[4]
    # Grids of 30 x 30 in a small image: fewer, but at least one.
    written.clear()
    large = (plain(30, 30, 3), plain(30, 30, 6))
    render_rgb(Painted(30, [large] * 4), shown, (240, 160))
    assert written[:2] == ["Examples", "+3 more"]


def test_without_demonstrations_the_answer_takes_the_whole_board() -> None:
    puzzle, answer = place([plain(9, 9, 1), plain(9, 9, 6)], 30)
    shown = frame(puzzle, answer, answer)
    assert pixels_of(render_rgb(Painted(30, []), shown), 6) > pixels_of(render_rgb(Painted(30, PAIRS), shown), 6)


def test_a_blank_answer_is_a_question(written: list[str]) -> None:
    (puzzle,) = place([plain(3, 3, 1)], 30)
    blank = np.zeros(900, np.uint8)
    task = Painted(30, PAIRS)
    picture = render_rgb(task, frame(puzzle, blank, segment=0))
    assert "?" in written
    assert pixels_of(picture, 6) == 0
    # An empty puzzle is drawn too.
    assert render_rgb(task, frame(blank, blank, segment=0)).shape == picture.shape


def test_a_translated_puzzle_looks_like_one_in_the_corner() -> None:
    rng = np.random.default_rng(1)
    puzzle, solution = place(list(rng.integers(0, 10, (2, 5, 4)).astype(np.uint8)), 30)
    answer = solution.copy()
    answer[[0, 33]] = FIRST_COLOUR + 5
    shown = frame(puzzle, answer, solution, previous_answer=solution)
    moved = [shifted(tokens, 30, 7, 19) for tokens in (puzzle, answer, solution)]
    elsewhere = frame(*moved, previous_answer=moved[2])
    task = Painted(30, PAIRS)
    np.testing.assert_array_equal(render_rgb(task, shown), render_rgb(task, elsewhere))


def test_what_lies_outside_of_the_grid_that_is_read_is_shown_smaller_and_counted(written: list[str]) -> None:
    puzzle, solution = place([plain(4, 4, 1), plain(4, 4, 6)], 30)
    broken = solution.copy()
    broken[2] = END  # ends the first row, so that 4 x 2 is read
    task = Painted(30, PAIRS)
    whole, cut = (render_rgb(task, frame(puzzle, answer, solution)) for answer in (solution, broken))
    assert [text for text in written if "\N{MULTIPLICATION SIGN}" in text] == [
        "4 \N{MULTIPLICATION SIGN} 4",
        "4 \N{MULTIPLICATION SIGN} 4",
        "4 \N{MULTIPLICATION SIGN} 4",
        "4 \N{MULTIPLICATION SIGN} 2  +7 outside",
    ]
    assert pixels_of(cut, 6) == pytest.approx(pixels_of(whole, 6) / 2, rel=0.1)


def test_no_grid_where_the_origin_has_no_colour(written: list[str]) -> None:
    puzzle, solution = place([plain(3, 3, 1), plain(3, 3, 6)], 30)
    task = Painted(30, PAIRS)
    picture = render_rgb(task, frame(puzzle, shifted(solution, 30, 1, 1), solution))
    assert "no grid  +9 outside" in written
    assert pixels_of(picture, 6) == 0


def test_a_far_stray_cell_is_counted_but_does_not_shrink_the_answer(written: list[str]) -> None:
    puzzle, solution = place([plain(3, 3, 1), plain(3, 3, 6)], 30)
    task = Painted(30, PAIRS)
    near, far = solution.copy(), solution.copy()
    near[6], far[-1] = FIRST_COLOUR + 7, FIRST_COLOUR + 7
    with_near, with_far = (render_rgb(task, frame(puzzle, answer, solution)) for answer in (near, far))
    assert written.count("3 \N{MULTIPLICATION SIGN} 3  +1 outside") == 2
    assert pixels_of(with_far, 6) > 1000
    assert pixels_of(with_near, 6) > 1000


def test_the_scale_stays_while_the_answer_moves_within_the_output() -> None:
    puzzle, solution = place([plain(9, 9, 1), plain(9, 9, 6)], 30)
    small = place([plain(3, 3, 6)], 30)[0]
    task = Painted(30, PAIRS)
    areas = [pixels_of(render_rgb(task, frame(puzzle, answer, solution)), 6) for answer in (small, solution)]
    assert areas[1] == pytest.approx(9 * areas[0], rel=0.15)


def test_less_sure_cells_have_a_wider_rim() -> None:
    puzzle, solution = place([plain(3, 3, 1), plain(3, 3, 6)], 30)
    task = Painted(30, PAIRS)
    areas = [
        pixels_of(
            render_rgb(task, frame(puzzle, solution, thoughts=Thoughts(confidence=np.full(900, sure, np.float32)))), 6
        )
        for sure in (0.0, 0.5, 1.0)
    ]
    assert areas == sorted(set(areas))
    assert areas[2] == pixels_of(render_rgb(task, frame(puzzle, solution)), 6)


@pytest.mark.parametrize("colour", [0, 6])
def test_the_key_explains_every_mark(colour: int) -> None:
    puzzle, solution = place([plain(3, 3, colour), plain(3, 3, 6)], 30)
    boards: list[Board] = []

    class Kept(Painted):
        def draw(self, board: Board) -> None:
            super().draw(board)
            boards.append(board)

    render_rgb(Kept(30, []), frame(puzzle, solution, solution))
    (board,) = boards
    assert [text for _, text in board.legend] == ["changed", "wrong", "missing", "not read"]
    for name, _ in board.legend:
        before = board.canvas.pixels()
        board.draw_icon(name, (700, 300, 28, 28))
        assert differ(before, board.canvas.pixels()) > 30


def test_a_small_canvas_is_painted_too() -> None:
    puzzle, solution = place([plain(2, 2, 1), plain(3, 3, 6)], 3)
    assert pixels_of(render_rgb(Painted(3, PAIRS), frame(puzzle, solution, solution)), 6) > 1000
