"""Runs that end before their last update: after a time, or asked by a signal."""

import signal

import pytest

from hrm_agents.cli import main
from hrm_agents.commands.train import run
from hrm_agents.distributed import restarts_failures, was_restarted
from hrm_agents.interrupts import TIME_IS_UP, Stopped
from hrm_agents.records.checkpoint import load_state
from hrm_agents.trainer import Trainer


def test_a_run_stops_with_a_save_when_its_time_is_up(tiny_config, tmp_path):
    trainer = Trainer(tiny_config(run={"updates": 1_000_000, "save_every": 1_000_000, "eval_every": 0}), tmp_path)
    with pytest.raises(Stopped) as stop:
        trainer.run(max_seconds=0.5)
    assert (stop.value.reason, stop.value.exit_code) == (TIME_IS_UP, 75)
    assert load_state(tmp_path)[1]["updates_done"] == trainer.updates_saved == trainer.updates_done > 0


def test_a_run_that_ends_in_time_ends_as_without_a_limit(tiny_config, tmp_path):
    config = tiny_config("HRM/Maze-5x5-v0", {"max_segments": 3}, run={"updates": 2})
    assert Trainer(config, tmp_path / "limited").run(max_seconds=1e4) == Trainer(config, tmp_path / "free").run()


@pytest.mark.parametrize(("restarts", "code"), [({}, 75), ({"TORCHELASTIC_MAX_RESTARTS": "3"}, 0)])
def test_the_command_says_how_to_go_on(tiny_flags, tmp_path, monkeypatch, capsys, restarts, code):
    """To torchrun any other code than 0 is a failure, after which it would start again."""
    assert (restarts_failures(restarts), was_restarted(restarts)) == (code == 0, False)
    monkeypatch.setattr("hrm_agents.commands.train.restarts_failures", lambda: restarts_failures(restarts))
    flags = [*tiny_flags, "--run.updates", "1000000", "--out", str(tmp_path / "run"), "--max-minutes", "0.005"]
    assert run(flags) == code
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("time is up: saved after ")
    assert last.endswith(f"continue with: hrm-agents train --resume {tmp_path / 'run'}")


def test_a_limit_must_be_a_time(tiny_flags, tmp_path, capsys):
    assert main(["train", *tiny_flags, "--out", str(tmp_path / "run"), "--max-minutes", "0"]) == 2
    assert capsys.readouterr().err == "error: --max-minutes must be above 0, got 0.0\n"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_exit_code_names_the_signal(tiny_flags, tmp_path, monkeypatch, capsys, number, code):
    update = Trainer.update

    def signalled(self):
        signal.raise_signal(number)
        return update(self)

    monkeypatch.setattr(Trainer, "update", signalled)
    assert main(["train", *tiny_flags, "--out", str(tmp_path / "run")]) == code
    assert "interrupted: saved after 1 updates; continue with" in capsys.readouterr().err
