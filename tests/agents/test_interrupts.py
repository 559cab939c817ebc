"""Signals, and folders that vanish: at any moment a run ends with a clear line, and with what it had done."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

import hrm_agents
from hrm_agents.cli import main
from hrm_agents.errors import UserError
from hrm_agents.interrupts import stop_requests
from hrm_agents.records.checkpoint import CONFIG, load_state
from hrm_agents.records.run_log import RunLog
from hrm_agents.trainer import Trainer

#: Has 16 unseen puzzles, so that evaluations are fast.
MAZE = ("HRM/Maze-5x5-v0", {"max_segments": 3})


@pytest.mark.parametrize("milliseconds", [60, 150, 300, 700, 1500])
def test_ctrl_c_soon_after_the_start_is_one_word(tiny_flags, tmp_path, milliseconds):
    """While Python itself starts, nothing of ours is there to answer."""
    started = (
        "import sys, os; os.write(1, b'started\\n'); from hrm_agents.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = ["train", *tiny_flags, "--run.updates", "1000000", "--out", str(tmp_path / "run")]
    command = [sys.executable, "-c", f"import hrm_agents.cli; {started}", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "started\n"
        time.sleep(milliseconds / 1000)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("interrupted")


@pytest.mark.parametrize(("number", "final"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_a_signal_in_an_evaluation_ends_the_run_with_what_was_done(tiny_config, tmp_path, monkeypatch, number, final):
    run = {"updates": 4, "save_every": 100, "eval_every": 0 if final else 2, "batch_size": 4}
    trainer = Trainer(tiny_config(run=run), tmp_path)
    evaluating, shown = trainer.log.evaluating, []

    class Watched:
        def __enter__(self):
            self.inner = evaluating()
            show = self.inner.__enter__()

            def shows(share):
                signal.raise_signal(number)
                shown.append(share)
                show(share)

            return lambda share: shows(share) if not shown else show(share)

        def __exit__(self, *error):
            return self.inner.__exit__(*error)

    monkeypatch.setattr(trainer.log, "evaluating", Watched)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert trainer.updates_saved == trainer.updates_done == (4 if final else 2)
    assert load_state(tmp_path)[1]["updates_done"] == trainer.updates_done
    assert Trainer.resume(tmp_path).run().num_puzzles == 1000


def test_the_command_reports_a_signal_in_the_final_evaluation(tiny_flags, tmp_path, monkeypatch, capsys):
    evaluate = Trainer.evaluate

    def signalled(self, num_puzzles=None, split="test"):
        signal.raise_signal(signal.SIGINT)
        return evaluate(self, num_puzzles, split)

    monkeypatch.setattr(Trainer, "evaluate", signalled)
    out = tmp_path / "run"
    assert main(["train", *tiny_flags, "--out", str(out)]) == 130
    assert f"saved after 4 updates; continue with: hrm-agents train --resume {out}" in capsys.readouterr().err


def test_fewer_updates_than_were_done_are_refused_and_change_nothing(sudoku_run, tmp_path, capsys):
    shutil.copytree(sudoku_run, tmp_path, dirs_exist_ok=True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(["train", "--resume", str(tmp_path), "--run.updates", "3"]) == 2
    assert "has done 4 updates, more than --run.updates 3 asks for" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_deleted_in_mid_run_costs_nothing(tiny_config, tmp_path, monkeypatch):
    out = tmp_path / "run"
    trainer = Trainer(tiny_config(*MAZE, run={"updates": 6, "save_every": 2, "log_every": 1}), out)
    update = trainer.update

    def deleting():
        if trainer.updates_done == 3:
            shutil.rmtree(out)
        return update()

    monkeypatch.setattr(trainer, "update", deleting)
    trainer.run()
    assert hrm_agents.load(out).config["updates"] == 6
    assert load_state(out)[1]["updates_done"] == 6


def test_records_that_cannot_be_written_end_the_run_with_what_was_done(tiny_config, tmp_path, monkeypatch):
    trainer = Trainer(tiny_config(*MAZE, run={"updates": 6, "save_every": 100}), tmp_path)
    segment = trainer.log.segment

    def full(batch, metrics, step):
        if step == 3:
            raise UserError("cannot write the records: No space left on device")
        segment(batch, metrics, step)

    monkeypatch.setattr(trainer.log, "segment", full)
    with pytest.raises(UserError, match="No space left"):
        trainer.run()
    assert load_state(tmp_path)[1]["updates_done"] == 3
    Trainer.resume(tmp_path).run()


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only_is_one_line(sudoku_run, tmp_path, capsys):
    folder = shutil.copytree(sudoku_run, tmp_path / "run")
    folder.chmod(0o555)
    assert main(["train", "--resume", str(folder), "--run.updates", "8"]) == 2
    assert "cannot write to" in capsys.readouterr().err


def test_a_folder_that_cannot_be_locked_is_one_line(sudoku_run, tmp_path, capsys, monkeypatch):
    folder = shutil.copytree(sudoku_run, tmp_path / "run")
    open_ = os.open

    def read_only(path, flags, *args, **kwargs):
        if str(path).startswith(str(folder)) and flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(30, "Read-only file system")
        return open_(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", read_only)
    assert main(["train", "--resume", str(folder), "--run.updates", "8"]) == 2
    error = capsys.readouterr().err
    assert "Read-only file system" in error
    assert error.count("\n") == 1


def test_stop_requests_outside_the_main_thread_ask_for_nothing():
    import threading

    asked = []

    def thread():
        with stop_requests() as stop:
            asked.append(list(stop))

    worker = threading.Thread(target=thread)
    worker.start()
    worker.join()
    assert asked == [[]]


def test_a_log_of_a_run_that_is_refused_is_not_begun(tiny_config, tmp_path):
    Trainer(tiny_config(), tmp_path, log=RunLog(tmp_path, tiny_config())).save()
    before = sorted(path.name for path in (tmp_path / "tensorboard").iterdir())
    (tmp_path / CONFIG).write_text("{}")
    with pytest.raises(UserError):
        Trainer.resume(tmp_path)
    assert sorted(path.name for path in (tmp_path / "tensorboard").iterdir()) == before
