"""``hrm-agents train --seeds``: several runs, and the aggregate of their results."""

import csv
import json
import os
import re
import signal
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from hrm_agents.cli import main
from hrm_agents.commands import train_seeds as train_seeds_module
from hrm_agents.commands.processes import run_processes
from hrm_agents.commands.train import Train, parse_settings
from hrm_agents.commands.train_seeds import Plan
from hrm_agents.errors import UserError
from hrm_agents.evaluation.intervals import interquartile_mean, iqm_interval
from hrm_agents.interrupts import TIME_IS_UP, Stopped
from hrm_agents.records.checkpoint import CONFIG, MODEL, read_config
from hrm_agents.reports.over_seeds import aggregates, csv_text
from hrm_agents.trainer import Trainer


def test_the_interquartile_mean_drops_a_quarter_at_each_end():
    assert interquartile_mean([3.0]) == 3.0
    assert interquartile_mean([0.0, 1.0, 5.0]) == 2.0
    assert interquartile_mean([9.0, 1.0, 2.0, -50.0]) == 1.5
    assert interquartile_mean([8.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -7.0]) == np.mean([2.0, 3.0, 4.0, 5.0])


def test_the_interval_of_the_interquartile_mean():
    assert iqm_interval([2.0, 2.0, 2.0]) is None
    # Of two values the resamples have means 0, 1/2 and 1 with probabilities 1/4, 1/2 and 1/4.
    assert iqm_interval([0.0, 1.0]) == (0.0, 1.0)
    values = np.random.default_rng(1).normal(size=40)
    low, high = iqm_interval(values)
    # The standard error of this mean of a normal sample is about 1.13 / sqrt(40).
    assert high - low == pytest.approx(2 * 1.96 * 1.13 / np.sqrt(40), rel=0.3)
    assert low < interquartile_mean(values) < high
    assert (low, high) == iqm_interval(values)


def test_the_interval_covers_as_often_as_its_documentation_says():
    rng = np.random.default_rng(0)
    covered = [low <= 0.0 <= high for low, high in (iqm_interval(rng.normal(size=5)) for _ in range(80))]
    assert np.mean(covered) == pytest.approx(0.89, abs=0.08)


def test_aggregates():
    evaluations = [
        {"max_segments": 8, "success_rate": rate, "mean_segments": 2.0, "forced_rate": forced}
        for rate, forced in ((0.9, 0.0), (0.8, 0.1), (0.1, 0.2), (1.0, 0.3))
    ]
    success, segments, forced = aggregates(evaluations)
    assert (success.iqm, success.mean) == pytest.approx((0.85, 0.7))
    assert success.mean_interval[1] == 1.0  # a share
    assert segments.cells() == ["Segments", "2.00", "2.00", "2.00 to 2.00"]
    # t with 3 degrees of freedom is 3.182, the deviation 0.1291.
    assert forced.mean_interval == pytest.approx((0.0, 0.15 + 3.182 * 0.1291 / 2), abs=1e-3)
    rows = list(csv.DictReader(csv_text([success, segments, forced]).splitlines()))
    assert [row["figure"] for row in rows] == ["success_rate", "mean_segments", "forced_rate"]
    assert (rows[0]["seeds"], float(rows[0]["iqm"]), rows[0]["highest"]) == ("4", pytest.approx(0.85), "1.0")
    assert (rows[1]["iqm_low"], rows[1]["mean_high"]) == ("", "")


@pytest.fixture
def command(tiny_flags):
    return ["HRM/Maze-5x5-v0", *[flag for flag in tiny_flags if flag != "num_puzzles=32"], "--run.eval-puzzles", "8"]


def test_seeds_are_trained_continued_or_skipped(command, tmp_path, capfd):
    config = parse_settings(Train, "train", command).config()
    whole, out = tmp_path / "whole", tmp_path / "out"
    for seed in (3, 5):
        Trainer(replace(config, run=replace(config.run, seed=seed)), whole / f"seed-{seed}").run()
    (out / "seed-3").parent.mkdir()
    os.rename(whole / "seed-3", out / "seed-3")
    stopped = Trainer(replace(config, run=replace(config.run, seed=5)), out / "seed-5")
    stopped.update()
    stopped.save()
    stopped.log.close()
    capfd.readouterr()

    assert main(["train", *command, "--seeds", "3", "5", "7", "--jobs", "2", "--out", str(out)]) == 0
    text, errors = capfd.readouterr()
    assert f"seed 3 is finished: {out / 'seed-3'}" in errors
    assert re.search(r"^seed 7: training HRM/Maze-5x5-v0 with hrm", errors, re.MULTILINE)
    assert (out / "seed-5" / MODEL).read_bytes() == (whole / "seed-5" / MODEL).read_bytes()
    weights = {(out / f"seed-{seed}" / MODEL).read_bytes() for seed in (3, 5, 7)}
    assert len(weights) == 3
    assert "interquartile mean" in text
    assert "HRM/Maze-5x5-v0, unseen puzzles, seeds 3 5 7" in text

    document = json.loads((out / "seeds.json").read_text())
    assert [(run["seed"], run["folder"]) for run in document["runs"]] == [(3, "seed-3"), (5, "seed-5"), (7, "seed-7")]
    for run in document["runs"]:
        assert read_config(out / run["folder"])["evaluation"]["mean_segments"] == run["mean_segments"]
    lengths = [run["mean_segments"] for run in document["runs"]]
    assert document["figures"]["mean_segments"]["iqm"] == pytest.approx(np.mean(lengths))
    assert "percentile bootstrap" in document["intervals"]

    # Nothing is left to train, and the file of settings gives the same command.
    assert main(["train", "--config", str(out / "run.toml"), "--seeds", "3", "5", "7", "--out", str(out)]) == 0
    again = capfd.readouterr()
    assert again.out == text
    assert "training" not in again.err
    with pytest.raises(UserError, match=r"seed-3 holds a run with run\.updates=4, not 9"):
        Plan(replace(config, run=replace(config.run, updates=9)), out, (3,)).arguments(3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "1", "2", "1"], "--seeds must differ, got 1 2 1"),
        (["--seeds", "-1"], "--seeds must be at least 0, got -1"),
        (["--seeds", "1", "--jobs", "0"], "--jobs must be at least 1, got 0"),
        (["--jobs", "2"], "--jobs is the number of seeds at a time: give several --seeds"),
    ],
)
def test_mistakes(arguments, message, tmp_path, capsys):
    assert main(["train", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_seeds_beside_a_run(sudoku_run, capsys):
    assert main(["train", "--resume", str(sudoku_run), "--seeds", "1"]) == 2
    assert "omit --resume" in capsys.readouterr().err
    assert main(["train", "--out", str(sudoku_run), "--seeds", "1"]) == 2
    assert "already holds a run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("codes", "reason", "error", "message"),
    [
        ({"seed 0": 0, "seed 1": 2}, None, UserError, r"1 of 2 runs failed \(seed 1\), see above; finished runs are"),
        ({"seed 0": 130}, signal.SIGINT, Stopped, "the same command continues"),
        ({"seed 0": 0}, TIME_IS_UP, Stopped, "the same command continues"),
    ],
)
def test_runs_that_fail_or_are_stopped(codes, reason, error, message, tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(train_seeds_module, "run_processes", lambda *arguments: (codes, reason))
    with pytest.raises(error, match=message):
        train_seeds_module.train_seeds(Plan(tiny_config(), tmp_path / "out", (0, 1), jobs=2))
    assert not (tmp_path / "out" / "seeds.csv").exists()
    assert not (tmp_path / "out" / CONFIG).exists()


#: Stands for the package in the processes: takes a moment, or waits for a signal.
STUB = """
import signal, sys, time
from pathlib import Path

def main():
    name, code = sys.argv[1:]
    Path(name).touch()
    print("started", name, file=sys.stderr, flush=True)
    if code != "wait":
        return int(code)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: got.append(number))
    got = []
    Path(name + "-ready").touch()
    while not got:
        time.sleep(0.01)
    time.sleep(0.3)  # a second signal would come by now
    return 128 + got[0] if len(got) == 1 else 99
"""


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """Processes run the stub."""
    (tmp_path / "hrm_agents").mkdir()
    (tmp_path / "hrm_agents" / "__init__.py").touch()
    (tmp_path / "hrm_agents" / "cli.py").write_text(STUB)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_processes_run_a_few_at_a_time(stub, capfd):
    codes, reason = run_processes({name: [name, code] for name, code in zip("abc", "020", strict=True)}, 2)
    assert (codes, reason) == ({"a": 0, "b": 2, "c": 0}, None)
    assert sorted(capfd.readouterr().err.splitlines()) == ["a: started a", "b: started b", "c: started c"]
    assert run_processes({"a": ["a", "0"]}, 1) == ({"a": 0}, None)
    assert capfd.readouterr().err == "started a\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_each_process_once_and_starts_no_more(stub, number):
    def interrupt():
        while not all((stub / f"{name}-ready").exists() for name in "ab"):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt).start()
    codes, reason = run_processes({name: [name, "wait"] for name in "abc"}, 2)
    assert (codes, reason) == ({"a": 128 + number, "b": 128 + number}, number)
    assert not (stub / "c").exists()


def test_the_end_of_the_time_stops_all(stub):
    codes, reason = run_processes({name: [name, "wait"] for name in "ab"}, 1, max_seconds=1.5)
    assert reason == TIME_IS_UP
    assert codes in ({"a": 143}, {"a": -15})  # the signal may come before the program is ready for it
