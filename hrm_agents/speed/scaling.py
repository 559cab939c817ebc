"""What training takes on many GPUs, on paper: work, memory and messages of an update from the shapes of an HRM.

Several processes exchange one mean of all gradients after the backward pass, so compute and messages add up.
`docs/scale.md` derives the formulas and checks them against measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hrm_agents.models.hrm import HRM, HRMConfig


@dataclass(frozen=True)
class Work:
    """Work of one update per row, in operations of matrix products, 2 for each multiply-add."""

    forward: int
    """One segment, forward."""
    backward: int
    """Through the part of it with gradient."""

    def update(self, *, second_forward: bool) -> int:
        """All of an update; a second forward pass computes the target of Q(continue), as in the paper."""
        return (2 if second_forward else 1) * self.forward + self.backward


def block_flops(config: HRMConfig) -> int:
    """One block, forward: projections and gated MLP of every slot, and attention between all pairs of slots."""
    slots, d = config.num_prefix_slots + config.num_cells, config.hidden_size
    return 2 * slots * (4 * d * d + 3 * d * config.mlp_width) + 4 * slots * slots * d


def blocks_of(config: HRMConfig) -> tuple[int, int]:
    """How many blocks a segment applies, and how many of them with gradient."""
    cycle = config.L_cycles * config.L_layers + config.H_layers
    with_gradient = {"step": config.L_layers + config.H_layers, "cycle": cycle, "segment": config.H_cycles * cycle}
    return config.H_cycles * cycle, with_gradient[config.gradient]


def work_of(config: HRMConfig) -> Work:
    """The work of a segment of one row: the backward pass computes two products for each of the forward pass."""
    blocks, with_gradient = blocks_of(config)
    heads = 2 * config.num_cells * config.hidden_size * config.vocab_size + 2 * config.hidden_size * 2
    return Work(blocks * block_flops(config) + heads, 2 * (with_gradient * block_flops(config) + heads))


def num_parameters(config: HRMConfig) -> int:
    """Parameters of the network, without making it."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in HRM(config).parameters())


@dataclass(frozen=True)
class Machine:
    """GPUs and the links between them."""

    flops: float
    """What a GPU reaches in training, operations per second."""
    seconds_per_block: float
    """Least time of a block in eager mode, forward or backward: what Python needs to launch it."""
    per_node: int = 8
    """GPUs in a machine."""
    inside: float = 300e9
    """Bytes per second and GPU of an all-reduce inside a machine (NVLink of an H100: 450e9 each way on paper)."""
    between: float = 40e9
    """Bytes per second and GPU between machines (a network card of 400 Gbit/s for each GPU: 50e9 on paper)."""
    latency: float = 20e-6
    """Seconds for each step of a ring."""

    def exchange_seconds(self, size: int, gpus: int) -> float:
        """A ring all-reduce of ``size`` bytes: each GPU sends and receives 2 (N - 1) / N of them in 2 (N - 1) steps."""
        if gpus == 1:
            return 0.0
        rate = self.inside if gpus <= self.per_node else self.between
        return 2 * (gpus - 1) / gpus * size / rate + 2 * (gpus - 1) * self.latency


@dataclass(frozen=True)
class Prediction:
    """One update on some GPUs."""

    rows: int
    """Of each GPU."""
    compute: float
    """Seconds of matrix products and what comes with them."""
    launch: float
    """Seconds that eager mode needs at least; the longer of the two counts."""
    exchange: float
    """Seconds for the gradients."""

    @property
    def seconds(self) -> float:
        """Of the update."""
        return max(self.compute, self.launch) + self.exchange


def predict(config: HRMConfig, machine: Machine, *, rows: int, gpus: int, second_forward: bool = True) -> Prediction:
    """Predict an update.

    Args:
        config: the network and its task.
        machine: what trains it.
        rows: of all GPUs together.
        gpus: their number.
        second_forward: as the presets of the paper do.
    """
    own = rows // gpus
    blocks, with_gradient = blocks_of(config)
    launched = (2 if second_forward else 1) * blocks + 2 * with_gradient
    return Prediction(
        own,
        own * work_of(config).update(second_forward=second_forward) / machine.flops,
        launched * machine.seconds_per_block,
        machine.exchange_seconds(4 * num_parameters(config), gpus),
    )
