"""The recursion of planner and worker that the networks share, and their carry.

Wang et al. 2025, "Hierarchical Reasoning Model", arXiv 2506.21734, section 2.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hrm_agents.models.architecture import Architecture
from hrm_agents.models.embeddings import add_rotary
from hrm_agents.models.layers import ReasoningModule, Rotary, activation_type, truncated_normal_


class Carry(NamedTuple):
    """States between segments; without gradient, unless a caller asks for one across environment steps."""

    z_H: Tensor
    """[B, P + S, d], state of the planner."""
    z_L: Tensor
    """[B, P + S, d], state of the worker."""

    def detach(self) -> Carry:
        """The same states without gradient."""
        return Carry(self.z_H.detach(), self.z_L.detach())

    def truncate(self, step: int, bptt: int | None) -> Carry:
        """Detach the states before every ``bptt``-th step of a sequence (None: never).

        A gradient then covers at most ``bptt`` consecutive steps: truncated backpropagation through time (Williams and
        Peng 1990), with one backward pass for all steps.

        Args:
            step: number of the next step, counted from 0.
            bptt: at least 1.
        """
        return self if bptt is None or step % bptt else self.detach()


class Recursion(nn.Module):
    """Modules H and L with their initial states and positions, and one segment over an embedded input.

    Subclasses embed the input and apply their heads to z_H. They call ``_add_modules`` and ``_add_states`` themselves,
    because a seed determines weights by the order in which they are drawn.

    Args:
        config: width, depth and wiring.
        num_slots: T, the length of the sequence including its prefix.
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
        self.H = ReasoningModule(self.config.H_layers, self.config, self.num_slots)
        self.L = ReasoningModule(self.config.L_layers, self.config, self.num_slots)

    def _add_states(self, rotary: Rotary | None) -> None:
        # One fixed vector each, shared by all positions and rows.
        self.register_buffer("H_init", truncated_normal_(torch.empty(self.config.hidden_size), 1.0))
        self.register_buffer("L_init", truncated_normal_(torch.empty(self.config.hidden_size), 1.0))
        add_rotary(self, rotary)

    @property
    def dtype(self) -> torch.dtype:
        """Type of activations and carry; "auto" depends on the device on which the weights are now."""
        return activation_type(self.config.dtype, self.H_init.device)

    def initial_carry(self, batch_size: int) -> Carry:
        """Initial states of ``batch_size`` rows, on the model's device."""
        shape = (batch_size, self.num_slots, self.config.hidden_size)
        # Copied, since an expanded tensor would give the first segment other strides than later ones.
        return Carry(*(init.to(self.dtype).expand(shape).contiguous() for init in (self.H_init, self.L_init)))

    def reset_carry(self, carry: Carry, reset: Tensor) -> Carry:
        """Replace the rows where ``reset`` bool [B] is set by the initial states."""
        mask, states = reset[:, None, None], zip((self.H_init, self.L_init), carry, strict=True)
        return Carry(*(torch.where(mask, init.to(state.dtype), state) for init, state in states))

    def think(self, carry: Carry, x: Tensor) -> Carry:
        """Run one segment over the embedded input ``x`` [B, T, d].

        By default only the last L and H step have a gradient: the one-step approximation of section 2, "Approximate
        gradient", whose memory does not grow with the number of cycles. ``Architecture.gradient`` extends it to the
        last H cycle, whose memory grows with ``L_cycles``, or to the whole segment, whose memory grows with
        ``H_cycles`` as well.

        Returns:
            The new states, with gradient.
        """
        return self.think_tracked(self.think_untracked(carry, x), x)

    @torch.no_grad()
    def think_untracked(self, carry: Carry, x: Tensor) -> Carry:
        """The steps of :meth:`think` that have no gradient."""
        config, rotary = self.config, self._rotary
        z_H, z_L = carry
        for _ in range(config.H_cycles - self._tracked_H):
            for _ in range(config.L_cycles):
                z_L = self.L(z_L, z_H + x, rotary)
            z_H = self.H(z_H, z_L, rotary)
        for _ in range(config.L_cycles - self._tracked_L):
            z_L = self.L(z_L, z_H + x, rotary)
        return Carry(z_H, z_L)

    def think_tracked(self, carry: Carry, x: Tensor) -> Carry:
        """The steps of :meth:`think` after those, with a gradient."""
        rotary = self._rotary
        z_H, z_L = carry
        for _ in range(self._tracked_H):
            for _ in range(self._tracked_L):
                z_L = self.L(z_L, z_H + x, rotary)
            z_H = self.H(z_H, z_L, rotary)
        return Carry(z_H, z_L)

    @property
    def _rotary(self) -> Rotary | None:
        return (self.rotary_cos, self.rotary_sin) if self.config.has_rotary else None

    @property
    def _tracked_H(self) -> int:
        """H cycles with a gradient."""
        return self.config.H_cycles if self.config.gradient == "segment" else 1

    @property
    def _tracked_L(self) -> int:
        """L steps with a gradient in each of them."""
        return 1 if self.config.gradient == "step" else self.config.L_cycles
