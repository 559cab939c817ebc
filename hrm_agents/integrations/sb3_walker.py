"""HRM in Stable-Baselines3 for one who walks on a board: it thinks about the board, and is read where one stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor

from hrm_agents.integrations.sb3 import Preprocessed
from hrm_agents.models.architecture import Architecture
from hrm_agents.models.encoder import HRMEncoder, TokenPart


class HRMWalkerExtractor(BaseFeaturesExtractor):
    """Features of an observation: what the planner knows of the cell where the walker stands.

    The thinking does not see the walker, so that it makes a plan for every cell. Of this, a walk needs one as long as
    nothing else on its board changes: rows of a batch that show the same board are thought about once, and without
    gradient (while steps are collected, and in ``predict``) a row thinks again only when its board is another than at
    the call before, or the weights are. That the place to read at is known makes it a relative of the attention in
    value iteration networks (Tamar et al. 2016, arXiv 1602.02867, section 3).

    Args:
        observation_space: given by Stable-Baselines3: one row of tokens, such as a ``Box`` of small integers.
        walker: the token of the walker, which every observation has in exactly one cell.
        seen_as: other tokens that the thinking sees instead, by token: ``{walker: free}``, and what else is of no
            use on the way. Tokens count from the lowest of the space.
        architecture: width, depth and wiring; the defaults of :class:`Architecture` if not given.
        segments: of thought about each board; the gradient sees the last.
        space_options: keywords of :func:`~hrm_agents.integrations.spaces.read_space`: ``grids`` and so on.

    Raises:
        ValueError: the space is not one of tokens, a token is not in it, or the walker would be seen.
    """

    seen: Tensor

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        *,
        walker: int,
        seen_as: Mapping[int, int],
        architecture: Architecture | None = None,
        segments: int = 1,
        space_options: Mapping[str, Any] | None = None,
    ) -> None:
        architecture = Architecture() if architecture is None else architecture
        super().__init__(observation_space, architecture.hidden_size)
        self.reader = Preprocessed(observation_space, False, space_options or {})
        parts = list(self.reader.parts.values())
        if len(parts) != 1 or not isinstance(parts[0], TokenPart):
            raise ValueError(f"a walker stands on one board of tokens, and {observation_space} is none")
        vocab_size = parts[0].vocab_size
        for token in (walker, *seen_as, *seen_as.values()):
            if not 0 <= token < vocab_size:
                raise ValueError(f"token {token}: the space has 0 to {vocab_size - 1}")
        if seen_as.get(walker, walker) == walker:
            raise ValueError(
                f"seen_as={dict(seen_as)} must say what is seen in the place of the walker, token {walker}"
            )
        if segments < 1:
            raise ValueError(f"segments={segments}: it takes at least 1")
        self.walker, self.segments = walker, segments
        self.encoder = HRMEncoder(architecture, self.reader.parts)
        seen = [seen_as.get(token, token) for token in range(vocab_size)]
        self.register_buffer("seen", torch.tensor(seen), persistent=False)
        self._last: tuple[int, Tensor, Tensor] | None = None

    def forward(self, observations: Any) -> Tensor:
        """Features float32 [B, d] of preprocessed observations.

        Raises:
            ValueError: a row has no walker, or several.
        """
        (tokens,) = self.reader(observations).values()
        here = tokens == self.walker
        if not bool((here.sum(1) == 1).all()):
            raise ValueError(f"every observation must have one cell with the walker, token {self.walker}")
        cell = here.int().argmax(1)
        boards = self.seen[tokens]
        if torch.is_grad_enabled():
            boards, row = boards.unique(dim=0, return_inverse=True)
            return self.encoder.encode_cells(boards, self.segments)[row, cell]
        return self._remembered(boards)[torch.arange(len(cell), device=cell.device), cell]

    def _remembered(self, boards: Tensor) -> Tensor:
        """States [B, S, d] of ``boards`` [B, S]; those that a row had at the last call are not thought about again."""
        # Every change of a weight in place, by an optimiser or by loading, counts its version up.
        version = sum(weight._version for weight in self.encoder.parameters())
        changed = torch.ones(len(boards), dtype=torch.bool, device=boards.device)
        states = boards.new_zeros(*boards.shape, self.features_dim, dtype=torch.float32)
        if self._last is not None and self._last[0] == version and self._last[1].shape == boards.shape:
            changed, states = (self._last[1] != boards).any(1), self._last[2]
        if bool(changed.any()):
            states[changed] = self.encoder.encode_cells(boards[changed], self.segments)
        self._last = version, boards, states
        return states
