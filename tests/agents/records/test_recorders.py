"""What ``--run.log`` chooses: JSON lines, CSV and Weights & Biases beside TensorBoard."""

import csv
import errno
import json
import os
import sys
from dataclasses import replace

import pytest

from hrm_agents.cli import main
from hrm_agents.commands.train import Train, parse_settings
from hrm_agents.config import RunConfig
from hrm_agents.errors import UserError
from hrm_agents.records.recorder import Opening, Record
from hrm_agents.records.recorders import opened
from hrm_agents.records.text_records import Csv, JsonLines
from hrm_agents.trainer import Trainer

FILES = ["evaluations.csv", "progress.csv", "progress.jsonl"]


def training(step, **figures):
    return Record("training", step, {"train/loss": 0.5, "rollout/success_rate": None, **figures})


def evaluation(step, split="validation", success=0.25):
    return Record("evaluation", step, {"eval/success_rate": success}, {"split": split, "num_puzzles": 4})


def json_rows(folder):
    return [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]


def csv_rows(folder, name):
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def without_time(rows):
    return [{name: value for name, value in row.items() if not name.startswith("time")} for row in rows]


@pytest.fixture
def write(tiny_config, tmp_path):
    """Adds records to new or continued files."""

    def write(kind, *records, done=0):
        recorder = kind(Opening(tmp_path, tiny_config(), done))
        for record in records:
            recorder.add(record)
        recorder.close()
        recorder.close()

    return write


def test_json_lines(write, tmp_path):
    write(JsonLines, training(2), evaluation(2, success=float("nan")), training(4, **{"rollout/success_rate": 1.0}))
    rows = json_rows(tmp_path)
    assert all(row["time"] > 1.7e9 for row in rows)
    assert without_time(rows) == [
        {"step": 2, "kind": "training", "train/loss": 0.5},
        {"step": 2, "kind": "evaluation", "split": "validation", "num_puzzles": 4, "eval/success_rate": None},
        {"step": 4, "kind": "training", "train/loss": 0.5, "rollout/success_rate": 1.0},
    ]


def test_csv_has_all_columns_from_the_first_line(write, tmp_path):
    write(Csv, training(2), evaluation(2), training(4, **{"rollout/success_rate": 1.0, "train/new": 3.0}))
    heading, first, second = (tmp_path / "progress.csv").read_text().splitlines()
    assert heading == "step,time,train/loss,rollout/success_rate"
    assert (first[:2], first[-5:], second[-8:]) == ("2,", ",0.5,", ",0.5,1.0")
    assert without_time(csv_rows(tmp_path, "evaluations.csv")) == [
        {"step": "2", "split": "validation", "num_puzzles": "4", "eval/success_rate": "0.25"}
    ]


@pytest.mark.parametrize("kind", [JsonLines, Csv])
def test_a_resumed_run_leaves_no_line_torn_or_twice(kind, write, tmp_path):
    write(kind, training(2), training(4), evaluation(4), training(6), evaluation(8))
    for name in FILES:
        if (tmp_path / name).exists():
            with (tmp_path / name).open("a") as file:
                file.write('{"step": 10, "ti' if name.endswith("jsonl") else "10,17")
    # Updates 5 and 6 come again; so does the evaluation after 4, and the one of the test puzzles is new.
    write(kind, evaluation(4, success=0.75), evaluation(4, "test"), training(6), training(8), done=4)
    rows = json_rows(tmp_path) if kind is JsonLines else csv_rows(tmp_path, "progress.csv")
    if kind is Csv:
        rows = rows[:2] + csv_rows(tmp_path, "evaluations.csv") + rows[2:]
    found = [(int(row["step"]), row.get("split"), row.get("eval/success_rate")) for row in rows]
    assert [(step, split) for step, split, _ in found] == [
        *((2, None), (4, None), (4, "validation"), (4, "test"), (6, None), (8, None))
    ]
    assert float(found[2][2]) == 0.25
    write(kind, training(1))  # a new run in the folder
    rows = json_rows(tmp_path) if kind is JsonLines else csv_rows(tmp_path, "progress.csv")
    assert [int(row["step"]) for row in rows] == [1]


@pytest.mark.parametrize("kind", [JsonLines, Csv])
def test_records_begun_by_a_resumed_run_or_damaged_ones(kind, write, tmp_path):
    write(kind, training(6), done=4)
    (name,) = {"progress.jsonl", "progress.csv"} & {path.name for path in tmp_path.iterdir()}
    with (tmp_path / name).open("a") as file:
        file.write("\0\0\n[1]\nstep\n\n")
    write(kind, training(8), done=6)
    rows = json_rows(tmp_path) if kind is JsonLines else csv_rows(tmp_path, name)
    assert [int(row["step"]) for row in rows] == [6, 8]


class Killed(Exception):
    """Stands for a kill: nothing is saved."""


def test_a_killed_run_records_the_same_as_an_undisturbed_one(tiny_config, tmp_path, monkeypatch):
    every = {"updates": 8, "log_every": 2, "save_every": 4, "eval_every": 4, "eval_puzzles": 8}
    config = tiny_config("HRM/Maze-5x5-v0", {"max_segments": 3}, run={**every, "log": ("jsonl", "csv")})
    Trainer(config, tmp_path / "whole").run()
    update = Trainer.update

    def kill(self):
        if self.updates_done == 7:
            raise Killed
        return update(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "update", kill)
        with pytest.raises(Killed):
            Trainer(config, tmp_path / "killed").run()
    assert [row["step"] for row in json_rows(tmp_path / "killed")] == [2, 4, 4, 6]
    Trainer.resume(tmp_path / "killed").run()
    whole, resumed = (json_rows(tmp_path / name) for name in ("whole", "killed"))
    assert [(row["step"], row.get("split")) for row in resumed] == [
        *((2, None), (4, None), (4, "validation"), (6, None), (8, None), (8, "test"))
    ]
    assert without_time(whole) == without_time(resumed)
    for name in FILES[:2]:
        whole, resumed = (csv_rows(tmp_path / folder, name) for folder in ("whole", "killed"))
        assert len(whole) == (4 if name == "progress.csv" else 2)
        assert without_time(whole) == without_time(resumed)
    assert not (tmp_path / "whole" / "tensorboard").exists()


@pytest.mark.parametrize("kind", [JsonLines, Csv])
def test_a_full_disk(kind, tiny_config, tmp_path, monkeypatch):
    recorder = kind(Opening(tmp_path, tiny_config()))
    recorder.add(training(2))
    write, taken = os.write, []

    def full(descriptor, data):
        if taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken.append(data[:5])
        return write(descriptor, data[:5])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(UserError, match=r"cannot write the records of the run to .*No space left on device; free"):
            recorder.add(training(4))
    assert taken
    recorder.add(training(6))
    recorder.close()
    rows = json_rows(tmp_path) if kind is JsonLines else csv_rows(tmp_path, "progress.csv")
    assert [int(row["step"]) for row in rows] == [2, 6]


def test_the_option(capsys):
    options = parse_settings(Train, "train", ["--run.log", "tensorboard", "csv"])
    assert options.config().run.log == ("tensorboard", "csv")
    assert parse_settings(Train, "train", []).config().run.log == ("tensorboard",)
    with pytest.raises(UserError, match=r"run\.log names a record twice: csv csv"):
        RunConfig(log=("csv", "csv"))
    assert main(["train", "--run.log", "cvs"]) == 2
    assert "'cvs'" in capsys.readouterr().err


def test_weights_and_biases_that_is_not_installed(tmp_path, monkeypatch, capsys, tiny_flags):
    monkeypatch.chdir(tmp_path)
    expected = 'error: --run.log wandb needs the package wandb: pip install "hrm-agents[wandb]"\n'
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert main(["train", *tiny_flags, "--run.log", "csv", "wandb", "--out", "run"]) == 2
    assert capsys.readouterr().err == expected
    monkeypatch.setitem(sys.modules, "wandb", type(sys)("wandb"))  # what Python makes of a folder of that name
    assert main(["train", *tiny_flags, "--run.log", "wandb", "--out", "other"]) == 2
    assert capsys.readouterr().err == expected
    assert not (tmp_path / "other").exists()


def test_weights_and_biases_offline(tiny_config, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    for name, value in (("MODE", "offline"), ("SILENT", "true"), ("DISABLE_GIT", "true"), ("PROJECT", "puzzles")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    for name in ("CONFIG_DIR", "CACHE_DIR", "DATA_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / "home"))
    config = tiny_config()
    config = replace(config, run=replace(config.run, log=("wandb",), seed=4321))
    out = tmp_path / "a-run"

    def record(done, *records):
        (recorder,) = opened(Opening(out, config, done))
        for each in records:
            recorder.add(each)
        recorder.results({}, {"final/success_rate": 0.5})
        recorder.close()
        return (out / "wandb" / "run-id.txt").read_text().strip()

    first = record(0, training(2), evaluation(2))
    assert record(2, training(4)) == first
    files = sorted((out / "wandb").glob("offline-run-*/run-*.wandb"))
    assert [file.stem for file in files] == [f"run-{first}"] * 2
    content = files[0].read_bytes()
    for part in (
        b"puzzles",
        b"a-run",
        b"run.seed",
        b"4321",
        b"train/loss",
        b"eval/success_rate",
        b"final/success_rate",
    ):
        assert part in content, part
    assert b"rollout/success_rate" not in content
    assert record(0, training(2)) != first
