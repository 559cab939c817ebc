"""Mazes walked move by move on the command line: listed, measured, walked by a person, and not trained on."""

from __future__ import annotations

import sys

import gymnasium as gym
import pytest

import hrm_envs
from hrm_agents.cli import main
from hrm_agents.commands.play import Play, new_walk
from hrm_agents.commands.walking import is_walked, walking_ids
from hrm_agents.errors import UserError
from hrm_agents.trainer import Trainer

BUILT_IN = ("HRM/MazeMoves-9x9-v0", "HRM/MazeMoves-9x9-Doors-v0")


@pytest.fixture
def registry():
    """Ids that a test registers are its own."""
    before = set(gym.registry)
    yield
    for id in set(gym.registry) - before:
        del gym.registry[id]


@pytest.fixture
def own_ids(registry):
    """Ids of the user's own."""
    ids = ("Test/Moves-11x11-v0", "Test/Moves-7x7-v0")
    hrm_envs.register_moves(ids[0], size=11, max_steps=50)
    hrm_envs.register_moves(ids[1], size=7, door_probability=0.1, num_doors=3, num_puzzles=20)
    return ids


def test_training_says_what_is_wrong(tiny_config, tmp_path):
    with pytest.raises(UserError, match=r"HRM/MazeMoves-9x9-v0 is walked move by move.*docs/rl\.md"):
        Trainer(tiny_config("HRM/MazeMoves-9x9-v0"), tmp_path)


def test_they_are_told_from_the_others(own_ids):
    assert walking_ids() == [*sorted(BUILT_IN), own_ids[1], own_ids[0]]  # 7x7 before 11x11
    assert all(is_walked(id) for id in (*walking_ids(), "hrm_envs:HRM/MazeMoves-9x9-v0"))
    assert not any(is_walked(id) for id in (*hrm_envs.registered_ids(), "CartPole-v1"))
    assert not set(walking_ids()) & set(hrm_envs.registered_ids())
    with pytest.raises(UserError, match="HRM/MazeMoves-8x8-v0"):
        is_walked("HRM/MazeMoves-8x8-v0")


def rows(text):
    """Rows of a printed table, by their first cell."""
    cells = ([cell.strip() for cell in line.strip("│ ").split("│")] for line in text.splitlines() if "│" in line)
    return {first: rest for first, *rest in cells}


def test_envs_lists_them(own_ids, capsys):
    assert main(["envs"]) == 0
    text = capsys.readouterr().out
    listed = rows(text)
    assert listed["HRM/MazeMoves-9x9-v0"] == ["9x9", "0", "open cells", "20,000", "1,000", "1,000"]
    assert listed["HRM/MazeMoves-9x9-Doors-v0"][1] == "8"
    assert listed[own_ids[0]][:3] == ["11x11", "0", "50"]
    assert listed[own_ids[1]] == ["7x7", "3", "open cells", "20", "20", "20"]
    solved, walked = text.split("walked move by move")
    assert "HRM/Sudoku-4x4-v0" in solved
    assert not any(id in solved for id in walking_ids())
    assert all(id in walked for id in walking_ids())


OWN = """
import hrm_envs

hrm_envs.register_moves("Own/Moves-5x5-v0", size=5, num_puzzles=4)
"""


@pytest.mark.usefixtures("no_screen", "registry")
def test_commands_import_modules_of_ones_own(tmp_path, monkeypatch, capsys):
    (tmp_path / "own_moves.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    assert main(["envs", "--module", "own_moves"]) == 0
    assert rows(capsys.readouterr().out)["Own/Moves-5x5-v0"] == ["5x5", "0", "open cells", "4", "4", "4"]
    for id in ("Own/Moves-5x5-v0", "own_moves:Own/Moves-5x5-v0", "own_moves.py:Own/Moves-5x5-v0"):
        assert main(["bench", "env", id, "--num-envs", "2", "--seconds", "0.1", "--rounds", "1"]) == 0
        assert "Own/Moves-5x5-v0" in capsys.readouterr().out
        assert main(["play", id, "--module", "own_moves"]) == 2  # it was found, and wants a window
        assert "there is no display" in capsys.readouterr().err
    del sys.modules["own_moves"]


def test_play_walks_in_a_window(capsys, screen):
    for key in (screen.K_UP, screen.K_n, screen.K_ESCAPE):
        text = "n" if key == screen.K_n else ""
        screen.event.post(screen.event.Event(screen.KEYDOWN, key=key, unicode=text))
    assert main(["play", "HRM/MazeMoves-9x9-Doors-v0", "--kwargs", "num_puzzles=5"]) == 0
    assert capsys.readouterr().err == "solved 0 of 2\n"
    assert not screen.display.get_init()


@pytest.mark.usefixtures("no_screen")
def test_walking_needs_a_display(capsys):
    assert main(["play", "HRM/MazeMoves-9x9-v0", "--kwargs", "num_puzzles=5"]) == 2
    assert "there is no display to open a window on: playing needs one" in capsys.readouterr().err


def test_walks_are_those_of_the_test_split(monkeypatch):
    pytest.importorskip("pygame")
    made, make = [], gym.make
    monkeypatch.setattr(gym, "make", lambda *args, **kwargs: made.append(make(*args, **kwargs)) or made[-1])
    gym.make("HRM/MazeMoves-9x9-v0", size=5)
    new_walk(Play("hrm_envs:HRM/MazeMoves-9x9-v0", kwargs=("size=5",)))
    seen, walked = ({row.tobytes() for row in env.unwrapped.mazes.puzzles.puzzle} for env in made)
    assert not seen & walked


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint", "runs/maze"], "which no checkpoint can do: omit --checkpoint"),
        (["--kwargs", "colour=3"], "colour"),
        (["--kwargs", "size=4"], "HRM/MazeMoves-9x9-v0: "),
        (["--seed", "-1"], "--seed must not be negative"),
    ],
)
def test_mistakes(arguments, message, capsys):
    assert main(["play", "HRM/MazeMoves-9x9-v0", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
