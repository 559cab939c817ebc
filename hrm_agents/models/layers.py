"""Layers of the H and L modules: norm, attention, gated MLP, block.

All layers keep float32 parameters and compute in the dtype of their input.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hrm_agents.models.architecture import BlockSettings

# Standard deviation of a unit normal truncated at +-2. As in JAX, a requested standard deviation is that of the
# truncated distribution.
_TRUNCATED_STD = 0.87962566103423978

Rotary = tuple[Tensor, Tensor]
"""Tables (cos, sin), each float32 [T, 1, head_dim]; sin includes the sign of rotate-half."""


def activation_type(dtype: str, device: torch.device) -> torch.dtype:
    """The type of activations on ``device``, for a value of :attr:`BlockSettings.dtype`."""
    is_half = dtype == "bfloat16" or (dtype == "auto" and device.type == "cuda")
    return torch.bfloat16 if is_half else torch.float32


def truncated_normal_(tensor: Tensor, std: float) -> Tensor:
    """Fill ``tensor`` from a normal truncated at two sigma, with standard deviation ``std`` after truncation."""
    if std == 0.0:
        return nn.init.zeros_(tensor)
    sigma = std / _TRUNCATED_STD
    return nn.init.trunc_normal_(tensor, std=sigma, a=-2.0 * sigma, b=2.0 * sigma)


def rms_norm(x: Tensor, eps: float) -> Tensor:
    """Scale the last axis of ``x`` [..., d] to unit mean square, computed in float32; without parameters."""
    return F.rms_norm(x.float(), (x.shape[-1],), eps=eps).to(x.dtype)


def rotate(x: Tensor, rotary: Rotary) -> Tensor:
    """Rotate pairs (i, i + head_dim/2) of ``x`` [B, T, heads, head_dim] by the angles in ``rotary``."""
    cos, sin = rotary
    # Rolling by half the width swaps the halves; ``sin`` includes the minus sign of rotate-half.
    swapped = torch.roll(x, x.shape[-1] // 2, dims=-1)
    return torch.addcmul(x * cos, swapped, sin).to(x.dtype)


class Linear(nn.Module):
    """Linear map without bias; weight [out, in], truncated normal with std 1/sqrt(in)."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        truncated_normal_(self.weight, 1.0 / math.sqrt(in_features))

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., in] to [..., out] in the dtype of ``x``."""
        return F.linear(x, self.weight.to(x.dtype))


class Attention(nn.Module):
    """Non-causal multi-head attention with a fused projection of queries, keys and values."""

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = Linear(hidden_size, 3 * hidden_size)
        self.out = Linear(hidden_size, hidden_size)

    def forward(self, x: Tensor, rotary: Rotary | None) -> Tensor:
        """Attend over ``x`` [B, T, d], with rotated queries and keys if tables are given."""
        batch, length, hidden = x.shape
        qkv = self.qkv(x).view(batch, length, 3 * self.num_heads, hidden // self.num_heads)
        if rotary is None:
            query, key, value = qkv.chunk(3, dim=2)
        else:
            # One call rotates queries and keys, by the same angles.
            query_key, value = qkv.split((2 * self.num_heads, self.num_heads), dim=2)
            query, key = rotate(query_key, rotary).chunk(2, dim=2)
        query, key, value = (part.transpose(1, 2) for part in (query, key, value))
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, hidden))


class SwiGLU(nn.Module):
    """Gated MLP ``down(silu(gate(x)) * up(x))``, with gate and up in one projection."""

    def __init__(self, hidden_size: int, width: int) -> None:
        super().__init__()
        self.gate_up = Linear(hidden_size, 2 * width)
        self.down = Linear(width, hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., d] to [..., d]."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class Block(nn.Module):
    """Transformer block with post-norm: ``x = rms_norm(x + f(x))``.

    First slots exchange information, by attention or by a gated MLP across slots (Tolstikhin et al. 2021, "MLP-Mixer",
    arXiv 2105.01601); then each slot has a gated MLP of its own.

    Args:
        settings: width and wiring.
        num_slots: T; only the MLP across slots depends on it.
    """

    def __init__(self, settings: BlockSettings, num_slots: int) -> None:
        super().__init__()
        #: Keep only the input for the backward pass, which then computes the rest again (activation checkpointing, Chen
        #: et al. 2016, arXiv 1604.06174).
        self.recompute = False
        self.eps = settings.rms_eps
        self.attention: Attention | None = None
        self.across: SwiGLU | None = None
        if settings.mixing == "attention":
            self.attention = Attention(settings.hidden_size, settings.num_heads)
        else:
            self.across = SwiGLU(num_slots, settings.mlp_width_of(num_slots))
        self.mlp = SwiGLU(settings.hidden_size, settings.mlp_width)

    def forward(self, x: Tensor, rotary: Rotary | None) -> Tensor:
        """Map [B, T, d] to [B, T, d]."""
        if self.recompute and torch.is_grad_enabled():
            computed: Tensor = checkpoint(self._compute, x, rotary, use_reentrant=False)
            return computed
        return self._compute(x, rotary)

    def _compute(self, x: Tensor, rotary: Rotary | None) -> Tensor:
        if self.attention is not None:
            x = rms_norm(x + self.attention(x, rotary), self.eps)
        else:
            assert self.across is not None
            slots = x.transpose(1, 2)
            x = rms_norm(slots + self.across(slots), self.eps).transpose(1, 2)
        return rms_norm(x + self.mlp(x), self.eps)


class ReasoningModule(nn.Module):
    """Recurrent module H or L: adds an injection to its state, then applies its blocks."""

    def __init__(self, num_layers: int, settings: BlockSettings, num_slots: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(settings, num_slots) for _ in range(num_layers))

    def forward(self, state: Tensor, injection: Tensor, rotary: Rotary | None) -> Tensor:
        """Advance ``state`` [B, T, d] one step, given ``injection`` [B, T, d]."""
        state = state + injection
        for block in self.blocks:
            state = block(state, rotary)
        return state
