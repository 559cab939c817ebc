"""What a training process shares with others; a process alone shares nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray
from torch import Tensor

from hrm_agents.errors import UserError

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

    def highest(self, number: int) -> int:
        """The highest number that any process gives."""
        return number

    def check_equal(self, number: int, what: str) -> None:
        """Check that all processes have read the same number from a file.

        Raises:
            UserError: they have not.
        """

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors, in place, by those of the first process."""

    def first(self, work: Callable[[], object]) -> None:
        """Do some work in the first process alone; if it fails, it fails in all, as in :meth:`each`."""
        self.each(lambda: work() if self.is_first else None)

    def each(self, work: Callable[[], Result]) -> Result:
        """Do some work in every process; if it fails in one, it fails in all.

        Raises:
            FailedElsewhere: it failed in another process, which raises the error itself.
            Stopped: any process was asked to stop.
        """
        return work()


#: A process that was started alone.
ALONE = Ranks()
