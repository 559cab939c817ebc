import errno
import io
import json
import os
import shutil
import threading
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

import hrm_agents.records.run_log as logging_module
from hrm_agents.config import TrainConfig
from hrm_agents.errors import UserError
from hrm_agents.evaluation.evaluate import Evaluation
from hrm_agents.records.run_log import RunLog, write_frames
from hrm_agents.rollout import OnHost, SegmentBatch


def events(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    accumulator = EventAccumulator(str(folder / "tensorboard"))
    accumulator.Reload()
    return accumulator


def scalars(folder):
    read = events(folder)
    return {tag: [(e.step, pytest.approx(e.value)) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def segment_batch(segment, reward, terminated, success):
    rows = len(segment)
    return SegmentBatch(
        puzzle=torch.zeros(rows, 4, dtype=torch.uint8),
        task_id=torch.zeros(rows, dtype=torch.int64),
        solution=torch.zeros(rows, 4, dtype=torch.uint8),
        segment=torch.tensor(segment),
        chosen=np.ones(rows, bool),
        decision=None,
        halt_reward=torch.zeros(rows),
        reward=np.array(reward),
        terminated=np.array(terminated),
        forced_halt=np.zeros(rows, bool),
        success=np.array(success),
        score=np.array(success, np.float32) / 2,
        host=OnHost(np.array(segment), *np.zeros((3, rows), np.float32)),
    )


REPORT = Evaluation(
    env_id="an/id",
    split="validation",
    num_puzzles=10,
    num_classes=8,
    max_segments=2,
    success_rate=0.5,
    mean_score=0.75,
    mean_segments=1.5,
    forced_rate=0.3,
    forced_solved_rate=0.1,
    forced_unsolved_rate=0.2,
    success_per_segment=(0.25, 0.5),
    halts_per_segment=(0.5, 0.5),
    intervals={"success_rate": (0.237, 0.763)},
)


@pytest.fixture
def config(tiny_config):
    return tiny_config(run={"updates": 4, "log_every": 2})


def test_tags_and_averages(config, tmp_path):
    output = io.StringIO()
    with RunLog(tmp_path, config, Console(file=output, width=200)) as log:
        log.segment(segment_batch([1, 1], [-0.25, 1.0], [False, True], [False, True]), {"loss": 3.0, "lr": 0.5}, 1)
        log.segment(segment_batch([2, 1], [-0.25, -0.25], [False, False], [True, False]), {"loss": 1.0, "lr": 0.5}, 2)
        log.segment(segment_batch([3, 2], [0.0, 1.0], [True, True], [False, True]), {"loss": 1.0, "lr": 0.5}, 3)
        log.segment(segment_batch([1, 1], [0.0, 0.0], [False, False], [False, False]), {"loss": 2.0, "lr": 0.5}, 4)
        log.evaluation(REPORT, 4)
    read = scalars(tmp_path)
    rates = read.pop("time/sps")
    assert [step for step, _ in rates] == [2, 4]
    assert read == {
        "train/loss": [(2, 2.0), (4, 1.5)],
        "train/lr": [(2, 0.5), (4, 0.5)],
        "train/exact_accuracy": [(2, 0.5), (4, 0.25)],
        "train/score": [(2, 0.25), (4, 0.125)],
        # Two episodes end in the second half: returns -0.5 + 0 and -0.25 + 1, three and two segments long.
        "rollout/ep_rew_mean": [(2, 1.0), (4, 0.125)],
        "rollout/ep_len_mean": [(2, 1.0), (4, 2.5)],
        "rollout/success_rate": [(2, 1.0), (4, 0.5)],
        "eval/success_rate": [(4, 0.5)],
        "eval/mean_score": [(4, 0.75)],
        "eval/mean_segments": [(4, 1.5)],
        "eval/forced_rate": [(4, 0.3)],
        "eval/forced_solved_rate": [(4, 0.1)],
        "eval/forced_unsolved_rate": [(4, 0.2)],
        "eval_segments/success_01": [(4, 0.25)],
        "eval_segments/success_02": [(4, 0.5)],
    }


def test_settings_are_recorded(config, tmp_path):
    with RunLog(tmp_path, config, Console(file=io.StringIO())):
        pass
    text = events(tmp_path).Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert json.loads(text.removeprefix("```json\n").removesuffix("\n```"))["run"]["updates"] == 4


def test_plain_lines_without_a_terminal(config, tmp_path, monkeypatch):
    monkeypatch.setattr(logging_module, "PLAIN_EVERY", 0.0)
    output = io.StringIO()
    with RunLog(tmp_path, config, Console(file=output, width=40)) as log:
        with log.evaluating() as share:
            share(0.5)
        for step in (1, 2):
            log.segment(segment_batch([1, 1], [0.0, 1.0], [True, True], [False, True]), {"loss": 3.0}, step)
        log.evaluation(REPORT, 2)
        for step in (3, 4):
            log.segment(segment_batch([1, 1], [0.0, 1.0], [True, True], [False, True]), {"loss": 3.0}, step)
    first, evaluation, second = output.getvalue().splitlines()
    assert first.startswith("[2/4] loss 3.000  solved 50%")
    assert "ETA" in first
    assert evaluation == (
        "[2] 10 validation puzzles of 8 classes: 50.0% [23.7, 76.3] solved in 1.50 segments "
        "(forced: 10.0% solved, 20.0% unsolved); by segment 25.0 50.0"
    )
    assert "unseen 50.0%" in second
    assert "\x1b" not in output.getvalue()


def test_a_bar_on_a_terminal(config, tmp_path):
    output = io.StringIO()
    with RunLog(tmp_path, config, Console(file=output, force_terminal=True, width=120)) as log:
        for step in range(1, 5):
            log.segment(segment_batch([1], [1.0], [True], [True]), {"loss": 3.0}, step)
    assert "4/4" in output.getvalue()
    assert "solved 100%" in output.getvalue()


def test_pictures(tmp_path):
    write_frames(tmp_path, [np.zeros((8, 9, 3), np.uint8)], step=7)
    (image,) = events(tmp_path).Images("solved/puzzle_1")
    assert (image.step, image.height, image.width) == (7, 8, 9)


def test_a_place_that_cannot_be_written(config, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write .*: Not a directory; choose another folder with --out"):
        RunLog(tmp_path / "file" / "run", config)


def test_hyperparameters_stand_beside_the_results(tmp_path):
    with RunLog(tmp_path, TrainConfig(), Console(file=io.StringIO())) as log:
        log.hyperparameters(REPORT)
    read = events(tmp_path)
    assert read.Scalars("final/success_rate")[0].value == 0.5
    settings = read.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"optim.lr" in settings
    assert b"env.id" in settings


def test_a_resumed_run_drops_what_lies_beyond_its_checkpoint(tmp_path):
    with RunLog(tmp_path, TrainConfig(), Console(file=io.StringIO())) as log:
        for step in (1, 2, 3):
            log.evaluation(replace(REPORT, success_rate=step / 10), step)
    with RunLog(tmp_path, TrainConfig(), Console(file=io.StringIO()), done=1) as log:
        log.evaluation(replace(REPORT, success_rate=0.9), 2)
    assert scalars(tmp_path)["eval/success_rate"] == [(1, 0.1), (2, 0.9)]


def update(log, step):
    log.segment(segment_batch([1, 1], [0.0, 1.0], [True, True], [False, True]), {"loss": 3.0}, step)


@pytest.mark.parametrize(
    "act",
    [
        lambda log: [update(log, step) for step in (1, 2)],
        lambda log: log.evaluation(REPORT, 2),
        lambda log: log.hyperparameters(REPORT),
    ],
)
def test_records_that_cannot_be_written(config, tmp_path, monkeypatch, act):
    def full(descriptor, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def run():
        with log:
            act(log)

    log = RunLog(tmp_path, config, Console(file=io.StringIO()))
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(UserError, match=r"cannot write the records of the run to .*No space left"):
        run()
    with pytest.raises(UserError, match=r"cannot write the records of the run to .*No space left"):
        RunLog(tmp_path, config)


def test_a_run_whose_folder_is_deleted(config, tmp_path):
    out = tmp_path / "run"
    with RunLog(out, config, Console(file=io.StringIO())) as log:
        shutil.rmtree(out)
        for step in range(1, 5):
            update(log, step)
        log.evaluation(REPORT, 4)
        log.hyperparameters(REPORT)


def test_no_thread_writes_records(config, tmp_path):
    threads = threading.enumerate()
    with RunLog(tmp_path, config, Console(file=io.StringIO())) as log:
        update(log, 1)
        update(log, 2)
        assert threading.enumerate() == threads
        assert scalars(tmp_path)["train/loss"] == [(2, 3.0)]


class Gone(io.StringIO):
    """A terminal whose window was closed."""

    def write(self, text=""):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    flush = isatty = write


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(
    "file",
    [
        Gone,
        lambda: io.TextIOWrapper(io.BytesIO(), "ascii"),
        lambda: io.TextIOWrapper(io.BytesIO(), "cp1252"),
    ],
)
@pytest.mark.parametrize("width", [1, 20, 200])
def test_a_terminal_stops_no_run(config, tmp_path, monkeypatch, file, terminal, width):
    monkeypatch.setattr(logging_module, "PLAIN_EVERY", 0.0)
    with RunLog(tmp_path, config, Console(file=file(), force_terminal=terminal, width=width)) as log:
        for step in range(1, 5):
            update(log, step)
        log.warning("数独 \udcff is odd")
        with log.evaluating() as share:
            share(0.5)
        log.evaluation(REPORT, 4)
    assert scalars(tmp_path)["train/loss"] == [(2, 3.0), (4, 3.0)]
