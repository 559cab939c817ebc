"""Gated recurrent networks over cells: each slot has a GRU or LSTM cell, with the same weights in all slots and steps.

A cell alone never learns what stands in other cells of the grid, so one transformer block mixes the slots before every
step, as message passing does in Palm et al. 2018, "Recurrent Relational Networks", arXiv 1711.08028. The block is that
of the other networks and the only one, so what differs is how a state is updated: by gates, instead of by two modules
on two time scales.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from hrm_agents.models.architecture import BlockSettings
from hrm_agents.models.grid import GridModel
from hrm_agents.models.interface import SegmentOutput, Sizes
from hrm_agents.models.layers import Block, Linear, rms_norm

States = tuple[Tensor, ...]
"""States ``[B, T, d]`` of a gated cell, the output first."""


@dataclass(frozen=True, kw_only=True)
class RecurrentSettings(BlockSettings):
    """Settings of a gated recurrent network."""

    steps: int = 6
    """Steps per segment, all with a gradient; HRM's defaults also advance a state six times."""


class GatedCell(nn.Module, ABC):
    """Updates the states of each slot, given an input.

    Args:
        size: d.
        gates: number of vectors that are computed from the input and from the last output.
    """

    num_states: ClassVar[int]

    def __init__(self, size: int, gates: int) -> None:
        super().__init__()
        self.gates = gates
        self.of_input = Linear(size, gates * size)
        self.of_state = Linear(size, gates * size)

    @abstractmethod
    def forward(self, value: Tensor, states: States) -> States:
        """Advance the states one step.

        Args:
            value: input, ``[B, T, d]``.
            states: of the last step.
        """


class GRUCell(GatedCell):
    """Gated recurrent unit (Cho et al. 2014, arXiv 1406.1078), without biases."""

    num_states = 1

    def __init__(self, size: int) -> None:
        super().__init__(size, gates=3)

    def forward(self, value: Tensor, states: States) -> States:
        """See :class:`GatedCell`."""
        (h,) = states
        reset_x, keep_x, new_x = self.of_input(value).chunk(self.gates, -1)
        reset_h, keep_h, new_h = self.of_state(h).chunk(self.gates, -1)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        return (torch.lerp(new, h, torch.sigmoid(keep_x + keep_h)),)


class LSTMCell(GatedCell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), without biases but for 1 on the forget gate."""

    num_states = 2

    def __init__(self, size: int) -> None:
        super().__init__(size, gates=4)

    def forward(self, value: Tensor, states: States) -> States:
        """See :class:`GatedCell`."""
        h, c = states
        write, forget, show, new = (self.of_input(value) + self.of_state(h)).chunk(self.gates, -1)
        c = torch.sigmoid(forget + 1.0) * c + torch.sigmoid(write) * torch.tanh(new)
        return torch.sigmoid(show) * torch.tanh(c), c


class Recurrent(GridModel):
    """A gated cell in every slot, whose input comes from a block over all slots.

    Args:
        settings: width and steps.
        sizes: of the task.

    Raises:
        ValueError: the settings do not fit together.
    """

    settings: RecurrentSettings
    #: Class of the gated cell.
    cell_class: ClassVar[type[GRUCell] | type[LSTMCell]]

    def __init__(self, settings: RecurrentSettings, sizes: Sizes) -> None:
        super().__init__()
        self._add_embedding(settings, sizes)
        self.block = Block(settings, self.num_slots)
        self.cell = self.cell_class(settings.hidden_size)
        self._add_heads()
        self._add_rotary()

    def initial_carry(self, batch_size: int) -> States:
        """States of zeros, ``[B, P + S, d]``: the output and, of an LSTM, its memory."""
        shape = (batch_size, self.num_slots, self.settings.hidden_size)
        weight = self.q_head.weight
        return tuple(weight.new_zeros(shape, dtype=self.dtype) for _ in range(self.cell.num_states))

    def forward(self, carry: States, puzzle: Tensor, task_id: Tensor | None = None) -> tuple[States, SegmentOutput]:
        """See :class:`SegmentModel`."""
        x = self.embedding(puzzle, task_id).to(self.dtype)
        states = carry
        for _ in range(self.settings.steps):
            states = self.cell(self.block(states[0] + x, self.rotary), states)
        return tuple(state.detach() for state in states), self.read(rms_norm(states[0], self.settings.rms_eps))


class GRU(Recurrent):
    """A gated recurrent unit in every slot."""

    cell_class = GRUCell


class LSTM(Recurrent):
    """A long short-term memory in every slot."""

    cell_class = LSTMCell
