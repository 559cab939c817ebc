"""Encoder for agents that move on a board: plans over the board without the agent, read at the agent's cell."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hrm_agents.models.architecture import Architecture
from hrm_agents.models.encoder import HRMEncoder, TokenPart
from hrm_agents.models.recursion import Carry


class WalkerEncoder(nn.Module):
    """Encodes a board without the agent and returns the planner's features of the agent's cell.

    Since the encoder does not see the agent (the walker), its plan covers every cell and remains valid after a move.
    Reading the plan at a known cell is like the attention of value iteration networks (Tamar et al. 2016, arXiv
    1602.02867, section 3).

    Args:
        config: width, depth and wiring of the :class:`~hrm_agents.models.encoder.HRMEncoder` in ``encoder``.
        board: tokens of the observation, including the walker's.
        walker: token of the walker, in exactly one cell of every observation.
        seen_as: tokens that the encoder sees instead of others: ``{walker: free}``, and others that make no difference
            to the plan.
        border: number of rows and columns at every edge to omit, as they are equal on all boards and never entered.
            With 1, a 9 x 9 maze surrounded by walls has 49 cells instead of 81.

    Raises:
        ValueError: a token is not one of the board's, the encoder would see the walker, the grid does not have as many
            places as the board has cells, or the border leaves no cell.
    """

    inside: Tensor
    seen: Tensor

    def __init__(
        self, config: Architecture, board: TokenPart, *, walker: int, seen_as: Mapping[int, int], border: int = 0
    ) -> None:
        super().__init__()
        for token in (walker, *seen_as, *seen_as.values()):
            if not 0 <= token < board.vocab_size:
                raise ValueError(f"token {token} must be from 0 to {board.vocab_size - 1}")
        if seen_as.get(walker, walker) == walker:
            raise ValueError(f"seen_as={dict(seen_as)} must name another token in place of the walker, token {walker}")
        rows, columns = shape = board.grid_shape or (1, board.num_cells)
        if rows * columns != board.num_cells:
            raise ValueError(f"a grid of {rows} x {columns} places for {board.num_cells} cells")
        if border < 0 or 2 * border >= min(shape):
            raise ValueError(f"border={border}: a board of {rows} x {columns} cells must keep some of them")
        inner = (rows - 2 * border, columns - 2 * border)
        self.encoder = HRMEncoder(config, TokenPart(math.prod(inner), board.vocab_size, inner))
        self.walker, self.num_cells = walker, board.num_cells
        cells = torch.arange(board.num_cells).view(shape)[border : rows - border, border : columns - border]
        self.register_buffer("inside", cells.flatten(), persistent=False)
        seen = torch.tensor([seen_as.get(token, token) for token in range(board.vocab_size)])
        self.register_buffer("seen", seen, persistent=False)

    def forward(self, obs: Tensor, carry: Carry, *, segments: int = 1, detach: bool = True) -> tuple[Carry, Tensor]:
        """Run segments from ``carry``, as :meth:`HRMEncoder.forward` does.

        Args:
            obs: int [B, S].
            carry: states after the last segment.
            segments: at least 1.
            detach: as in :meth:`HRMEncoder.forward`; without it, a gradient continues into ``carry``.

        Returns:
            The new carry and features float32 [B, d].

        Raises:
            ValueError: ``obs`` does not hold integers [B, S], a row does not have exactly one walker inside the
                border, or no gradient would reach ``carry``.
        """
        boards, cell = self.look(obs)
        carry, plan = self.encoder.forward_cells(boards, carry, segments=segments, detach=detach)
        return carry, plan[torch.arange(len(cell), device=cell.device), cell]

    def encode(self, obs: Tensor, segments: int = 1) -> Tensor:
        """Features float32 [B, d] after ``segments`` segments from the initial carry; equal boards are encoded once.

        Raises:
            ValueError: as ``forward``.
        """
        boards, cell = self.look(obs)
        boards, row = boards.unique(dim=0, return_inverse=True)
        return self.encoder.encode_cells(boards, segments)[row, cell]

    def look(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """The boards as the encoder sees them, int64 [B, cells], and the cell of each walker, int64 [B].

        Raises:
            ValueError: as ``forward``.
        """
        if obs.ndim != 2 or obs.shape[1] != self.num_cells or obs.is_floating_point():
            raise ValueError(f"expected integers [B, {self.num_cells}], got {tuple(obs.shape)} of {obs.dtype}")
        tokens = obs[:, self.inside].long()
        here = tokens == self.walker
        if not bool((here.sum(1) == 1).all()):
            where = "" if len(self.inside) == obs.shape[1] else " inside the border"
            raise ValueError(f"every observation must have exactly one walker, token {self.walker}{where}")
        return self.seen[tokens], here.int().argmax(1)
