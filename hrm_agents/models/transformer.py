"""A plain transformer: one pass over the puzzle, each block once, and no state between segments.

It is the baseline without recurrence. Every segment gives the same answer, so it halts after the first.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from hrm_agents.models.architecture import BlockSettings
from hrm_agents.models.grid import GridModel
from hrm_agents.models.interface import SegmentOutput, Sizes
from hrm_agents.models.layers import Block

NoCarry = tuple[()]


@dataclass(frozen=True, kw_only=True)
class TransformerSettings(BlockSettings):
    """Settings of a plain transformer. By default it is as deep as one segment of HRM's defaults."""

    num_layers: int = 12
    """Blocks, each with weights of its own."""


class Transformer(GridModel):
    """Blocks one after the other, with an answer head and a Q-head.

    Args:
        settings: width and depth.
        sizes: of the task.

    Raises:
        ValueError: the settings do not fit together.
    """

    settings: TransformerSettings

    def __init__(self, settings: TransformerSettings, sizes: Sizes) -> None:
        super().__init__()
        self._add_embedding(settings, sizes)
        self.blocks = nn.ModuleList(Block(settings, self.num_slots) for _ in range(settings.num_layers))
        self._add_heads()
        self._add_rotary()

    def initial_carry(self, batch_size: int) -> NoCarry:
        """Nothing is carried."""
        return ()

    def forward(self, carry: NoCarry, puzzle: Tensor, task_id: Tensor | None = None) -> tuple[NoCarry, SegmentOutput]:
        """See :class:`SegmentModel`."""
        states = self.embedding(puzzle, task_id).to(self.dtype)
        for block in self.blocks:
            states = block(states, self.rotary)
        return (), self.read(states)
