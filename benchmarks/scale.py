"""How far training scales, on paper: work, memory and messages of an update from the shapes of an HRM.

    python -m benchmarks.scale          # the tables of docs/scale.md
    python -m benchmarks.scale --check  # counts operations and times an update on this CPU, beside the formulas

Inputs that are not shapes: what one GPU reached (``results/gpu-h200.json``, measured by :mod:`benchmarks.gpu`), and the
rates of links, which are assumptions named in :class:`~hrm_agents.speed.scaling.Machine`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.records import RESULTS, markdown
from hrm_agents.models.hrm import HRMConfig
from hrm_agents.presets import preset
from hrm_agents.speed.scaling import Machine, Prediction, blocks_of, num_parameters, predict, work_of
from hrm_agents.speed.training import TrainingSpeed


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
        speed = TrainingSpeed(config, Path(folder))
        network = HRMConfig.for_task(config.model, speed.trainer.env.task_spec)
        expected = config.run.batch_size * work_of(network).update(second_forward=False)
        speed.warm_up()
        seconds = speed.measure(updates).seconds
        peak = speed.peak_flops()
        counted = speed.flops
    assert counted is not None
    return markdown(
        ("MFLOP counted", "by formula", "ms an update", "GFLOP/s", "peak GFLOP/s of a matrix product", "share"),
        [
            [
                f"{counted / 1e6:.0f}",
                f"{expected / 1e6:.0f}",
                f"{1000 * seconds:.1f}",
                f"{expected / seconds / 1e9:.1f}",
                f"{peak / 1e9:.1f}",
                f"{expected / seconds / peak:.0%}",
            ]
        ],
    )


def main(arguments: list[str] | None = None) -> None:
    """Print the tables, or the check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="count and time an update on this CPU")
    options = parser.parse_args(arguments)
    print(check() if options.check else tables())


if __name__ == "__main__":
    main()
