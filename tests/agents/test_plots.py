import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hrm_agents.errors import UserError
from hrm_agents.evaluation.halting_report import halting_report

pytest.importorskip("pygame")

from gymnasium.error import DependencyNotInstalled

from hrm_agents.reports import plots
from hrm_agents.reports.chart import STYLES, Axes, Entry, Legend, Style, draw_line, nice_ticks, tick_texts
from hrm_agents.reports.plots import FrontierPoint, draw_frontier, draw_halting, draw_reliability, write_png
from hrm_envs.rendering.canvas import AMBER, BLUE, PANEL, STRONG, Canvas


def report(num=60, segments=4, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    success = rng.random((num, segments)) < 0.6
    q_halt, q_continue = 2.0 * success + rng.normal(0, 1, (2, num, segments))
    return halting_report(success, success, q_halt, q_continue + shift, values_are_logits=True)


def has(pixels, color, tolerance=6):
    return bool((np.abs(pixels.astype(int) - color).max(axis=-1) <= tolerance).any())


def count(pixels, color, tolerance=6):
    return int((np.abs(pixels.astype(int) - color).max(axis=-1) <= tolerance).sum())


# -- the kit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [
        (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.83, 0.97, 5, [0.84, 0.86, 0.88, 0.9, 0.92, 0.94, 0.96]),
        (0.5, 8.5, 16, [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5, 8, 8.5]),
        (1, 16, 4, [5, 10, 15]),
        (-0.3, 0.1, 4, [-0.3, -0.2, -0.1, 0, 0.1]),
        (0, 30_000, 3, [0, 10_000, 20_000, 30_000]),
    ],
)
def test_ticks(low, high, count, expected):
    assert nice_ticks(low, high, count) == expected


@given(st.floats(-1e4, 1e4), st.floats(1e-6, 1e6), st.integers(3, 12))
@settings(max_examples=100, deadline=None)
@example(0.03125, 0.96875, 3)  # where the step nearest to a third would leave one tick
def test_ticks_are_even_inside_and_about_so_many(place, size, count):
    # Not so far from 0 that neighbouring ticks are the same number.
    low, high = place * size, place * size + size
    ticks = nice_ticks(low, high, count)
    steps = np.diff(ticks)
    assert count / 2 - 1 <= len(ticks) <= 2 * count + 1
    assert min(ticks) >= low - 1e-6 * size
    assert max(ticks) <= high + 1e-6 * size
    np.testing.assert_allclose(steps, steps[0], rtol=1e-3)


@pytest.mark.parametrize(("low", "high", "count"), [(1, 1, 5), (2, 1, 5), (0, float("inf"), 5), (0, 1, 0)])
def test_no_ticks_for_an_empty_range(low, high, count):
    with pytest.raises(ValueError, match="axis"):
        nice_ticks(low, high, count)


def test_tick_texts():
    assert tick_texts([0, 0.5, 1], percent=True) == ["0%", "50%", "100%"]
    assert tick_texts([0.99, 0.995, 1.0], percent=True) == ["99.0%", "99.5%", "100.0%"]
    assert tick_texts([1.0, 2.0]) == ["1", "2"]
    assert tick_texts([0.1 * 3, 0.2]) == ["0.3", "0.2"]


def test_axes_map_their_corners():
    axes = Axes(Canvas(100, 100), (10, 20, 60, 40), (1, 3), (0, 1), 1.0)
    assert axes.at(1, 0) == (10, 60)
    assert axes.at(3, 1) == (70, 20)
    assert axes.at(2, 0.25) == (40, 50)


def test_a_bar_is_as_high_as_its_value():
    canvas = Canvas(100, 100, (0, 0, 0))
    Axes(canvas, (0, 0, 100, 100), (0, 10), (0, 1), 1.0).bar(5, 0.4, 2, BLUE)
    lit = np.argwhere((canvas.pixels() > 40).any(axis=-1))
    assert lit.min(axis=0).tolist() == [60, 40]
    assert lit.max(axis=0).tolist() == [99, 59]


def test_dashes_follow_the_line_round_corners():
    canvas = Canvas(80, 80, (0, 0, 0))
    draw_line(canvas, [(10, 10), (70, 10), (70, 70)], Style(BLUE, "disc", (6, 10)), 2, 1.0)
    lit = (canvas.pixels() > 60).any(axis=-1)
    along = [*(lit[9:12, x].any() for x in range(10, 70)), *(lit[y, 69:72].any() for y in range(10, 70))]
    changes = int(np.abs(np.diff(np.array(along, int))).sum())
    assert 12 <= changes <= 17  # about 120 / 16 strokes, each with two ends
    assert 0.35 < np.mean(along) < 0.75


def test_styles_differ_by_shape():
    pictures = []
    for style in STYLES:
        canvas = Canvas(60, 60)
        axes = Axes(canvas, (0, 0, 60, 60), (0, 1), (0, 1), 1.0)
        axes.marker(0.5, 0.5, Style(BLUE, style.marker), 10)
        pictures.append(canvas.pixels())
    for number, one in enumerate(pictures):
        assert has(one, BLUE)
        for other in pictures[:number]:
            assert (one != other).any(axis=-1).sum() > 20
    assert len({style.color for style in STYLES}) == len(STYLES)


def test_a_legend_takes_as_many_rows_as_it_needs():
    entries = [Entry(f"a rather long name {number}", style) for number, style in enumerate(STYLES)]
    wide, narrow = Legend(entries, 5000, 1.0), Legend(entries, 300, 1.0)
    assert narrow.height == 8 * wide.height
    assert narrow.width <= 300
    canvas = Canvas(300, 240)
    narrow.draw(canvas, (0, 14))
    for style in STYLES:
        assert has(canvas.pixels(), style.color)


# -- the pictures ------------------------------------------------------------------------------------------


def test_reliability_shows_its_bars_and_points():
    pixels = draw_reliability(report())
    assert pixels.dtype == np.uint8
    assert pixels.shape[1:] == (1080, 3)
    for color in (BLUE, STRONG, PANEL):
        assert has(pixels, color)
    # No rank statistic where every answer is right.
    right = np.ones((5, 2), bool)
    same = halting_report(right, right, np.zeros((5, 2)), np.zeros((5, 2)), values_are_logits=True)
    assert draw_reliability(same).shape == pixels.shape


def test_forced_halts_are_hollow():
    by_choice, forced = draw_halting(report(shift=-50)), draw_halting(report(shift=50))
    assert by_choice.shape == forced.shape
    # All halt at segment 1, or all at 4, in bars of the same height.
    assert count(by_choice, AMBER) > 4 * count(forced, AMBER)


@pytest.mark.parametrize("segments", [1, 30])
def test_halting_with_few_and_many_segments(segments):
    assert has(draw_halting(report(num=20, segments=segments)), AMBER)


def test_frontier_shows_every_series():
    series = {
        f"series {number}": [FrontierPoint(2.0 + number, 0.1 * number, "label"), FrontierPoint(1.0, 0.05 * number)]
        for number in range(len(STYLES))
    }
    pixels = draw_frontier(series)
    for style in STYLES:
        assert has(pixels, style.color)
    assert pixels.shape[1:] == (1440, 3)
    assert draw_frontier({"one": [FrontierPoint(3.0, 1.0)]}, "title", "").shape[1] == 1440


def test_order_of_points_is_of_no_account():
    points = [FrontierPoint(1, 0.5, "a"), FrontierPoint(2, 0.7, "b"), FrontierPoint(3, 0.8)]
    np.testing.assert_array_equal(draw_frontier({"s": points}), draw_frontier({"s": points[::-1]}))


def test_labels_keep_off_points_and_each_other(monkeypatch):
    placed = []
    true = plots._free_place

    def spy(*arguments):
        placed.append(true(*arguments))
        return placed[-1]

    monkeypatch.setattr(plots, "_free_place", spy)
    draw_frontier({"s": [FrontierPoint(1 + 0.1 * step, 0.5 + 0.04 * step, f"{step / 100}") for step in range(6)]})
    assert len(placed) == 6
    for number, one in enumerate(placed):
        assert all(plots._overlap(one, other) == 0 for other in placed[:number])


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ({}, "no series"),
        ({"a": []}, "'a' has no points"),
        ({"a": [FrontierPoint(1, 0.5), FrontierPoint(1, 93.0)]}, "point 1 of series 'a'"),
        ({"a": [FrontierPoint(float("nan"), 0.5)]}, "point 0 of series 'a'"),
        ({str(number): [FrontierPoint(1, 0.5)] for number in range(9)}, "at most 8"),
    ],
)
def test_bad_frontiers(series, message):
    with pytest.raises(ValueError, match=message):
        draw_frontier(series)


# -- files and missing packages ----------------------------------------------------------------------------


def test_png_holds_the_same_pixels(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    write_png(tmp_path / "new" / "out.png", pixels)
    with image_module.open(tmp_path / "new" / "out.png") as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)


def test_missing_pillow_is_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UserError, match=r'pip install "hrm-agents\[render\]"'):
        write_png(tmp_path / "out.png", np.zeros((2, 2, 3), np.uint8))
    assert not (tmp_path / "out.png").exists()


def test_missing_pygame_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(DependencyNotInstalled, match=r'pip install "hrm-agents\[render\]"'):
        draw_frontier({"a": [FrontierPoint(1, 0.5)]})


def test_importing_plots_loads_neither_torch_nor_pygame():
    code = "import hrm_agents.reports.plots, sys; assert not {'torch', 'pygame', 'PIL'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
