"""Training in several processes at once: what they split, exchange and agree on.

Each process (a *rank*) has the whole network and some rows of the batch. ``torchrun`` starts them; :func:`joined` makes
them one group. :class:`Ranks` is a process alone, for which there is nothing to do, and :class:`ManyRanks` one of
several. Everything between processes happens here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from hrm_agents.errors import UserError, one_line

#: Variable of the environment: how often ``torchrun`` has started the processes again.
_RESTARTS = "TORCHELASTIC_RESTART_COUNT"

Result = TypeVar("Result")
Joint = TypeVar("Joint", NDArray[Any], list[int])


class RankLost(UserError):
    """Another process of the run has ended, so nothing can be exchanged with it."""


class FailedElsewhere(UserError):
    """Another process of the run has failed, and explains why."""


@dataclass(frozen=True)
class Rows:
    """The rows ``start`` to ``stop`` of a joint batch of ``total``, which one process has."""

    total: int
    start: int
    stop: int

    @classmethod
    def all(cls, total: int) -> Rows:
        """Every row."""
        return cls(total, 0, total)

    def __len__(self) -> int:
        return self.stop - self.start

    def of(self, joint: Joint) -> Joint:
        """These rows of an array ``[total, ...]`` or of a list.

        Every process draws random numbers for all rows and takes its own. So the numbers of a row do not depend on the
        number of processes, and the generators of all processes stay in the same state.
        """
        return joint[self.start : self.stop]


class Ranks:
    """A process that trains alone: it has all rows, its means are the means, and it decides for itself."""

    #: Number of this process, from 0, and of all of them.
    rank, size = 0, 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes the records."""
        return self.rank == 0

    def rows(self, total: int) -> Rows:
        """The rows of this process in a batch of ``total``.

        Raises:
            UserError: they cannot be split evenly.
        """
        if total % self.size:
            raise UserError(
                f"run.batch_size {total} cannot be split evenly over {self.size} processes: choose a multiple of "
                f"{self.size}"
            )
        share = total // self.size
        return Rows(total, self.rank * share, (self.rank + 1) * share)

    def part(self, total: int) -> range:
        """The share of this process in ``total`` things that need no even split; it may be empty."""
        return range(self.rank * total // self.size, (self.rank + 1) * total // self.size)

    def device(self, device: str) -> str:
        """The device of this process, where ``device`` is what all of them were asked to use."""
        return device

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all processes, without gradient."""
        return value

    def average_gradients(self, dense: Sequence[Tensor], sparse: Sequence[Tensor], numbers: Tensor) -> Tensor:
        """Replace gradients by their means over all processes.

        Args:
            dense: parameters with dense gradients. One without a gradient anywhere is left without.
            sparse: embedding tables with sparse gradients; only the rows in the batch are exchanged.
            numbers: float32 ``[K]``, averaged with the gradients.

        Returns:
            The mean of ``numbers``.
        """
        return numbers

    def gather(self, own: Tensor, axis: int = 0) -> Tensor | None:
        """The tensors of all processes, one after the other along an axis: on the first process, None on others."""
        return own

    def all_gather(self, own: Tensor) -> Tensor:
        """The tensors ``[n, ...]`` of all processes, one after the other."""
        return own

    def all_rows(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """The rows of all processes, of arrays ``[B, ...]`` on the host."""
        return list(arrays)

    def fill(self, arrays: Sequence[NDArray[Any]]) -> None:
        """Fill in, in place, what other processes have in arrays that are 0 outside the part of each process."""

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return flag

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors, in place, by those of the first process."""

    def first(self, work: Callable[[], object]) -> None:
        """Do some work in the first process alone; if it fails, it fails in all, as in :meth:`each`."""
        self.each(lambda: work() if self.is_first else None)

    def each(self, work: Callable[[], Result]) -> Result:
        """Do some work in every process; if it fails in one, it fails in all.

        Raises:
            FailedElsewhere: it failed in another process, which raises the error itself.
            KeyboardInterrupt: another process was asked to stop.
        """
        return work()


#: A process that was started alone.
ALONE = Ranks()


class ManyRanks(Ranks):
    """One of several processes, in torch's default process group.

    All processes must call the same methods in the same order.

    Args:
        local_rank: number of this process on its machine, from 0.

    Raises:
        RankLost: in every method: another process has ended.
    """

    def __init__(self, local_rank: int = 0) -> None:
        self.rank, self.size, self._local_rank = dist.get_rank(), dist.get_world_size(), local_rank

    def device(self, device: str) -> str:
        """See :class:`Ranks`: each process of a machine has a GPU of its own.

        Raises:
            UserError: there are fewer GPUs than processes.
        """
        if device != "cuda":
            return device
        if self._local_rank >= torch.cuda.device_count():
            raise UserError(
                f"process {self._local_rank + 1} of this machine finds {torch.cuda.device_count()} GPUs: start one "
                "process for each GPU, or train with --run.device cpu"
            )
        torch.cuda.set_device(self._local_rank)
        return f"cuda:{self._local_rank}"

    def mean(self, value: Tensor) -> Tensor:
        """See :class:`Ranks`."""
        total = value.detach().to(torch.float32, copy=True)
        with _connected():
            dist.all_reduce(total)
        return total / self.size

    def average_gradients(self, dense: Sequence[Tensor], sparse: Sequence[Tensor], numbers: Tensor) -> Tensor:
        """See :class:`Ranks`: one exchange of all dense gradients, and two for each sparse one."""
        device = numbers.device
        present = torch.tensor([float(parameter.grad is not None) for parameter in dense], device=device)
        pieces = [torch.zeros_like(each) if each.grad is None else each.grad for each in dense]
        flat = torch.cat([*(piece.reshape(-1) for piece in pieces), present, numbers])
        with _connected():
            dist.all_reduce(flat)
        flat /= self.size
        *grads, present, numbers = flat.split([*(each.numel() for each in dense), len(dense), len(numbers)])
        for number, (parameter, grad) in enumerate(zip(dense, grads, strict=True)):
            # The shares are read only where they can matter, since reading them waits for a GPU.
            if parameter.grad is not None or float(present[number]):
                parameter.grad = grad.view_as(parameter).to(parameter.dtype)
        for table in sparse:
            self._average_rows(table)
        return numbers

    def _average_rows(self, table: Tensor) -> None:
        """Replace the sparse gradient of a table by its mean over all processes."""
        grad = None if table.grad is None else table.grad.coalesce()
        count = torch.tensor([0 if grad is None else grad.values().shape[0]], device=table.device)
        counts = self.all_gather(count).tolist()
        if not any(counts):
            return
        ids = torch.zeros(max(counts), dtype=torch.int64, device=table.device)
        values = torch.zeros(max(counts), *table.shape[1:], dtype=table.dtype, device=table.device)
        if grad is not None:
            ids[: counts[self.rank]], values[: counts[self.rank]] = grad.indices()[0], grad.values()
        filled = torch.cat([torch.arange(max(counts), device=table.device) < count for count in counts])
        ids, values = self.all_gather(ids)[filled], self.all_gather(values)[filled] / self.size
        table.grad = torch.sparse_coo_tensor(ids[None], values, table.shape, check_invariants=False).coalesce()

    def gather(self, own: Tensor, axis: int = 0) -> Tensor | None:
        """See :class:`Ranks`; the result is on the CPU."""
        mine = _as_bytes(own.cpu())
        parts = [torch.empty_like(mine) for _ in range(self.size)] if self.is_first else None
        with _connected():
            dist.gather(mine, parts)
        return None if parts is None else torch.cat([_from_bytes(part, own) for part in parts], axis)

    def all_gather(self, own: Tensor) -> Tensor:
        """See :class:`Ranks`."""
        mine = _as_bytes(own)
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        with _connected():
            dist.all_gather(parts, mine)
        return torch.cat([_from_bytes(part, own) for part in parts])

    def all_rows(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """See :class:`Ranks`: one exchange for all."""
        rows = [np.ascontiguousarray(array).view(np.uint8).reshape(len(array), -1) for array in arrays]
        joint = self.all_gather(torch.from_numpy(np.concatenate(rows, 1))).numpy()
        parts = np.split(joint, np.cumsum([part.shape[1] for part in rows])[:-1], axis=1)
        return [
            np.ascontiguousarray(part).view(array.dtype).reshape(-1, *array.shape[1:])
            for part, array in zip(parts, arrays, strict=True)
        ]

    def fill(self, arrays: Sequence[NDArray[Any]]) -> None:
        """See :class:`Ranks`."""
        for array in arrays:
            total = torch.from_numpy(array.view(np.uint8) if array.dtype == np.bool_ else array)
            with _connected():
                dist.all_reduce(total)

    def any(self, flag: bool) -> bool:
        """See :class:`Ranks`."""
        return max(self._codes(int(flag))) > 0

    def share(self, tensors: Sequence[Tensor]) -> None:
        """See :class:`Ranks`."""
        for tensor in tensors:
            with _connected():
                dist.broadcast(tensor.detach(), 0)

    def each(self, work: Callable[[], Result]) -> Result:
        """See :class:`Ranks`; of several processes that fail, the first raises its error."""
        stopped, failed = 1, 2
        error: BaseException | None = None
        try:
            result = work()
        except RankLost:
            raise
        except (KeyboardInterrupt, Exception) as caught:
            error = caught
        codes = self._codes(0 if error is None else stopped if isinstance(error, KeyboardInterrupt) else failed)
        if failed not in codes:
            if stopped in codes:
                raise error or KeyboardInterrupt
            return result
        if error is not None and codes.index(failed) == self.rank:
            raise error
        raise FailedElsewhere(f"process {codes.index(failed)} of the run failed") from error

    def _codes(self, own: int) -> list[int]:
        """The code that each process gives."""
        codes: list[int] = self.all_gather(torch.tensor([own])).tolist()
        return codes


def _as_bytes(tensor: Tensor) -> Tensor:
    """The memory of a tensor, uint8 ``[N]``: not every backend sends every type."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def _from_bytes(memory: Tensor, like: Tensor) -> Tensor:
    """A tensor of the type and shape of ``like`` from :func:`_as_bytes`."""
    return memory.view(like.dtype).view(like.shape)


@contextmanager
def joined(environ: Mapping[str, str] = os.environ) -> Iterator[Ranks]:
    """Join the other processes of a run inside a ``with`` block; yields :data:`ALONE` if there are none.

    GPUs exchange tensors with NCCL, CPUs with gloo.

    Args:
        environ: variables of the environment, by which ``torchrun`` and other launchers describe the group.

    Raises:
        RankLost: the other processes cannot be reached.
    """
    described = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= environ.keys()
    if not described or environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    with _connected():
        store, rank, size = next(dist.rendezvous("env://"))
        # torchrun may keep its store when it starts the processes again: the addresses in it are of dead ones.
        attempt = dist.PrefixStore(f"attempt-{environ.get(_RESTARTS, '0')}", store)
        backends = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backends, store=attempt, rank=rank, world_size=size)
    try:
        yield ManyRanks(int(environ.get("LOCAL_RANK", "0")))
    finally:
        dist.destroy_process_group()


def was_restarted(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether ``torchrun`` has started the processes again after one of them ended."""
    return environ.get(_RESTARTS, "0") != "0"


@contextmanager
def _connected() -> Iterator[None]:
    """Convert errors of the connection to other processes."""
    try:
        yield
    except RuntimeError as error:
        raise RankLost(
            f"another process of the run has ended or cannot be reached ({one_line(str(error), 100)})"
        ) from error
