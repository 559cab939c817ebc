"""The models that ship with the package."""

import json

import pytest

import hrm_agents
from hrm_agents.cli import main
from hrm_agents.records.checkpoint import MODEL
from hrm_agents.zoo import DEFAULT, card, checkpoint_of, names


def test_the_default_is_one_of_them():
    assert DEFAULT in names()
    assert len(names()) > 1


@pytest.mark.parametrize("name", names())
def test_it_does_what_its_card_says(name):
    """On the first test puzzles; the card has the figures of all."""
    says = card(name)
    solver = hrm_agents.load(name)
    assert solver.env_id == says.env
    assert sum(weight.numel() for weight in solver.model.parameters()) == says.parameters
    report = solver.evaluate(first=100, until="halt")
    assert report.success_rate > says.test["success_rate"] - 0.03
    assert report.mean_segments == pytest.approx(says.test["mean_segments"], rel=0.25)
    assert says.test["split"] == "test"
    assert says.test["success_rate"] > 0.95
    assert (checkpoint_of(name) / MODEL).stat().st_size < 2**20


def test_a_folder_of_the_same_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checkpoint_of(DEFAULT).is_dir()
    (tmp_path / DEFAULT).mkdir()
    assert checkpoint_of(DEFAULT) == (tmp_path / DEFAULT).relative_to(tmp_path)
    assert str(checkpoint_of("runs/mine")) == "runs/mine"


def test_they_are_listed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["models"]) == 0
    text = capsys.readouterr().out
    for name in names():
        (line,) = [line for line in text.splitlines() if f" {name} " in line]
        assert card(name).env in line
        assert f"{card(name).test['success_rate']:.1%}" in line
    assert main(["models", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == names()


def test_commands_take_their_names(capsys):
    assert main(["evaluate", "sudoku-4x4", "--num-puzzles", "8", "--until", "halt", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["reports"][0]["env_id"] == "HRM/Sudoku-4x4-v0"
    assert main(["solve", "sudoku-4x4", "1... ..3. .4.. ...2"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "1 3 | 2 4"


def test_a_name_that_is_nearly_right(capsys):
    assert main(["evaluate", "maze-9x8"]) == 2
    assert capsys.readouterr().err == "error: there is no folder maze-9x8; did you mean 'maze-9x9'?\n"


@pytest.mark.parametrize("by", ["argument", "file"])
def test_bare_puzzles_find_their_model(by, tmp_path, capsys):
    rows = "######### #S......# #######.# #.......# #.####### #.......# #######.# #G......# #########"
    maze = rows.replace(" ", "\n").replace(".", " ")
    for name, puzzle in (("sudoku-4x4", "1... ..3. .4.. ...2"), ("maze-9x9", maze)):
        given = puzzle
        if by == "file":
            given = str(tmp_path / f"{name}.txt")
            (tmp_path / f"{name}.txt").write_text(puzzle)
        assert main(["solve", given]) == 0
        assert f"solved with {name}" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["runs/nowhere", "12345", "maze-99x99", "x" * 5000])
def test_what_is_neither_model_nor_puzzle_is_refused(given, capsys):
    assert main(["solve", given]) == 2
    error = capsys.readouterr().err
    assert "neither the folder of a model nor puzzles for one that ships with the package" in error
    assert error.count("\n") == 1
