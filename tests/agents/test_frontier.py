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
from hrm_agents.commands.frontier_runs import FIGURES, plan, settings_of, stage_of, trace_frontier
from hrm_agents.errors import UserError
from hrm_agents.halting.q_scale import LOGIT, PLAIN
from hrm_agents.records.checkpoint import CONFIG, MODEL, STATE, load_state
from hrm_agents.reports.frontier import (
    COLUMNS,
    Result,
    Setting,
    Spread,
    chart,
    csv_text,
    dominates,
    findings,
    fixed_lengths,
    fixed_success_at,
    is_monotone,
    over_seeds,
)
from hrm_agents.trainer import Trainer

MAZE = "HRM/Maze-5x5-v0"


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def result(cost, seed=0, success=0.5, segments=2.0, per_segment=(0.2, 0.6, 0.8), gamma=1.0, auc=0.75):
    return Result(Setting(cost, gamma, seed), 100, success, segments, 0.25, auc, per_segment)


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


def test_settings_differ_in_price_discount_and_seed_alone(tiny_config):
    base = tiny_config()
    config = settings_of(Setting(0.25, 0.5, 7), base)
    assert config.env.kwargs == {**base.env.kwargs, "segment_cost": 0.25}
    assert (config.halting.gamma, config.run.seed, config.q_scale()) == (0.5, 7, PLAIN)
    assert (config.model, config.optim) == (base.model, base.optim)
    assert settings_of(Setting(0.0, 1.0, 7), base).q_scale() == LOGIT
    assert Setting(0.03, 1.0, 2).folder == "cost-0.03-gamma-1-seed-2"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"halting": {"rule": "fixed"}}, "halting.rule='fixed' disregards the segment cost"),
        ({"halting": {"rule": "probability"}}, "disregards the segment cost: choose q or"),
        ({"kwargs": {"segment_cost": 0.1}}, "the frontier varies segment_cost"),
        ({"halting": {"q_loss": "bce"}}, "needs returns in"),
    ],
)
def test_experiments_that_cannot_work_train_nothing(tiny_config, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        trace_frontier(tiny_config(**changes), plan([0.1], [1.0], [0]), tmp_path / "out")
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

    # Figures that are damaged or gone are measured again.
    (tmp_path / names[0] / FIGURES).write_text("{")
    (tmp_path / names[1] / FIGURES).unlink()
    assert trace_frontier(base, plan([0.5], [1.0], [0]), tmp_path) == first
    assert len(trained) == 3


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


def test_means_and_ranges_over_seeds():
    points = over_seeds([*RESULTS, result(0.0, 0, gamma=0.9)])
    assert [(point.gamma, point.cost) for point in points] == [(1.0, 0.0), (1.0, 0.01), (1.0, 0.1), (0.9, 0.0)]
    assert [point.is_baseline for point in points] == [True, False, False, False]
    assert points[0].success_rate == pytest.approx((0.7, 0.6, 0.8))
    assert points[1].mean_segments == (2.0, 1.5, 2.5)
    assert points[2].auc == (0.75, 0.75, 0.75)
    assert over_seeds([result(0.0, auc=None)])[0].auc is None
    fixed = fixed_lengths([*RESULTS, result(0.0, 0, gamma=0.9, per_segment=(9.0, 9.0, 9.0))])
    np.testing.assert_allclose(fixed, [(0.3, 0.2, 0.4), (0.55, 0.5, 0.6), (0.7, 0.6, 0.8)])


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


def test_dominates():
    fixed = [0.2, 0.6, 0.8]
    assert dominates(1.5, 0.4, fixed)
    assert dominates(1.5, 0.41, fixed)
    assert not dominates(1.5, 0.39, fixed)
    assert dominates(3.0, 0.8, fixed)
    assert not dominates(3.0, 0.799, fixed)
    assert dominates(1.0, 0.5, [0.5])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.data())
def test_a_coin_between_two_fixed_numbers_never_beats_what_lies_between_neighbours_of_a_concave_curve(gains, data):
    """And each fixed number dominates itself."""
    fixed = np.cumsum(sorted(gains, reverse=True)) / len(gains)
    for count, success in enumerate(fixed, 1):
        assert dominates(count, success, fixed)
    low, high = sorted(data.draw(st.lists(st.integers(1, len(fixed)), min_size=2, max_size=2)))
    share = data.draw(st.floats(0, 1))
    mean, success = share * low + (1 - share) * high, share * fixed[low - 1] + (1 - share) * fixed[high - 1]
    assert fixed_success_at(min(max(mean, 1.0), len(fixed)), fixed) >= success - 1e-9


def test_findings_in_words():
    points, fixed = over_seeds(RESULTS), fixed_lengths(RESULTS)
    # At 2.5, 2.0 and 1.5 segments fixed numbers solve 0.625, 0.55 and 0.425; the points 0.7, 0.7 and 0.4.
    assert findings(points, fixed) == [
        "a higher segment cost never took more segments (2.50 at 0, 2.00 at 0.01, 1.50 at 0.1)",
        "at segment cost 0.1 and discount 1 halting solves 40.0% in 1.50 segments; fixed numbers with the same mean "
        "solve 42.5%",
    ]
    assert findings(points[:2], fixed)[1:] == [
        "every halting point solves at least what fixed numbers of segments with the same mean solve"
    ]
    assert len(findings(points[:1], fixed)) == 1  # one price shows no trend
    rising = dataclasses.replace(points[1], gamma=0.9, cost=0.2, mean_segments=Spread(2.75, 2.75, 2.75))
    discounted = [points[0], dataclasses.replace(points[1], gamma=0.9), rising]
    assert findings(discounted, fixed)[0] == (
        "discount 0.9: a higher segment cost did not always take fewer segments (2.00 at 0.01, 2.75 at 0.2)"
    )


def test_csv():
    rows = list(csv.DictReader(csv_text(RESULTS).splitlines()))
    assert tuple(rows[0]) == COLUMNS
    assert [row["series"] for row in rows] == ["no cost", "cost", "cost"] * 2 + ["fixed"] * 6
    assert list(rows[1].values()) == ["cost", "0.1", "1.0", "0", "0.5", "1.25", "0.25", ""]
    assert list(rows[-2].values()) == ["fixed", "0.0", "1.0", "1", "0.5", "2.0", "", ""]


def test_the_chart_shows_costs_baseline_and_fixed_numbers(monkeypatch):
    from hrm_agents.reports import frontier as module

    drawn = []
    monkeypatch.setattr(module, "draw_frontier", lambda *args, dark: drawn.append((*args, dark)))
    results = [*RESULTS, result(0.01, 0, gamma=0.9)]
    chart(over_seeds(results), fixed_lengths(results), "HRM/X-v0", "q", 2, dark=True)
    series, title, subtitle, dark = drawn[0]
    assert list(series) == [
        "rule q, labelled by segment cost",
        "rule q, discount 0.9, labelled by segment cost",
        "rule q, no segment cost",
        "fixed number of segments",
    ]
    assert [point.label for point in series["rule q, labelled by segment cost"]] == ["0.01", "0.1"]
    (baseline,) = series["rule q, no segment cost"]
    assert baseline[:3] == (2.5, pytest.approx(0.7), "")
    assert (baseline.segments_range, baseline.success_range) == ((2.0, 3.0), (0.6, 0.8))
    assert [point.mean_segments for point in series["fixed number of segments"]] == [1, 2, 3]
    assert "HRM/X-v0" in title
    assert "mean and range of 2 seeds" in subtitle
    assert dark
    chart(over_seeds(RESULTS[:1]), fixed_lengths(RESULTS[:1]), "HRM/X-v0", "policy", 1)
    assert list(drawn[1][0]) == ["rule policy, no segment cost", "fixed number of segments"]
    assert not drawn[1][3]


# The command


@pytest.fixture
def flags(tiny_flags):
    """A frontier of tiny models on mazes, of which there are few."""
    return ["frontier", MAZE, *(flag for flag in tiny_flags if flag not in ("--no-gif", "num_puzzles=32"))]


def test_the_command_leaves_csv_chart_and_words(flags, tmp_path, capsys, trained):
    pytest.importorskip("matplotlib")
    arguments = [*flags, "--run.updates", "2", "--seeds", "0", "1", "--costs", "0.5", "--out", str(tmp_path)]
    assert main(arguments) == 0
    output, errors = capsys.readouterr()
    assert "run 4 of 4 (new)" in errors
    assert f"wrote {tmp_path / 'frontier.png'}" in errors
    assert "HRM/Maze-5x5-v0, 5 unseen puzzles, 2 seed(s): mean (minimum to maximum)" in output
    assert "segments (" in output  # a finding
    rows = list(csv.DictReader((tmp_path / "frontier.csv").read_text().splitlines()))
    assert len(rows) == 4 + 2 * 3
    assert {(row["segment_cost"], row["seed"]) for row in rows[:4]} == {(c, s) for c in ("0.0", "0.5") for s in "01"}
    assert (tmp_path / "frontier.png").read_bytes().startswith(b"\x89PNG")
    before = {path: path.read_bytes() for path in tmp_path.glob("frontier.*")}
    assert main(arguments) == 0
    assert len(trained) == 4
    assert {path: path.read_bytes() for path in tmp_path.glob("frontier.*")} == before
    assert main([*arguments, "--format", "pdf", "--dark"]) == 0
    assert len(trained) == 4
    assert (tmp_path / "frontier.pdf").read_bytes().startswith(b"%PDF")


def test_without_matplotlib_the_figures_are_there(flags, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main([*flags, "--run.updates", "1", "--costs", "0", "--out", str(tmp_path)]) == 0
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
