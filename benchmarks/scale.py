"""How far training scales, on paper: work, memory and messages of an update from the shapes of an HRM.

    python -m benchmarks.scale          # the tables of docs/scale.md
    python -m benchmarks.scale --check  # counts operations and times an update on this CPU, beside the formulas

Inputs that are not shapes: what one GPU reached (``results/gpu-h200.json``, measured by :mod:`benchmarks.gpu`), and the
rates of links, which are assumptions named in :class:`Machine`. Several processes exchange one mean of all gradients
after the backward pass, so compute and messages add up.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.records import RESULTS, markdown
from hrm_agents.models.hrm import HRM, HRMConfig
from hrm_agents.presets import preset
from hrm_agents.records.logger import Logger
from hrm_agents.trainer import Trainer


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


def network_of(name: str) -> HRMConfig:
    """The network of a named preset."""
    cells, tokens = {"paper-sudoku-extreme": ((9, 9), 11), "paper-maze-hard": ((30, 30), 6)}[name]
    return HRMConfig(**vars(preset(name=name).model), grid_shape=cells, vocab_size=tokens, num_task_ids=1)


def billion() -> HRMConfig:
    """A network of a billion parameters for 30x30 mazes, which nobody trained: wider, and twice as many blocks."""
    return replace(network_of("paper-maze-hard"), hidden_size=2304, num_heads=36, H_layers=8, L_layers=8)


def measured_machine() -> tuple[Machine, dict[str, dict[str, float]]]:
    """What one GPU reached, from results/: its rate on the 27M model, and the least time of a block on a small one."""
    found = json.loads((RESULTS / "gpu-h200.json").read_text())
    peak = found["peak_bf16_tflops"] * 1e12
    small = preset("HRM/Sudoku-4x4-v0").model
    blocks, with_gradient = blocks_of(HRMConfig(**vars(small), grid_shape=(4, 4), vocab_size=5, num_task_ids=1))
    least = 1 / found["sudoku-4x4"]["updates_per_second"] / (blocks + 2 * with_gradient)
    return Machine(peak * found["paper-sudoku-extreme"]["share_of_peak"], least), found


def tables() -> str:
    """The tables of docs/scale.md, as Markdown."""
    machine, found = measured_machine()
    work_lines, one_lines, many_lines = [], [], []
    for name in ("paper-sudoku-extreme", "paper-maze-hard"):
        network = network_of(name)
        work, parameters = work_of(network), num_parameters(network)
        update = work.update(second_forward=True)
        slots = network.num_prefix_slots + network.num_cells
        state = 16 * parameters
        work_lines.append(
            [
                name,
                f"{parameters / 1e6:.1f}M",
                str(slots),
                f"{work.forward / 1e9:.1f}",
                f"{update / 1e9:.1f}",
                f"{state / 1e9:.2f} GB",
                f"{4 * parameters / 1e6:.0f} MB",
                f"{2 * network.num_cells} B",
            ]
        )
        rows = int(found[name]["rows"])
        guess = predict(network, machine, rows=rows, gpus=1)
        one_lines.append(
            [
                name,
                str(rows),
                f"{found[name]['flops_per_update'] / 1e12:.2f}",
                f"{rows * update / 1e12:.2f}",
                f"{1000 / found[name]['updates_per_second']:.0f}",
                f"{1000 * guess.seconds:.0f}",
            ]
        )
        for gpus, batch in ((1, 768), (8, 768), (8, 8 * 768), (64, 64 * 768)):
            guess = predict(network, machine, rows=batch, gpus=gpus)
            many_lines.append(_line(name, gpus, batch, guess))
    largest = billion()
    name = f"{num_parameters(largest) / 1e9:.1f}B, Maze-Hard"
    for gpus in (8, 256):
        many_lines.append(_line(name, gpus, 32 * gpus, predict(largest, machine, rows=32 * gpus, gpus=gpus)))
    parts = (
        ("preset", "parameters", "slots", "GFLOP forward", "GFLOP an update", "weights and optimiser", "gradients",
         "observation and answer"),
        ("preset", "rows", "TFLOP counted", "TFLOP by formula", "ms measured", "ms predicted"),
        ("network", "GPUs", "rows in all", "rows each", "compute ms", "launch ms", "gradients ms", "rows a second",
         "efficiency"),
    )  # fmt: skip
    lines = (work_lines, one_lines, many_lines)
    return "\n\n".join(markdown(names, rows) for names, rows in zip(parts, lines, strict=True))


def _line(name: str, gpus: int, batch: int, guess: Prediction) -> list[str]:
    times = [f"{1000 * seconds:.1f}" for seconds in (guess.compute, guess.launch, guess.exchange)]
    efficiency = guess.compute / guess.seconds
    return [
        name,
        str(gpus),
        f"{batch:,}",
        str(guess.rows),
        *times,
        f"{batch / guess.seconds:,.0f}",
        f"{efficiency:.0%}",
    ]


def check(env_id: str = "HRM/Maze-9x9-v0", updates: int = 20) -> str:
    """Count and time updates of a small preset on one thread of this CPU, beside the formulas."""
    torch.set_num_threads(1)
    base = preset(env_id)
    config = replace(base, run=replace(base.run, threads=1, device="cpu"))
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, Path(folder), Logger())
        network = HRMConfig.for_task(config.model, trainer.env.task_spec)
        expected = config.run.batch_size * work_of(network).update(second_forward=False)
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            trainer.update()
        start = time.process_time()
        for _ in range(updates):
            trainer.update()
        seconds = (time.process_time() - start) / updates
    peak = matrix_peak()
    return markdown(
        ("MFLOP counted", "by formula", "ms an update", "GFLOP/s", "peak GFLOP/s of a matrix product", "share"),
        [
            [
                f"{counter.get_total_flops() / 1e6:.0f}",
                f"{expected / 1e6:.0f}",
                f"{1000 * seconds:.1f}",
                f"{expected / seconds / 1e9:.1f}",
                f"{peak / 1e9:.1f}",
                f"{expected / seconds / peak:.0%}",
            ]
        ],
    )


def matrix_peak(size: int = 1024, repeats: int = 10) -> float:
    """Operations per second of a square float32 matrix product on one thread, in CPU time."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    torch.mm(a, b)
    start = time.process_time()
    for _ in range(repeats):
        torch.mm(a, b)
    return 2 * size**3 * repeats / (time.process_time() - start)


def main(arguments: list[str] | None = None) -> None:
    """Print the tables, or the check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="count and time an update on this CPU")
    options = parser.parse_args(arguments)
    print(check() if options.check else tables())


if __name__ == "__main__":
    main()
