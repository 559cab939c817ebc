"""Interface of networks that think in segments: subclass :class:`SegmentModel` to use your own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from hrm_agents.errors import shown
from hrm_agents.models.limits import check_setting

#: State between segments: a tuple (or NamedTuple) of tensors ``[B, ...]`` without gradient.
AnyCarry = TypeVar("AnyCarry", bound=tuple[Tensor, ...])


class TaskSizes(Protocol):
    """Sizes of a task that a model depends on; a ``TaskSpec`` has them."""

    @property
    def vocab_size(self) -> int:
        """Number of tokens, padding included."""

    @property
    def grid_shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def num_task_ids(self) -> int:
        """Number of task identities; 1 if there are none."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of a task that a model depends on, saved beside its weights."""

    vocab_size: int
    """Number of tokens V, in puzzles and answers; 0 is padding."""
    grid_shape: tuple[int, int]
    """Rows and columns of the puzzle; their product is the number of cells S."""
    num_task_ids: int = 1
    """Number of task identities; 1 means none and no task embedding."""

    @classmethod
    def of(cls, task: TaskSizes) -> Sizes:
        """The three sizes of ``task``, such as a ``TaskSpec``."""
        return Sizes(task.vocab_size, task.grid_shape, task.num_task_ids)

    def __post_init__(self) -> None:
        """Check sizes that would otherwise fail deep inside a layer, or exceed the memory of any machine.

        Raises:
            ValueError: a size has the wrong type or is out of bounds (:data:`hrm_agents.models.limits.LIMITS`).
        """
        for name in ("vocab_size", "num_task_ids"):
            check_setting(name, getattr(self, name))
        if not isinstance(self.grid_shape, tuple | list) or len(self.grid_shape) != 2:
            raise ValueError(f"grid_shape must be two whole numbers, got {shown(self.grid_shape)}")
        for side in self.grid_shape:
            check_setting("grid_shape", side, "num_cells")
        check_setting("the number of cells of grid_shape", self.num_cells, "num_cells")

    @property
    def num_cells(self) -> int:
        """S, the number of grid cells."""
        return self.grid_shape[0] * self.grid_shape[1]


class SegmentOutput(NamedTuple):
    """Outputs of one segment."""

    logits: Tensor
    """float32 ``[B, S, V]``, score of each token in each grid cell."""
    q_halt: Tensor
    """float32 ``[B]``, value of halting with this answer."""
    q_continue: Tensor
    """float32 ``[B]``, value of continuing for another segment."""
    q_input: Tensor
    """``[B, d]``, input of the Q-head, without gradient: a value that no loss reads must not wait for one."""


class SegmentModel(nn.Module, ABC):
    """A network that thinks in segments.

    Its Q-head outputs Q(halt) and Q(continue); some algorithms store the inputs of the Q-head and train it later.

    :func:`~hrm_agents.models.registry.register_model` makes a subclass available by name.
    """

    settings: Any
    """A dataclass of plain values, saved as JSON beside the weights."""
    sizes: Sizes
    """Of the task; saved too, and compared with the task on loading."""
    q_head: nn.Linear
    """``d -> 2``, applied in float32."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let a subclass with a forward of its own not inherit the two halves of another one."""
        super().__init_subclass__(**kwargs)
        if "forward" in vars(cls) and "finish" not in vars(cls):
            cls.prepare, cls.finish = SegmentModel.prepare, SegmentModel.finish  # type: ignore[method-assign]

    @classmethod
    def build(cls, settings: Any, sizes: Sizes) -> SegmentModel:
        """Make a network with new weights; by default, call the constructor with the same arguments.

        Sizes are checked on the meta device, where tensors have shapes but no values.

        Args:
            settings: of the class that was registered.
            sizes: of the task.

        Raises:
            ValueError: the settings do not fit together or the task.
        """
        return cls(settings, sizes)

    @abstractmethod
    def initial_carry(self, batch_size: int) -> Any:
        """The carry before the first segment, for ``batch_size`` rows, on the model's device."""

    @abstractmethod
    def forward(self, carry: Any, puzzle: Tensor, task_id: Tensor | None = None) -> tuple[Any, SegmentOutput]:
        """Run one segment.

        Args:
            carry: of the previous segment, with the rows of new puzzles reset.
            puzzle: uint8 or int ``[B, S]``, tokens in row-major order.
            task_id: int ``[B]``, for tasks with identities, or what :meth:`task_input` makes of it.

        Returns:
            The new carry, detached, and the outputs, with gradient.
        """

    def prepare(self, carry: Any, puzzle: Tensor, task_id: Tensor | None = None) -> Any:
        """The carry after the part of a segment that has no gradient; by default there is none.

        Together with :meth:`finish` it does what :meth:`forward` does. Training in micro-batches runs them apart, and
        only the second one again.
        """
        return carry

    def finish(self, carry: Any, puzzle: Tensor, task_id: Tensor | None = None) -> tuple[Any, SegmentOutput]:
        """The rest of the segment, as :meth:`forward`; by default all of it."""
        result: tuple[Any, SegmentOutput] = self(carry, puzzle, task_id)
        return result

    def task_input(self, task_id: Tensor | None) -> Tensor | None:
        """What :meth:`forward` takes in place of ``task_id`` where ``torch.compile`` cannot look identities up.

        Training calls it outside the compiled graph. By default the identities themselves.
        """
        return task_id

    def reset_carry(self, carry: Any, reset: Tensor) -> Any:
        """Replace the rows where ``reset`` bool ``[B]`` is set by the initial carry."""
        fresh = self.initial_carry(len(reset))
        return map_carry(lambda new, old: torch.where(reset.view(-1, *[1] * (old.ndim - 1)), new, old), fresh, carry)

    def dense_parameters(self) -> dict[str, nn.Parameter]:
        """Parameters with dense gradients, by name, for the optimiser and the weight average."""
        sparse = self.sparse_parameters()
        return {name: parameter for name, parameter in self.named_parameters() if name not in sparse}

    def sparse_parameters(self) -> dict[str, nn.Parameter]:
        """Embedding tables with sparse gradients, by name; none by default."""
        return {}


def map_carry(function: Callable[..., Tensor], carry: AnyCarry, *others: AnyCarry) -> AnyCarry:
    """Apply a function to each tensor of a carry, or to corresponding tensors of several carries of one type."""
    states = map(function, carry, *others)
    return carry._make(states) if hasattr(carry, "_make") else type(carry)(states)
