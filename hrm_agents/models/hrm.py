"""The Hierarchical Reasoning Model as one segment: (carry, puzzle) -> (carry, answer logits, Q-values).

Wang et al. 2025, "Hierarchical Reasoning Model", arXiv 2506.21734, section 2. Where the paper and its authors' code
differ, this follows the code; tests compare it with numbers that the code computed.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from hrm_agents.errors import shown
from hrm_agents.models.architecture import Architecture
from hrm_agents.models.embeddings import InputEmbedding, rotary_tables
from hrm_agents.models.interface import SegmentModel, SegmentOutput
from hrm_agents.models.layers import Linear
from hrm_agents.models.limits import check_setting
from hrm_agents.models.recursion import Carry, Recursion

__all__ = ["HRM", "Architecture", "Carry", "HRMConfig", "SegmentOutput", "TaskSizes"]


class TaskSizes(Protocol):
    """Sizes of a task that a model depends on."""

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
class HRMConfig(Architecture):
    """An architecture and the sizes of a task."""

    vocab_size: int
    """Number of tokens V, in puzzles and answers; 0 is padding."""
    grid_shape: tuple[int, int]
    """Rows and columns of the puzzle; their product is the number of cells S."""
    num_task_ids: int = 1
    """Number of task identities; 1 means none and no task embedding."""

    @classmethod
    def for_task(cls, architecture: Architecture, task: TaskSizes) -> HRMConfig:
        """Combine ``architecture`` with the three sizes of ``task``, such as a ``TaskSpec``."""
        return cls(
            **asdict(architecture),
            vocab_size=task.vocab_size,
            grid_shape=task.grid_shape,
            num_task_ids=task.num_task_ids,
        )

    def __post_init__(self) -> None:
        """Check what would otherwise fail deep inside a layer, or exceed the memory of any machine.

        Raises:
            ValueError: a size has the wrong type or is out of bounds (:data:`hrm_agents.models.limits.LIMITS`), or the
                heads do not fit.
        """
        for name in ("vocab_size", "num_task_ids"):
            check_setting(name, getattr(self, name))
        if not isinstance(self.grid_shape, tuple | list) or len(self.grid_shape) != 2:
            raise ValueError(f"grid_shape must be two whole numbers, got {shown(self.grid_shape)}")
        for side in self.grid_shape:
            check_setting("grid_shape", side, "num_cells")
        check_setting("the number of cells of grid_shape", self.num_cells, "num_cells")
        self.check()
        check_setting("the number of slots that puzzle_emb_ndim fills", self.num_prefix_slots, "prefix_slots")

    @property
    def num_cells(self) -> int:
        """S, the number of grid cells."""
        return self.grid_shape[0] * self.grid_shape[1]

    @property
    def num_prefix_slots(self) -> int:
        """P, the number of slots before the grid."""
        if self.num_task_ids == 1:
            return self.prefix_slots
        return math.ceil(self.task_emb_ndim / self.hidden_size)

    @property
    def task_emb_ndim(self) -> int:
        """Size of a task embedding."""
        return self.puzzle_emb_ndim or self.hidden_size


class HRM(Recursion, SegmentModel):
    """Planner and worker over one puzzle, with an answer head and a Q-head."""

    config: HRMConfig

    def __init__(self, config: HRMConfig) -> None:
        super().__init__(config, config.num_prefix_slots + config.num_cells)
        d, prefix = config.hidden_size, config.num_prefix_slots
        self.embedding = InputEmbedding(
            config.vocab_size,
            config.num_cells,
            d,
            prefix_slots=prefix,
            task_ids=config.num_task_ids,
            task_ndim=config.task_emb_ndim,
            learned_positions="learned" in config.position,
        )
        self._add_modules()
        self.answer_head = Linear(d, config.vocab_size)
        # Start from a near-zero success probability, so that bootstrapped targets grow from below.
        self.q_head = nn.Linear(d, 2)
        nn.init.zeros_(self.q_head.weight)
        nn.init.constant_(self.q_head.bias, -5.0)
        self._add_states(rotary_tables(config, prefix, [config.grid_shape]))

    def forward(self, carry: Carry, puzzle: Tensor, task_id: Tensor | None = None) -> tuple[Carry, SegmentOutput]:
        """Run one segment; see :meth:`Recursion.think` for the part with gradient.

        Args:
            carry: states after the previous segment, with the rows of new puzzles reset.
            puzzle: uint8 or int [B, S], tokens in row-major order.
            task_id: int [B]; needed with task embeddings only.

        Returns:
            The new carry, detached, and the outputs of the segment.
        """
        carry = self.think(carry, self.embedding(puzzle, task_id).to(self.dtype))
        z_H = carry.z_H
        logits = self.answer_head(z_H[:, self.config.num_prefix_slots :]).float()
        q_input = self.q_input(z_H, logits)
        q_halt, q_continue = F.linear(q_input.float(), self.q_head.weight, self.q_head.bias).unbind(-1)
        return carry.detach(), SegmentOutput(logits, q_halt, q_continue, q_input.detach())

    def q_input(self, z_H: Tensor, logits: Tensor) -> Tensor:
        """What the Q-head reads, ``[B, d]``: the planner's state in the first slot. Override it for other features.

        Args:
            z_H: ``[B, P + S, d]``.
            logits: float32 ``[B, S, V]``.
        """
        return z_H[:, 0]

    def sparse_parameters(self) -> dict[str, nn.Parameter]:
        """The task embedding table, if any, by name; its gradient is sparse, for SignSGD."""
        task = self.embedding.task
        return {} if task is None else {"embedding.task.weight": task.weight}
