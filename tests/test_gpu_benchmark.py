"""The script for a GPU runs from end to end, here on a CPU."""

import json
from dataclasses import replace

from benchmarks import gpu


def test_it_measures_and_trains(tmp_path, tiny_config, monkeypatch):
    preset = gpu.preset
    monkeypatch.setattr(gpu, "preset", lambda *names: replace(preset(*names), model=tiny_config().model))
    monkeypatch.setattr(gpu, "TRAINED", "sudoku-4x4")
    out = tmp_path / "gpu.json"
    options = ["--device", "cpu", "--presets", "sudoku-4x4", "--rows", "4", "--seconds", "0.1"]
    gpu.main([*options, "--train-minutes", "0.005", "--out", str(out)])
    found = json.loads(out.read_text())
    assert found["peak_bf16_tflops"] >= 0
    measured = found["sudoku-4x4"]
    assert measured["rows"] == 4
    assert measured["segments_per_second"] > measured["updates_per_second"] > 0
    assert 0 < measured["outside_the_model"] < 1
    assert measured["flops_per_update"] > 0
    (point,) = found["curve of sudoku-4x4"]
    assert point["updates"] > 0
    assert 0 <= point["success_rate"] <= 1
