"""Long runs keep their last checkpoints, and stop early when they no longer get better."""

import dataclasses
import math

import pytest
import shift_task
import torch

import hrm_agents.trainer as trainer_module
from hrm_agents.errors import UserError
from hrm_agents.records.checkpoint import MODEL, load, load_state, read_config, read_tensors
from hrm_agents.records.logger import Logger
from hrm_agents.schedule import Patience
from hrm_agents.trainer import Trainer


@pytest.fixture
def make(tiny_config, tmp_path):
    def make(**run):
        return Trainer(tiny_config(shift_task.ID, {}, run=run), tmp_path / "run", Logger())

    return make


def test_the_last_checkpoints_are_kept(make, tmp_path):
    make(updates=6, save_every=2, eval_every=0, keep=2).run()
    folders = {int(place.name): place for place in (tmp_path / "run" / "checkpoints").iterdir()}
    assert sorted(folders) == [4, 6]
    for updates, folder in folders.items():
        assert read_config(folder)["updates"] == updates
        assert Trainer.resume(folder, log=Logger()).updates_done == updates
    latest, before = (read_tensors(place / MODEL)[0] for place in (tmp_path / "run", folders[4]))
    assert not torch.equal(latest["q_head.weight"], before["q_head.weight"])
    torch.testing.assert_close(load(folders[6]).model.state_dict(), load(tmp_path / "run").model.state_dict())


def test_none_are_kept_by_default(make, tmp_path):
    make(updates=2).save()
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_run_stops_when_its_evaluations_get_no_better(make, tmp_path, monkeypatch):
    rates, evaluate = iter([0.1, 0.3, 0.3, 0.2, 0.9]), Trainer.evaluate

    def scripted(self, num_puzzles=None, split="test"):
        return dataclasses.replace(evaluate(self, num_puzzles, split), success_rate=next(rates))

    monkeypatch.setattr(Trainer, "evaluate", scripted)
    trainer = make(updates=100, save_every=100, eval_every=2, patience=2)
    assert trainer.run().success_rate == 0.9  # the final evaluation
    assert trainer.updates_done == 8
    assert read_config(tmp_path / "run")["updates"] == 8
    assert read_config(tmp_path / "run" / "best")["evaluation"]["success_rate"] == 0.3


def test_a_resumed_run_goes_on_waiting(make, tmp_path, monkeypatch):
    trainer = make(updates=4, patience=3)
    for rate in (0.5, 0.2, 0.5):
        trainer.patience.observe(rate)
    trainer.save()
    patience = Trainer.resume(tmp_path / "run", log=Logger()).patience
    assert (patience.best, patience.waited, patience.is_over) == (0.5, 2, False)
    patience.observe(0.5)
    assert patience.is_over

    tensors, document = load_state(tmp_path / "run")
    for junk in (
        None,
        [],
        {},
        {"best": 2.0, "waited": 0},
        {"best": math.nan, "waited": 0},
        {"best": 0.5, "waited": -1},
    ):
        monkeypatch.setattr(
            trainer_module, "load_state", lambda _, junk=junk: (tensors, {**document, "patience": junk})
        )
        with pytest.raises(UserError, match="is damaged"):
            Trainer.resume(tmp_path / "run", log=Logger())
    document.pop("patience")  # as in a checkpoint from before
    monkeypatch.setattr(trainer_module, "load_state", lambda _: (tensors, document))
    assert Trainer.resume(tmp_path / "run", log=Logger()).patience.state_dict() == Patience(3).state_dict()
