import dataclasses
import os
import shutil
import signal
import time

import pytest
import torch
from tampering import resave

from hrm_agents.cli import main
from hrm_agents.config import EnvConfig
from hrm_agents.errors import UserError
from hrm_agents.records.checkpoint import CONFIG, MODEL, STATE, load, load_state, save_model
from hrm_agents.trainer import Trainer

LENGTH = ["--run.updates", "14", "--run.save-every", "5"]

#: Trains, and kills itself as if by `kill -9` in the middle of update 13: three updates after the last checkpoint.
KILLED = """
import os, signal, sys
from hrm_agents.cli import main
from hrm_agents.learning.algorithm import Algorithm
losses = Algorithm.losses
def fatal(self, batch):
    if self.updates == 12:
        os.kill(os.getpid(), signal.SIGKILL)
    return losses(self, batch)
Algorithm.losses = fatal
main(sys.argv[1:])
"""


#: Has 16 unseen puzzles, so that evaluations are fast.
MAZE = ("HRM/Maze-5x5-v0", {"max_segments": 3})


@pytest.fixture
def maze_flags(tiny_flags):
    return [MAZE[0], *tiny_flags, "--kwargs", "max_segments=3"]


def test_a_killed_run_ends_bit_for_bit_like_an_unbroken_one(warm_python, maze_flags, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main(["train", *maze_flags, *LENGTH, "--out", str(whole)]) == 0
    arguments = ["train", *maze_flags, *LENGTH, "--out", str(broken)]
    killed = warm_python.run("-c", KILLED, *arguments, folder=tmp_path)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert load_state(broken)[1]["updates_done"] == 10
    assert main(["train", "--resume", str(broken), "--no-gif"]) == 0
    for name in (MODEL, STATE, CONFIG):
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name
    assert load_state(whole)[1]["updates_done"] == 14


@pytest.mark.parametrize("target", ["one-pass", "returns"])
def test_what_the_continue_targets_remember_is_resumed_too(tiny_config, tmp_path, target):
    settings = {"halting": {"target": target, "trace_decay": 0.5, "target_decay": 0.9, "exploration_prob": 1.0}}
    whole = Trainer(tiny_config(*MAZE, run={"updates": 9}, **settings), tmp_path / "whole")
    whole.run()
    broken = Trainer(tiny_config(*MAZE, run={"updates": 9}, **settings), tmp_path / "broken")
    for _ in range(4):
        broken.update()
    broken.save()
    Trainer.resume(tmp_path / "broken").run()
    assert (tmp_path / "whole" / MODEL).read_bytes() == (tmp_path / "broken" / MODEL).read_bytes()
    assert (tmp_path / "whole" / STATE).read_bytes() == (tmp_path / "broken" / STATE).read_bytes()


def test_a_run_that_cannot_be_resumed_keeps_its_records(sudoku_run, tmp_path, capsys):
    out = shutil.copytree(sudoku_run, tmp_path / "run")
    records = {path: path.read_bytes() for path in (out / "tensorboard").iterdir()}
    resave(out, data_hash="another")
    assert main(["train", "--resume", str(out), "--run.updates", "20"]) == 2
    assert "not those the run began with" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (out / "tensorboard").iterdir()} == records


def test_ctrl_c_saves_and_says_how_to_continue(warm_python, maze_flags, tmp_path):
    out = tmp_path / "a run"
    length = ["--run.updates", "1000000", "--run.save-every", "5", "--out", str(out)]
    reader, writer = os.pipe()
    with open(reader) as terminal:
        with open(writer, "w") as end:
            program = warm_python.start(
                "-m", "hrm_agents.cli", "train", *maze_flags, *length, folder=tmp_path, streams={2: end}
            )
        assert terminal.readline().startswith("training HRM/Maze-5x5-v0")
        deadline = time.monotonic() + 60
        while not (out / CONFIG).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(program.pid, signal.SIGINT)
        errors = terminal.read()
    assert program.wait() == 130
    updates = load_state(out)[1]["updates_done"]
    assert updates >= 5
    assert errors == f"interrupted: saved after {updates} updates; continue with: hrm-agents train --resume '{out}'\n"
    assert main(["train", "--resume", str(out), "--no-gif", "--run.updates", str(updates + 3)]) == 0
    assert load_state(out)[1]["updates_done"] == updates + 3


def test_ctrl_c_finishes_the_update_and_a_second_one_does_not(tiny_config, tmp_path, monkeypatch):
    trainer = Trainer(tiny_config(run={"updates": 50, "save_every": 1}), tmp_path)
    update = trainer.update

    def interrupted(times):
        def once():
            metrics = update()
            if trainer.updates_done == 3:
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)
            return metrics

        return once

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(trainer, "update", interrupted(2))
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert (trainer.updates_done, trainer.updates_saved) == (3, 2)
    assert signal.getsignal(signal.SIGINT) is handler

    trainer = Trainer.resume(tmp_path)
    assert trainer.updates_saved == 2
    update = trainer.update
    monkeypatch.setattr(trainer, "update", interrupted(1))
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert (trainer.updates_done, trainer.updates_saved) == (3, 3)


def test_everything_an_update_depends_on_is_restored(tiny_config, tmp_path):
    config = tiny_config(run={"updates": 12}, halting={"exploration_prob": 0.9})
    trainer = Trainer(config, tmp_path)
    for _ in range(6):
        trainer.update()
    trainer.save()
    expected = [trainer.update() for _ in range(6)]
    torch.manual_seed(123)
    resumed = Trainer.resume(tmp_path)
    assert resumed.updates_done == 6
    assert [resumed.update() for _ in range(6)] == expected
    one, other = trainer.algorithm.ema.state_dict(), resumed.algorithm.ema.state_dict()
    torch.testing.assert_close(other["average"], one["average"], rtol=0, atol=0)


def test_more_updates_and_another_rate_are_fine(tiny_config, sudoku_run):
    config = tiny_config(run={"updates": 6}, optim={"lr": 1e-4})
    trainer = Trainer.resume(sudoku_run, config)
    assert trainer.updates_done == 4
    trainer.update()
    assert trainer.algorithm.optimizers[0].param_groups[0]["lr"] < 1e-4


def test_lists_among_the_keywords_do_not_look_like_a_change(tiny_config, tmp_path):
    config = tiny_config(kwargs={"num_puzzles": 8, "empty_cells": [4, 6], "max_segments": 2})
    Trainer(config, tmp_path).save()
    assert Trainer.resume(tmp_path, config).updates_done == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"env": EnvConfig("HRM/Sudoku-4x4-v0", {"num_puzzles": 33, "max_segments": 3})},
            r"has env.kwargs.num_puzzles=32, not 33: keep it, or start a new run",
        ),
        ({"env": EnvConfig("HRM/Maze-5x5-v0", {})}, "env.id='HRM/Sudoku-4x4-v0', not 'HRM/Maze-5x5-v0'"),
        ({"model": "wider"}, "model.hidden_size=16, not 32: keep it, or start a new run"),
        ({"run": "larger batch"}, "run.batch_size=4, not 8"),
    ],
)
def test_what_does_not_fit_the_run_is_refused(tiny_config, sudoku_run, change, message):
    config = tiny_config()
    if "model" in change:
        change = {"model": dataclasses.replace(config.model, hidden_size=32)}
    elif "run" in change:
        change = {"run": dataclasses.replace(config.run, batch_size=8)}
    with pytest.raises(UserError, match=message):
        Trainer.resume(sudoku_run, dataclasses.replace(config, **change))


@pytest.mark.parametrize(
    "flags",
    [["--model.hidden-size", "32"], ["--kwargs", "num_puzzles=33"], ["HRM/Maze-5x5-v0"], ["--out", "elsewhere"]],
)
def test_the_command_line_refuses_them_too(sudoku_run, capsys, flags):
    assert main(["train", *flags, "--resume", str(sudoku_run)]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert len(errors.splitlines()) == 1


def test_nothing_to_resume(tmp_path, sudoku_run):
    with pytest.raises(UserError, match="holds no run to resume: it has no config"):
        Trainer.resume(tmp_path)
    (tmp_path / STATE).write_bytes((sudoku_run / STATE).read_bytes())
    with pytest.raises(UserError, match="no checkpoint in it is complete"):
        Trainer.resume(tmp_path)
    for name in (MODEL, CONFIG):
        shutil.copy(sudoku_run / name, tmp_path / name)
    (tmp_path / STATE).write_bytes((sudoku_run / STATE).read_bytes()[:-100])
    with pytest.raises(UserError, match="is damaged or of another run"):
        Trainer.resume(tmp_path)
    (tmp_path / STATE).unlink()
    with pytest.raises(UserError, match="is missing"):
        Trainer.resume(tmp_path)
    save_model(tmp_path, load(sudoku_run).model, {})
    with pytest.raises(UserError, match="its checkpoint has no training_state"):
        Trainer.resume(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--halting.target", "returns"], "halting.target='second-forward', not 'returns'"),
        (["--halting.target-decay", "0.9"], "halting.target_decay=None, not 0.9"),
        (["--halting.q-loss", "mse"], "are trained with bce: keep it"),
        (["--run.seed", "7"], "run.seed=0, not 7"),
        (["--run.init-from", "elsewhere"], "run.init_from=None, not 'elsewhere'"),
    ],
)
def test_what_a_run_depends_on_cannot_change(sudoku_run, capsys, change, message):
    assert main(["train", "--resume", str(sudoku_run), *change]) == 2
    assert message in capsys.readouterr().err


def test_a_checkpoint_is_written_before_the_evaluation_that_may_fail(tiny_config, tmp_path, monkeypatch):
    trainer = Trainer(tiny_config(run={"updates": 9, "save_every": 4, "eval_every": 4}), tmp_path)
    monkeypatch.setattr(trainer, "evaluate", lambda num, split: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trainer.run()
    assert load_state(tmp_path)[1]["updates_done"] == 4
