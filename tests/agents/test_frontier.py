import csv
import dataclasses
import json
import signal
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hrm_agents.cli import main
from hrm_agents.commands import frontier_runs as frontier
from hrm_agents.commands.frontier import Frontier
from hrm_agents.commands.frontier_runs import FIGURES, default_lengths, plan, settings_of, stage_of, trace_frontier
from hrm_agents.config import to_dict
from hrm_agents.errors import UserError
from hrm_agents.halting.q_scale import PLAIN
from hrm_agents.records.checkpoint import CONFIG, MODEL, STATE, load_state
from hrm_agents.reports.frontier import (
    COLUMNS,
    Result,
    Setting,
    chart,
    csv_text,
    findings,
    fixed_success_at,
    from_csv,
    is_monotone,
    over_seeds,
)
from hrm_agents.reports.frontier_chart import FrontierPoint, draw_frontier
from hrm_agents.reports.frontier_interval import Spread
from hrm_agents.trainer import Trainer

MAZE = "HRM/Maze-5x5-v0"


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def result(cost, seed=0, success=0.5, segments=2.0, per_segment=(0.2, 0.6, 0.8), gamma=1.0, auc=0.75, length=None):
    return Result(Setting(cost, gamma, seed, length), 100, 60, success, segments, 0.25, auc, per_segment)


def trained_with(length, success, seed=0):
    return result(0.0, seed, success, float(length), length=length)


#: Two seeds of three prices, all hand-made.
RESULTS = [
    result(0.0, 0, 0.8, 3.0, (0.2, 0.6, 0.8)),
    result(0.1, 0, 0.5, 1.25, auc=None),
    result(0.01, 0, 0.7, 2.5),
    result(0.0, 1, 0.6, 2.0, (0.4, 0.5, 0.6)),
    result(0.1, 1, 0.3, 1.75),
    result(0.01, 1, 0.7, 1.5),
]


# What is trained


def test_a_plan_goes_seed_by_seed_and_has_no_price_first():
    assert plan([0.1, 0.01], [1.0], [3, 0]) == [
        Setting(cost, 1.0, seed) for seed in (3, 0) for cost in (0.0, 0.01, 0.1)
    ]
    assert plan([], [1.0], [0]) == [Setting(0.0, 1.0, 0)]


def test_fixed_lengths_come_last_of_each_seed(tiny_config):
    assert plan([], [1.0], [0, 1], [4, 1]) == [
        Setting(0.0, 1.0, seed, length) for seed in (0, 1) for length in (None, 1, 4)
    ]
    assert default_lengths(tiny_config(MAZE, {"max_segments": 5})) == (1, 2, 4)


def test_other_discounts_come_with_the_baseline():
    assert plan([0.1], [0.9], [0]) == [Setting(0.0, 1.0, 0), Setting(0.0, 0.9, 0), Setting(0.1, 0.9, 0)]
    both = [setting[:2] for setting in plan([0.1], [0.9, 1.0], [0])]
    assert both == [(0.0, 1.0), (0.0, 0.9), (0.1, 0.9), (0.1, 1.0)]


@pytest.mark.parametrize(
    ("costs", "gammas", "seeds", "message"),
    [
        ([0.1, -0.1], [1.0], [0], "--costs must be finite and not negative, got -0.1"),
        ([float("nan")], [1.0], [0], "--costs must be finite and not negative, got nan"),
        ([float("inf")], [1.0], [0], "--costs must be finite and not negative, got inf"),
        ([0.1, 0.0, 0.1], [1.0], [0], "--costs: 0.1 is given twice"),
        ([0.0, -0.0], [1.0], [0], "--costs: -0 is given twice"),
        ([0.1], [0.0], [0], r"--gammas must lie in \(0, 1\], got 0.0"),
        ([0.1], [1.0, 1.0], [0], "--gammas: 1 is given twice"),
        ([0.1], [1.0], [0, -1], "--seeds must not be negative, got -1"),
        ([0.1], [1.0], [2, 2], "--seeds: 2 is given twice"),
        ([0.1], [1.0], [], "--seeds: give at least one"),
        ([0.1], [], [0], "--gammas: give at least one"),
    ],
)
def test_bad_plans(costs, gammas, seeds, message):
    with pytest.raises(UserError, match=message):
        plan(costs, gammas, seeds)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [([0], "--fixed-lengths must be at least 1, got 0"), ([2, 2], "--fixed-lengths: 2 is given twice")],
)
def test_bad_fixed_lengths(lengths, message):
    with pytest.raises(UserError, match=message):
        plan([], [1.0], [0], lengths)


def flat(config, prefix=""):
    """All settings of a run by their dotted names."""
    found = {}
    for name, value in config.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


@pytest.mark.parametrize("rule", ["q", "gain", "policy"])
def test_models_differ_in_their_price_alone(tiny_config, rule):
    """In segment cost, discount and seed; those trained with a fixed number also in the rule. All learn alike."""
    settings = plan([0.25, 0.5], [1.0, 0.9], [0, 7], [1, 2])
    configs = {setting: settings_of(setting, tiny_config(halting={"rule": rule})) for setting in settings}
    assert len(settings) == 2 * (6 + 2)
    priced = {"env.kwargs.segment_cost", "halting.gamma", "run.seed"}
    for one, config in configs.items():
        for other, another in configs.items():
            mine, theirs = flat(to_dict(config)), flat(to_dict(another))
            assert mine.keys() == theirs.keys()
            differing = {name for name, value in mine.items() if value != theirs[name]}
            allowed = priced
            if one.fixed_length or other.fixed_length:
                allowed = priced | {"halting.rule", "halting.fixed_segments"}
            assert differing <= allowed
            if one.fixed_length and other.fixed_length:
                assert differing <= {"halting.fixed_segments", "run.seed"}
            if one.fixed_length is None and other.fixed_length is None:
                # The loss of Q, and where its head starts, follow from the settings.
                assert config.q_scale() == another.q_scale()
                start = config.halting_method.initial_q(config.halting, config.q_scale())
                assert start == another.halting_method.initial_q(another.halting, another.q_scale())


def test_settings_of_a_model(tiny_config):
    base = tiny_config()
    config = settings_of(Setting(0.25, 0.5, 7), base)
    assert config.env.kwargs == {**base.env.kwargs, "segment_cost": 0.25}
    assert (config.halting.gamma, config.run.seed, config.q_scale()) == (0.5, 7, PLAIN)
    assert (config.model, config.optim) == (base.model, base.optim)
    assert settings_of(Setting(0.0, 1.0, 7), base).q_scale() == PLAIN
    fixed = settings_of(Setting(0.0, 1.0, 7, 2), base)
    assert (fixed.halting.rule, fixed.halting.fixed_segments, fixed.q_scale()) == ("fixed", 2, PLAIN)
    assert Setting(0.03, 1.0, 2).folder == "cost-0.03-gamma-1-seed-2"
    assert Setting(0.0, 1.0, 2, 4).folder == "fixed-4-seed-2"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"halting": {"rule": "fixed"}}, "halting.rule='fixed' disregards the segment cost"),
        ({"halting": {"rule": "probability"}}, "disregards the segment cost: choose q or"),
        ({"kwargs": {"segment_cost": 0.1}}, "the frontier varies segment_cost"),
        ({"halting": {"q_loss": "bce"}}, "trains all models with halting.q_loss='mse'"),
        ({"halting": {"q_loss": "bce", "rule": "gain"}}, "trains all models with halting.q_loss='mse'"),
        ({"kwargs": {"max_segments": 1}}, "fixed_segments 2 is more than the 1 segments of the environment"),
    ],
)
def test_experiments_that_cannot_work_train_nothing(tiny_config, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        trace_frontier(tiny_config(**changes), plan([0.1], [1.0], [0], [2]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


# The runner


@pytest.fixture
def trained(monkeypatch):
    """Names of the folders in which a trainer ran, in order."""
    names = []
    run = Trainer.run

    def noted(self):
        names.append(self.out.name)
        return run(self)

    monkeypatch.setattr(Trainer, "run", noted)
    return names


def test_models_are_trained_once_and_measured_like_an_evaluation(tiny_config, tmp_path, trained):
    base, lines = tiny_config(), []
    first = trace_frontier(base, plan([0.5], [1.0], [0]), tmp_path, lines.append)
    names = ["cost-0-gamma-1-seed-0", "cost-0.5-gamma-1-seed-0"]
    assert trained == names
    assert lines == [f"run {number} of 2 (new): {tmp_path / name}" for number, name in enumerate(names, 1)]
    for each in first:
        saved = json.loads((tmp_path / each.setting.folder / CONFIG).read_text())
        assert saved["env"]["kwargs"]["segment_cost"] == each.setting.cost
        assert saved["evaluation"]["success_rate"] == each.success_rate
        assert saved["evaluation"]["mean_segments"] == each.mean_segments
        assert saved["evaluation"]["success_per_segment"] == list(each.success_per_segment)
        assert len(each.success_per_segment) == 3

    # A new price and another seed train only what is new; settings that teach nothing may change.
    again = dataclasses.replace(base, run=dataclasses.replace(base.run, log_every=1, save_every=3, eval_puzzles=7))
    more = trace_frontier(again, plan([0.5, 0.25], [1.0], [0]), tmp_path)
    assert trained == [*names, "cost-0.25-gamma-1-seed-0"]
    assert [more[0], more[2]] == first

    # So does a fixed number, whose model halts there.
    *_, fixed = trace_frontier(base, plan([0.5], [1.0], [0], [2]), tmp_path)
    assert trained == [*names, "cost-0.25-gamma-1-seed-0", "fixed-2-seed-0"]
    assert (fixed.mean_segments, fixed.success_rate, fixed.margin) == (2.0, fixed.success_per_segment[1], 0.0)

    # Figures that are damaged or gone are measured again.
    (tmp_path / names[0] / FIGURES).write_text("{")
    (tmp_path / names[1] / FIGURES).unlink()
    assert trace_frontier(base, plan([0.5], [1.0], [0]), tmp_path) == first
    assert len(trained) == 4


def test_kept_figures_are_read_and_not_measured_again(tiny_config, tmp_path, monkeypatch):
    base, settings = tiny_config(MAZE, {"max_segments": 3}), plan([], [1.0], [0])
    (first,) = trace_frontier(base, settings, tmp_path)
    monkeypatch.setattr(frontier, "load", None)
    assert trace_frontier(base, settings, tmp_path) == [first]


def test_a_stopped_experiment_goes_on_and_ends_like_an_unbroken_one(tiny_config, tmp_path, monkeypatch):
    base, settings = tiny_config(MAZE, {"max_segments": 3}, run={"updates": 6}), plan([0.5], [1.0], [0])
    whole = trace_frontier(base, settings, tmp_path / "whole")
    update = Trainer.update

    def interrupted(self):
        metrics = update(self)
        if self.config.env.kwargs["segment_cost"] == 0.5 and self.updates_done == 3:
            signal.raise_signal(signal.SIGINT)
        return metrics

    broken, lines = tmp_path / "broken", []
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trace_frontier(base, settings, broken)
    last = settings[-1].folder
    assert load_state(broken / last)[1]["updates_done"] == 3
    # What was measured of an earlier model in the same place must not count for this one.
    (broken / last / FIGURES).write_text((tmp_path / "whole" / settings[0].folder / FIGURES).read_text())
    assert trace_frontier(base, settings, broken, lines.append) == whole
    assert [line.split(":")[0] for line in lines] == ["run 1 of 2 (finished)", "run 2 of 2 (stopped)"]
    for name in (MODEL, STATE, FIGURES):
        assert (tmp_path / "whole" / last / name).read_bytes() == (broken / last / name).read_bytes()


def test_compiled_models_do_not_count_against_those_that_follow(tiny_config, tmp_path, monkeypatch):
    happened = []
    monkeypatch.setattr(torch, "compile", lambda model: happened.append("compile") or model)
    monkeypatch.setattr(torch.compiler, "reset", lambda: happened.append("reset"))
    base = tiny_config(MAZE, {"max_segments": 3}, run={"updates": 1, "compile": True})
    for _ in range(2):  # the second time there is nothing to train
        trace_frontier(base, plan([0.5], [1.0], [0]), tmp_path)
    assert happened == ["reset", "compile"] * 2


def test_a_run_with_other_settings_is_refused_before_anything_is_trained(tiny_config, tmp_path, trained):
    folder = tmp_path / "cost-0.5-gamma-1-seed-0"
    Trainer(settings_of(Setting(0.5, 1.0, 0), tiny_config(run={"updates": 2})), folder).run()
    with pytest.raises(UserError, match=r"seed-0 holds a run with run.updates=2, not 4: use the same"):
        trace_frontier(tiny_config(), plan([0.5], [1.0], [0]), tmp_path)
    with pytest.raises(UserError, match=r"env.kwargs=.*'max_segments': 3.* not .*'max_segments': 2"):
        trace_frontier(tiny_config(kwargs={"max_segments": 2}), plan([0.5], [1.0], [0]), tmp_path)
    assert trained == [folder.name]


def test_stages(tiny_config, tmp_path):
    config = settings_of(Setting(0.0, 1.0, 0), tiny_config())
    assert stage_of(tmp_path, config) == "new"
    trainer = Trainer(config, tmp_path)
    trainer.update()
    trainer.save()
    trainer.log.close()
    assert stage_of(tmp_path, config) == "stopped"
    (tmp_path / STATE).unlink()
    with pytest.raises(UserError, match=f"{STATE} is missing"):
        stage_of(tmp_path, config)


# Figures


def test_an_interval_over_seeds_is_students():
    # 0.1 to 0.5: mean 0.3, sample deviation sqrt(0.025), and 2.776 is the quantile for 4 degrees of freedom.
    half = 2.7764 * 0.025**0.5 / 5**0.5
    assert Spread.of([0.1, 0.2, 0.3, 0.4, 0.5]) == (
        pytest.approx(0.3),
        pytest.approx((0.3 - half, 0.3 + half), abs=1e-4),
    )
    assert Spread.of([0.4]) == (0.4, None), "one seed says nothing about others"
    assert Spread.of([0.4, 0.4]) == (0.4, None), "neither do several that agree"
    # Shares have limits, and so have numbers of segments.
    assert Spread.of([0.9, 1.0], 0.0, 1.0).interval == (pytest.approx(0.95 - 12.706 * 0.05, abs=1e-4), 1.0)
    assert Spread.of([1.0, 1.2], 1.0).interval[0] == 1.0


def test_means_over_seeds():
    points = over_seeds([trained_with(3, 0.7), *RESULTS, result(0.0, 0, gamma=0.9), trained_with(2, 0.6)])
    assert [(point.gamma, point.cost, point.fixed_length) for point in points] == [
        *((1.0, 0.0, None), (1.0, 0.01, None), (1.0, 0.1, None), (0.9, 0.0, None), (1.0, 0.0, 2), (1.0, 0.0, 3)),
    ]
    assert [point.is_baseline for point in points] == [True, *[False] * 5]
    assert points[0].success_rate == Spread.of([0.8, 0.6], 0.0, 1.0)
    assert points[0].success_rate.mean == pytest.approx(0.7)
    assert points[1].mean_segments.mean == 2.0
    assert points[2].auc == (0.75, None), "of the one seed that has any"
    assert over_seeds([result(0.0, auc=None)])[0].auc is None
    curve = [spread.mean for spread in points[0].success_per_segment]
    np.testing.assert_allclose(curve, [0.3, 0.55, 0.7])


def test_each_model_is_compared_with_itself():
    """Not with the model without a cost, whose answers are others."""
    one = result(0.1, 0, 0.5, 1.5, per_segment=(0.2, 0.6, 0.8))
    other = result(0.1, 1, 0.9, 2.5, per_segment=(0.8, 0.9, 1.0))
    assert (one.margin, other.margin) == (pytest.approx(0.1), pytest.approx(-0.05))
    (point,) = over_seeds([one, other])
    assert point.margin == Spread.of([one.margin, other.margin], -1.0, 1.0)
    better = result(0.0, 0, 1.0, 1.0, per_segment=(1.0, 1.0, 1.0))
    assert over_seeds([one, other, better])[1] == point


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ({0.0: 3.0, 0.01: 2.0, 0.1: 1.0}, True),
        ({0.1: 1.0, 0.0: 3.0, 0.01: 2.0}, True),
        ({0.0: 3.0, 0.01: 3.0, 0.1: 1.0}, True),
        ({0.0: 3.0, 0.01: 1.0, 0.1: 1.5}, False),
        ({0.0: 1.0, 0.01: 1.5}, False),
        ({0.0: 1.0}, True),
    ],
)
def test_is_monotone(segments, expected):
    assert is_monotone(segments) is expected


def test_fixed_numbers_are_interpolated():
    fixed = [0.2, 0.6, 0.8]
    assert [fixed_success_at(x, fixed) for x in (1.0, 1.5, 2.0, 2.25, 3.0)] == pytest.approx([0.2, 0.4, 0.6, 0.65, 0.8])
    for outside in (0.5, 3.5):
        with pytest.raises(ValueError, match="between 1 and 3"):
            fixed_success_at(outside, fixed)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.data())
def test_a_coin_between_two_fixed_numbers_never_beats_what_lies_between_neighbours_of_a_concave_curve(gains, data):
    """And each fixed number equals itself."""
    fixed = np.cumsum(sorted(gains, reverse=True)) / len(gains)
    for count, success in enumerate(fixed, 1):
        assert result(0.0, 0, success, count, tuple(fixed)).margin == 0.0
    low, high = sorted(data.draw(st.lists(st.integers(1, len(fixed)), min_size=2, max_size=2)))
    share = data.draw(st.floats(0, 1))
    mean, success = share * low + (1 - share) * high, share * fixed[low - 1] + (1 - share) * fixed[high - 1]
    assert fixed_success_at(min(max(mean, 1.0), len(fixed)), fixed) >= success - 1e-9


def test_findings_in_words():
    points = over_seeds(RESULTS)
    # At 1.25 and 1.75 segments the models of cost 0.1 would solve 0.3 and 0.5 after fixed numbers; they do 0.5 and 0.3.
    assert findings(points) == [
        "a higher segment cost never took more segments (2.50 at 0, 2.00 at 0.01, 1.50 at 0.1)",
        "every halting model solves at least what it solves after fixed numbers of segments with the same mean",
    ]
    assert len(findings(points[:1])) == 1  # one price shows no trend
    rising = dataclasses.replace(points[1], gamma=0.9, cost=0.2, mean_segments=Spread(2.75))
    discounted = [points[0], dataclasses.replace(points[1], gamma=0.9), rising]
    assert findings(discounted)[0] == (
        "discount 0.9: a higher segment cost did not always take fewer segments (2.00 at 0.01, 2.75 at 0.2)"
    )


def test_findings_name_models_that_lose_against_themselves():
    short = [result(0.1, seed, success, 1.5) for seed, success in enumerate((0.30, 0.34))]
    assert findings(over_seeds(short)) == [
        "at segment cost 0.1 and discount 1 halting solves 32.0% in 1.50 segments; after fixed numbers with the same "
        "mean, the same models solve 40.0% (-8.0 points, 95% interval -33.4 to 17.4)"
    ]
    assert findings(over_seeds(short[:1])) == [
        "at segment cost 0.1 and discount 1 halting solves 30.0% in 1.50 segments; after fixed numbers with the same "
        "mean, the same models solve 40.0% (-10.0 points)"
    ]


def test_findings_compare_with_models_trained_with_fixed_numbers():
    fixed = [trained_with(1, 0.4), trained_with(3, 0.8)]
    assert findings(over_seeds([result(0.1, 0, 0.7, 2.0), *fixed]))[1:] == [
        "every halting model with a mean of 1 to 3 segments solves at least what models trained with fixed numbers of "
        "segments solve at the same mean"
    ]
    assert findings(over_seeds([result(0.1, 0, 0.61, 2.25, (0.1, 0.1, 0.1)), *fixed]))[1:] == [
        "at segment cost 0.1 and discount 1 halting solves 61.0% in 2.25 segments; models trained with fixed numbers "
        "of segments solve 65.0% at that mean"
    ]
    # Nothing is said of a mean that lies outside.
    assert len(findings(over_seeds([result(0.1, 0, 0.7, 2.0), fixed[1]]))) == 1


def test_csv():
    results = [*RESULTS, trained_with(2, 0.65)]
    rows = list(csv.DictReader(csv_text(results).splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert [row["series"] for row in rows] == ["halting"] * 6 + ["trained fixed"] + ["stopped"] * 3 * 7
    assert list(rows[1].values()) == ["halting", "0.1", "1.0", "0", "", "100", "60", "0.5", "1.25", "0.25", ""]
    assert list(rows[6].values()) == [
        *("trained fixed", "0.0", "1.0", "0", "2", "100", "60", "0.65", "2.0", "0.25", "0.75")
    ]
    assert list(rows[-5].values()) == ["stopped", "0.01", "1.0", "1", "", "100", "60", "0.6", "2.0", "", ""]
    assert from_csv(csv_text(results)) == results


def test_the_chart_shows_costs_baseline_own_curves_and_trained_lengths(monkeypatch):
    from hrm_agents.reports import frontier as module

    drawn = []
    monkeypatch.setattr(module, "draw_frontier", lambda *args, dark: drawn.append((*args, dark)))
    results = [*RESULTS, result(0.01, 0, gamma=0.9), trained_with(1, 0.5), trained_with(3, 0.6)]
    chart(over_seeds(results), "HRM/X-v0", "q", 2, dark=True)
    series, title, subtitle, dark = drawn[0]
    assert list(series) == [
        "rule q, labelled by segment cost",
        "rule q, discount 0.9, labelled by segment cost",
        "rule q, no segment cost",
        "trained with a fixed number of segments",
    ]
    assert [point.label for point in series["rule q, labelled by segment cost"]] == ["0.01", "0.1"]
    (baseline,) = series["rule q, no segment cost"]
    assert baseline[:3] == (2.5, pytest.approx(0.7), "")
    point = over_seeds(results)[0]
    assert (baseline.segments_range, baseline.success_range) == (
        point.mean_segments.interval,
        point.success_rate.interval,
    )
    assert baseline.curve == pytest.approx((0.3, 0.55, 0.7))
    assert series["rule q, labelled by segment cost"][0].curve == (0.2, 0.6, 0.8)
    trained = series["trained with a fixed number of segments"]
    assert [(point.mean_segments, point.success_rate, point.curve) for point in trained] == [(1, 0.5, ()), (3, 0.6, ())]
    assert "HRM/X-v0" in title
    assert "mean and 95% interval of 2 seeds" in subtitle
    assert dark
    chart(over_seeds(RESULTS[:1]), "HRM/X-v0", "policy", 1)
    assert list(drawn[1][0]) == ["rule policy, no segment cost"]
    assert not drawn[1][3]


def test_a_curve_is_drawn_and_the_point_leads_to_it():
    pytest.importorskip("matplotlib")
    point = FrontierPoint(1.5, 0.9, "0.1", curve=(0.2, 0.6, 0.8))
    (axes,) = draw_frontier({"one": [point]}).axes
    marker, curve, leader = sorted(axes.lines, key=lambda line: (len(line.get_xdata()) != 1, -len(line.get_xdata())))
    np.testing.assert_allclose(marker.get_xydata(), [(1.5, 0.9)])
    assert {(1.0, 0.2), (2.0, 0.6), (3.0, 0.8)} <= set(map(tuple, curve.get_xydata()))
    np.testing.assert_allclose(leader.get_xydata(), [(1.5, 0.9), (1.5, 0.4)])
    with pytest.raises(ValueError, match="point 0 of series 'one'"):
        draw_frontier({"one": [point._replace(curve=(0.2, 1.2))]})


# The command


@pytest.fixture
def flags(tiny_flags):
    """A frontier of tiny models on mazes, of which there are few."""
    tiny = (flag for flag in tiny_flags if flag not in ("--no-gif", "num_puzzles=32"))
    return ["frontier", MAZE, "--halting.gamma", "1", *tiny]


def test_the_command_leaves_csv_chart_and_words(flags, tmp_path, capsys, trained):
    pytest.importorskip("matplotlib")
    arguments = [*flags, "--run.updates", "2", "--seeds", "0", "1", "--costs", "0.5", "--out", str(tmp_path)]
    assert main(arguments) == 0
    output, errors = capsys.readouterr()
    assert "run 8 of 8 (new)" in errors
    assert f"wrote {tmp_path / 'frontier.png'}" in errors
    assert "unseen puzzles" in output.splitlines()[0]
    assert output.splitlines()[0].endswith("up to symmetry, 2 seeds: mean (95% interval over seeds)")
    for row in ("trained with 1", "trained with 2", "over its own fixed lengths", "after 1", "after 3"):
        assert row in output
    assert "segments (" in output  # a finding
    rows = list(csv.DictReader((tmp_path / "frontier.csv").read_text().splitlines()))
    assert len(rows) == 8 + 8 * 3
    assert {(row["segment_cost"], row["seed"]) for row in rows[:8]} == {(c, s) for c in ("0.0", "0.5") for s in "01"}
    assert {row["fixed_length"] for row in rows[:8]} == {"", "1", "2"}
    assert (tmp_path / "frontier.png").read_bytes().startswith(b"\x89PNG")
    before = {path: path.read_bytes() for path in tmp_path.glob("frontier.*")}
    assert main(arguments) == 0
    assert len(trained) == 8
    assert {path: path.read_bytes() for path in tmp_path.glob("frontier.*")} == before
    assert main([*arguments, "--format", "pdf", "--dark"]) == 0
    assert len(trained) == 8
    assert (tmp_path / "frontier.pdf").read_bytes().startswith(b"%PDF")


def test_without_matplotlib_the_figures_are_there(flags, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    arguments = [*flags, "--run.updates", "1", "--costs", "0", "--fixed-lengths", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["cost-0-gamma-1-seed-0"]
    assert 'no frontier chart: charts need matplotlib: pip install "hrm-agents[plot]"' in capsys.readouterr().err
    assert (tmp_path / "frontier.csv").exists()


def test_ctrl_c_says_how_to_go_on(flags, tmp_path, capsys, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "run", interrupted)
    assert main([*flags, "--out", str(tmp_path)]) == 130
    assert f"kept in {tmp_path}; the same command continues from there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--costs", "0.1", "-0.1"], "--costs must be finite and not negative, got -0.1"),
        (["--halting.rule", "convergence"], "disregards the segment cost: choose q or"),
        (["--kwargs", "segment_cost=0.1"], "give it as --costs"),
        (["--halting.q-loss", "bce"], "trains all models with halting.q_loss='mse'"),
        (["--fixed-lengths", "9"], "fixed_segments 9 is more than the 8 segments"),
        (["--kwargs", "colour=red"], "unexpected keyword argument 'colour'"),
        (["--format", "gif"], "invalid choice 'gif'"),
        (["--resume", "x"], "Unrecognized options: --resume"),
    ],
)
def test_mistakes(arguments, message, tmp_path, capsys):
    assert main(["frontier", *arguments, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_help_explains_every_option(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["frontier", "--help"]) == 0
    text, errors = capsys.readouterr()
    assert errors == ""
    assert max(map(len, text.splitlines())) <= 80
    assert Frontier.__doc__.split(".")[0] in " ".join(text.split())
    for name in (
        "ENV",
        "--costs",
        "--seeds",
        "--gammas",
        "--fixed-lengths",
        "--out",
        "--format",
        "--dark",
        "--kwargs",
        "--preset",
        "--run.updates",
    ):
        assert name in text
    assert "--resume" not in text
    assert "--gif" not in text


def test_defaults_are_those_of_the_environment(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["frontier", "HRM/Maze-7x7-v0", "--help"]) == 0
    assert "(default: rope2d)" in " ".join(capsys.readouterr().out.split())
