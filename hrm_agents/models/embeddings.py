"""Embeddings of tokens, task identities and positions.

A sequence is ``P`` prefix slots followed by ``S`` grid cells in row-major order, T = P + S.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrm_agents.models.architecture import BlockSettings
from hrm_agents.models.layers import Rotary, truncated_normal_


def _angles(positions: Tensor, num_frequencies: int, theta: float) -> Tensor:
    """Angles [T, num_frequencies] for ``positions`` [T], with frequencies falling from 1 towards 1/theta."""
    exponents = torch.arange(num_frequencies, dtype=torch.float32) / num_frequencies
    return torch.outer(positions.float(), theta**-exponents)


def _to_rotary(angles: Tensor) -> Rotary:
    """Convert angles [T, head_dim/2] to the tables (cos, signed sin) [T, 1, head_dim] of ``rotate``."""
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((cos, cos), -1).unsqueeze(1), torch.cat((-sin, sin), -1).unsqueeze(1)


def rope_1d(length: int, head_dim: int, theta: float) -> Rotary:
    """Rotary tables over the flat sequence, prefix included: slot 0 has position 0 (Su et al. 2021)."""
    return _to_rotary(_angles(torch.arange(length), head_dim // 2, theta))


def rope_2d(grid_shape: tuple[int, int], prefix: int, head_dim: int, theta: float) -> Rotary:
    """Rotary tables over rows and columns: half of each head's pairs rotate with the row, half with the column.

    The prefix has position (0, 0) and the grid starts at (1, 1), so that no cell shares the prefix's position.
    Attention scores of two cells depend on the differences of their rows and columns only.
    """
    rows, columns = grid_shape
    row = torch.arange(1, rows + 1).repeat_interleave(columns)
    column = torch.arange(1, columns + 1).repeat(rows)
    angles = [
        _angles(F.pad(axis, (prefix, 0)), head_dim // 4, theta)  # padding value 0: the prefix
        for axis in (row, column)
    ]
    return _to_rotary(torch.cat(angles, dim=-1))


def rotary_tables(config: BlockSettings, prefix: int, grids: Sequence[tuple[int, int]]) -> Rotary | None:
    """Rotary tables over ``prefix`` slots and some grids, one after the other; None if there are no rotary positions.

    In two dimensions every grid starts at (1, 1), so that equal places of two grids have equal positions.
    """
    if not config.has_rotary:
        return None
    if config.position == "rope":
        return rope_1d(prefix + sum(map(math.prod, grids)), config.head_dim, config.rope_theta)
    tables = [
        rope_2d(grid, 0 if number else prefix, config.head_dim, config.rope_theta) for number, grid in enumerate(grids)
    ]
    return torch.cat([cos for cos, _ in tables]), torch.cat([sin for _, sin in tables])


def add_rotary(module: nn.Module, rotary: Rotary | None) -> None:
    """Give a module the buffers ``rotary_cos`` and ``rotary_sin``, if there are rotary positions."""
    if rotary is not None:
        # Not saved, since the settings determine them.
        module.register_buffer("rotary_cos", rotary[0], persistent=False)
        module.register_buffer("rotary_sin", rotary[1], persistent=False)


class TaskEmbedding(nn.Module):
    """One vector per task identity, split over the prefix slots; initially zero.

    A batch uses few of up to a million rows, so the gradient is sparse: one row per batch row. Train it with
    :class:`hrm_agents.optim.SignSGD`.
    """

    def __init__(self, num_tasks: int, ndim: int, hidden_size: int, slots: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.slots = slots
        self.weight = nn.Parameter(torch.zeros(num_tasks, ndim))

    def forward(self, task_id: Tensor) -> Tensor:
        """Look up ``task_id`` int [B]: [B, P, d], with zeros where ``ndim`` does not fill the last slot."""
        if torch.compiler.is_compiling():
            # torch.compile does not support sparse gradients, and one lookup does not need it. As a decorator,
            # `disable` would import the compiler, which takes as long as torch, into every program.
            return torch.compiler.disable(self._slots)(task_id)
        return self._slots(task_id)

    def _slots(self, task_id: Tensor) -> Tensor:
        rows = F.embedding(task_id, self.weight, sparse=True)
        rows = F.pad(rows, (0, self.slots * self.hidden_size - rows.shape[-1]))
        return rows.view(-1, self.slots, self.hidden_size)


class InputEmbedding(nn.Module):
    """Embed tokens and prefix as the input x [B, T, d] of every L step."""

    def __init__(
        self,
        vocab_size: int,
        num_cells: int,
        hidden_size: int,
        *,
        prefix_slots: int,
        task_ids: int,
        task_ndim: int,
        learned_positions: bool,
    ) -> None:
        super().__init__()
        std = 1.0 / math.sqrt(hidden_size)
        self.prefix_slots = prefix_slots
        # x has unit variance for every d; with positions, each summand has half of it.
        self.scale = math.sqrt(hidden_size) * (math.sqrt(0.5) if learned_positions else 1.0)
        self.token = nn.Parameter(truncated_normal_(torch.empty(vocab_size, hidden_size), std))
        self.task: TaskEmbedding | None = None
        self.prefix: nn.Parameter | None = None
        self.position: nn.Parameter | None = None
        if task_ids > 1:
            self.task = TaskEmbedding(task_ids, task_ndim, hidden_size, prefix_slots)
        elif prefix_slots:
            self.prefix = nn.Parameter(torch.zeros(prefix_slots, hidden_size))
        if learned_positions:
            position = torch.empty(prefix_slots + num_cells, hidden_size)
            self.position = nn.Parameter(truncated_normal_(position, std))

    def forward(self, puzzle: Tensor, task_id: Tensor | None) -> Tensor:
        """Embed ``puzzle`` uint8/int [B, S] and ``task_id`` as float32 [B, T, d].

        Args:
            puzzle: tokens.
            task_id: identities, int [B], or what :class:`TaskEmbedding` makes of them, float32 [B, P, d].

        Raises:
            ValueError: the model has task embeddings and ``task_id`` is missing.
        """
        x = F.embedding(puzzle.int(), self.token)
        if self.task is not None:
            if task_id is None:
                raise ValueError("this model embeds task identities: pass task_id [B]")
            slots = task_id if task_id.is_floating_point() else self.task(task_id.int())
            x = torch.cat((slots, x), dim=1)
        elif self.prefix is not None:
            x = torch.cat((self.prefix.expand(x.shape[0], -1, -1), x), dim=1)
        if self.position is not None:
            x = x + self.position
        return x * self.scale
