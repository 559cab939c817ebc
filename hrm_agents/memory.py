"""Memory that training needs: predicted from shapes, and counted in a running update."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hrm_agents import assembly
from hrm_agents.config import TrainConfig
from hrm_agents.learning.algorithm import Algorithm
from hrm_agents.learning.forward import training_forward
from hrm_agents.policy import HRMPolicy
from hrm_agents.rollout import OnHost, Rollout, SegmentBatch, Tries, sample_answers
from hrm_agents.transfer import to_device
from hrm_envs import TaskSpec

_META = torch.device("meta")


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of all tensors that are made inside a ``with`` block, for as long as they exist.

    Each storage counts once. What a kernel allocates for itself is not seen.

    Args:
        tensors: that exist already and count too.
    """

    def __init__(self, tensors: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._known: set[int] = set()
        self._count(tensors)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation and count what it returns."""
        result = func(*args, **(kwargs or {}))
        self._count(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        return result

    def _count(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            if tensor.layout is not torch.strided:
                continue  # its indices and values were counted when they were made
            storage = tensor.untyped_storage()
            key, size = storage._cdata, storage.nbytes()
            if key not in self._known:
                self._known.add(key)
                weakref.finalize(storage, self._forget, key, size).atexit = False
                self.live += size
        self.peak = max(self.peak, self.live)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


class Memory(NamedTuple):
    """Bytes that training needs."""

    peak: int
    """Most that is in use at any moment of an update."""
    lasting: int
    """The part of it that does not depend on the batch: weights, gradients, their moments and the weight average."""


@contextmanager
def _attention_as_on_devices() -> Iterator[None]:
    """Make attention on the meta device do without a matrix of all pairs of slots, as it does on others.

    It chooses its kernel by device, below what modes of torch can see, and is called in the backward pass as well.
    """
    usual = F.scaled_dot_product_attention

    def fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mixed: Tensor = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value)[0]
        return mixed

    F.scaled_dot_product_attention = fused  # type: ignore[assignment]
    try:
        yield
    finally:
        F.scaled_dot_product_attention = usual


def predicted(config: TrainConfig, spec: TaskSpec, max_segments: int, device: str) -> Memory:
    """The memory that updates will need, from shapes alone: two are run on the meta device, which computes nothing.

    It leaves out what kernels allocate for themselves, and ``torch.compile``, which needs less.

    Args:
        config: of the run.
        spec: of its task.
        max_segments: M, of its environment.
        device: type of the device that is meant, which may choose the type of activations.
    """
    run = replace(config.run, compile=False)
    settings = config.model
    if device == "cuda" and getattr(settings, "dtype", None) == "auto":
        settings = replace(settings, dtype="bfloat16")
    config = replace(config, run=run, model=settings)
    with LiveMemory() as memory, _attention_as_on_devices():
        model = assembly.blueprint(config, spec)
        # Sparse gradients, which the meta device lacks, have a few rows only.
        for table in model.sparse_parameters().values():
            table.requires_grad_(False)
        policy = HRMPolicy(model, training_forward(model, run), config.halting_rule())
        algorithm = assembly.algorithm(config, max_segments, policy)
        for batch in _batches(config, spec, policy):
            algorithm.backward(batch)
            algorithm.step(rate=1.0)
    return Memory(memory.peak, _bytes(_lasting(algorithm)))


def counted(algorithm: Algorithm, rollout: Rollout) -> int:
    """The most bytes that are in use during an update, which this takes.

    On CUDA this is what torch has allocated, elsewhere what its tensors hold.
    """
    device = rollout.policy.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        algorithm.update(rollout.step(), rate=1.0)
        return torch.cuda.max_memory_allocated(device)
    present = [
        *_lasting(algorithm),
        *tree_leaves(algorithm.halting.state_dict()),
        *rollout.state_dict()["carry"].values(),
    ]
    with LiveMemory(present) as memory:
        algorithm.update(rollout.step(), rate=1.0)
    return memory.peak


def _lasting(algorithm: Algorithm) -> list[Tensor]:
    """Weights, gradients, moments and averages."""
    parameters = list(algorithm.model.parameters())
    moments = tree_leaves([list(optimizer.state.values()) for optimizer in algorithm.optimizers])
    found = [*parameters, *algorithm.model.buffers(), *(each.grad for each in parameters), *moments]
    found += algorithm.ema.state_dict()["average"].values()
    return [each for each in found if isinstance(each, Tensor)]


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(each.numel() * each.element_size() for each in tensors if each.layout is torch.strided)


def _batches(config: TrainConfig, spec: TaskSpec, policy: HRMPolicy) -> Iterator[SegmentBatch]:
    """Two batches of segments with the shapes of training."""
    rows, cells, answer = config.run.batch_size, spec.num_cells, config.answer
    tokens, zeros, everywhere = np.zeros((rows, cells), np.uint8), np.zeros(rows, np.float32), np.ones(rows, np.bool_)
    first = np.ones(rows, np.int64)
    carry = policy.initial_carry(rows)
    for _ in range(2):
        observed = policy.observe({"puzzle": tokens, "answer": tokens, "segment": 0 * first, "task_id": 0 * first})
        decision = policy.act(observed, carry, everywhere, first, zeros)
        tries = None
        if answer.reward_weight:
            draws = torch.empty(rows, answer.samples, cells, device=_META)
            tries = Tries(sample_answers(decision.output.logits.detach(), draws), draws[..., 0].clone())
        yield SegmentBatch(
            puzzle=observed.puzzle,
            task_id=observed.task_id,
            solution=to_device(tokens, _META),
            segment=observed.segment,
            chosen=everywhere,
            decision=decision,
            halt_reward=to_device(zeros, _META),
            reward=np.zeros(rows),
            terminated=everywhere,
            forced_halt=everywhere,
            success=everywhere,
            score=zeros,
            host=OnHost(first, zeros, zeros, zeros),
            tries=tries,
        )
        carry = decision.carry
