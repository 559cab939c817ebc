"""One of several training processes, on torch's process group."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from hrm_agents.distributed.ranks import FailedElsewhere, RankLost, Ranks, Result
from hrm_agents.errors import UserError, one_line
from hrm_agents.interrupts import Stopped


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
            UserError: there are fewer GPUs than processes, or they cannot share the device.
        """
        if device == "cpu":
            return device
        if device != "cuda":
            raise UserError(f"{self.size} processes cannot train on {device}: choose --run.device cuda or cpu")
        if self._local_rank >= torch.cuda.device_count():
            raise UserError(
                f"process {self._local_rank + 1} of this machine finds {torch.cuda.device_count()} GPUs: start one "
                "process for each GPU, or train with --run.device cpu"
            )
        return f"cuda:{self._local_rank}"

    def mean(self, value: Tensor) -> Tensor:
        """See :class:`Ranks`."""
        total = value.detach().to(torch.float32, copy=True)
        with connected():
            dist.all_reduce(total)
        return total / self.size

    def average_gradients(self, dense: Sequence[Tensor], sparse: Sequence[Tensor], numbers: Tensor) -> Tensor:
        """See :class:`Ranks`: one exchange for all dense gradients, three for each sparse one."""
        device = numbers.device
        present = torch.tensor([float(parameter.grad is not None) for parameter in dense], device=device)
        pieces = [torch.zeros_like(each) if each.grad is None else each.grad for each in dense]
        flat = torch.cat([*(piece.reshape(-1) for piece in pieces), present, numbers])
        with connected():
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
        with connected():
            dist.gather(mine, parts)
        return None if parts is None else torch.cat([_from_bytes(part, own) for part in parts], axis)

    def all_gather(self, own: Tensor) -> Tensor:
        """See :class:`Ranks`."""
        mine = _as_bytes(own)
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        with connected():
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
            with connected():
                dist.all_reduce(total)

    def highest(self, number: int) -> int:
        """See :class:`Ranks`."""
        return max(self._numbers(number))

    def check_equal(self, number: int, what: str) -> None:
        """See :class:`Ranks`."""
        numbers = self._numbers(number)
        if len(set(numbers)) > 1:
            raise UserError(
                f"{what} is {min(numbers)} to one process and {max(numbers)} to another: their file systems are not in "
                "step; try again in a minute"
            )

    def share(self, tensors: Sequence[Tensor]) -> None:
        """See :class:`Ranks`."""
        for tensor in tensors:
            with connected():
                dist.broadcast(tensor.detach(), 0)

    def each(self, work: Callable[[], Result]) -> Result:
        """See :class:`Ranks`; of several processes that fail, the first raises its error."""
        failed = 1  # a reason to stop is at least 2
        error: BaseException | None = None
        try:
            result = work()
        except RankLost:
            raise
        except (KeyboardInterrupt, Exception) as caught:
            error = caught
        if isinstance(error, KeyboardInterrupt):
            code = error.reason if isinstance(error, Stopped) else int(signal.SIGINT)
        else:
            code = 0 if error is None else failed
        codes = self._numbers(code)
        if failed in codes:
            if error is not None and codes.index(failed) == self.rank:
                raise error
            raise FailedElsewhere(f"process {codes.index(failed)} of the run failed") from error
        if any(codes):
            raise Stopped(max(codes)) from error
        return result

    def _numbers(self, own: int) -> list[int]:
        """The number that each process gives."""
        numbers: list[int] = self.all_gather(torch.tensor([own])).tolist()
        return numbers


def _as_bytes(tensor: Tensor) -> Tensor:
    """The memory of a tensor, uint8 ``[N]``: not every backend sends every type."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def _from_bytes(memory: Tensor, like: Tensor) -> Tensor:
    """A tensor of the type and shape of ``like`` from :func:`_as_bytes`."""
    return memory.view(like.dtype).view(like.shape)


@contextmanager
def connected() -> Iterator[None]:
    """Convert errors of the connection to other processes."""
    try:
        yield
    except RuntimeError as error:
        raise RankLost(
            f"another process of the run has ended or cannot be reached ({one_line(str(error), 100)})"
        ) from error
