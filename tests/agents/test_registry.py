"""A network of one's own is registered in one call, and then does what the built-in ones do; nothing else knows it."""

import json
import shutil
import sys
from dataclasses import dataclass, field

import pytest
import torch

import hrm_agents
from hrm_agents.cli import main
from hrm_agents.config import TrainConfig, from_dict, to_dict, with_model
from hrm_agents.errors import UserError
from hrm_agents.models.architecture import Architecture
from hrm_agents.models.hrm import HRM, HRMConfig
from hrm_agents.models.interface import SegmentModel
from hrm_agents.models.registry import model_kind, model_names, name_of, register_model
from hrm_agents.models.trm import TRM, TRMSettings
from hrm_agents.presets import preset
from hrm_agents.records.checkpoint import load, load_state
from hrm_agents.trainer import Trainer

#: A plain convolutional net without attention, in the file of a user.
SOURCE = '''
from dataclasses import dataclass

import torch
from torch import nn

import hrm_agents
from hrm_agents.models import SegmentModel, SegmentOutput


@dataclass(frozen=True)
class ConvSettings:
    width: int = 8
    """Channels of the picture."""
    depth: int = 1
    """Convolutions per segment."""


class ConvNet(SegmentModel):
    def __init__(self, settings, sizes):
        super().__init__()
        self.settings, self.sizes = settings, sizes
        self.embed = nn.Embedding(sizes.vocab_size, settings.width)
        self.mix = nn.ModuleList(nn.Conv2d(settings.width, settings.width, 3, padding=1) for _ in range(settings.depth))
        self.read = nn.Linear(settings.width, sizes.vocab_size)
        self.q_head = nn.Linear(settings.width, 2)

    def initial_carry(self, batch_size):
        return (self.q_head.weight.new_zeros(batch_size, self.settings.width, *self.sizes.grid_shape),)

    def forward(self, carry, puzzle, task_id=None):
        seen = self.embed(puzzle.long()).transpose(1, 2).unflatten(2, self.sizes.grid_shape)
        picture = carry[0]
        for mix in self.mix:
            picture = torch.tanh(mix(picture + seen))
        cells = picture.flatten(2).transpose(1, 2)
        q_input = cells.mean(1)
        q_halt, q_continue = self.q_head(q_input).unbind(-1)
        return (picture.detach(),), SegmentOutput(self.read(cells), q_halt, q_continue, q_input.detach())


hrm_agents.register_model("test-conv", ConvNet, ConvSettings, training={"halting": {"rule": "convergence"}})
'''
FLAGS = ["--no-gif", "--run.device", "cpu", "--run.threads", "1", "--run.batch-size", "4", "--run.eval-every", "0"]
FLAGS += ["--kwargs", "num_puzzles=32", "max_segments=3"]


@pytest.fixture
def table(monkeypatch):
    """The table of networks, which is as before after the test; so are the imported modules."""
    from hrm_agents.models import registry

    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))
    yield registry._MODELS
    sys.modules.pop("user_net", None)


@pytest.fixture
def module(tmp_path, table):
    path = tmp_path / "user_net.py"
    path.write_text(SOURCE)
    return str(path)


def train(out, module, *arguments):
    return main(["train", "--module", module, "--model", "test-conv", "--out", str(out), *FLAGS, *arguments])


def forget(table):
    """Like a new process, in which nobody has imported the user's file."""
    del table["test-conv"]
    del sys.modules["user_net"]


def weights(folder):
    return load(folder).model.state_dict()


# A user's file


def test_a_users_net_trains_loads_evaluates_and_is_watched(module, table, tmp_path, capsys):
    pytest.importorskip("pygame")
    run = tmp_path / "run"
    assert train(run, module, "--run.updates", "3", "--model.width", "12") == 0
    assert "with test-conv, 1,484 parameters" in capsys.readouterr().err
    config = json.loads((run / "config.json").read_text())
    assert config["model_name"] == config["training"]["model_name"] == "test-conv"
    assert config["model"] == {"width": 12, "depth": 1, "vocab_size": 6, "grid_shape": [4, 4], "num_task_ids": 1}
    assert config["custom"] == {}
    assert config["training"]["halting"]["rule"] == "convergence"

    forget(table)
    report, gif = tmp_path / "report.json", tmp_path / "run.gif"
    chosen = ["--module", module, "--kwargs", "num_puzzles=8"]
    assert main(["evaluate", str(run), *chosen, "--json", str(report)]) == 0
    assert json.loads(report.read_text())["reports"][0]["num_puzzles"] == 8
    assert main(["watch", str(run), "--record", str(gif), "--episodes", "1", *chosen]) == 0
    assert gif.read_bytes().startswith(b"GIF")
    assert main(["solve", str(run), "1... ..3. .2.. ...4", "--module", module]) in (0, 1)
    solver = hrm_agents.load(run)
    assert type(solver.model).__name__ == "ConvNet"
    assert solver.model.settings.width == 12


def test_a_users_net_resumes_bit_for_bit_from_the_command_line(module, table, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    constant = ["--optim.schedule", "constant"]
    assert train(whole, module, "--run.updates", "6", *constant) == 0
    assert train(broken, module, "--run.updates", "3", *constant) == 0
    forget(table)
    assert main(["train", "--resume", str(broken), "--module", module, "--run.updates", "6", "--no-gif"]) == 0
    expected, found = weights(whole), weights(broken)
    assert all(torch.equal(expected[name], tensor) for name, tensor in found.items())
    assert load_state(broken)[1]["updates_done"] == 6


@pytest.mark.parametrize(
    "command", ["evaluate RUN", "watch RUN --record x.gif", "solve RUN", "play --checkpoint RUN", "train --resume RUN"]
)
def test_without_the_module_one_line_says_what_to_do(module, table, tmp_path, capsys, command):
    run = tmp_path / "run"
    assert train(run, module, "--run.updates", "1") == 0
    forget(table)
    capsys.readouterr()
    assert main([str(run) if part == "RUN" else part for part in command.split()]) == 2
    errors = capsys.readouterr().err
    assert "no model 'test-conv' is registered" in errors
    assert "--module" in errors
    assert errors.count("\n") == 1
    assert "user_net" not in sys.modules, "a checkpoint imports nothing"


def test_help_lists_the_models_and_the_options_of_the_one_chosen(module, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["train", "--module", module, "--model", "test-conv", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"there are {', '.join(model_names())}" in text
    assert "test-conv" in model_names()
    assert "--model.width INT Channels of the picture. (default: 8)" in text
    assert "--model.hidden-size" not in text
    assert main(["train", "--model=trm", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--model.num-layers INT Blocks in the network. (default: 2)" in text
    assert "--model.H-layers" not in text
    assert "(default: probability)" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "no-net"], "--model: no model 'no-net' is registered; there are gru, hrm, looped"),
        (["--model", "trm", "--model.H-layers", "3"], "Unrecognized options: --model.H-layers, 3"),
        (["--model.num-layers", "3"], "Unrecognized options: --model.num-layers, 3"),
        (["--model", "gru", "--model.steps", "0"], "steps must be at least 1, got 0"),
    ],
)
def test_models_and_settings_that_there_are_not(capsys, tmp_path, arguments, message):
    assert main(["train", *arguments, *FLAGS, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_a_run_is_resumed_with_its_own_network(sudoku_run, capsys):
    assert main(["train", "--resume", str(sudoku_run), "--model", "trm"]) == 2
    assert "continues with the network of the run, hrm: omit --model trm" in capsys.readouterr().err


# Settings and checkpoints


def test_settings_of_every_network_go_through_json():
    for name in model_names():
        config = TrainConfig(model_name=name)
        assert type(config.model) is model_kind(name, "").settings
        assert from_dict(TrainConfig, json.loads(json.dumps(to_dict(config)))) == config


def test_a_setting_that_the_network_does_not_know_is_named():
    with pytest.raises(UserError, match=r"here\.model: unknown field 'H_layers'; did you mean 'num_layers'"):
        from_dict(TrainConfig, {"model_name": "trm", "model": {"H_layers": 2}}, "here")
    with pytest.raises(UserError, match=r"here\.model_name: no model 'flux' is registered"):
        from_dict(TrainConfig, {"model_name": "flux"}, "here")
    with pytest.raises(UserError, match=r"no model \['trm'\] is registered"):
        from_dict(TrainConfig, {"model_name": ["trm"]})
    with pytest.raises(UserError, match="model 'hrm' takes settings of type Architecture, got TRMSettings"):
        TrainConfig(model=TRMSettings())


def test_another_network_takes_over_what_depends_on_the_task():
    config = preset("HRM/Maze-9x9-v0")
    trm = with_model(config, "trm")
    assert (trm.model.position, trm.model.rope_theta) == (config.model.position, config.model.rope_theta)
    assert (trm.model.H_cycles, trm.model.L_cycles) == (3, 6), "the depth is its own"
    assert (trm.halting.rule, trm.halting.threshold) == ("probability", 0.5)
    assert (trm.optim, trm.run, trm.env) == (config.optim, config.run, config.env)
    assert with_model(config, "hrm") is config


def test_a_checkpoint_without_a_name_is_an_hrm(sudoku_run, tmp_path):
    config = json.loads((sudoku_run / "config.json").read_text())
    assert config["model_name"] == "hrm"
    nameless = shutil.copytree(sudoku_run, tmp_path / "run", ignore=shutil.ignore_patterns("best", "tensorboard"))
    del config["model_name"]
    (nameless / "config.json").write_text(json.dumps(config))
    assert type(hrm_agents.load(nameless).model) is HRM


def test_only_a_class_that_is_not_registered_is_asked_for(tiny_config, tmp_path):
    class Mine(TRM):
        pass

    config = tiny_config(run={"updates": 1})
    sizes = HRM(HRMConfig(vocab_size=6, grid_shape=(4, 4), hidden_size=16, num_heads=2)).sizes
    settings = TRMSettings(hidden_size=16, num_heads=2)
    Trainer(config, tmp_path / "known", model=TRM(settings, sizes)).run()
    assert type(hrm_agents.load(tmp_path / "known").model) is TRM
    Trainer(config, tmp_path / "own", model=Mine(settings, sizes)).run()
    with pytest.raises(UserError, match="trained with its own model"):
        hrm_agents.load(tmp_path / "own")
    assert hrm_agents.load(tmp_path / "own", model=Mine(settings, sizes)).evaluate(first=4).num_puzzles == 4


# Registration


@dataclass(frozen=True)
class Plain:
    width: int = 3


@dataclass(frozen=True)
class NoDefault:
    width: int


@dataclass(frozen=True)
class NotPlain:
    rows: dict = field(default_factory=lambda: {"x": {1, 2}})


@dataclass(frozen=True)
class WithSize:
    vocab_size: int = 3


@pytest.mark.parametrize(
    ("name", "network", "settings", "message"),
    [
        ("my net", TRM, Plain, "letters, digits, - and _ only, got 'my net'"),
        ("-x", TRM, Plain, "letters, digits"),
        ("trm", HRM, Architecture, "'trm' is registered already, as hrm_agents.models.trm.TRM"),
        ("mine", torch.nn.Linear, Plain, "is not a subclass of SegmentModel"),
        ("mine", SegmentModel, {"width": 3}, "must be a dataclass, got {'width': 3}"),
        ("mine", SegmentModel, NoDefault, "plain values with defaults: .*missing 1 required"),
        ("mine", SegmentModel, NotPlain, "plain values with defaults: .*not JSON serializable"),
        ("mine", SegmentModel, WithSize, "vocab_size is a size of the task"),
    ],
)
def test_what_cannot_be_registered(table, name, network, settings, message):
    with pytest.raises(ValueError, match=message):
        register_model(name, network, settings)
    assert "mine" not in table


def test_the_same_class_may_be_registered_again(table):
    """As when a cell of a notebook runs twice."""
    register_model("trm", TRM, TRMSettings)
    assert name_of(TRM(TRMSettings(), HRM(HRMConfig(5, (2, 2))).sizes)) == "trm"
