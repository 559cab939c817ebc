"""The result of an ARC vote: its metrics and files."""

import json

import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled
from PIL import Image

from hrm_envs.arc.augmentation import Augmentation
from hrm_envs.arc.grids import END, place
from hrm_envs.arc.palette import PALETTE, draw_grid
from hrm_envs.arc.report import ARCResult, collect
from hrm_envs.arc.sheet import write_sheets
from hrm_envs.arc.voting import TestInput
from hrm_envs.rendering.canvas import Canvas
from hrm_envs.rendering.theme import LIGHT
from hrm_envs.task import Ensemble

PLAIN = Augmentation(0, np.arange(10, dtype=np.uint8))
INPUT, A, B, C = (np.array(rows, np.uint8) for rows in ([[7]], [[1, 2], [3, 0]], [[1, 2], [3, 4]], [[5, 5, 5]]))
EMPTY = np.full((1, 9), END, np.uint8)


def result(tests, answers):
    """``answers``: (task, index, grid or None, halt probability)."""
    tokens = [EMPTY if cells is None else place([cells], 3) for _, _, cells, _ in answers]
    return collect(
        np.concatenate([np.zeros((0, 9), np.uint8), *tokens]),
        np.array([halt for *_, halt in answers], np.float32),
        3,
        [PLAIN] * len(answers),
        [(task, index) for task, index, _, _ in answers],
        tests,
    )


@pytest.fixture
def two_tasks():
    """``pair``: A (right) wins 3 to 1, and the only answer is C where B is right. ``single``: B, then A."""
    tests = [TestInput("pair", 1, INPUT, B), TestInput("pair", 0, INPUT, A), TestInput("single", 0, INPUT, A)]
    answers = [("pair", 0, A, 0.5), ("pair", 0, A, 0.25), ("pair", 0, A, 0.75), ("pair", 0, B, 1.0)]
    answers += [("pair", 1, C, 0.5), ("pair", 1, None, 1.0)]
    answers += [("single", 0, A, 0.25), ("single", 0, B, 0.5)]
    return result(tests, answers)


def test_the_figures(two_tasks):
    assert two_tasks.metrics == pytest.approx(
        {
            "pass@1": 0.0,
            "pass@1 (mean over outputs)": 0.25,  # half of pair, none of single
            "pass@2": 0.5,
            "pass@2 (mean over outputs)": 0.75,
            "pass@10": 0.5,
            "pass@10 (mean over outputs)": 0.75,
            "pass@100": 0.5,
            "pass@100 (mean over outputs)": 0.75,
            "right views": 4 / 8,
            "votes per output": 7 / 3,
            "candidates per output": 5 / 3,
            "scored tasks": 2,
            "tasks": 2,
            "outputs": 3,
        }
    )
    assert all(type(value) is float for value in two_tasks.metrics.values())


def test_unknown_outputs_give_no_scores_but_a_submission():
    unknown = result([TestInput("new", 0, INPUT)], [("new", 0, A, 0.5)])
    assert unknown.metrics == {
        "votes per output": 1.0, "candidates per output": 1.0, "scored tasks": 0.0, "tasks": 1.0, "outputs": 1.0,
    }  # fmt: skip
    assert unknown.submission() == {"new": [{"attempt_1": A.tolist(), "attempt_2": A.tolist()}]}
    (votes,) = unknown.votes()["new"]
    assert votes["output"] is None
    assert votes["candidates"][0]["right"] is None


def test_no_answers_at_all(tmp_path):
    silent = result([TestInput("t", 0, INPUT, A)], [])
    assert silent.metrics["pass@100"] == 0
    assert "right views" not in silent.metrics
    assert silent.submission() == {"t": [{"attempt_1": [[0]], "attempt_2": [[0]]}]}
    assert silent.write(tmp_path)
    nothing = ARCResult(())
    assert nothing.metrics == {"scored tasks": 0, "tasks": 0, "outputs": 0}
    assert [path.name for path in nothing.write(tmp_path)] == ["submission.json", "votes.json"]


def test_the_submission_has_two_attempts_for_each_test_input_in_order(two_tasks, tmp_path):
    two_tasks.write(tmp_path)
    assert json.loads((tmp_path / "submission.json").read_text()) == {
        "pair": [
            {"attempt_1": [[1, 2], [3, 0]], "attempt_2": [[1, 2], [3, 4]]},
            {"attempt_1": [[5, 5, 5]], "attempt_2": [[5, 5, 5]]},
        ],
        "single": [{"attempt_1": [[1, 2], [3, 4]], "attempt_2": [[1, 2], [3, 0]]}],
    }


def test_the_votes_are_enough_to_score_again(two_tasks, tmp_path):
    two_tasks.write(tmp_path)
    votes = json.loads((tmp_path / "votes.json").read_text())
    assert votes["pair"] == [
        {
            "views": 4,
            "output": ["12", "30"],
            "candidates": [
                {"grid": ["12", "30"], "count": 3, "halt_probability": 0.5, "right": True},
                {"grid": ["12", "34"], "count": 1, "halt_probability": 1.0, "right": False},
            ],
        },
        {
            "views": 2,
            "output": ["12", "34"],
            "candidates": [{"grid": ["555"], "count": 1, "halt_probability": 0.5, "right": False}],
        },
    ]
    for attempts in (1, 2):
        solved = [
            all(any(candidate["right"] for candidate in test["candidates"][:attempts]) for test in tests)
            for tests in votes.values()
        ]
        assert sum(solved) / len(solved) == two_tasks.metrics[f"pass@{attempts}"]


def test_the_result_is_an_ensemble(two_tasks, tmp_path):
    ensemble: Ensemble = two_tasks
    paths = ensemble.write(tmp_path)
    assert [path.name for path in paths] == ["submission.json", "votes.json", "sheet.png"]
    assert all(path.parent == tmp_path and path.is_file() for path in paths)


def test_without_pygame_there_are_no_pictures(two_tasks, tmp_path, monkeypatch):
    def absent():
        raise DependencyNotInstalled("no pygame")

    monkeypatch.setattr("hrm_envs.rendering.canvas.import_pygame", absent)
    monkeypatch.setattr("hrm_envs.arc.sheet.import_pygame", absent)
    assert [path.name for path in two_tasks.write(tmp_path)] == ["submission.json", "votes.json"]


# -- pictures ----------------------------------------------------------------------------------------------------


def picture(path):
    with Image.open(path) as opened:
        return np.asarray(opened.convert("RGB"))


def has(pixels, colour):
    return bool((pixels == np.array(colour, np.uint8)).all(axis=-1).any())


def test_a_sheet_shows_the_grids_and_frames_the_right_one(tmp_path):
    def sheet(answer):
        shown = result([TestInput("t", 0, INPUT, A)], [("t", 0, answer, 0.5)])
        return picture(write_sheets(shown.ballots, tmp_path)[0])

    right, wrong = sheet(A), sheet(B)
    assert right.shape == wrong.shape
    assert has(right, PALETTE[7]), "the input"
    assert all(has(right, PALETTE[colour]) for colour in (0, 1, 2, 3))
    assert not has(right, PALETTE[4])
    assert has(wrong, PALETTE[4]), "the wrong cell of the attempt"
    assert (right != wrong).any()


def test_long_sheets_have_pages_and_old_pages_go(tmp_path):
    large = np.arange(900).reshape(30, 30) % 10
    tests = [TestInput(f"task {n}", 0, large.astype(np.uint8), A) for n in range(10)]
    other = tmp_path / "sheet-of-music.png"
    other.touch()
    paths = result(tests, [("task 0", 0, A, 0.5)]).write(tmp_path)
    assert [path.name for path in paths[2:]] == ["sheet.png", "sheet-2.png"]
    assert all(max(picture(path).shape) <= 2000 for path in paths[2:])
    assert len(result(tests[:1], []).write(tmp_path)) == 3
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["sheet-of-music.png", "sheet.png"]


def test_equal_votes_give_equal_files(two_tasks, tmp_path):
    first = [path.read_bytes() for path in two_tasks.write(tmp_path)]
    assert first == [path.read_bytes() for path in two_tasks.write(tmp_path)]


def test_a_grid_keeps_its_shape_and_is_centred():
    canvas = Canvas(100, 60)
    rect = draw_grid(canvas, np.array([[1, 2, 3], [4, 5, 6]], np.uint8), (10, 0, 80, 60))
    cell = 80 / 3
    assert rect == pytest.approx((10, 30 - cell, 80, 2 * cell))
    pixels = canvas.pixels()
    for row in range(2):
        for column in range(3):
            at = round(rect[1] + (row + 0.5) * cell), round(rect[0] + (column + 0.5) * cell)
            assert tuple(pixels[at]) == PALETTE[1 + row * 3 + column]


def test_cells_have_a_largest_size_and_nothing_is_painted_of_nothing():
    canvas = Canvas(100, 60)
    assert draw_grid(canvas, np.array([[1]], np.uint8), (0, 0, 100, 60), 10) == (45, 25, 10, 10)
    before = canvas.pixels()
    assert draw_grid(canvas, np.zeros((0, 0), np.uint8), (0, 0, 100, 60))[2:] == (0, 0)
    assert np.array_equal(canvas.pixels(), before)


@pytest.mark.parametrize(("cells", "lines"), [(30, False), (15, False), (10, True), (3, True)])
def test_lines_part_black_cells_unless_they_would_cover_them(cells, lines):
    canvas = Canvas(60, 60, LIGHT)
    draw_grid(canvas, np.zeros((cells, cells), np.uint8), (0, 0, 60, 60))
    shades = np.unique(canvas.pixels()[5:55, 5:55])
    assert shades[0] == 0
    assert (len(shades) > 1) == lines
    assert shades[-1] < 80


def test_there_are_ten_colours():
    assert len(set(PALETTE)) == len(PALETTE) == 10
