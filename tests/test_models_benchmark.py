"""The comparison of networks: equal sizes, operations counted as by hand, and rows that replace earlier ones."""

import csv

import pytest

from benchmarks import models
from benchmarks.records import grouped, markdown, mean_with_interval, rewritten
from hrm_agents.models.interface import Sizes
from hrm_agents.models.transformer import Transformer, TransformerSettings


def test_operations_of_a_segment():
    d, width, slots, cells, vocab, layers = 16, 24, 13, 12, 5, 3
    settings = TransformerSettings(hidden_size=d, num_heads=2, expansion=2.25, mlp_multiple=8, num_layers=layers)
    model = Transformer(settings, Sizes(vocab, (3, 4)))
    assert settings.mlp_width == width
    products = layers * (slots * d * (4 * d) + 2 * slots * slots * d + slots * 3 * d * width)
    assert models.flops_per_segment(model) == 2 * (products + cells * d * vocab + d * 2)


def test_networks_are_trained_at_equal_size_with_the_settings_of_the_preset():
    hrm, trm = (models.Run("maze-7x7", name, seed=3).config() for name in ("hrm", "trm"))
    assert (trm.env, trm.optim, trm.run) == (hrm.env, hrm.optim, hrm.run)
    assert trm.run.seed == 3
    assert (trm.model_name, trm.halting.rule) == ("trm", "probability")
    assert trm.model.hidden_size > hrm.model.hidden_size, "it has one module, not two"
    assert trm.model.position == hrm.model.position


def test_a_table_of_results(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "FILE", tmp_path / "models.csv")
    row = {"task": "maze-7x7", "model": "trm", "seed": 0, "parameters": 210_000, "success_rate": 0.5}
    row |= {"mean_segments": 2.0, "mflops_per_puzzle": 10.0, "cpu_minutes": 3.0}
    for changes in ({"success_rate": 0.1}, {}, {"seed": 1, "success_rate": 0.7}):
        with rewritten(models.FILE, models.KEYS) as rows:
            rows.append({**row, **changes})
    with models.FILE.open(newline="") as file:
        assert [line["success_rate"] for line in csv.DictReader(file)] == ["0.5", "0.7"]
    assert set(grouped(models.FILE, ["task", "model"])) == {("maze-7x7", "trm")}
    # The t quantile of one degree of freedom is 12.71, and the standard error 10 points.
    assert "| maze-7x7 | trm | 2 | 210,000 | 60.00% [-67.06, 187.06] | 2.00 [2.00, 2.00] |" in models.table()


@pytest.mark.parametrize(("values", "text"), [([], "-"), ([3.0], "3.00"), ([1.0, 1.0], "1.00 [1.00, 1.00]")])
def test_means(values, text):
    assert mean_with_interval(values) == text
    assert markdown(["mean"], [[text]]) == f"| mean |\n| --- |\n| {text} |"
