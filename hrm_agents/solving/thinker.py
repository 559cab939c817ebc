"""A frozen HRM that thinks while another agent decides when to halt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hrm_agents.models.interface import SegmentModel
from hrm_agents.policy import Forward, HRMPolicy


class HRMThinker:
    """A thinker for ``hrm_envs.wrappers.HaltOnly``: each segment is one segment of a frozen HRM.

    Its features are the input of the Q-head (the planner's state at slot 0) and its raw outputs Q(halt) and
    Q(continue) (with rule gain: the gain of thinking on). It keeps no state between calls: the memory is the
    model's carry.

    Args:
        model: the network; it is not changed and no gradient is recorded.
        forward: the model's forward, compiled or otherwise wrapped; the model itself if omitted.
    """

    def __init__(self, model: SegmentModel, forward: Forward | None = None) -> None:
        self._policy = HRMPolicy(model, forward)

    @property
    def num_features(self) -> int:
        """Number of features ``F``: the width of the model plus the two values."""
        return self._policy.model.q_head.in_features + 2

    def start(self, obs: Mapping[str, NDArray[Any]]) -> Any:
        """Initial memory of ``B`` rows."""
        return self._policy.initial_carry(len(obs["puzzle"]))

    @torch.no_grad()
    def think(self, obs: Mapping[str, NDArray[Any]], memory: Any) -> tuple[NDArray[np.uint8], NDArray[np.float32], Any]:
        """Think one segment: answers uint8 ``[B, S]``, features float32 ``[B, d + 2]``, and the new memory."""
        observed = self._policy.observe(obs)
        carry, output = self._policy.forward(memory, observed.puzzle, observed.task_id)
        answer = output.logits.argmax(-1).to(torch.uint8)
        values = torch.stack([output.q_halt, output.q_continue], dim=1)
        features = torch.cat([output.q_input.float(), values.float()], dim=1)
        return answer.cpu().numpy(), features.cpu().numpy(), carry
