"""Weights of a task embedding never meet identities that stand for something else."""

import dataclasses
import io
import json
import shutil
import sys

import pytest
import torch
from shift_task import ID, ShiftTask
from tampering import resave

import hrm_agents
from hrm_agents.cli import main
from hrm_agents.errors import UserError
from hrm_agents.models.hrm import HRM
from hrm_agents.records.checkpoint import CONFIG, MODEL, load, load_state, warm_start
from hrm_agents.records.identities import first_difference, saved_table
from hrm_agents.trainer import Trainer
from hrm_envs import IdTable

TABLE = IdTable(("keep", "turn"), copies=3, seed=0)


def test_the_first_difference_in_words():
    assert first_difference(TABLE, IdTable(("keep", "turn"), 3, 0)) is None
    assert first_difference(None, None) is None
    for other, words in [
        (None, "number of tasks: 2 there and 0 here"),
        (IdTable(("keep",), 3, 0), "number of tasks: 2 there and 1 here"),
        (IdTable(("keep", "flip"), 4, 1), "tasks[1] is 'turn' there and 'flip' here"),
        (IdTable(("turn", "keep"), 3, 0), "tasks[0] is 'keep' there and 'turn' here"),
        (IdTable(("keep", "turn"), 4, 1), "3 copies of each task there and 4 here"),
        (IdTable(("keep", "turn"), 3, 1), "copies drawn from seed 0 there and 1 here"),
    ]:
        assert first_difference(TABLE, other) == words
    assert first_difference(None, TABLE) == "number of tasks: 0 there and 2 here"


def test_a_table_survives_json():
    spec = ShiftTask(copies=2, id_seed=7).spec
    assert saved_table(json.loads(json.dumps(dataclasses.asdict(spec))), "file") == spec.id_table
    assert saved_table(None, "file") is None
    # Written before there were tables.
    assert saved_table({"name": "Maze 9x9", "num_task_ids": 1}, "file") is None


@pytest.mark.parametrize(
    "table",
    [
        [],
        "keep",
        {"tasks": ["keep"]},
        {"tasks": "keep", "copies": 1, "seed": 0},
        {"tasks": [1], "copies": 1, "seed": 0},
        {"tasks": ["keep"], "copies": 1.5, "seed": 0},
        {"tasks": ["keep"], "copies": 1, "seed": 0, "more": 1},
    ],
)
def test_a_spoilt_table_is_explained(table):
    with pytest.raises(UserError, match=r"config.json: task.id_table: expected 'tasks'"):
        saved_table({"id_table": table}, "config.json: task")
    with pytest.raises(UserError, match=r"config.json: task: expected an object, found list"):
        saved_table([table], "config.json: task")


@pytest.fixture
def folder(shift_run, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(shift_run, tmp_path / "copy")


def edit(folder, **changes):
    config = json.loads((folder / CONFIG).read_text())
    config["task"]["id_table"] |= changes
    (folder / CONFIG).write_text(json.dumps(config))


# Loading


def test_a_checkpoint_keeps_its_table(shift_run):
    loaded = load(shift_run)
    assert saved_table(loaded.config["task"], "") == TABLE
    assert loaded.model.config.num_task_ids == len(loaded.model.embedding.task.weight) == 7


def test_a_table_that_does_not_fit_the_weights(folder):
    edit(folder, copies=4)
    with pytest.raises(UserError, match=r"task.id_table names 9 task identities, the weights have 7: take config.json"):
        load(folder)
    config = json.loads((folder / CONFIG).read_text())
    del config["task"]
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(UserError, match="names 1 task identities, the weights have 7"):
        load(folder)


def test_a_table_for_weights_without_identities(sudoku_run, tmp_path):
    for name in (MODEL, CONFIG):
        shutil.copy(sudoku_run / name, tmp_path / name)
    config = json.loads((tmp_path / CONFIG).read_text())
    config["task"]["id_table"] = {"tasks": ["keep"], "copies": 1, "seed": 0}
    (tmp_path / CONFIG).write_text(json.dumps(config))
    with pytest.raises(UserError, match="names 2 task identities, the weights have 1"):
        load(tmp_path)


# Environments

OTHERS = [
    ({"names": ("keep", "turn", "flip")}, "number of tasks: 2 there and 3 here"),
    ({"names": ("turn", "keep")}, r"tasks\[0\] is 'keep' there and 'turn' here"),
    ({"copies": 4}, "3 copies of each task there and 4 here"),
    ({"id_seed": 1}, "copies drawn from seed 0 there and 1 here"),
]


@pytest.mark.parametrize(("kwargs", "difference"), OTHERS)
def test_an_environment_with_other_identities_is_refused(shift_run, kwargs, difference):
    solver = hrm_agents.load(shift_run)
    for play in (lambda: solver.make_env(**kwargs), lambda: solver.evaluate(kwargs)):
        with pytest.raises(UserError, match=rf"other task identities than Shift has here \({difference}\): use the"):
            play()


def test_the_same_size_is_not_enough(folder):
    """As many identities with other meanings: only the table can tell."""
    edit(folder, tasks=["keep", "flip"])
    solver = hrm_agents.load(folder)
    with pytest.raises(UserError, match=r"tasks\[1\] is 'flip' there and 'turn' here"):
        solver.make_env()


# Warm starts


def test_warm_start_needs_the_same_identities(shift_run):
    source = load(shift_run).model
    model = HRM(source.config)
    for table, words in [
        (IdTable(("keep", "flip"), 3, 0), r"tasks\[1\] is 'turn' there and 'flip' here"),
        (IdTable(("keep", "turn"), 3, 5), "copies drawn from seed 0 there and 5 here"),
        (None, "number of tasks: 2 there and 0 here"),
    ]:
        before = model.state_dict()["embedding.token"].clone()
        with pytest.raises(UserError, match=rf"its task identities are not this environment's \({words}\); use the"):
            warm_start(model, shift_run, table)
        assert torch.equal(model.state_dict()["embedding.token"], before)
    warm_start(model, shift_run, TABLE)
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_a_run_starts_from_another_only_with_its_identities(shift_run, sudoku_run, tiny_config, tmp_path):
    start = {"init_from": str(shift_run), "updates": 1}
    with pytest.raises(UserError, match="seed 0 there and 1 here"):
        Trainer(tiny_config(ID, {"id_seed": 1}, run=start), tmp_path / "other")
    with pytest.raises(UserError, match="number of tasks: 0 there and 2 here"):
        Trainer(tiny_config(ID, {}, run={**start, "init_from": str(sudoku_run)}), tmp_path / "none")
    trainer = Trainer(tiny_config(ID, {}, run=start), tmp_path / "same")
    torch.testing.assert_close(trainer.model.embedding.task.weight, load(shift_run).model.embedding.task.weight)


# Resuming


def test_resuming_with_the_same_identities(folder):
    assert Trainer.resume(folder).updates_done == 2


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("tasks", ["keep", "flip"], r"tasks\[1\] is 'flip' there and 'turn' here"),
        ("tasks", ["keep"], "number of tasks: 1 there and 2 here"),
        ("copies", 4, "4 copies of each task there and 3 here"),
        ("seed", 9, "copies drawn from seed 9 there and 0 here"),
    ],
)
def test_resuming_with_changed_identities_is_refused(folder, field, value, words):
    task = load_state(folder)[1]["task"]
    task["id_table"][field] = value
    resave(folder, task=task)
    with pytest.raises(UserError, match=rf"are not those the run began with \({words}\): restore its tasks"):
        Trainer.resume(folder)


# Puzzles from outside


def test_a_puzzle_from_outside_has_no_identity(shift_run, capsys, monkeypatch):
    with pytest.raises(UserError, match="needs the task identity of each puzzle"):
        hrm_agents.load(shift_run).solve("abc")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert main(["solve", str(shift_run)]) == 2
    error = capsys.readouterr().err
    assert "use `hrm-agents evaluate` or `hrm-agents watch` on the puzzles of Test/Shift-v0" in error
    assert "no puzzle" not in error


def test_a_model_with_identities_still_thinks_and_shows(shift_run):
    solver = hrm_agents.load(shift_run)
    segments = list(solver.think(solver.make_env(), options={"index": 0}))
    assert segments
    assert len(solver.format(segments[-1].answer)) == 3
