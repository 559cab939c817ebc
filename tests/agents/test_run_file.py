"""Settings of a run in a TOML file, which every run writes and ``--config`` reads."""

import sys

import gymnasium as gym
import pytest

from hrm_agents.cli import main
from hrm_agents.commands.frontier import Frontier
from hrm_agents.commands.train import Train, parse_settings
from hrm_agents.config import HaltingConfig, RunConfig, TrainConfig
from hrm_agents.errors import UserError
from hrm_agents.models.registry import model_names
from hrm_agents.presets import NAMED, preset
from hrm_agents.records.checkpoint import MODEL
from hrm_agents.records.run_file import RUN_FILE, read_run_file, write_run_file


def settings(*arguments):
    return parse_settings(Train, "train", [*map(str, arguments)]).config()


@pytest.fixture
def written(tmp_path):
    """Writes a file of settings and returns its path."""

    def written(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return path

    return written


@pytest.mark.parametrize("model", ["hrm", "gru"])
def test_a_run_is_repeated_bit_for_bit_from_the_file_it_wrote(model, tiny_flags, tmp_path):
    flags = tiny_flags if model == "hrm" else ["--no-gif", "--model", "gru"]
    if model == "gru":
        flags += ["--model.hidden-size", "16", "--run.updates", "3", "--run.batch-size", "4", "--run.eval-every", "0"]
        flags += ["--run.device", "cpu", "--run.threads", "1", "--kwargs", "max_segments=2", "reward=partial"]
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["train", "HRM/Maze-5x5-v0", *flags, "--run.seed", "5", "--out", str(first)]) == 0
    assert main(["train", "--config", str(first / RUN_FILE), "--no-gif", "--out", str(second)]) == 0
    for name in (MODEL, RUN_FILE):
        assert (second / name).read_bytes() == (first / name).read_bytes()


@pytest.mark.parametrize(
    "arguments", [*(["--preset", name] for name in NAMED), *(["--model", m] for m in model_names())]
)
def test_all_settings_survive_the_file(arguments, tmp_path):
    given = [
        *arguments,
        "--run.patience",
        "3",
        "--kwargs",
        "max_segments=5",
        "num_labelled=null",
        "empty_cells=[1,[2]]",
    ]
    config = settings(*given)
    write_run_file(tmp_path, config)
    assert settings("--config", tmp_path / RUN_FILE) == config


def test_an_empty_value_wins_over_the_preset(tmp_path):
    """The preset's mazes take 256 rows at a time."""
    assert preset(name="paper-maze-hard").run.micro_batch == 256
    write_run_file(tmp_path, TrainConfig(run=RunConfig(micro_batch=None)))
    assert settings("--preset", "paper-maze-hard", "--config", tmp_path / RUN_FILE).run.micro_batch is None


def test_options_override_the_file_and_the_file_overrides_the_preset(written):
    path = written(
        """
        preset = "paper-maze-hard"
        [env.kwargs]
        max_segments = 6
        augment = true
        [optim]
        lr = 1
        warmup = 7
        """
    )
    config = settings("--config", path, "--optim.warmup", "8", "--kwargs", "max_segments=4", "segment_cost=0.1")
    paper = preset(name="paper-maze-hard")
    assert config.env.id == paper.env.id
    assert config.env.kwargs == {"augment": True, "max_segments": 4, "segment_cost": 0.1}
    assert (config.optim.lr, config.optim.warmup) == (1.0, 8)
    assert (config.model, config.run) == (paper.model, paper.run)
    other = settings("HRM/Maze-7x7-v0", "--preset", "small", "--config", path)
    assert (other.env.id, other.optim.warmup) == ("HRM/Maze-7x7-v0", 7)
    assert other.model == preset("HRM/Maze-7x7-v0").model


def test_a_network_brings_its_own_settings_and_defaults_of_training(written):
    path = written('model_name = "trm"\n[model]\nnum_layers = 3\n[halting]\ngamma = 0.9\n')
    config = settings("--config", path, "--model.hidden-size", "32")
    assert (config.model_name, config.model.num_layers, config.model.hidden_size) == ("trm", 3, 32)
    assert (config.halting.rule, config.halting.gamma) == ("probability", 0.9)


def test_other_commands_that_train_read_it_too(written):
    path = written("[run]\nupdates = 77\n")
    assert parse_settings(Frontier, "frontier", ["--config", str(path)]).config().run.updates == 77


TASK = """
import numpy as np
from hrm_envs import PuzzleBatch, Task, TaskSpec, Verdict, register_task

class Same(Task):
    default_num_puzzles = {"train": 20, "test": 4}

    def __init__(self):
        self.spec = TaskSpec("Same", (1, 4), (" ", "a", "b", "c"))

    def sample(self, rng, num):
        puzzle = rng.integers(1, 4, (num, 4), np.uint8)
        return PuzzleBatch(puzzle, puzzle)

    def verify(self, batch, answer):
        return Verdict((answer == batch.puzzle).all(1), (answer == batch.puzzle).mean(1, dtype=np.float32))

register_task("Mine/Same-v0", Same, max_segments=2)
"""


def test_the_file_names_the_modules_of_the_run(tmp_path, monkeypatch, tiny_flags):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "same_task.py").write_text(TASK)
    flags = [flag for flag in tiny_flags if flag != "num_puzzles=32"]
    assert main(["train", "tasks/same_task.py:Mine/Same-v0", *flags, "--out", "first"]) == 0
    file = read_run_file(tmp_path / "first" / RUN_FILE)
    assert (file.module, file.env_id) == (("tasks/same_task.py",), "same_task:Mine/Same-v0")
    monkeypatch.delitem(sys.modules, "same_task")
    del gym.registry["Mine/Same-v0"]
    assert main(["train", "--config", "first/run.toml", "--no-gif", "--out", "second"]) == 0
    assert (tmp_path / "second" / MODEL).read_bytes() == (tmp_path / "first" / MODEL).read_bytes()
    assert main(["train", "--resume", "second", "--module", "tasks/same_task.py", "--no-gif"]) == 0
    assert read_run_file(tmp_path / "second" / RUN_FILE).module == ("tasks/same_task.py",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[optimm]\nlr = 1\n", "unknown entry 'optimm'; did you mean 'optim'?"),
        ("colour = 1\n", "unknown entry 'colour'; there are module, preset, model_name, env, model, optim, answer"),
        ("[optim]\nwarmpu = 1\n", "optim: unknown field 'warmpu'; did you mean 'warmup'?"),
        ("[run]\nbatch-size = 1\n", "run: unknown field 'batch-size'; did you mean 'batch_size'?"),
        ("[env]\nkeywords = {}\n", "env: unknown field 'keywords'; "),
        ('[optim]\nlr = "fast"\n', "optim.lr: 'fast' is not float"),
        ("[optim]\nlr = -1\n", "optim.lr must be above 0, got -1"),
        ("[run]\nupdates = 1.5\n", "run.updates: 1.5 is not int"),
        ("[run]\ndevice = 2021-01-01\n", "run.device: datetime.date(2021, 1, 1) is not str"),
        ("[halting]\nrule = 'gian'\n", "halting.rule: unknown rule 'gian'; did you mean 'gain'?"),
        (
            "[answer]\nbaseline = 'value'\n",
            "answer.baseline='value' is Q(halt), which estimates rewards: set answer.ea",
        ),
        ("[env]\nkwargs = [1]\n", "env.kwargs: (1,) is not dict"),
        ("[env.kwargs]\nsplit = 'test'\n", "split='test' would train on the puzzles of the evaluation"),
        ("[env.kwargs]\nrender_mode = 'human'\n", "env.kwargs: render_mode cannot be set here: the command sets it"),
        ("[env.kwargs]\nday = 2021-01-01\n", "env.kwargs cannot be saved"),
        ("[env]\nid = 3\n", "env.id must be the id of an environment, got 3"),
        ("[env]\nid = 'a b'\n", "'a b' is not a Gymnasium id"),
        ("env = 'HRM/Maze-5x5-v0'\n", "env must be a table, [env], got 'HRM/Maze-5x5-v0'"),
        ("module = 'mine'\n", "module must be a list of modules, got 'mine'"),
        ("module = [1]\n", "module must be a list of modules, got [1]"),
        ("preset = 'paper-maze-hrad'\n", "unknown preset 'paper-maze-hrad'; did you mean 'paper-maze-hard'?"),
        ("model_name = 'hrn'\n", "model_name: no model 'hrn' is registered; did you mean 'hrm'?"),
        ("model_name = 'gru'\n[model]\nH_cycles = 2\n", "model: unknown field 'H_cycles'; this version knows"),
        ("[run\n", "mine.toml cannot be read as TOML: "),
        (
            "[run]\nseed = 1\nseed = 2\n",
            "mine.toml cannot be read as TOML: Cannot overwrite a value (at line 3, column 9)",
        ),
        ("x = " + "[" * 5000, "mine.toml cannot be read as TOML: it is nested too deeply"),
    ],
)
def test_mistakes_are_named_with_file_and_key(text, message, written, tmp_path, capsys):
    assert main(["train", "--config", str(written(text)), "--out", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"error: {tmp_path / 'mine.toml'}")
    assert message in line
    assert line.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_files_that_cannot_be_read(tmp_path):
    for path, problem in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory"), ("a\0b", "null byte")):
        with pytest.raises(UserError, match=problem):
            settings("--config", path)
    (tmp_path / "latin").write_bytes(b"preset = '\xe9'")
    with pytest.raises(UserError, match="it is not UTF-8 text"):
        settings("--config", tmp_path / "latin")


def test_a_resumed_run_takes_its_own_settings(sudoku_run):
    with pytest.raises(UserError, match="omit --config, and give changes as options"):
        settings("--resume", sudoku_run, "--config", "other.toml")


def test_text_that_utf_8_cannot_encode_stays_legible(tmp_path):
    write_run_file(tmp_path, TrainConfig(halting=HaltingConfig(), run=RunConfig(init_from="caf\udce9")))
    assert r'init_from = "caf\udce9"' in (tmp_path / RUN_FILE).read_text()
