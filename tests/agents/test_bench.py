"""``hrm-agents bench``: what it measures is what it says."""

import json
import re

import pytest
import torch

from hrm_agents.cli import main
from hrm_agents.speed.rounds import Spread, in_turn, ratio
from hrm_agents.speed.training import TrainingSpeed


@pytest.fixture
def figures(tmp_path):
    """Runs a measurement and returns its figures."""
    path = tmp_path / "figures.json"

    def run(*arguments):
        assert main(["bench", *arguments, "--json", str(path)]) == 0
        return json.loads(path.read_text())

    return run


def test_everything_takes_its_turn():
    calls, done = [], []

    def measurement(name):
        return lambda: calls.append(name) or float(len(calls))

    found = in_turn({name: measurement(name) for name in "ab"}, 3, done.append)
    assert calls == list("ababab")
    assert found == {"a": Spread((1.0, 3.0, 5.0)), "b": Spread((2.0, 4.0, 6.0))}
    assert done == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])


def test_median_and_quartiles_by_hand():
    spread = Spread((4.0, 1.0, 2.0, 3.0, 10.0))
    assert (spread.median, spread.quartiles) == (3.0, (2.0, 4.0))
    assert spread.text(".1f") == "3.0 [2.0, 4.0]"
    assert Spread((1234.5,)).text(",.1f") == "1,234.5"
    assert ratio(Spread((2.0, 9.0)), Spread((1.0, 3.0))) == Spread((2.0, 3.0))


def test_steps_of_environments(figures, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    ids = ["HRM/MazeMoves-9x9-Doors-v0", "HRM/Sudoku-4x4-v0"]
    found = figures("env", *ids, "--num-envs", "4", "--seconds", "0.02", "--rounds", "3")
    assert [(each["env"], each["actions"]) for each in found["figures"]] == [
        (ids[0], "random moves"),
        (ids[1], "answers from the action space"),
        (ids[1], "uint8 answers"),
    ]
    for each in found["figures"]:
        assert len(each["steps_per_second"]["rounds"]) == 3
        assert min(each["steps_per_second"]["rounds"]) > 0
    assert found["machine"]["torch"] == torch.__version__
    text = capsys.readouterr().out
    assert re.search(r"HRM/Sudoku-4x4-v0 +│ uint8 answers +│ 4 +│ [\d,]+ \[[\d,]+, [\d,]+\]", text)


@pytest.mark.parametrize("seconds", ["0", "nan", "inf", "-1", "4000"])
def test_times_that_do_not_end_are_refused(seconds, capsys):
    assert main(["bench", "env", "--seconds", seconds]) == 2
    assert "--seconds must be" in capsys.readouterr().err


def test_training(figures):
    flags = ["--updates", "1", "--rounds", "2", "--kwargs", "num_puzzles=8", "--device", "cpu", "--recompute"]
    found = figures("train", "HRM/Sudoku-4x4-v0", "--batch-size", "4", *flags)
    names = [f"HRM/Sudoku-4x4-v0, hrm, 4 rows{more}" for more in ("", ", recomputed")]
    by_name = {each["settings"]: each for each in found["figures"]}
    assert list(by_name) == names
    for each in by_name.values():
        seconds = each["seconds_per_update"]
        assert len(seconds["rounds"]) == 2
        assert each["segments_per_second"] == pytest.approx(4 / seconds["median"])
        assert 0 < each["outside_the_model"]["median"] < 1
        assert 0 < each["share_of_peak"] < 1.5
        assert each["predicted_memory"] == pytest.approx(each["counted_memory"], rel=0.1, abs=2**20)
    plain, again = by_name.values()
    assert plain["parameters"] == again["parameters"]
    assert again["flops_per_update"] > plain["flops_per_update"], "activations are computed twice"


def test_time_outside_the_model_is_that_of_the_rest(tiny_config, tmp_path, monkeypatch):
    """By a clock that only the environment and the model move."""
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    speed = TrainingSpeed(tiny_config(), tmp_path)

    def taking(seconds, method):
        def timed(*arguments, **keywords):
            now[0] += seconds
            return method(*arguments, **keywords)

        return timed

    trainer = speed.trainer
    trainer.env.step = taking(1.0, trainer.env.step)
    trainer.algorithm.backward = taking(2.0, trainer.algorithm.backward)
    trainer.rollout.policy.model.forward = taking(1.0, trainer.rollout.policy.model.forward)
    found = speed.measure(3)
    assert found.seconds == pytest.approx(5.0), "the continue target takes a second forward pass"
    assert found.outside == pytest.approx(1 / 5)


def test_solving(figures, capsys):
    found = figures("solve", "--num-puzzles", "12", "--batch-size", "4", "--rounds", "1")
    halted, fixed = found["figures"]["until it halts"], found["figures"]["always M segments"]
    assert 1 <= halted["mean_segments"] < fixed["mean_segments"] == 8
    rates = [each["puzzles_per_second"]["median"] for each in (halted, fixed)]
    assert found["ratio"]["median"] == pytest.approx(rates[0] / rates[1])
    assert "times as many puzzles per second" in " ".join(capsys.readouterr().out.split())


def test_scale_is_that_of_the_formulas(figures):
    found = figures("scale", "--gpus", "1", "8", "--tflops", "100")
    assert found["parameters"] == 27_275_778
    one, eight = found["figures"]
    assert one["exchange"] == 0 < eight["exchange"]
    assert eight["compute"] == pytest.approx(one["compute"] / 8)
    assert one["segments_per_second"] == pytest.approx(768 / one["compute"])
    wider = figures("scale", "--gpus", "1", "--hidden-size", "1024", "--layers", "8", "--rows-per-gpu", "32")
    assert wider["parameters"] > 200e6
    assert wider["figures"][0]["rows"] == 32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["HRM/Sudoku-4x4-v0"], "HRM/Sudoku-4x4-v0: what to measure comes first, one of env, train, solve, scale"),
        (["env", "--batch-size", "3"], "Unrecognized options: --batch-size"),
        (["env", "--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["train", "--seconds", "3"], "Unrecognized options: --seconds"),
        (["train", "--updates", "0"], "--updates must be at least 1"),
        (["train", "--model", "perceptron"], "perceptron"),
        (["solve", "--num-puzzles", "0"], "--num-puzzles must be at least 1"),
        (["solve", "nowhere"], "nowhere"),
        (["scale", "--gpus", "7"], "768 rows cannot be shared by 7 GPUs"),
        (["scale", "--tflops", "0"], "--tflops must be above 0"),
        (["scale", "--json", "/dev/null/figures.json"], "/dev/null"),
    ],
)
def test_mistakes(arguments, message, capsys):
    assert main(["bench", *arguments]) == 2
    assert message in capsys.readouterr().err
