"""Records of TensorBoard: what its own reader makes of them, and what happens when they cannot be written."""

import errno
import gc
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest

import hrm_agents.records.event_file as event_file_module
from hrm_agents.errors import UserError
from hrm_agents.records.event_file import EventFile

SETTINGS = {"optim.lr": 0.5, "run.updates": 4, "run.compile": True, "env.id": "HRM/Sudoku-4x4-v0", "model.ndim": "null"}
RESULTS = {"final/success_rate": 0.25, "final/mean_segments": 1.5}


def read(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return accumulator


def points(folder, tag):
    return [(event.step, event.value) for event in read(folder).Scalars(tag)]


def content(folder):
    """All that TensorBoard knows of a run, without times of day."""
    accumulator = read(folder)
    tags = accumulator.Tags()
    parts = {name: sorted(found) if isinstance(found, list) else found for name, found in tags.items()}
    return {
        "tags": parts,
        "scalars": {tag: points(folder, tag) for tag in tags["scalars"]},
        "tensors": {
            tag: [(event.step, event.tensor_proto.SerializeToString()) for event in accumulator.Tensors(tag)]
            for tag in tags["tensors"]
        },
        "images": {
            tag: [(event.step, event.width, event.height, event.encoded_image_string) for event in images]
            for tag, images in ((tag, accumulator.Images(tag)) for tag in tags["images"])
        },
        "plugins": {
            tag: accumulator.SummaryMetadata(tag).SerializeToString()
            for plugin in ("text", "hparams")
            for tag in accumulator.PluginTagToContent(plugin)
        },
        "version": accumulator.file_version,
    }


def test_tensorboard_reads_what_its_own_writer_would_have_written(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from torch.utils.tensorboard import SummaryWriter
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)

    with EventFile(tmp_path / "ours") as ours:
        ours.add_text("config", "Grüße, **bold**")
        ours.add_scalar("train/loss", 0.5, 3)
        ours.add_scalar("train/loss", float("nan"), 4)
        ours.add_scalar("train/loss", np.float32(0.25), 5)
        ours.add_image("solved/puzzle_1", image, 5)
        ours.add_hparams(SETTINGS, RESULTS)

    theirs = SummaryWriter(str(tmp_path / "theirs"))
    theirs.add_text("config", "Grüße, **bold**")
    theirs.add_scalar("train/loss", 0.5, 3)
    theirs.add_scalar("train/loss", float("nan"), 4)
    theirs.add_scalar("train/loss", np.float32(0.25), 5)
    theirs.add_image("solved/puzzle_1", image, 5, dataformats="HWC")
    theirs.add_hparams(SETTINGS, RESULTS, run_name=".")
    theirs.close()

    got, expected = content(tmp_path / "ours"), content(tmp_path / "theirs")
    assert {"_hparams_/experiment", "_hparams_/session_start_info", "config/text_summary"} <= got["plugins"].keys()
    assert repr(got) == repr(expected)  # text, since a NaN equals nothing


def test_times_are_those_of_the_clock(tmp_path):
    before = time.time()
    with EventFile(tmp_path) as events:
        events.add_scalar("a", 1.0, 1)
    accumulator = read(tmp_path)
    assert before <= accumulator.FirstEventTimestamp() <= accumulator.Scalars("a")[0].wall_time <= time.time()


def test_no_thread_and_no_waiting(tmp_path):
    threads = threading.enumerate()
    with EventFile(tmp_path) as events:
        for step in range(50):
            events.add_scalar("a", step / 2, step)
            events.flush()
        # Still open: everything is there already.
        assert points(tmp_path, "a") == [(step, step / 2) for step in range(50)]
        assert threading.enumerate() == threads


def test_later_steps_of_older_files_are_hidden(tmp_path):
    with EventFile(tmp_path) as first:
        for step in range(1, 6):
            first.add_scalar("a", step, step)
    with EventFile(tmp_path, purge_step=3) as second:
        second.add_scalar("a", 30, 4)
    assert points(tmp_path, "a") == [(1, 1.0), (2, 2.0), (4, 30.0)]


@pytest.mark.parametrize("back", [0, 100_000])
def test_files_are_read_in_the_order_they_were_made(tmp_path, monkeypatch, back):
    """Also many in a second, or where the clock was set back, or on another host."""
    now = time.time()
    for number in range(12):
        monkeypatch.setattr(event_file_module.time, "time", lambda number=number: now - back * number)
        monkeypatch.setattr(event_file_module.socket, "gethostname", lambda number=number: f"host{9 - number % 10}/x")
        with EventFile(tmp_path, purge_step=number or None) as events:
            for step in range(number, 20):
                events.add_scalar("a", number, step)
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 12
    assert all(re.fullmatch(r"events\.out\.tfevents\.\d{10}\.host\d_x\.\d+\.0", path.name) for path in paths)
    assert points(tmp_path, "a") == [(step, min(step, 11)) for step in range(20)]


def test_a_name_that_is_taken(tmp_path, monkeypatch):
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(event_file_module.time, "time", lambda: now)
        patch.setattr(os, "listdir", lambda folder: [])  # both processes look before either creates its file
        first, second = EventFile(tmp_path), EventFile(tmp_path)
    with first, second:
        assert first.path != second.path
        first.add_scalar("a", 1.0, 1)
        second.add_scalar("b", 1.0, 1)
    assert points(tmp_path, "a") == points(tmp_path, "b") == [(1, 1.0)]


def test_the_folder_is_deleted(tmp_path):
    folder = tmp_path / "run"
    with EventFile(folder) as events:
        shutil.rmtree(folder)
        events.add_scalar("a", 1.0, 1)
    assert not folder.exists()
    with EventFile(folder) as events:
        events.add_scalar("a", 1.0, 1)
    assert points(folder, "a") == [(1, 1.0)]


def test_the_folder_becomes_read_only(tmp_path):
    with EventFile(tmp_path) as events:
        tmp_path.chmod(0o500)
        try:
            events.add_scalar("a", 1.0, 1)
            assert points(tmp_path, "a") == [(1, 1.0)]
            if os.geteuid():
                with pytest.raises(UserError, match="Permission denied"):
                    EventFile(tmp_path)
        finally:
            tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    "add",
    [
        lambda events: events.add_scalar("a", 2.0, 2),
        lambda events: events.add_text("a", "text"),
        lambda events: events.add_hparams(SETTINGS, RESULTS),
    ],
)
def test_a_full_disk(tmp_path, monkeypatch, add):
    def full(descriptor, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    events = EventFile(tmp_path / ("name " * 20) / ("long " * 40) / "run")
    monkeypatch.setattr(event_file_module.os, "write", full)
    for _ in range(2):
        with pytest.raises(UserError, match=r"cannot write the records of the run to .*: No space left") as raised:
            add(events)
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) < 300
        assert "free some space, or choose another folder with --out" in str(raised.value)
    events.close()


def test_no_room_for_a_whole_record(tmp_path):
    """The system takes half of it; TensorBoard reads nothing beyond such a half, so it must not stay."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with EventFile(tmp_path) as events:
        events.add_scalar("a", 1.0, 1)
        whole = events.path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (whole + 10, hard))
        try:
            with pytest.raises(UserError, match="File too large"):
                events.add_scalar("a", 2.0, 2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert events.path.stat().st_size == whole
        events.add_scalar("a", 3.0, 3)
    assert points(tmp_path, "a") == [(1, 1.0), (3, 3.0)]


def test_a_write_that_takes_part_of_the_record(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(event_file_module.os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    with EventFile(tmp_path) as events:
        events.add_text("a", "long " * 100)
        events.add_scalar("b", 1.0, 1)
    assert points(tmp_path, "b") == [(1, 1.0)]


def test_a_disk_that_is_full_at_the_start_leaves_no_file_open(tmp_path, monkeypatch):
    def full(descriptor, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(event_file_module.os, "write", full)
    open_before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else None
    with pytest.raises(UserError, match="No space left"):
        EventFile(tmp_path)
    if open_before is not None:
        assert len(os.listdir("/proc/self/fd")) == open_before


@pytest.mark.parametrize("name", ["file/run", "x" * 300, "nul\0l"])
def test_a_folder_that_cannot_be(tmp_path, name):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="choose another folder with --out") as raised:
        EventFile(tmp_path / name)
    assert len(str(raised.value)) < 300


def test_closing(tmp_path):
    events = EventFile(tmp_path)
    events.close()
    events.close()
    with pytest.raises(UserError, match="closed"):
        events.add_scalar("a", 1.0, 1)


def test_a_failure_to_close(tmp_path, monkeypatch):
    """Network file systems report a full disk as late as that."""

    def inner_error(events):
        with events:
            raise KeyError("the first error")

    close = os.close

    def failing(descriptor):
        close(descriptor)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(event_file_module.os, "close", failing)
    first, second = EventFile(tmp_path), EventFile(tmp_path)
    with pytest.raises(UserError, match="Input/output error"):
        first.close()
    first.close()
    with pytest.raises(KeyError, match="the first error"):
        inner_error(second)


def test_a_file_that_nobody_closes(tmp_path):
    events = EventFile(tmp_path)
    descriptor = events.fileno()
    del events  # a warning of an unclosed file would be an error here
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_text_that_is_no_unicode(tmp_path):
    """Names of files can hold bytes that are none; Python tells them as lone surrogates."""
    with EventFile(tmp_path) as events:
        events.add_text("a", "runs/\udcff")
        events.add_hparams({"run.init_from": "runs/\udcff"}, RESULTS)
    metadata = read(tmp_path).SummaryMetadata("_hparams_/session_start_info")
    assert rb"runs/\udcff" in metadata.plugin_data.content


def test_the_end_of_a_process_without_closing(tmp_path):
    """Nothing is written to standard error, and nothing waits for a thread."""
    code = (
        "import pathlib, sys; from hrm_agents.records.event_file import EventFile; "
        "events = EventFile(pathlib.Path(sys.argv[1])); events.add_scalar('a', 1.0, 1); 1 / 0"
    )
    done = subprocess.run([sys.executable, "-X", "dev", "-W", "ignore", "-c", code, str(tmp_path)], capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.stderr.count("Error") == 1
    assert points(tmp_path, "a") == [(1, 1.0)]
