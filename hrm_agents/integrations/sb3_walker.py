"""HRM in Stable-Baselines3 for one who walks on a board: it thinks about the board, and is read where one stands."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from hrm_agents.integrations.sb3 import Preprocessed
from hrm_agents.models.architecture import Architecture
from hrm_agents.models.encoder import TokenPart
from hrm_agents.models.walker import WalkerEncoder

#: Boards whose plans are remembered, before all of them are forgotten: 50 MB for 49 cells of 64 numbers.
_MOST_PLANS = 4096


class HRMWalkerExtractor(BaseFeaturesExtractor):
    """Features of an observation: what the planner knows of the cell where the walker stands.

    See :class:`~hrm_agents.models.walker.WalkerEncoder`. A walk needs one thought as long as nothing else on its board
    changes: rows of a batch that show the same board are thought about once, and without gradient (while steps are
    collected, and in ``predict``) the plans are remembered until the weights change. Use :class:`WalkBuffer` with it,
    so that a minibatch has few boards.

    Args:
        observation_space: given by Stable-Baselines3: one row of tokens, such as a ``Box`` of small integers.
        walker: the token of the walker, which every observation has in exactly one cell.
        seen_as: other tokens that the thinking sees instead, by token: ``{walker: free}``, and what else is of no
            use on the way. Tokens count from the lowest of the space.
        border: rows and columns along every edge that the thinking leaves out, as they are the same on all boards.
        architecture: width, depth and wiring; the defaults of :class:`Architecture` if not given.
        segments: of thought about each board; the gradient sees the last.
        space_options: keywords of :func:`~hrm_agents.integrations.spaces.read_space`: ``grids`` and so on.

    Raises:
        ValueError: the space is not one of tokens, a token is not in it, the walker would be seen, or the border
            leaves nothing.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        *,
        walker: int,
        seen_as: Mapping[int, int],
        border: int = 0,
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
        if segments < 1:
            raise ValueError(f"segments={segments}: it takes at least 1")
        self.segments = segments
        self.walker = WalkerEncoder(architecture, parts[0], walker=walker, seen_as=seen_as, border=border)
        self._made_with: Tensor | None = None
        self._plans: dict[bytes, Tensor] = {}

    def forward(self, observations: Any) -> Tensor:
        """Features float32 [B, d] of preprocessed observations.

        Raises:
            ValueError: a row has no walker inside the border, or several.
        """
        (tokens,) = self.reader(observations).values()
        if torch.is_grad_enabled():
            return self.walker.encode(tokens, self.segments)
        return self._remembered(*self.walker.look(tokens))

    def _remembered(self, boards: Tensor, cell: Tensor) -> Tensor:
        """Features of ``boards`` [B, S] at ``cell`` [B]; the plans of boards met before are not made again."""
        # By value: Stable-Baselines3 moves target networks in ways that leave no other trace.
        weights = parameters_to_vector(self.walker.parameters()).detach()
        made = self._made_with
        if made is None or made.device != weights.device or not torch.equal(made, weights):
            self._made_with, self._plans = weights, {}
        if len(self._plans) > _MOST_PLANS:
            self._plans = {}
        boards, row = boards.unique(dim=0, return_inverse=True)
        keys = [board.tobytes() for board in boards.cpu().numpy()]
        new = [number for number, key in enumerate(keys) if key not in self._plans]
        if new:
            plans = self.walker.encoder.encode_cells(boards[new], self.segments)
            self._plans |= zip((keys[number] for number in new), plans, strict=True)
        return torch.stack([self._plans[key] for key in keys])[row, cell]


class WalkBuffer(RolloutBuffer):
    """Minibatches of whole rows: ``rollout_buffer_class=WalkBuffer`` in PPO or A2C, for observations that are no Dict.

    The steps of a minibatch are not drawn one by one, but all steps of some of the rows, drawn anew in each epoch.
    So the rows of a minibatch walk on few boards, and :class:`HRMWalkerExtractor` thinks about each of these once.
    PPO's ``batch_size`` should be a multiple of its ``n_steps``.
    """

    def get(self, batch_size: int | None = None) -> Generator[RolloutBufferSamples, None, None]:
        """Minibatches of about ``batch_size`` steps, a multiple of ``n_steps``; by default of all steps.

        Raises:
            ValueError: ``batch_size`` is less than the steps of one row.
        """
        if batch_size is not None and batch_size < self.buffer_size:
            raise ValueError(f"batch_size={batch_size} must be at least n_steps={self.buffer_size}, a whole row")
        assert self.full, "the rollout is not over"
        if not self.generator_ready:
            for name in ("observations", "actions", "values", "log_probs", "advantages", "returns"):
                setattr(self, name, self.swap_and_flatten(getattr(self, name)))
            self.generator_ready = True
        rows = np.random.permutation(self.n_envs)  # noqa: NPY002  the stream that Stable-Baselines3 seeds
        steps = np.arange(self.buffer_size)
        num = self.n_envs if batch_size is None else batch_size // self.buffer_size
        for first in range(0, self.n_envs, num):
            chosen = rows[first : first + num, None] * self.buffer_size + steps
            yield self._get_samples(chosen.reshape(-1))
