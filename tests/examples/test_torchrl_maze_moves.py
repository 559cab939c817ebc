"""The example of TorchRL runs from end to end."""

import runpy
from pathlib import Path

import pytest

pytest.importorskip("torchrl")

EXAMPLE = Path(__file__).parents[2] / "examples" / "torchrl_maze_moves.py"


# TorchRL's collectors warn about their own classes.
@pytest.mark.filterwarnings("ignore:Creating .* inherits from WeightUpdaterBase:DeprecationWarning")
def test_it_runs(capsys):
    main = runpy.run_path(str(EXAMPLE))["main"]
    assert 0.0 <= main(["--size", "5", "--steps", "64", "--walkers", "4"]) <= 1.0
    said = capsys.readouterr().out
    assert "64 moves: " in said
    assert "of the walks in unseen mazes arrive" in said
