"""The recursion that every network here shares: a planner and a worker over the same slots, and what they remember.

Wang et al. 2025, "Hierarchical Reasoning Model", arXiv 2506.21734, section 2.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hrm_agents.models.architecture import Architecture
from hrm_agents.models.layers import ReasoningModule, Rotary, truncated_normal_


class Carry(NamedTuple):
    """What the model remembers between segments; never carries a gradient."""

    z_H: Tensor
    """[B, P + S, d], state of the planner."""
    z_L: Tensor
    """[B, P + S, d], state of the worker."""

    def detach(self) -> Carry:
        """The same states, cut off from the gradient."""
        return Carry(self.z_H.detach(), self.z_L.detach())


class Recursion(nn.Module):
    """The modules H and L, their initial states and positions, and one segment of thought over an embedded input.

    A network derives from it, embeds what it looks at and reads its heads off z_H. It calls ``_add_modules`` and
    ``_add_states`` itself, because the order in which weights are drawn is part of what a seed means.

    Args:
        config: width, depth and wiring.
        num_slots: T, the length of the sequence with its prefix.
    """

    H_init: Tensor
    L_init: Tensor
    rotary_cos: Tensor
    rotary_sin: Tensor

    def __init__(self, config: Architecture, num_slots: int) -> None:
        super().__init__()
        self.config = config
        self.num_slots = num_slots

    def _add_modules(self) -> None:
        config = self.config
        sizes = (config.hidden_size, config.num_heads, config.mlp_width, config.rms_eps)
        self.H = ReasoningModule(config.H_layers, *sizes)
        self.L = ReasoningModule(config.L_layers, *sizes)

    def _add_states(self, rotary: Rotary | None) -> None:
        # One fixed vector each, shared over positions and rows.
        self.register_buffer("H_init", truncated_normal_(torch.empty(self.config.hidden_size), 1.0))
        self.register_buffer("L_init", truncated_normal_(torch.empty(self.config.hidden_size), 1.0))
        if rotary is not None:
            # Derived from the config, hence not saved.
            self.register_buffer("rotary_cos", rotary[0], persistent=False)
            self.register_buffer("rotary_sin", rotary[1], persistent=False)

    @property
    def dtype(self) -> torch.dtype:
        """Type of activations and carry. "auto" goes by where the weights lie now, not by where they were trained."""
        if self.config.dtype == "auto":
            return torch.bfloat16 if self.H_init.device.type == "cuda" else torch.float32
        return torch.bfloat16 if self.config.dtype == "bfloat16" else torch.float32

    def initial_carry(self, batch_size: int) -> Carry:
        """Fresh states for ``batch_size`` rows, on the model's device."""
        shape = (batch_size, self.num_slots, self.config.hidden_size)
        # A real copy: expanded memory would give the first segment other strides than the rest.
        return Carry(*(init.to(self.dtype).expand(shape).contiguous() for init in (self.H_init, self.L_init)))

    def reset_carry(self, carry: Carry, reset: Tensor) -> Carry:
        """Start the rows where ``reset`` bool[B] is set from the initial states; keep the others."""
        mask = reset[:, None, None]
        return Carry(
            torch.where(mask, self.H_init.to(carry.z_H.dtype), carry.z_H),
            torch.where(mask, self.L_init.to(carry.z_L.dtype), carry.z_L),
        )

    def think(self, carry: Carry, x: Tensor) -> Carry:
        """One segment over the embedded input ``x`` [B, T, d].

        Only the last L and H step (or the last H cycle, see ``Architecture.gradient``) are recorded for
        the gradient: the one-step approximation of section 2, "Approximate gradient". Memory does
        not grow with the number of cycles.

        Returns:
            The new states, still attached to the gradient of this segment: detach them before they go on.
        """
        config = self.config
        rotary: Rotary | None = None if config.position == "learned" else (self.rotary_cos, self.rotary_sin)
        z_H, z_L = carry
        untracked = config.L_cycles - 1 if config.gradient == "step" else 0
        with torch.no_grad():
            for _ in range(config.H_cycles - 1):
                for _ in range(config.L_cycles):
                    z_L = self.L(z_L, z_H + x, rotary)
                z_H = self.H(z_H, z_L, rotary)
            for _ in range(untracked):
                z_L = self.L(z_L, z_H + x, rotary)
        for _ in range(config.L_cycles - untracked):
            z_L = self.L(z_L, z_H + x, rotary)
        return Carry(self.H(z_H, z_L, rotary), z_L)
