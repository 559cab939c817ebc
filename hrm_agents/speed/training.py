"""Training: time of an update, the part of it outside the model, operations and memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hrm_agents.config import TrainConfig
from hrm_agents.memory import counted, predicted
from hrm_agents.records.logger import Logger
from hrm_agents.trainer import Trainer


class Stopwatch:
    """Seconds spent in a method of an object.

    Args:
        owner: the object, whose method is replaced.
        name: of the method.
    """

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


@dataclass(frozen=True)
class Round:
    """Some updates."""

    seconds: float
    """Of one update."""
    outside: float
    """Share of the time outside the model: the environment, and bookkeeping."""


class TrainingSpeed:
    """Training with some settings, ready to be measured.

    Args:
        config: the settings, of which those of evaluating and saving play no role.
        folder: for the trainer, which writes nothing there.
    """

    def __init__(self, config: TrainConfig, folder: Path) -> None:
        self.config = config
        start = time.perf_counter()
        self.trainer = Trainer(config, folder, Logger())
        #: Seconds until the first update could begin.
        self.setup_seconds = time.perf_counter() - start
        self.device = self.trainer.device
        #: Operations of matrix products and attention in one update; None if compiled, where torch cannot count them.
        self.flops: int | None = None
        self._model = [Stopwatch(self.trainer.rollout.policy, "act"), Stopwatch(self.trainer.algorithm, "update")]

    def warm_up(self, updates: int = 2) -> float:
        """Compile what is compiled, count operations, and return the seconds of the first update."""
        start = time.perf_counter()
        self.trainer.update()
        self._wait()
        first = time.perf_counter() - start
        if not self.config.run.compile:
            # Torch counts attention that is written out as products, whatever kernel the device has.
            with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
                self.trainer.update()
            self.flops = counter.get_total_flops()
        for _ in range(updates):
            self.trainer.update()
        return first

    def measure(self, updates: int) -> Round:
        """Train for some updates."""
        self._wait()
        before = sum(watch.seconds for watch in self._model)
        start = time.perf_counter()
        for _ in range(updates):
            self.trainer.update()
        self._wait()
        seconds = time.perf_counter() - start
        inside = sum(watch.seconds for watch in self._model) - before
        return Round(seconds / updates, 1 - inside / seconds)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @property
    def dtype(self) -> torch.dtype:
        """Of the activations."""
        dtype = self.trainer.model.dtype
        assert isinstance(dtype, torch.dtype)
        return dtype

    def num_parameters(self) -> int:
        """Parameters besides the embedding of task identities."""
        dense = self.trainer.model.dense_parameters()
        # Without task identities, the task embedding is an ordinary parameter.
        dense.pop("embedding.prefix", None)
        return sum(parameter.numel() for parameter in dense.values())

    def predicted_memory(self) -> int:
        """Bytes that an update needs, from shapes."""
        env = self.trainer.env
        return predicted(self.config, env.task_spec, env.max_segments, self.device.type).peak

    def counted_memory(self) -> int:
        """Bytes that an update needs, counted in one."""
        return counted(self.trainer.algorithm, self.trainer.rollout)

    def peak_flops(self, seconds: float = 0.5) -> float:
        """Operations per second of a large matrix product of the model's type on its device."""
        return peak_flops(self.device, self.dtype, seconds)


def peak_flops(device: torch.device, dtype: torch.dtype, seconds: float = 0.5) -> float:
    """Operations per second of a square matrix product of random numbers."""
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))

    def product() -> None:
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    for _ in range(3):
        product()
    start, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - start < seconds:
        product()
        count += 1
    return 2 * size**3 * count / (time.perf_counter() - start)
