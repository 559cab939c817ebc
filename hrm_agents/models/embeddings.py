"""What enters the network: tokens, task identities and positions.

Every sequence is ``P`` prefix slots followed by ``S`` grid cells in row-major order, T = P + S.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrm_agents.models.layers import Rotary, truncated_normal_


def _rotary_tables(positions: Tensor, num_frequencies: int, theta: float) -> Tensor:
    """Angles [T, num_frequencies] for ``positions`` [T], frequencies falling from 1 towards 1/theta."""
    exponents = torch.arange(num_frequencies, dtype=torch.float32) / num_frequencies
    return torch.outer(positions.float(), theta**-exponents)


def _to_rotary(angles: Tensor) -> Rotary:
    """Turn angles [T, head_dim/2] into the (cos, signed sin) tables [T, 1, head_dim] of ``rotate``."""
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((cos, cos), -1).unsqueeze(1), torch.cat((-sin, sin), -1).unsqueeze(1)


def rope_1d(length: int, head_dim: int, theta: float) -> Rotary:
    """Rotary tables over the flat sequence, prefix included: slot 0 is position 0 (Su et al. 2021)."""
    return _to_rotary(_rotary_tables(torch.arange(length), head_dim // 2, theta))


def rope_2d(grid_shape: tuple[int, int], prefix: int, head_dim: int, theta: float) -> Rotary:
    """Rotary tables over rows and columns: half of each head's pairs turn with the row, half with the column.

    The prefix sits at (0, 0) and the grid starts at (1, 1), so no cell shares the prefix's place.
    Between two cells, attention scores depend on the row and column differences only.
    """
    rows, columns = grid_shape
    row = torch.arange(1, rows + 1).repeat_interleave(columns)
    column = torch.arange(1, columns + 1).repeat(rows)
    angles = [
        _rotary_tables(F.pad(axis, (prefix, 0)), head_dim // 4, theta)  # padding value 0: the prefix
        for axis in (row, column)
    ]
    return _to_rotary(torch.cat(angles, dim=-1))


class TaskEmbedding(nn.Module):
    """One vector per task identity, split over the prefix slots.

    The table may hold a million rows of which a batch touches a few, so its gradient is sparse: one
    row per batch row. Train it with `hrm_agents.optim.SignSGD`. Rows start at zero.
    """

    def __init__(self, num_tasks: int, ndim: int, hidden_size: int, slots: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.slots = slots
        self.weight = nn.Parameter(torch.zeros(num_tasks, ndim))

    # The compiler cannot handle sparse gradients; one lookup does not need it.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, task_id: Tensor) -> Tensor:
        """Look up ``task_id`` int[B]: [B, P, d]. A last slot that ndim does not fill is padded with zeros."""
        rows = F.embedding(task_id, self.weight, sparse=True)
        rows = F.pad(rows, (0, self.slots * self.hidden_size - rows.shape[-1]))
        return rows.view(-1, self.slots, self.hidden_size)


class InputEmbedding(nn.Module):
    """Puzzle tokens and prefix to the input x [B, T, d] that the L module sees at every step."""

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
        # x has unit variance whatever d is; with positions, the sum of two halves keeps it.
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
        """Embed ``puzzle`` uint8/int [B, S] and ``task_id`` int[B]: float32 [B, T, d].

        Raises:
            ValueError: the model has task embeddings and ``task_id`` is missing.
        """
        x = F.embedding(puzzle.int(), self.token)
        if self.task is not None:
            if task_id is None:
                raise ValueError("this model embeds task identities: pass task_id [B]")
            x = torch.cat((self.task(task_id.int()), x), dim=1)
        elif self.prefix is not None:
            x = torch.cat((self.prefix.expand(x.shape[0], -1, -1), x), dim=1)
        if self.position is not None:
            x = x + self.position
        return x * self.scale
