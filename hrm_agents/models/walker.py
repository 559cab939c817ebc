"""An HRM for one who walks on a board: it thinks about the board, and is read where one stands."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hrm_agents.models.architecture import Architecture
from hrm_agents.models.encoder import HRMEncoder, TokenPart
from hrm_agents.models.recursion import Carry


class WalkerEncoder(nn.Module):
    """What the planner knows of the cell where the walker stands.

    The thinking does not see the walker, so that it makes a plan for every cell, which is of use after a move as well.
    That the place to read at is known makes it a relative of the attention in value iteration networks (Tamar et al.
    2016, arXiv 1602.02867, section 3).

    Args:
        config: width, depth and wiring of the :class:`~hrm_agents.models.encoder.HRMEncoder` in ``encoder``.
        board: the tokens that are observed, the walker's among them.
        walker: the token of the walker, which every observation has in exactly one cell.
        seen_as: other tokens that the thinking sees instead, by token: ``{walker: free}``, and what else is of no
            use on the way.
        border: rows and columns along every edge that are the same on all boards and where nobody walks: the thinking
            leaves them out. With 1, a 9 x 9 maze in a frame of walls is thought about in 49 cells, not 81.

    Raises:
        ValueError: a token is not among those of the board, the walker would be seen, the grid has not as many places
            as the board has cells, or the border leaves nothing.
    """

    inside: Tensor
    seen: Tensor

    def __init__(
        self, config: Architecture, board: TokenPart, *, walker: int, seen_as: Mapping[int, int], border: int = 0
    ) -> None:
        super().__init__()
        for token in (walker, *seen_as, *seen_as.values()):
            if not 0 <= token < board.vocab_size:
                raise ValueError(f"token {token}: the space has 0 to {board.vocab_size - 1}")
        if seen_as.get(walker, walker) == walker:
            raise ValueError(
                f"seen_as={dict(seen_as)} must say what is seen in the place of the walker, token {walker}"
            )
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

    def forward(self, obs: Tensor, carry: Carry, *, segments: int = 1) -> tuple[Carry, Tensor]:
        """Think on, see :meth:`HRMEncoder.forward`: integers [B, S] to the new carry and features float32 [B, d].

        Raises:
            ValueError: ``obs`` has another shape or no integers, or a row has no walker inside the border, or several.
        """
        boards, cell = self.look(obs)
        carry, plan = self.encoder.forward_cells(boards, carry, segments=segments)
        return carry, plan[torch.arange(len(cell), device=cell.device), cell]

    def encode(self, obs: Tensor, segments: int = 1) -> Tensor:
        """Features float32 [B, d] after ``segments`` segments from a fresh carry; equal boards are thought about once.

        Raises:
            ValueError: as ``forward``.
        """
        boards, cell = self.look(obs)
        boards, row = boards.unique(dim=0, return_inverse=True)
        return self.encoder.encode_cells(boards, segments)[row, cell]

    def look(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """The boards as the thinking sees them, int64 [B, cells inside], and in which of these cells each walker is.

        Raises:
            ValueError: as ``forward``.
        """
        if obs.ndim != 2 or obs.shape[1] != self.num_cells or obs.is_floating_point():
            raise ValueError(f"expected integers [B, {self.num_cells}], got {tuple(obs.shape)} of {obs.dtype}")
        tokens = obs[:, self.inside].long()
        here = tokens == self.walker
        if not bool((here.sum(1) == 1).all()):
            where = "" if len(self.inside) == obs.shape[1] else " inside the border"
            raise ValueError(f"every observation must have one cell with the walker, token {self.walker}{where}")
        return self.seen[tokens], here.int().argmax(1)
