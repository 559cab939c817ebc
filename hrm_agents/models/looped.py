"""A looped transformer: one module, applied again and again with the puzzle added to its state before each step.

Yang et al. 2024, "Looped Transformers are Better at Learning Learning Algorithms", arXiv 2311.12424. It is HRM without
the hierarchy: one state instead of two, and all steps of a segment have a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hrm_agents.models.architecture import BlockSettings
from hrm_agents.models.grid import GridModel
from hrm_agents.models.interface import SegmentOutput, Sizes
from hrm_agents.models.layers import ReasoningModule, truncated_normal_


@dataclass(frozen=True, kw_only=True)
class LoopedSettings(BlockSettings):
    """Settings of a looped transformer. The defaults give as many blocks, and apply as many per segment, as HRM's."""

    num_layers: int = 4
    """Blocks in the module."""
    steps: int = 3
    """Times that the module is applied per segment."""


class LoopedCarry(NamedTuple):
    """State between segments, without gradient."""

    z: Tensor
    """``[B, P + S, d]``."""


class Looped(GridModel):
    """One transformer module in a loop, with the puzzle as the injection of every step.

    Args:
        settings: width, depth and steps.
        sizes: of the task.

    Raises:
        ValueError: the settings do not fit together.
    """

    settings: LoopedSettings
    z_init: Tensor

    def __init__(self, settings: LoopedSettings, sizes: Sizes) -> None:
        super().__init__()
        self._add_embedding(settings, sizes)
        self.net = ReasoningModule(settings.num_layers, settings, self.num_slots)
        self._add_heads()
        self._add_rotary()
        # Fixed, and shared by all positions and rows, as in HRM.
        self.register_buffer("z_init", truncated_normal_(torch.empty(settings.hidden_size), 1.0))

    def initial_carry(self, batch_size: int) -> LoopedCarry:
        """See :class:`SegmentModel`."""
        shape = (batch_size, self.num_slots, self.settings.hidden_size)
        return LoopedCarry(self.z_init.to(self.dtype).expand(shape).contiguous())

    def forward(
        self, carry: LoopedCarry, puzzle: Tensor, task_id: Tensor | None = None
    ) -> tuple[LoopedCarry, SegmentOutput]:
        """See :class:`SegmentModel`."""
        x = self.embedding(puzzle, task_id).to(self.dtype)
        z = carry.z
        for _ in range(self.settings.steps):
            z = self.net(z, x, self.rotary)
        return LoopedCarry(z.detach()), self.read(z)
