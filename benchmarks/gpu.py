"""Measure training on a GPU: updates and segments per second, share of the peak, memory, and the environment's share.

    python -m benchmarks.gpu [--out gpu.json] [--seconds 5] [--presets paper-sudoku-extreme ...] [--compile]

The peak is that of a large bfloat16 matrix product on the same device, measured first. FLOPs are those of the matrix
products and attention of one update, counted by torch.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from hrm_agents.config import TrainConfig
from hrm_agents.errors import one_line
from hrm_agents.presets import preset
from hrm_agents.records.logger import Logger
from hrm_agents.trainer import Trainer

#: By name: environment, or None for the preset's own, and preset.
SETTINGS = {
    "sudoku-4x4": ("HRM/Sudoku-4x4-v0", "small"),
    "maze-9x9": ("HRM/Maze-9x9-v0", "small"),
    "paper-sudoku-extreme": (None, "paper-sudoku-extreme"),
    "paper-maze-hard": (None, "paper-maze-hard"),
}
#: Rows that fit an 80 GB card, where those of the preset do not.
ROWS = {"paper-maze-hard": 64}
WARM_UP = 3


def peak_flops(seconds: float = 0.5, size: int = 8192) -> float:
    """FLOP/s of a square bfloat16 matrix product on random data."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(WARM_UP):
        a @ b
    torch.cuda.synchronize()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        a @ b
        torch.cuda.synchronize()
        count += 1
    return 2 * size**3 * count / (time.perf_counter() - start)


class Stopwatch:
    """Seconds spent in a method of an object."""

    def __init__(self, owner: Any, name: str) -> None:
        self.seconds = 0.0
        wrapped = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return wrapped(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start

        setattr(owner, name, timed)


def measure(config: TrainConfig, seconds: float, peak: float) -> dict[str, Any]:
    """Train for some seconds and say how fast it was."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        trainer = Trainer(config, Path(folder), Logger())
        made = time.perf_counter()
        trainer.update()
        first = time.perf_counter()
        flops = 0
        if not config.run.compile:
            with FlopCounterMode(display=False) as counter:
                trainer.update()
            flops = counter.get_total_flops()
        for _ in range(WARM_UP):
            trainer.update()
        watch = Stopwatch(trainer.env, "step")
        torch.cuda.synchronize()
        begin, updates = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            trainer.update()
            updates += 1
        torch.cuda.synchronize()
        elapsed = time.perf_counter() - begin
    rows = config.run.batch_size
    return {
        "rows": rows,
        "dtype": str(trainer.model.dtype),
        "compile": config.run.compile,
        "setup_seconds": round(made - start, 2),
        "first_update_seconds": round(first - made, 2),
        "updates_per_second": round(updates / elapsed, 3),
        "segments_per_second": round(rows * updates / elapsed, 1),
        "flops_per_update": flops,
        "share_of_peak": round(flops * updates / elapsed / peak, 4),
        "environment_share": round(watch.seconds / elapsed, 4),
        "peak_memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure each preset as it is and compiled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--seconds", type=float, default=5.0, help="to measure each")
    parser.add_argument("--presets", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--compile", action="store_true", help="also with torch.compile")
    options = parser.parse_args(arguments)
    peak = peak_flops()
    device = torch.cuda.get_device_properties(0)
    figures: dict[str, Any] = {
        "device": device.name,
        "memory_gib": round(device.total_memory / 2**30, 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "peak_bf16_tflops": round(peak / 1e12, 1),
    }
    print(figures, flush=True)
    for name in options.presets:
        env_id, of = SETTINGS[name]
        config = preset(env_id, of)
        rows = ROWS.get(name, config.run.batch_size)
        for compiled in (False, True) if options.compile else (False,):
            run = replace(config.run, device="cuda", compile=compiled, batch_size=rows)
            key = name + (", compiled" if compiled else "")
            try:
                figures[key] = measure(replace(config, run=run), options.seconds, peak)
            except (RuntimeError, torch.OutOfMemoryError) as error:
                figures[key] = {"error": one_line(str(error), 200)}
            if compiled and "flops_per_update" in figures[key] and "flops_per_update" in figures[name]:
                eager = figures[name]
                figures[key]["flops_per_update"] = eager["flops_per_update"]
                ratio = figures[key]["updates_per_second"] / eager["updates_per_second"]
                figures[key]["share_of_peak"] = round(eager["share_of_peak"] * ratio, 4)
            print(key, figures[key], flush=True)
            if options.out is not None:
                options.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
