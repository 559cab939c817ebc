"""One owner for the folder of a run: a second is refused and told who the first is; the lock dies with its owner."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from hrm_agents.cli import main
from hrm_agents.errors import UserError
from hrm_agents.records.checkpoint import CONFIG, load_state
from hrm_agents.records.run_lock import hold_folder
from hrm_agents.trainer import Trainer

#: Holds a folder until it is killed.
HOLDER = (
    "import sys, time\nfrom pathlib import Path\nfrom hrm_agents.records.run_lock import hold_folder\n"
    "with hold_folder(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(600)"
)


@pytest.fixture
def held(tmp_path):
    """A folder that another process holds, and that process."""
    folder = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield folder, process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_is_refused_and_told_of_the_first(held):
    folder, process = held
    with pytest.raises(UserError, match=rf"is in use by process {process.pid} on "), hold_folder(folder):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    with hold_folder(folder):
        assert (folder / ".lock").read_text().startswith(f"process {os.getpid()} on ")
    assert not (folder / ".lock").exists()


def test_it_may_be_taken_again_by_its_owner_and_leaves_nothing(tmp_path):
    with hold_folder(tmp_path / "runs" / "run"), hold_folder(tmp_path / "runs" / "run" / ".." / "run"):
        assert (tmp_path / "runs" / "run" / ".lock").exists()
    assert os.listdir(tmp_path) == []


def test_a_folder_in_which_something_was_written_stays(tmp_path):
    with hold_folder(tmp_path / "run"):
        (tmp_path / "run" / "file").touch()
    assert os.listdir(tmp_path / "run") == ["file"]


def test_places_that_cannot_be_held(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "file")  # a planted link is not followed
    for folder in (tmp_path / "file" / "run", tmp_path / ("x" * 300), tmp_path / "a\0b", tmp_path / "run"):
        with pytest.raises(UserError, match="cannot write to") as refused, hold_folder(folder):
            pass
        assert len(str(refused.value)) < 500


def test_two_at_once_never_both_hold_it(tmp_path):
    """A folder taken and given back by many threads of several processes: there is one owner at any time."""
    script = (
        "import sys, time\nfrom pathlib import Path\n"
        "from hrm_agents.errors import UserError\nfrom hrm_agents.records.run_lock import hold_folder\n"
        "folder, mark, taken = Path(sys.argv[1]), Path(sys.argv[1]).with_name('mark'), 0\n"
        "end = time.monotonic() + 2\n"
        "while time.monotonic() < end:\n"
        "    try:\n"
        "        with hold_folder(folder):\n"
        "            mark.touch(exist_ok=False)\n"
        "            mark.unlink()\n"
        "            taken += 1\n"
        "    except UserError:\n"
        "        pass\n"
        "print(taken)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "run")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    counts = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sum(map(int, counts)) > 100


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_run_in_the_folder_is_refused_and_changes_nothing(held, tiny_config, tiny_flags, capsys, resume):
    folder, process = held
    words = ["--out", str(folder), *tiny_flags]
    if resume:
        process.kill()
        process.wait()
        Trainer(tiny_config(), folder).save()
        command = [sys.executable, "-c", HOLDER, str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as again:
            assert again.stdout.readline() == "held\n"
            before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            assert main(["train", "--resume", str(folder), "--run.updates", "8"]) == 2
            with pytest.raises(UserError, match="is in use by process"):
                Trainer.resume(folder, log=None).save()
            again.kill()
        assert load_state(folder)[1]["updates_done"] == 0
        for path, content in before.items():
            assert path.read_bytes() == content
    else:
        assert main(["train", *words]) == 2
        assert not (folder / CONFIG).exists()
        with pytest.raises(UserError, match="is in use by process"):
            Trainer(tiny_config(), folder).run()
    assert "is in use by process" in capsys.readouterr().err


def test_threads_of_one_process_share_it(tmp_path):
    """Which is why a trainer can hold what its caller holds."""
    with hold_folder(tmp_path):
        errors = []

        def again():
            try:
                with hold_folder(tmp_path):
                    pass
            except UserError as error:
                errors.append(error)

        thread = threading.Thread(target=again)
        thread.start()
        thread.join()
        assert errors == []
        assert (tmp_path / ".lock").exists()
