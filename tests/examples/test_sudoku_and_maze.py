"""The two examples to begin with: training on Sudoku and watching mazes."""

import importlib
from pathlib import Path

import pytest
from PIL import Image

from hrm_agents import load
from hrm_agents.errors import UserError

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module", autouse=True)
def _examples_can_be_imported():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield


def test_sudoku_is_trained_resumed_and_solved(tmp_path, capsys, monkeypatch, tiny_config):
    train_sudoku = importlib.import_module("train_sudoku")
    monkeypatch.setattr(train_sudoku, "preset", tiny_config)
    train_sudoku.main(["--updates", "2", "--out", str(tmp_path)])
    solution = train_sudoku.main(["--updates", "3", "--out", str(tmp_path)])
    assert load(tmp_path).config["updates"] == 3
    out = capsys.readouterr().out
    assert out.count("of 1000 unseen puzzles solved") == 2
    assert f"segment {len(solution.segments)}: right with a probability of" in out
    assert out.rstrip().endswith("solved" if solution.success else "not solved")


def test_mazes_are_watched_in_the_terminal(capsys):
    main = importlib.import_module("watch_maze").main
    assert main(["--text", "--episodes", "2", "--fps", "1000"]) == 2
    out = capsys.readouterr().out
    assert "solved 2 of 2" in out
    assert "S" in out
    assert "G" in out


@pytest.mark.usefixtures("screen")
def test_mazes_are_watched_in_a_window():
    main = importlib.import_module("watch_maze").main
    assert main(["--episodes", "1", "--fps", "100", "--seed", "1"]) == 1


def test_only_gifs_are_recorded(tmp_path, monkeypatch):
    watch_maze = importlib.import_module("watch_maze")
    monkeypatch.setattr(watch_maze, "load", lambda _: pytest.fail("it is said before the work"))
    with pytest.raises(UserError, match="only GIFs can be written"):
        watch_maze.main(["--record", str(tmp_path / "maze.mp4")])


def test_mazes_become_a_gif(tmp_path):
    pytest.importorskip("pygame")
    main = importlib.import_module("watch_maze").main
    assert main(["--record", str(tmp_path / "maze.gif"), "--episodes", "2"]) == 2
    with Image.open(tmp_path / "maze.gif") as gif:
        assert gif.n_frames >= 4
