"""Width, depth and wiring of a network, independent of its task."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args, get_type_hints

from hrm_agents.models.limits import LIMITS, check_choice, check_setting


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Width, depth and wiring of an HRM, independent of the task. The defaults make a small network for a CPU."""

    hidden_size: int = 64
    """Width d of every state vector."""
    num_heads: int = 4
    """Attention heads; must divide hidden_size."""
    H_layers: int = 2
    """Blocks in the slow planner H."""
    L_layers: int = 2
    """Blocks in the fast worker L."""
    H_cycles: int = 2
    """H steps per segment."""
    L_cycles: int = 2
    """L steps before each H step."""
    expansion: float = 4.0
    """Size of the gated MLP: its width is 2/3 of expansion * d, rounded up to mlp_multiple."""
    mlp_multiple: int = 32
    """The MLP width is a multiple of this; the original's 256 would make small networks much wider."""
    position: Literal["rope", "rope2d", "learned", "rope2d+learned"] = "learned"
    """Rotary positions over the flat grid, rotary over rows and columns, a learned vector per cell, or these two."""
    rope_theta: float = 10000.0
    """Base of the rotary frequencies."""
    puzzle_emb_ndim: int | None = None
    """Size of a task embedding (default d); fills ceil(size / d) prefix slots. Unused without task ids."""
    prefix_slots: int = 1
    """Learned slots before the grid if there are no task ids; with 0, the Q-head reads cell 0."""
    gradient: Literal["step", "cycle", "segment"] = "step"
    """Backpropagate through the last L and the last H step, the whole last H cycle, or the whole segment."""
    rms_eps: float = 1e-5
    """Added to the mean square in every norm."""
    dtype: Literal["float32", "bfloat16", "auto"] = "float32"
    """Type of activations and carry; auto is bfloat16 on CUDA and float32 elsewhere. Parameters stay float32."""

    def check(self) -> None:
        """Check what would otherwise fail deep inside a layer, or exceed the memory of any machine.

        Not called on creation, since users may still replace fields.

        Raises:
            ValueError: a setting has the wrong type or is out of bounds (:data:`hrm_agents.models.limits.LIMITS`), or
                the heads do not fit.
        """
        for name, hint in get_type_hints(Architecture).items():
            value = getattr(self, name)
            if name not in LIMITS:
                check_choice(name, value, get_args(hint))
            elif value is not None or type(None) not in get_args(hint):
                check_setting(name, value)
        if self.hidden_size % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} must divide hidden_size {self.hidden_size}")
        pairs = {"learned": 1, "rope": 2, "rope2d": 4, "rope2d+learned": 4}[self.position]
        if self.head_dim % pairs:
            raise ValueError(f"{self.position} needs a head size divisible by {pairs}, got {self.head_dim}")

    @property
    def head_dim(self) -> int:
        """Size of an attention head."""
        return self.hidden_size // self.num_heads

    @property
    def mlp_width(self) -> int:
        """Hidden width of the gated MLP."""
        width = max(1, round(self.expansion * self.hidden_size * 2 / 3))
        return math.ceil(width / self.mlp_multiple) * self.mlp_multiple
