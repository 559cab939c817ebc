import itertools
import subprocess
import sys

import numpy as np
import pytest

from hrm_agents.errors import UserError
from hrm_agents.evaluation.halting_report import halting_report
from hrm_agents.halting.q_scale import LOGIT
from hrm_agents.reports.figures import save_figure
from hrm_agents.reports.frontier_chart import FrontierPoint, draw_frontier
from hrm_agents.reports.plots import FEW_ANSWERS, draw_curves, draw_halting, draw_reliability

pytest.importorskip("matplotlib")

from matplotlib.colors import to_rgb
from matplotlib.text import Text
from matplotlib.transforms import Bbox

CURVES = {"a": [[(0, 0.1), (5, 0.6), (9, 0.8)], [(0, 0.1), (4, 0.5), (12, 0.9)]], "b": [[(0, 0.1), (20, 0.2)]]}


def report(num=60, segments=4, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    success = rng.random((num, segments)) < 0.6
    q_halt, q_continue = 2.0 * success + rng.normal(0, 1, (2, num, segments))
    return halting_report(success, success, q_halt, q_continue + shift, q_scale=LOGIT)


def line(axes, label):
    (found,) = (line for line in axes.lines if line.get_label() == label)
    return found


def texts(figure):
    """The text that is drawn, with its box in pixels."""
    figure.draw_without_rendering()
    found = [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        found += [axes.title, axes._left_title, *axes.texts]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            found.append(axis.label)
            ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            found += [tick.label1 for tick in ticks if tick.label1.get_visible()]
    # Of an annotation the box without the line to its point.
    return [(text.get_text(), Text.get_window_extent(text)) for text in found if text.get_text()]


def overlap(one, other):
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return width > 0.5 and height > 0.5


SERIES = {
    f"series {rank} of several": [
        FrontierPoint(1 + rank / 4 + step, 0.5 + 0.03 * step, f"{step / 100}") for step in range(6)
    ]
    for rank in range(3)
}
CHARTS = {
    "reliability": lambda **dark: draw_reliability(report(400), **dark),
    "reliability of many": lambda **dark: draw_reliability(report(40_000, 8), **dark),
    "halting": lambda **dark: draw_halting(report(), **dark),
    "halting, one segment": lambda **dark: draw_halting(report(20, 1), **dark),
    "halting, all forced": lambda **dark: draw_halting(report(20, 16, shift=50), **dark),
    "halting, 30 segments": lambda **dark: draw_halting(report(500, 30, shift=1), **dark),
    "frontier": lambda **dark: draw_frontier(SERIES, **dark),
    "frontier, one point": lambda **dark: draw_frontier({"one": [FrontierPoint(3.0, 1.0, "a")]}, **dark),
    "frontier, long names": lambda **dark: draw_frontier(
        {"a rather long name of a series " * 2: [FrontierPoint(1.0, 0.0)], "b": [FrontierPoint(64.0, 1.0)]},
        "a_module_of_mine:Somebody/With-A-Long-Environment-Name-v0: success against segments",
        "a subtitle of many words " * 6,
        **dark,
    ),
    "curves": lambda **dark: draw_curves(CURVES, "title", "subtitle", "time (minutes)", "solved", **dark),
}


@pytest.mark.parametrize("name", CHARTS)
def test_text_covers_no_other_text_nor_bars_and_stays_inside(name):
    figure = CHARTS[name]()
    boxes = texts(figure)
    for (one, box), (other, other_box) in itertools.combinations(boxes, 2):
        assert not overlap(box, other_box), (one, other)
    for axes in figure.axes:
        bars = [Bbox.intersection(bar.get_window_extent(), axes.bbox) for bar in axes.patches]
        for text, box in boxes:
            assert not any(overlap(box, bar) for bar in bars if bar), text
    for text, box in boxes:
        assert figure.bbox.x0 <= box.x0, text
        assert box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0, text
        assert box.y1 <= figure.bbox.y1, text


@pytest.mark.parametrize("name", CHARTS)
def test_dark_charts_differ_in_colours_alone(name):
    light, dark = CHARTS[name](), CHARTS[name](dark=True)
    assert min(to_rgb(light.get_facecolor())) > 0.9
    assert max(to_rgb(dark.get_facecolor())) < 0.2
    assert [text for text, _ in texts(light)] == [text for text, _ in texts(dark)]
    for figure, is_dark in ((light, False), (dark, True)):
        for axes in figure.axes:
            assert axes.get_facecolor() == figure.get_facecolor()
            labels = [axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()]
            for text in (text for text in (axes._left_title, *axes.texts, *labels) if text.get_text()):
                assert (min(to_rgb(text.get_color())) > 0.5) is is_dark


@pytest.mark.parametrize("name", CHARTS)
def test_axes_say_what_they_show(name):
    *above, lowest = CHARTS[name]().axes
    assert lowest.get_xlabel()
    assert all(axes.get_ylabel() for axes in (*above, lowest))


def test_reliability_shows_every_bin_and_few_answers_hollow():
    made = report(120)
    bins = made.calibration.bins
    above, below = draw_reliability(made).axes
    for few, hollow in ((False, False), (True, True)):
        group = [part for part in bins if (part.count < FEW_ANSWERS) is few]
        assert group
        points = next(
            line for line in above.lines
            if line.get_linestyle() == "None" and line.get_marker() == "o"
            and (to_rgb(line.get_markerfacecolor()) == (1, 1, 1)) is hollow
        )  # fmt: skip
        np.testing.assert_allclose(points.get_xdata().astype(float), [part.mean_probability for part in group])
        np.testing.assert_allclose(points.get_ydata().astype(float), [part.share_right for part in group])
        bars = [bar for bar in below.patches if bool(bar.get_hatch()) is hollow]
        assert [bar.get_height() for bar in bars] == [part.count for part in group]
    assert sorted(text.get_text() for text in below.texts) == sorted(str(part.count) for part in bins)


def test_error_bars_are_wilson_intervals():
    # 8 of 10 right: the published interval is 0.490 to 0.943.
    success = np.array([[True]] * 8 + [[False]] * 2)
    zeros = np.zeros((10, 1))
    above, _ = draw_reliability(halting_report(success, success, zeros, zeros - 1, q_scale=LOGIT)).axes
    (segment,) = above.collections[0].get_segments()
    np.testing.assert_allclose(segment, [[0.5, 0.490], [0.5, 0.943]], atol=6e-4)


def test_without_wrong_answers_there_is_no_auc():
    right = np.ones((5, 2), bool)
    same = halting_report(right, right, np.zeros((5, 2)), np.zeros((5, 2)), q_scale=LOGIT)
    assert not any("AUC" in text for text, _ in texts(draw_reliability(same)))
    made = report()
    (subtitle,) = [text.replace("\n", " ") for text, _ in texts(draw_reliability(made)) if "AUC" in text]
    assert f"AUC {made.auc:.3f}; up to the halt: AUC {made.auc_on_policy:.3f}, " in subtitle
    assert f"{made.num_on_policy_wrong} wrong answers" in subtitle


def test_halting_shows_success_and_halts():
    made = report(shift=0.5)
    above, below = draw_halting(made).axes
    fixed = line(above, "fixed number of segments")
    assert list(fixed.get_ydata()) == list(made.success_per_segment)
    for name, mean, success in (
        ("Q-head", made.mean_segments, made.success_rate),
        ("oracle", made.oracle_mean_segments, made.oracle_success_rate),
    ):
        point = line(above, f"{name}: {success:.1%} in {mean:.2f} segments")
        assert (point.get_xdata(), point.get_ydata()) == ([mean], [success])
    *chosen, forced = below.patches
    assert 0 < made.forced_rate < made.halts_per_segment[-1]
    np.testing.assert_allclose([bar.get_height() for bar in chosen[:-1]], made.halts_per_segment[:-1])
    assert chosen[-1].get_height() + forced.get_height() == pytest.approx(made.halts_per_segment[-1])
    assert forced.get_hatch()
    assert forced.get_height() == made.forced_rate
    right, wrong = made.forced_solved_rate, made.forced_unsolved_rate
    assert f"forced halts: {right:.1%} right, {wrong:.1%} wrong" in below.get_legend_handles_labels()[1]
    assert len(draw_halting(report(shift=-50)).axes[1].patches) == 4  # nothing is forced


def test_frontier_shows_every_series_sorted_and_the_first_on_top():
    series = {str(rank): [FrontierPoint(2.0 + rank, 0.1 * rank), FrontierPoint(1.0, 0.05 * rank)] for rank in range(8)}
    figure = draw_frontier(series)
    (axes,) = figure.axes
    lines = [line(axes, name) for name in series]
    for rank, each in enumerate(lines):
        np.testing.assert_allclose(each.get_xydata(), [(1.0, 0.05 * rank), (2.0 + rank, 0.1 * rank)])
    assert len({each.get_marker() for each in lines}) == len({each.get_color() for each in lines}) == 8
    orders = [each.get_zorder() for each in lines]
    assert orders == sorted(orders, reverse=True)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(series)


def test_ranges_are_error_bars():
    point = FrontierPoint(2.0, 0.5, "", (1.5, 3.0), (0.25, 0.75))
    (axes,) = draw_frontier({"ends": [FrontierPoint(1.0, 0.2), FrontierPoint(3.0, 0.8)], "middle": [point]}).axes
    across, upright = (collection.get_segments()[0] for collection in axes.collections)
    np.testing.assert_allclose(across, [(1.5, 0.5), (3.0, 0.5)])
    np.testing.assert_allclose(upright, [(2.0, 0.25), (2.0, 0.75)])


@pytest.mark.parametrize(("most", "scale"), [(3.0, "linear"), (4.0, "log"), (16.0, "log")])
def test_wide_ranges_of_segments_are_logarithmic(most, scale):
    (axes,) = draw_frontier({"a": [FrontierPoint(1.0, 0.5), FrontierPoint(most, 0.6)]}).axes
    assert axes.get_xscale() == scale
    assert ("logarithmic" in axes.get_xlabel()) is (scale == "log")


def test_labels_keep_off_lines_and_those_without_a_place_are_omitted():
    figure = draw_frontier({"a": [FrontierPoint(1 + 0.1 * step, 0.5, f"label {step}") for step in range(6)]})
    boxes = [box for text, box in texts(figure) if text.startswith("label ")]
    (axes,) = figure.axes
    pixels = axes.transData.transform(axes.lines[0].get_xydata())
    assert len(boxes) == 6
    assert not any(box.y0 <= pixels[0, 1] <= box.y1 for box in boxes)
    for box, place in zip(boxes, pixels, strict=True):
        assert np.hypot(*((box.p0 + box.p1) / 2 - place)) < 100
    same = [FrontierPoint(1.0, 0.5, "a rather long label " * 4) for _ in range(12)]
    (axes,) = draw_frontier({"a": same}).axes
    assert len([text for text in axes.texts if "long label" in text.get_text()]) < 12


def test_of_many_labels_some_are_shown():
    points = [FrontierPoint(number, number / 500, str(number)) for number in range(1, 500)]
    (axes,) = draw_frontier({"a": points}).axes
    assert 8 <= len([text for text in axes.texts if text.get_text().isdigit()]) <= 16


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ({}, "no series"),
        ({"a": []}, "'a' has no points"),
        ({"a": [FrontierPoint(1, 0.5), FrontierPoint(1, 93.0)]}, "point 1 of series 'a'"),
        ({"a": [FrontierPoint(float("nan"), 0.5)]}, "point 0 of series 'a'"),
        ({"a": [FrontierPoint(2.0, 0.5, "", (1.0, float("inf")), None)]}, "point 0 of series 'a'"),
        ({"a": [FrontierPoint(2.0, 0.5, "", None, (0.5, 1.5))]}, "point 0 of series 'a'"),
        ({str(number): [FrontierPoint(1, 0.5)] for number in range(9)}, "at most 8"),
    ],
)
def test_bad_frontiers(series, message):
    with pytest.raises(ValueError, match=message):
        draw_frontier(series)


def test_curves_show_runs_and_the_mean_where_all_runs_are():
    (axes,) = draw_curves(CURVES, "title", "subtitle", "time (minutes)", "solved").axes
    thin, mean = axes.lines[:2], line(axes, "a (mean of 2 seeds)")
    for each, run in zip(thin, CURVES["a"], strict=True):
        np.testing.assert_allclose(each.get_xydata(), run)
    assert mean.get_xdata()[-1] == 9
    assert mean.get_ydata()[-1] == pytest.approx((0.8 + 0.75) / 2)
    assert mean.get_linewidth() > 2 * thin[0].get_linewidth()
    assert line(axes, "b (one seed)").get_ydata()[-1] == pytest.approx(0.2)


# -- files and missing packages ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml"), ("PNG", b"\x89PNG")]
)
def test_files_are_what_their_suffix_says_and_the_same_again(tmp_path, suffix, start):
    paths = [tmp_path / f"{number}.{suffix}" for number in range(2)]
    for path in paths:
        save_figure(draw_frontier(SERIES), path)
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(start)
    assert first == second
    for date in (b"CreationDate", b"ModDate", b"dc:date", b"tIME", b"Creation Time"):
        assert date not in first


@pytest.mark.parametrize("name", ["chart.gif", "chart", "chart.png.txt"])
def test_other_suffixes_are_refused(tmp_path, name):
    with pytest.raises(UserError, match=r"choose from \.png, \.pdf, \.svg"):
        save_figure(draw_frontier(SERIES), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    (tmp_path / "out.png").mkdir()
    with pytest.raises(UserError, match=r"out\.png"):
        save_figure(draw_frontier(SERIES), tmp_path / "out.png")
    assert (tmp_path / "out.png").is_dir()


def test_missing_matplotlib_is_one_clear_line(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r'pip install "hrm-agents\[plot\]"'):
        draw_frontier(SERIES)


def test_drawing_needs_no_other_packages_and_changes_no_global_state(tmp_path):
    code = f"""if True:
        import sys
        from pathlib import Path
        import hrm_agents.reports.plots
        from hrm_agents.reports.figures import save_figure
        from hrm_agents.reports.frontier_chart import FrontierPoint, draw_frontier
        assert not {{"torch", "pygame", "PIL", "matplotlib"}} & set(sys.modules)
        import matplotlib
        before = matplotlib.rcParams.copy()
        save_figure(draw_frontier({{"a": [FrontierPoint(1, 0.5)]}}), Path({str(tmp_path / "out.svg")!r}))
        assert matplotlib.rcParams.copy() == before
        assert not {{"torch", "pygame", "matplotlib.pyplot"}} & set(sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
