"""Files written whole or not at all, devices and links left what they are, nothing predictable, nothing left behind."""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

from hrm_agents.errors import UserError
from hrm_agents.records.files import check_writable, read_json, write_atomically
from hrm_envs import parse_json


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_whole(tmp_path, monkeypatch, step):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    monkeypatch.setattr(os, step, full_disk)
    with pytest.raises(UserError, match=r"cannot write .*file: No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_an_interrupt_while_writing_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"new")
    assert os.listdir(tmp_path) == []


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        write_atomically(tmp_path / "file" / "below" / "it", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*folder: Is a directory"):
        write_atomically(tmp_path / "folder", b"")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_a_device_is_written_to_and_stays_one(device):
    before = os.stat(device)
    check_writable(device)
    write_atomically(device, b"something")
    after = os.stat(device)
    assert stat.S_ISCHR(after.st_mode)
    assert (after.st_rdev, after.st_ino) == (before.st_rdev, before.st_ino)


def test_a_full_device_is_no_success():
    with pytest.raises(UserError, match=r"cannot write /dev/full: No space left on device"):
        write_atomically("/dev/full", b"something")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)


def test_a_pipe_is_written_to(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_atomically(pipe, b"through")
    reader.join(10)
    assert read == [b"through"]
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)


def test_a_link_is_followed_and_stays_a_link(tmp_path):
    (tmp_path / "there").mkdir()
    link, target = tmp_path / "link", tmp_path / "there" / "file"
    link.symlink_to(target)
    for content in (b"new", b"newer"):  # a dangling link first
        check_writable(link)
        write_atomically(link, content)
        assert link.is_symlink()
        assert target.read_bytes() == content
    assert os.listdir(tmp_path / "there") == ["file"]


def test_names_of_parts_cannot_be_guessed_and_planted_links_are_not_followed(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    names = []
    replace = os.replace

    def spy(source, target):
        names.append(os.path.basename(source))
        replace(source, target)

    monkeypatch.setattr(os, "replace", spy)
    for pid in (os.getpid(), 1):
        (tmp_path / f".file.{pid}.part").symlink_to(victim)
    for _ in range(2):
        write_atomically(tmp_path / "file", b"new")
    assert victim.read_text() == "precious"
    assert len(set(names)) == 2
    assert not any(str(os.getpid()) in name for name in names)


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_writes_stays(tmp_path):
    """The living one stands still in the middle of its write, the dead one was killed there."""
    script = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from hrm_agents.records.files import write_atomically\n"
        "os.fsync = lambda descriptor: (print('there', flush=True), time.sleep(600))\n"
        "write_atomically(Path(sys.argv[1]), b'half')\n"
    )
    writers = []
    for _ in range(2):
        command = [sys.executable, "-c", script, str(tmp_path / "file")]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert writer.stdout.readline() == "there\n"
        writers.append(writer)
    dead, living = writers
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    parts = {path.name for path in tmp_path.iterdir()}
    assert len(parts) == 2
    write_atomically(tmp_path / "file", b"whole")
    left = {path.name for path in tmp_path.iterdir()} - {"file"}
    assert len(left) == 1
    assert left < parts
    living.kill()
    living.wait()
    write_atomically(tmp_path / "file", b"whole")
    assert os.listdir(tmp_path) == ["file"]
    for writer in writers:
        writer.stdout.close()


def test_permissions_are_those_of_any_other_file(tmp_path):
    path = tmp_path / "file"
    mask = os.umask(0o022)
    try:
        write_atomically(path, b"1")
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        path.chmod(0o600)
        write_atomically(path, b"2")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(mask)


@pytest.mark.parametrize("name", ["x" * 250, "[a]*?.json", ".hidden", "ü", "with space"])
def test_any_name_that_a_file_may_have(tmp_path, name):
    for content in (b"1", b"2"):
        check_writable(tmp_path / name)
        write_atomically(tmp_path / name, content)
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == b"2"


@pytest.mark.parametrize("write", [check_writable, lambda path: write_atomically(path, b"")])
def test_places_that_are_none(tmp_path, write):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for place in (tmp_path, tmp_path / "file" / "below", tmp_path / ("x" * 300), tmp_path / "loop", tmp_path / "a\0b"):
        with pytest.raises(UserError, match="cannot write") as refused:
            write(place)
        assert len(str(refused.value)) < 500
        assert "\n" not in str(refused.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "loop"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 5000, "nested too deeply"),
        ('{"a":' * 5000, "nested too deeply"),
        ("NaN", "'NaN' is not valid JSON"),
        ('{"a": -Infinity}', "'-Infinity' is not valid JSON"),
        ("1" * 5000, "digits"),
        ("", "Expecting value"),
        ("{'a': 1}", "Expecting property name"),
    ],
)
def test_json_that_is_none(text, reason, tmp_path):
    with pytest.raises(ValueError, match=reason):
        parse_json(text)
    (tmp_path / "file").write_text(text)
    with pytest.raises(UserError, match=f"file cannot be read as JSON: .*{reason}") as refused:
        read_json(tmp_path / "file")
    assert len(str(refused.value)) < 500


def test_json_from_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    start = time.monotonic()
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match=r"not a (regular )?file|no such file"):
            read_json(path)
    assert time.monotonic() - start < 5, "a pipe that nobody writes to must not be waited for"
    (tmp_path / "bytes").write_bytes(b"\xff{}")
    with pytest.raises(UserError, match="is not UTF-8"):
        read_json(tmp_path / "bytes")
