"""The script that makes the models of the package."""

from dataclasses import replace

import pytest
from PIL import Image

import hrm_agents
from benchmarks import zoo


def test_it_trains_installs_and_draws(tmp_path, tiny_config, monkeypatch):
    pytest.importorskip("pygame")
    preset = zoo.preset
    monkeypatch.setattr(zoo, "preset", lambda id: replace(preset(id), model=tiny_config().model))
    arguments = ["--out", str(tmp_path / "runs"), "--install", str(tmp_path / "zoo"), "--gif", str(tmp_path / "a.gif")]
    for _ in range(2):  # a finished run is installed again
        zoo.main(["sudoku-4x4", *arguments, "--updates", "2", "--no-compile"])
    folder = tmp_path / "zoo" / "sudoku-4x4"
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "config.json", "model.safetensors"]
    solver = hrm_agents.load(folder)
    assert solver.config["updates"] == 2
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames >= 4 * 2
