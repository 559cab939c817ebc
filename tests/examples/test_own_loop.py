"""The training loop of the examples: what it computes is what the Trainer computes, and it learns."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hrm_agents import load
from hrm_agents.config import EnvConfig, OptimConfig, RunConfig, TrainConfig
from hrm_agents.models.hrm import Architecture
from hrm_agents.trainer import Trainer

EXAMPLES = Path(__file__).parents[2] / "examples"
TINY = Architecture(hidden_size=16, num_heads=2, H_layers=1, L_layers=1, position="rope2d+learned", gradient="cycle")


@pytest.fixture(scope="module")
def own_loop():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        return importlib.import_module("own_loop")


def test_its_weights_are_those_of_the_trainer(own_loop, tmp_path):
    """Same seeds, same settings: 12 updates, long enough for episodes to end and begin anew."""
    config = TrainConfig(
        EnvConfig("HRM/Sudoku-4x4-v0"),
        TINY,
        OptimConfig(),
        run=RunConfig(updates=12, batch_size=32, eval_every=0, device="cpu", threads=1),
    )
    # What the example leaves to the defaults is what it says itself.
    assert (config.optim.lr, config.optim.warmup, config.optim.ema_decay) == (7e-4, 200, 0.999)
    config = replace(config, halting=replace(config.halting, target="second-forward"))
    trainer = Trainer(config, tmp_path / "trainer")
    while trainer.updates_done < 12:
        trainer.update()
    trainer.save()
    trainer.log.close()
    own_loop.train("HRM/Sudoku-4x4-v0", TINY, updates=12, seed=0, out=tmp_path / "own")
    expected, found = (dict(load(tmp_path / name).model.named_parameters()) for name in ("trainer", "own"))
    for name, weights in expected.items():
        torch.testing.assert_close(found[name], weights, msg=name)


def test_it_reports_and_its_model_can_be_loaded(own_loop, tmp_path, capsys, monkeypatch, tiny_config):
    monkeypatch.setattr(own_loop, "preset", tiny_config)
    report = own_loop.main(["--updates", "2", "--out", str(tmp_path)])
    assert report.num_puzzles == 500
    assert "of 500 unseen puzzles" in capsys.readouterr().out
    solver = load(tmp_path)
    assert solver.env_id == "HRM/Sudoku-4x4-v0"
    assert len(solver.solve("1.3. .... .... .2.4").segments) >= 1
