"""``hrm-agents bench``."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import gymnasium as gym
import numpy as np
import tyro
from rich.console import Console
from rich.table import Column, Table

from hrm_agents.commands.common import EXPLAINED, Device, Keywords, keywords, parse, progress
from hrm_agents.commands.walking import is_walked
from hrm_agents.environments import make_vector, plain_id, user_id
from hrm_agents.errors import UserError, user_errors
from hrm_agents.presets import SMALL, PresetName, preset

if TYPE_CHECKING:
    import torch

#: Default environments.
ENVS = ("HRM/Sudoku-9x9-v0", "HRM/Maze-30x30-v0")


@dataclass(frozen=True)
class Bench:
    """Measure the steps per second of vector environments with random actions.

    With --train, measure training updates instead: seconds, segments per second and peak memory of each, after a
    prediction of the memory from shapes alone. Only then do --batch-size, --micro-batch, --recompute, --segments,
    --kwargs and --device count.
    """

    envs: Annotated[tuple[str, ...], tyro.conf.Positional, EXPLAINED] = ()
    """Gymnasium ids; if omitted, two built-in ones, or that of the preset with --train. module:id and FILE.py:id import
    your module first."""
    num_envs: int = 256
    """Rows of the vector environment."""
    seconds: float = 3.0
    """Seconds to measure each environment."""
    train: Annotated[PresetName | None, EXPLAINED] = None
    """Measure training updates with this preset."""
    batch_size: Annotated[int | None, EXPLAINED] = None
    """Rows in training; those of the preset if omitted."""
    micro_batch: Annotated[int | None, EXPLAINED] = None
    """Rows per forward and backward pass; those of the preset if omitted."""
    recompute: bool = False
    """Compute the activations of each block again in the backward pass."""
    segments: int = 8
    """Number of updates, each on one segment of every row."""
    kwargs: Keywords = ()
    device: Device = "auto"


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Bench, "bench", arguments)
    options = replace(options, envs=tuple(map(user_id, options.envs)))
    if options.train is not None:
        return _train(options)
    if not 0 < options.seconds <= 3600:
        raise UserError(f"--seconds must be positive and at most 3600, got {options.seconds}")
    ids = options.envs or ENVS
    walked = [id for id in ids if is_walked(id)]
    console = Console()
    if len(walked) < len(ids):
        rates = ("env-steps/s, answers from the action space", "env-steps/s, uint8 answers")
        _measure(console, options, [id for id in ids if id not in walked], rates, _open_reasoning)
    if walked:
        _measure(console, options, walked, ("env-steps/s, random moves",), _open_walks)
    return 0


#: A vector environment, and for each rate to measure, the actions to take in turn.
Opened = tuple[Any, list[list[Any]]]


def _measure(
    console: Console,
    options: Bench,
    ids: Sequence[str],
    rates: Sequence[str],
    open_env: Callable[[str, int], Opened],
) -> None:
    """Measure environments of one kind, and print their rates in a table."""
    table = Table(Column("id", no_wrap=True), "rows", *rates)
    for id in ids:
        with progress(f"measuring {id}") as share:
            env, series = open_env(id, options.num_envs)
            measured = [steps_per_second(env, actions, options.seconds / len(series)) for actions in series]
            share(1.0)
        table.add_row(id, str(options.num_envs), *(f"{rate:,.0f}" for rate in measured))
    console.print(table)


def _open_reasoning(env_id: str, num_envs: int) -> Opened:
    env = make_vector(env_id, num_envs, {})
    drawn = _draw_actions(env)
    # Policies give uint8 answers; the action space draws int64, which is slower to check.
    return env, [
        [{"answer": action["answer"].astype(dtype), "halt": action["halt"]} for action in drawn]
        for dtype in (np.int64, np.uint8)
    ]


def _open_walks(env_id: str, num_envs: int) -> Opened:
    with user_errors(env_id):
        env = gym.make_vec(plain_id(env_id), num_envs=num_envs)
    return env, [_draw_actions(env)]


def _draw_actions(env: Any) -> list[Any]:
    """Draw random actions before the measurement, since drawing one is slower than a step."""
    env.action_space.seed(0)
    return [env.action_space.sample() for _ in range(16)]


def _train(options: Bench) -> int:
    if len(options.envs) > 1:
        raise UserError(f"--train measures one environment at a time, got {' and '.join(options.envs)}")
    if options.segments < 1:
        raise UserError(f"--segments must be at least 1, got {options.segments}")
    config = preset(options.envs[0] if options.envs else None, options.train or SMALL)
    changes: dict[str, Any] = {"updates": options.segments, "device": options.device, "recompute": options.recompute}
    sizes = {"batch_size": options.batch_size, "micro_batch": options.micro_batch}
    changes |= {name: size for name, size in sizes.items() if size is not None}
    config = replace(
        config,
        env=replace(config.env, kwargs={**config.env.kwargs, **keywords(options.kwargs)}),
        run=replace(config.run, **changes),
    )
    from hrm_agents.memory import counted, predicted
    from hrm_agents.trainer import Trainer

    console = Console()
    table = Table("segment", "seconds", "segments/s", "peak memory, MiB")
    with tempfile.TemporaryDirectory() as folder, progress(f"training in {config.env.id}") as share:
        trainer = Trainer(config, Path(folder))
        dense = trainer.model.dense_parameters()
        # Without task identities, the task embedding is an ordinary parameter.
        dense.pop("embedding.prefix", None)
        parameters = sum(parameter.numel() for parameter in dense.values())
        needed = predicted(config, trainer.env.task_spec, trainer.env.max_segments, trainer.device.type)
        _line(
            console,
            f"memory predicted from shapes: {_mib(needed.peak)} MiB, of which {_mib(needed.lasting)} for weights, "
            "gradients, moments and the weight average, and the rest for the rows",
        )
        for segment in range(1, options.segments + 1):
            start = time.perf_counter()
            trainer.update()  # reads the losses, which waits for the device
            seconds = time.perf_counter() - start
            peak = peak_memory(trainer.device)
            table.add_row(
                str(segment),
                f"{seconds:.2f}",
                f"{config.run.batch_size / seconds:,.2f}",
                "unknown" if peak is None else _mib(peak),
            )
            share(segment / options.segments)
        used = counted(trainer.algorithm, trainer.rollout)
        trainer.log.close()
    _line(console, f"memory of an update, counted: {_mib(used)} MiB")
    _line(
        console,
        f"{options.train} in {config.env.id} on {trainer.device}, {trainer.model.dtype}: {parameters:,} parameters "
        f"besides the task embedding, {config.run.batch_size} rows, M = {trainer.env.max_segments}",
    )
    console.print(table)
    return 0


def _line(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)


def _mib(size: int) -> str:
    """Bytes as MiB."""
    return f"{size / 2**20:,.0f}"


def peak_memory(device: torch.device) -> int | None:
    """Peak memory of this process in bytes, of the GPU on CUDA and of the machine elsewhere; None if unknown."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows lacks this module
        return None
    # In KiB on Linux, in bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def steps_per_second(env: Any, actions: Sequence[Any], seconds: float) -> float:
    """Measure rows stepped per second over about ``seconds``, taking the actions in turn after one warm-up of each."""
    env.reset(seed=0)
    for action in actions:
        env.step(action)
    steps, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        env.step(actions[steps % len(actions)])
        steps += 1
    return steps * env.num_envs / elapsed
