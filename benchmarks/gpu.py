"""Measure training on a GPU, eager and compiled, and train Sudoku-Extreme for some minutes with the faster of both.

    python -m benchmarks.gpu [--out gpu.json] [--seconds 5] [--presets paper-sudoku-extreme ...] [--compile]
        [--train-minutes 5]

The figures are those of ``hrm-agents bench train``: updates and segments per second, the share of the peak, which is
that of a large bfloat16 matrix product on the same device, memory, and the share of the loop outside the model. The
file is written after each part, so that a machine that is taken away leaves what was measured. Run the tests that need
a GPU first: ``pytest tests/agents/test_presets.py tests/agents/test_distributed.py``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.runs import Curve
from hrm_agents.config import TrainConfig
from hrm_agents.errors import one_line
from hrm_agents.interrupts import Stopped
from hrm_agents.presets import preset
from hrm_agents.solving.solver import load
from hrm_agents.speed.rounds import machine
from hrm_agents.speed.training import TrainingSpeed, peak_flops
from hrm_agents.trainer import Trainer

#: By name: environment, or None for the preset's own, and preset.
SETTINGS = {
    "sudoku-4x4": ("HRM/Sudoku-4x4-v0", "small"),
    "maze-9x9": ("HRM/Maze-9x9-v0", "small"),
    "paper-sudoku-extreme": (None, "paper-sudoku-extreme"),
    "paper-maze-hard": (None, "paper-maze-hard"),
}
#: What is trained at the end.
TRAINED = "paper-sudoku-extreme"


def measure(config: TrainConfig, seconds: float, peak: float) -> dict[str, Any]:
    """Train for some seconds and say how fast it was."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        speed = TrainingSpeed(config, Path(folder))
        first = speed.warm_up()
        one = speed.measure(1).seconds
        found = speed.measure(max(1, round(seconds / one)))
    rows = config.run.batch_size
    share = None if speed.flops is None else round(speed.flops / found.seconds / peak, 4)
    memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    return {
        "rows": rows,
        "dtype": str(speed.dtype),
        "compile": config.run.compile,
        "setup_seconds": round(speed.setup_seconds, 2),
        "first_update_seconds": round(first, 2),
        "updates_per_second": round(1 / found.seconds, 3),
        "segments_per_second": round(rows / found.seconds, 1),
        "flops_per_update": speed.flops,
        "share_of_peak": share,
        "outside_the_model": round(found.outside, 4),
        "peak_memory_gib": None if memory is None else round(memory / 2**30, 2),
    }


def train(config: TrainConfig, minutes: float) -> list[dict[str, float]]:
    """Train for some minutes; returns the curve of evaluations on validation puzzles."""
    run = replace(config.run, eval_every=250, save_every=250, eval_puzzles=1000)
    with tempfile.TemporaryDirectory() as folder:
        curve = Curve(Path(folder) / "curve.json")
        trainer = Trainer(replace(config, run=run), Path(folder) / "run", curve)
        try:
            trainer.run(60 * minutes)
        except Stopped:
            solver = load(trainer.out, run.device)
            report = solver.evaluate({"split": "validation"}, first=run.eval_puzzles, until="halt")
            curve.evaluation(report, trainer.updates_done)
    return curve.points


def main(arguments: list[str] | None = None) -> None:
    """Measure each preset as it is and compiled, and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--seconds", type=float, default=5.0, help="to measure each")
    parser.add_argument("--presets", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--compile", action="store_true", help="also with torch.compile")
    parser.add_argument("--train-minutes", type=float, default=0.0, help=f"train {TRAINED} at the end")
    parser.add_argument("--device", default="cuda", help="another one shows that the script works")
    parser.add_argument("--rows", type=int, help="rows of the batch; those of each preset if omitted")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    peak = peak_flops(device, torch.bfloat16)
    figures: dict[str, Any] = {"machine": machine(device), "peak_bf16_tflops": round(peak / 1e12, 1)}

    def record(name: str, part: Callable[[], Any]) -> None:
        try:
            figures[name] = part()
        except (RuntimeError, torch.OutOfMemoryError) as error:
            figures[name] = {"error": one_line(str(error), 200)}
        print(name, figures[name], flush=True)
        if options.out is not None:
            options.out.write_text(json.dumps(figures, indent=1) + "\n")

    for name in options.presets:
        for compiled in (False, True) if options.compile else (False,):
            config = _config(name, options.device, options.rows, compiled=compiled)
            record(_key(name, compiled=compiled), partial(measure, config, options.seconds, peak))
    if options.train_minutes:
        rates = [figures.get(_key(TRAINED, compiled=each), {}).get("updates_per_second", 0) for each in (False, True)]
        config = _config(TRAINED, options.device, options.rows, compiled=rates[1] > rates[0])
        record(f"curve of {TRAINED}", partial(train, config, options.train_minutes))


def _key(name: str, *, compiled: bool) -> str:
    return f"{name}, compiled" if compiled else name


def _config(name: str, device: str, rows: int | None, *, compiled: bool) -> TrainConfig:
    config = preset(*SETTINGS[name])
    size: dict[str, Any] = {} if rows is None else {"batch_size": rows, "micro_batch": None}
    return replace(config, run=replace(config.run, device=device, compile=compiled, **size))


if __name__ == "__main__":
    main()
