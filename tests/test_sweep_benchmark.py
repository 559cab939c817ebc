"""The sweep of depth and width: what its points stand for, and that finished ones are skipped."""

import csv
from dataclasses import asdict

import pytest
import torch

from benchmarks import sweep
from benchmarks.sweep import NETWORKS, Point, points
from hrm_agents.models.interface import Sizes
from hrm_agents.models.layers import Block

SIZES = Sizes(vocab_size=6, grid_shape=(4, 4))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("depth", [6, 24])
def test_depth_is_the_number_of_blocks_that_a_segment_applies(network, depth):
    config = Point("depth", network, 32, depth, seed=3).config("HRM/Sudoku-4x4-v0", 10)
    model = config.model_kind.build(config.model, SIZES)
    calls = []
    for module in model.modules():
        if isinstance(module, Block):
            module.register_forward_hook(lambda *call: calls.append(call))
    model(model.initial_carry(1), torch.ones(1, 16, dtype=torch.long))
    assert len(calls) == depth
    assert model.q_head.in_features == 32
    assert (config.run.seed, config.run.updates) == (3, 10)


def test_both_sweeps_have_every_size_and_seed():
    made = points([0, 1])
    assert len(set(made)) == len(made) == 2 * (4 * 3 + 4)
    assert {point.width for point in made if point.sweep == "depth"} == {64}
    assert {(point.network, point.depth) for point in made if point.sweep == "width"} == {("transformer", 12)}


def test_finished_points_are_skipped_and_drawn(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    trained = []

    def train(point, env_id, updates, out):
        trained.append(point)
        if len(trained) == 4:
            raise KeyboardInterrupt
        return {**asdict(point), "env_id": env_id, "updates": updates, "success_rate": 0.5}

    monkeypatch.setattr(sweep, "train", train)
    arguments = ["--quick", "--out", str(tmp_path), "--chart", str(tmp_path / "sweep.png")]
    with pytest.raises(KeyboardInterrupt):
        sweep.main(arguments)
    first = trained[:3]
    sweep.main(arguments)
    assert trained[4:] == [point for point in points([0], (6, 12), (32,)) if point not in first]
    with (tmp_path / "sweep.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 7
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    number = len(trained)
    sweep.main(arguments)
    assert len(trained) == number
