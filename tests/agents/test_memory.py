"""The memory of training: predicted from shapes, and counted."""

import pytest
import shift_task
import torch

from hrm_agents.memory import LiveMemory, counted, predicted
from hrm_agents.trainer import Trainer

#: By how much a prediction may miss what is counted on a CPU.
TOLERANCE = 0.1


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_live_memory_by_hand(device):
    weight = torch.zeros(100, 10, device=device, requires_grad=True)
    with LiveMemory([weight]) as memory:
        assert memory.live == 4000
        x = torch.ones(50, 100, device=device)
        y = (x @ weight).exp()
        assert memory.live == 4000 + 20_000 + 2000  # the product is not kept
        assert memory.peak == memory.live + 2000
        assert y[:10].T is not None  # views of it take no memory
        assert memory.live == 4000 + 20_000 + 2000
        y.sum().backward()
        del x, y
        assert memory.live == 4000 + 4000  # the gradient
        weight.grad = None
        assert memory.live == 4000


#: Shapes of networks and rows, and ways to save memory.
RUNS = {
    "wide": {"model": {"hidden_size": 64}, "run": {"batch_size": 48}},
    "whole segment": {"model": {"hidden_size": 48, "gradient": "segment"}, "halting": {"rule": "gain"}},
    "micro-batches": {"run": {"micro_batch": 4}},
    "both": {"model": {"gradient": "segment"}, "run": {"recompute": True, "micro_batch": 8}},
    "reward alone": {"answer": {"supervised_weight": 0.0, "reward_weight": 1.0}, "halting": {"rule": "policy"}},
    "task embedding": {"env_id": shift_task.ID, "kwargs": {}},
}


@pytest.mark.parametrize("settings", RUNS.values(), ids=RUNS)
def test_the_prediction_is_what_an_update_takes(tiny_config, tmp_path, settings):
    settings = {**settings, "run": {"batch_size": 32, **settings.get("run", {})}}
    config = tiny_config(settings.pop("env_id", "HRM/Sudoku-4x4-v0"), settings.pop("kwargs", None), **settings)
    trainer = Trainer(config, tmp_path)
    for _ in range(2):
        trainer.update()
    needed = predicted(config, trainer.env.task_spec, trainer.env.max_segments, "cpu")
    assert needed.peak == pytest.approx(counted(trainer.algorithm, trainer.rollout), rel=TOLERANCE)
    weights = sum(parameter.numel() for parameter in trainer.model.dense_parameters().values())
    assert needed.lasting >= 5 * 4 * weights  # and buffers
    trainer.log.close()


def test_memory_grows_with_the_rows_of_a_part(tiny_config, tmp_path):
    trainer = Trainer(tiny_config(), tmp_path)
    trainer.log.close()

    def need(device="cpu", **run):
        config = tiny_config(model={"dtype": "auto"}, run={"batch_size": 64, **run})
        return predicted(config, trainer.env.task_spec, 3, device).peak

    whole, half = need(), need(micro_batch=32)
    assert need(micro_batch=16) < half < 0.7 * whole
    assert need(micro_batch=64) == whole
    assert need("cuda") < 0.8 * whole, "half-precision activations"


def test_only_a_gradient_through_the_whole_segment_grows_with_its_cycles(tiny_config, tmp_path):
    trainer = Trainer(tiny_config(), tmp_path)
    trainer.log.close()

    def need(gradient, cycles):
        config = tiny_config(model={"gradient": gradient, "H_cycles": cycles}, run={"batch_size": 64})
        return predicted(config, trainer.env.task_spec, 3, "cpu").peak

    assert need("step", 2) == need("step", 4) < need("cycle", 2) == need("cycle", 4) < need("segment", 2)
    first, second = need("segment", 4) - need("segment", 2), need("segment", 6) - need("segment", 4)
    assert first == second > 0, "each cycle takes as much as the one before"


def test_attention_is_as_before_after_a_prediction(tiny_config, tmp_path):
    usual = torch.nn.functional.scaled_dot_product_attention
    trainer = Trainer(tiny_config(), tmp_path)
    trainer.log.close()
    predicted(trainer.config, trainer.env.task_spec, 3, "cpu")
    assert torch.nn.functional.scaled_dot_product_attention is usual
