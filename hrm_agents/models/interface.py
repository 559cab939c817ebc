"""Interface of networks that think in segments: subclass :class:`SegmentModel` to use your own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

#: State between segments: a tuple (or NamedTuple) of tensors ``[B, ...]`` without gradient.
AnyCarry = TypeVar("AnyCarry", bound=tuple[Tensor, ...])


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
    """

    q_head: nn.Linear
    """``d -> 2``, applied in float32."""
    config: Any
    """A dataclass of plain values, saved as JSON beside the weights. Its ``vocab_size``, ``grid_shape`` and
    ``num_task_ids`` (1 for tasks without identities) are compared with the task on loading."""

    @abstractmethod
    def initial_carry(self, batch_size: int) -> Any:
        """The carry before the first segment, for ``batch_size`` rows, on the model's device."""

    @abstractmethod
    def forward(self, carry: Any, puzzle: Tensor, task_id: Tensor | None = None) -> tuple[Any, SegmentOutput]:
        """Run one segment.

        Args:
            carry: of the previous segment, with the rows of new puzzles reset.
            puzzle: uint8 or int ``[B, S]``, tokens in row-major order.
            task_id: int ``[B]``, for tasks with identities.

        Returns:
            The new carry, detached, and the outputs, with gradient.
        """

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
