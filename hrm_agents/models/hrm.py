"""The Hierarchical Reasoning Model as one segment: (carry, puzzle) -> (carry, answer logits, Q-values).

Wang et al. 2025, "Hierarchical Reasoning Model", arXiv 2506.21734, section 2. Where the paper's text
and its authors' code differ, this follows the code; the tests hold it to numbers that code computed.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from hrm_agents.models.architecture import Architecture
from hrm_agents.models.embeddings import InputEmbedding, rope_1d, rope_2d
from hrm_agents.models.interface import SegmentModel, SegmentOutput
from hrm_agents.models.layers import Linear, Rotary
from hrm_agents.models.limits import check_whole, shown
from hrm_agents.models.recursion import Carry, Recursion

__all__ = ["HRM", "Architecture", "Carry", "HRMConfig", "SegmentOutput", "TaskSizes"]


class TaskSizes(Protocol):
    """What a model must know of a task."""

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
    """An architecture and the sizes of a task: all that it takes to build an HRM."""

    vocab_size: int
    """Number of tokens V, of puzzles and of answers alike; 0 is padding."""
    grid_shape: tuple[int, int]
    """Rows and columns of the puzzle; their product is the number of cells S."""
    num_task_ids: int = 1
    """Number of task identities; 1 means none and no task embedding."""

    @classmethod
    def for_task(cls, architecture: Architecture, task: TaskSizes) -> HRMConfig:
        """The config of ``architecture`` for anything that has the three sizes, such as a task's spec."""
        return cls(
            **asdict(architecture),
            vocab_size=task.vocab_size,
            grid_shape=task.grid_shape,
            num_task_ids=task.num_task_ids,
        )

    def __post_init__(self) -> None:
        """Check what would otherwise fail deep inside a layer, or ask for more memory than any machine has.

        Raises:
            ValueError: a size is of another type or beyond its limits (``hrm_agents.models.limits``), or the heads do
                not fit.
        """
        for name in ("vocab_size", "num_task_ids"):
            check_whole(name, getattr(self, name))
        if not isinstance(self.grid_shape, tuple | list) or len(self.grid_shape) != 2:
            raise ValueError(f"grid_shape must be two whole numbers, got {shown(self.grid_shape)}")
        for side in self.grid_shape:
            check_whole("grid_shape", side, "num_cells")
        check_whole("the number of cells of grid_shape", self.num_cells, "num_cells")
        self.check()
        check_whole("the number of slots that puzzle_emb_ndim fills", self.num_prefix_slots, "prefix_slots")

    @property
    def num_cells(self) -> int:
        """S, the number of grid cells."""
        return self.grid_shape[0] * self.grid_shape[1]

    @property
    def num_prefix_slots(self) -> int:
        """P, the number of slots in front of the grid."""
        if self.num_task_ids == 1:
            return self.prefix_slots
        return math.ceil(self.task_emb_ndim / self.hidden_size)

    @property
    def task_emb_ndim(self) -> int:
        """Length of one task embedding."""
        return self.puzzle_emb_ndim or self.hidden_size


class HRM(Recursion, SegmentModel):
    """Planner and worker over one puzzle representation, with an answer head and a Q-head."""

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
        # Near-zero success probability at the start: bootstrapped targets then grow from below.
        self.q_head = nn.Linear(d, 2)
        nn.init.zeros_(self.q_head.weight)
        nn.init.constant_(self.q_head.bias, -5.0)
        rotary: Rotary | None = None
        if config.position == "rope":
            rotary = rope_1d(prefix + config.num_cells, config.head_dim, config.rope_theta)
        elif config.position != "learned":
            rotary = rope_2d(config.grid_shape, prefix, config.head_dim, config.rope_theta)
        self._add_states(rotary)

    def forward(self, carry: Carry, puzzle: Tensor, task_id: Tensor | None = None) -> tuple[Carry, SegmentOutput]:
        """Think for one segment; :meth:`Recursion.think` says what of it the gradient sees.

        Args:
            carry: states after the previous segment, rows of new puzzles reset.
            puzzle: uint8 or int [B, S], tokens in row-major order.
            task_id: int [B]; only needed with task embeddings.

        Returns:
            The new carry, detached, and the segment's outputs.
        """
        thought = self.think(carry, self.embedding(puzzle, task_id).to(self.dtype))
        z_H = thought.z_H
        q_input = z_H[:, 0]
        logits = self.answer_head(z_H[:, self.config.num_prefix_slots :]).float()
        q_halt, q_continue = F.linear(q_input.float(), self.q_head.weight, self.q_head.bias).unbind(-1)
        return thought.detach(), SegmentOutput(logits, q_halt, q_continue, q_input)

    def sparse_parameters(self) -> dict[str, nn.Parameter]:
        """The task embedding table, if any, by name: its gradient is sparse, for SignSGD."""
        task = self.embedding.task
        return {} if task is None else {"embedding.task.weight": task.weight}
