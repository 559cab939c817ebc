"""HRM in Stable-Baselines3 for agents that move on a board: encodes the board without the agent."""

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
from hrm_agents.models.limits import check_setting
from hrm_agents.models.walker import WalkerEncoder


class HRMWalkerExtractor(BaseFeaturesExtractor):
    """The planner's features of the agent's cell; see :class:`~hrm_agents.models.walker.WalkerEncoder`.

    A walk needs one encoding while nothing but the agent moves on its board. Equal boards in a batch are encoded once.
    Without gradient (while collecting steps, and in ``predict``) the encodings, or plans, are cached until the weights
    change. Use it with :class:`WalkBuffer`, whose minibatches have few boards.

    Args:
        observation_space: set by Stable-Baselines3; tokens of one board, such as a ``Box`` of small integers.
        walker: token of the agent, in exactly one cell of every observation.
        seen_as: tokens that the encoder sees instead of others: ``{walker: free}``, and others that make no difference
            to the plan. Tokens are counted from the lowest of the space.
        border: number of rows and columns at every edge to omit, as they are equal on all boards.
        architecture: width, depth and wiring; the defaults of :class:`Architecture` if omitted.
        segments: number of segments per board; the last has a gradient.
        space_options: keywords of :func:`~hrm_agents.integrations.spaces.read_space`, such as ``grids``.
        max_plans: the cache is cleared when it has more plans; 4,096 of 49 cells and 64 numbers take 50 MB.

    Raises:
        ValueError: the space is not one board of tokens, a token is not in it, the encoder would see the walker, or
            the border leaves no cell.
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
        max_plans: int = 4096,
    ) -> None:
        check_setting("segments", segments)
        architecture = architecture or Architecture()
        super().__init__(observation_space, architecture.hidden_size)
        self.reader = Preprocessed(observation_space, False, space_options or {})
        parts = list(self.reader.parts.values())
        if len(parts) != 1 or not isinstance(parts[0], TokenPart):
            raise ValueError(f"the observation must be one board of tokens, got {observation_space}")
        self.segments = segments
        self.walker = WalkerEncoder(architecture, parts[0], walker=walker, seen_as=seen_as, border=border)
        self.max_plans = max_plans
        self.plans: dict[bytes, Tensor] = {}
        self._weights: Tensor | None = None

    def forward(self, observations: Any) -> Tensor:
        """Features float32 [B, d] of preprocessed observations.

        Raises:
            ValueError: a row does not have exactly one walker inside the border.
        """
        (tokens,) = self.reader(observations).values()
        if torch.is_grad_enabled():
            return self.walker.encode(tokens, self.segments)
        return self._cached(*self.walker.look(tokens))

    def _cached(self, boards: Tensor, cell: Tensor) -> Tensor:
        """Features of ``boards`` [B, S] at ``cell`` [B], encoding boards without a cached plan only."""
        # Compared by value, since Stable-Baselines3 updates target networks in place.
        weights = parameters_to_vector(self.walker.parameters()).detach()
        old = self._weights
        if old is None or old.device != weights.device or not torch.equal(old, weights):
            self._weights, self.plans = weights, {}
        if len(self.plans) > self.max_plans:
            self.plans = {}
        boards, row = boards.unique(dim=0, return_inverse=True)
        keys = [board.tobytes() for board in boards.cpu().numpy()]
        new = [number for number, key in enumerate(keys) if key not in self.plans]
        if new:
            plans = self.walker.encoder.encode_cells(boards[new], self.segments)
            self.plans |= zip((keys[number] for number in new), plans, strict=True)
        return torch.stack([self.plans[key] for key in keys])[row, cell]


class WalkBuffer(RolloutBuffer):
    """Rollout buffer with minibatches of whole rows: ``rollout_buffer_class=WalkBuffer`` in PPO or A2C.

    A minibatch consists of all steps of some rows, which are drawn again in each epoch. So it has few boards, and
    :class:`HRMWalkerExtractor` encodes each of them once. PPO's ``batch_size`` should be a multiple of its ``n_steps``.
    Dict observations are not supported.
    """

    def get(self, batch_size: int | None = None) -> Generator[RolloutBufferSamples, None, None]:
        """Minibatches of ``batch_size`` steps, rounded down to a multiple of ``n_steps``; by default one of all steps.

        Raises:
            ValueError: ``batch_size`` is less than ``n_steps``.
        """
        if batch_size is not None and batch_size < self.buffer_size:
            raise ValueError(f"batch_size={batch_size} must be at least n_steps={self.buffer_size}, a whole row")
        assert self.full, "the rollout is incomplete"
        if not self.generator_ready:
            for name in ("observations", "actions", "values", "log_probs", "advantages", "returns"):
                setattr(self, name, self.swap_and_flatten(getattr(self, name)))
            self.generator_ready = True
        rows = np.random.permutation(self.n_envs)  # noqa: NPY002  the generator that Stable-Baselines3 seeds
        steps = np.arange(self.buffer_size)
        num = self.n_envs if batch_size is None else batch_size // self.buffer_size
        for first in range(0, self.n_envs, num):
            chosen = rows[first : first + num, None] * self.buffer_size + steps
            yield self._get_samples(chosen.reshape(-1))
