"""Training that goes wrong never costs a good checkpoint, and says which one to go on from."""

import math
from dataclasses import replace

import pytest
import torch
from tampering import resave

import hrm_agents
from hrm_agents.errors import UserError
from hrm_agents.learning.health import what_is_ruined
from hrm_agents.records.checkpoint import CONFIG, MODEL, STATE, load_state, read_config
from hrm_agents.trainer import Trainer, TrainingDiverged

#: Has 16 unseen puzzles, so that evaluations are fast.
MAZE = ("HRM/Maze-5x5-v0", {"max_segments": 3})
RUN = {"updates": 12, "save_every": 2, "eval_every": 4, "eval_puzzles": 4}


def files(folder):
    return {name: (folder / name).read_bytes() for name in (MODEL, CONFIG, STATE)}


@pytest.fixture
def trainer(tiny_config, tmp_path):
    return Trainer(tiny_config(*MAZE, run=RUN), tmp_path / "run")


def ruin_weights(trainer):
    with torch.no_grad():
        trainer.model.answer_head.weight[0, 0] = 1e10


def ruin_average(trainer):
    trainer.algorithm.ema.state_dict()["average"]["q_head.bias"][0] = math.nan


def ruin_moments(trainer):
    next(iter(trainer.algorithm.optimizers[0].state.values()))["v"].fill_(math.inf)


def explode_loss(trainer):
    trainer.algorithm.last_loss = 1e4 * trainer.algorithm.first_loss + 1e4


@pytest.mark.parametrize(
    ("ruin", "problem"),
    [
        (ruin_weights, r"the largest weight is 1e\+10"),
        (ruin_average, "the largest weight is nan"),
        (ruin_moments, "the optimiser holds a non-finite number"),
        (explode_loss, "the loss is .*, and was .* at update 1"),
    ],
)
def test_what_is_ruined_is_not_saved(trainer, ruin, problem):
    trainer.update()
    trainer.update()
    trainer.save()
    before = files(trainer.out)
    trainer.update()
    ruin(trainer)
    advice = r"the last checkpoint is in .*run \(update 2\): resume it with a lower --optim\.lr"
    with pytest.raises(TrainingDiverged, match=f"update 3: {problem}.*nothing was saved; {advice}"):
        trainer.save()
    assert files(trainer.out) == before


def test_a_learning_rate_far_too_high_costs_no_good_checkpoint(tiny_config, tmp_path):
    """The run goes well, goes on at a rate that ruins it, and still has its last good state."""
    Trainer(tiny_config(*MAZE, run={**RUN, "updates": 8}), tmp_path).run()
    Trainer.resume(tmp_path, tiny_config(*MAZE, run={**RUN, "updates": 8}))
    wild = tiny_config(*MAZE, run={**RUN, "updates": 4000, "eval_every": 0}, optim={"lr": 1e5})
    with pytest.raises(TrainingDiverged, match=r"resume it with a lower --optim\.lr") as stopped:
        Trainer.resume(tmp_path, wild).run()
    assert len(str(stopped.value)) < 500
    loaded = hrm_agents.load(tmp_path)
    assert all(weight.abs().max() < 1e6 for weight in loaded.model.state_dict().values())
    assert load_state(tmp_path)[1]["updates_done"] == 8
    Trainer.resume(tmp_path, tiny_config(*MAZE, run={**RUN, "updates": 9})).run()


def test_the_best_checkpoint_is_kept_and_named(trainer, monkeypatch):
    rates = {4: 0.5, 8: 0.25}
    evaluate = trainer.evaluate

    def scripted(num_puzzles=None, split="test"):
        return replace(evaluate(num_puzzles, split), success_rate=rates.get(trainer.updates_done, 0.0))

    monkeypatch.setattr(trainer, "evaluate", scripted)
    update = trainer.update

    def diverging():
        if trainer.updates_done == 10:
            ruin_weights(trainer)
            trainer.model.answer_head.weight.data[0, 0] = math.nan
        return update()

    monkeypatch.setattr(trainer, "update", diverging)
    advice = r"the best checkpoint is in .*best \(update 4, 50\.0% solved\): resume it"
    with pytest.raises(TrainingDiverged, match=advice):
        trainer.run()
    best = trainer.best.folder
    assert read_config(best)["updates"] == 4
    assert read_config(best)["evaluation"]["success_rate"] == 0.5
    assert load_state(best)[1]["updates_done"] == 4
    assert load_state(trainer.out)[1]["updates_done"] == 10
    hrm_agents.load(best)
    # It is a run like any other.
    monkeypatch.undo()
    assert Trainer.resume(best).run().num_puzzles == 5


def test_as_good_as_the_best_takes_its_place(trainer):
    trainer.run()  # solves nothing at either evaluation
    assert read_config(trainer.best.folder)["updates"] == 8


@pytest.mark.parametrize(
    "name",
    [
        "optimizers/0/state/q_head.bias/m",
        "optimizers/0/state/q_head.bias/v",
        "ema/average/q_head.bias",
        "model/q_head.bias",
    ],
)
def test_a_state_with_nan_does_not_resume(trainer, name):
    trainer.update()
    trainer.save()
    before = (trainer.out / MODEL).read_bytes()
    resave(trainer.out, lambda tensors: tensors[f"algorithm/{name}"].fill_(math.nan))
    with pytest.raises(UserError, match=f"'algorithm/{name}' holds a non-finite number"):
        Trainer.resume(trainer.out)
    assert (trainer.out / MODEL).read_bytes() == before


def test_what_counts_as_ruined():
    fine = {"weights": [torch.tensor([-3.0]), torch.zeros(0, 3)], "moments": [], "loss": 2.0, "first_loss": 1.5}
    assert what_is_ruined(**fine) is None
    assert what_is_ruined(**{**fine, "weights": [torch.tensor([-3e6])]}) is not None
    assert what_is_ruined(**{**fine, "weights": [torch.tensor([torch.nan])]}) is not None
    assert what_is_ruined(**{**fine, "moments": [torch.tensor([torch.inf])]}) is not None
    assert what_is_ruined(**{**fine, "moments": [torch.tensor([1e20])]}) is None
    assert what_is_ruined(**{**fine, "loss": 1.4e4}) is None
    assert what_is_ruined(**{**fine, "loss": -1.6e4}) is not None
    assert what_is_ruined(**{**fine, "loss": None, "first_loss": None}) is None
