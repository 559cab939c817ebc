"""Work and messages of training, from shapes."""

from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import scale
from hrm_agents.models.hrm import HRM, HRMConfig

SMALL = HRMConfig(
    grid_shape=(3, 4), vocab_size=5, num_task_ids=1, hidden_size=16, num_heads=2, H_layers=1, L_layers=3, L_cycles=3
)


@pytest.mark.parametrize("gradient", ["step", "cycle", "segment"])
def test_the_formula_counts_what_torch_counts(gradient):
    config = replace(SMALL, gradient=gradient)
    network, puzzle = HRM(config), torch.ones(2, 12, dtype=torch.uint8)
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as forward:
            _, output = network(network.initial_carry(2), puzzle)
        with FlopCounterMode(display=False) as backward:
            (output.logits.sum() + output.q_halt.sum() + output.q_continue.sum()).backward()
    work = scale.work_of(config)
    assert forward.get_total_flops() == 2 * work.forward
    assert backward.get_total_flops() == 2 * work.backward
    assert work.update(second_forward=True) == 2 * work.forward + work.backward


def test_parameters_are_counted_without_making_them():
    assert scale.num_parameters(SMALL) == sum(parameter.numel() for parameter in HRM(SMALL).parameters())


def test_an_update_is_limited_by_work_launches_and_messages():
    config = replace(SMALL, gradient="step")
    machine = scale.Machine(flops=1e6, seconds_per_block=0.25, per_node=2, inside=1e5, between=1e3, latency=0.5)
    alone = scale.predict(config, machine, rows=8, gpus=1, second_forward=False)
    # 2 cycles of 3 * 3 + 1 blocks, and twice the 4 with gradient.
    assert (alone.rows, alone.launch, alone.exchange) == (8, 0.25 * (20 + 8), 0.0)
    assert alone.compute == 8 * scale.work_of(config).update(second_forward=False) / 1e6
    assert alone.seconds == max(alone.compute, alone.launch)
    size = 4 * scale.num_parameters(config)
    two, four = (scale.predict(config, machine, rows=8, gpus=gpus, second_forward=False) for gpus in (2, 4))
    assert two.compute == alone.compute / 2
    assert two.exchange == pytest.approx(size / 1e5 + 2 * 0.5)  # inside a machine: each half goes round once
    assert four.exchange == pytest.approx(1.5 * size / 1e3 + 6 * 0.5)
    assert four.seconds == max(four.compute, four.launch) + four.exchange


def test_the_tables_agree_with_the_measured_gpu():
    """The counts on the GPU hold more than the formula: the attention of the backward pass is computed anew."""
    found = scale.measured_machine()[1]
    for name in ("paper-sudoku-extreme", "paper-maze-hard"):
        formula = found[name]["rows"] * scale.work_of(scale.network_of(name)).update(second_forward=True)
        assert 0.98 < formula / found[name]["flops_per_update"] < 1.0
    assert scale.tables().count("paper-maze-hard") == 6
