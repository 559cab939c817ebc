"""A halting rule of the user's own trains, and a checkpoint that cannot name it says so."""

from dataclasses import dataclass

import pytest
import torch

import hrm_agents
from hrm_agents.cli import main
from hrm_agents.errors import UserError
from hrm_agents.halting.decisions import GreaterValue, HaltingRule
from hrm_agents.trainer import Trainer

#: Has few unseen puzzles, so that evaluations are fast.
MAZE = ("HRM/Maze-5x5-v0", {"max_segments": 3})


@dataclass(frozen=True)
class Patient(HaltingRule):
    """Halts from a segment on."""

    segment: int

    def decide(self, thought):
        return thought.segment >= self.segment


@pytest.fixture
def trained(tiny_config, tmp_path):
    trainer = Trainer(tiny_config(), tmp_path, rule=Patient(2))
    assert trainer.run().mean_segments == 2.0
    return tmp_path


def test_loading_asks_for_it_and_takes_it(trained, capsys):
    with pytest.raises(UserError, match=r"its own rule \(test_own_rule: Patient\(segment=2\)\)"):
        hrm_agents.load(trained)
    solver = hrm_agents.load(trained, rule=Patient(2))
    assert solver.evaluate().mean_segments == 2.0
    assert len(solver.solve("1.3. .... .... .2.4").segments) == 2
    for command in (["evaluate"], ["watch", "--record", "out.gif"], ["solve"]):
        assert main([command[0], str(trained), *command[1:]]) == 2
        assert "whose code a checkpoint cannot hold" in capsys.readouterr().err


def test_resuming_asks_for_it_and_goes_on_bit_for_bit(tiny_config, tmp_path):
    config = tiny_config(*MAZE, run={"updates": 6})
    whole, broken = (Trainer(config, tmp_path / name, rule=Patient(2)) for name in ("whole", "broken"))
    whole.run()
    for _ in range(4):
        broken.update()
    broken.save()
    with pytest.raises(UserError, match="its own rule"):
        Trainer.resume(tmp_path / "broken")
    resumed = Trainer.resume(tmp_path / "broken", rule=Patient(2))
    resumed.run()
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name])


def test_a_rule_put_into_the_policy_later_is_noticed_too(tiny_config, tmp_path):
    trainer = Trainer(tiny_config(*MAZE), tmp_path)
    trainer.rollout.policy.rule = Patient(1)
    trainer.run()
    with pytest.raises(UserError, match="its own rule"):
        hrm_agents.load(tmp_path)


def test_the_rule_that_the_settings_name_is_none_of_ones_own(tiny_config, tmp_path):
    Trainer(tiny_config(*MAZE), tmp_path, rule=GreaterValue()).run()
    assert hrm_agents.load(tmp_path).rule == GreaterValue()
