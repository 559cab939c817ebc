"""Width, depth and wiring of networks, independent of their task."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args, get_origin, get_type_hints

from hrm_agents.models.limits import LIMITS, check_choice, check_setting


@dataclass(frozen=True, kw_only=True)
class BlockSettings:
    """Width and wiring of the blocks over prefix and cells, which the built-in networks share."""

    hidden_size: int = 64
    """Width d of every state vector."""
    num_heads: int = 4
    """Attention heads; must divide hidden_size."""
    expansion: float = 4.0
    """Size of the gated MLP: its width is 2/3 of expansion * d, rounded up to mlp_multiple."""
    mlp_multiple: int = 32
    """The MLP width is a multiple of this; the original's 256 would make small networks much wider."""
    mixing: Literal["attention", "mlp"] = "attention"
    """How slots exchange information: attention, or a gated MLP across all slots (MLP-Mixer), without rotary
    positions."""
    position: Literal["none", "rope", "rope2d", "learned", "rope2d+learned"] = "learned"
    """No positions (with mixing=mlp alone, whose weights distinguish the cells), rotary positions over the flat grid,
    rotary over rows and columns, a learned vector per cell, or these two."""
    rope_theta: float = 10000.0
    """Base of the rotary frequencies."""
    puzzle_emb_ndim: int | None = None
    """Size of a task embedding (default d); fills ceil(size / d) prefix slots. Unused without task ids."""
    puzzle_emb_len: int | None = None
    """Number of prefix slots of a task embedding, if more than it fills; the rest is zero. Unused without task ids."""
    prefix_slots: int = 1
    """Learned slots before the grid if there are no task ids; with 0, the Q-head reads cell 0."""
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
        hints = get_type_hints(type(self))
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            if get_origin(hints[name]) is Literal:
                check_choice(name, value, get_args(hints[name]))
            elif name in LIMITS and (value is not None or type(None) not in get_args(hints[name])):
                check_setting(name, value)
        if self.hidden_size % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} must divide hidden_size {self.hidden_size}")
        if self.position == "none" and self.mixing == "attention":
            raise ValueError("position 'none' would make all cells alike to attention: use mixing 'mlp'")
        pairs = {"rope": 2, "rope2d": 4, "rope2d+learned": 4}.get(self.position, 1)
        if self.head_dim % pairs:
            raise ValueError(f"{self.position} needs a head size divisible by {pairs}, got {self.head_dim}")
        filled = self.slots_of_task_embedding
        if self.puzzle_emb_len is not None and self.puzzle_emb_len < filled:
            raise ValueError(
                f"puzzle_emb_len {self.puzzle_emb_len} is less than the {filled} slots of a task embedding"
            )

    @property
    def head_dim(self) -> int:
        """Size of an attention head."""
        return self.hidden_size // self.num_heads

    @property
    def mlp_width(self) -> int:
        """Hidden width of the gated MLP."""
        return self.mlp_width_of(self.hidden_size)

    def mlp_width_of(self, size: int) -> int:
        """Hidden width of a gated MLP on vectors of ``size`` elements."""
        width = max(1, round(self.expansion * size * 2 / 3))
        return math.ceil(width / self.mlp_multiple) * self.mlp_multiple

    @property
    def has_rotary(self) -> bool:
        """Whether there are rotary positions: attention alone can apply them."""
        return self.mixing == "attention" and self.position not in ("learned", "none")

    @property
    def has_learned_positions(self) -> bool:
        """Whether every slot has a learned vector."""
        return "learned" in self.position

    @property
    def task_emb_ndim(self) -> int:
        """Size of a task embedding."""
        return self.puzzle_emb_ndim or self.hidden_size

    @property
    def slots_of_task_embedding(self) -> int:
        """Number of slots that a task embedding fills."""
        return math.ceil(self.task_emb_ndim / self.hidden_size)

    def prefix_of(self, num_task_ids: int) -> int:
        """P, the number of slots before the grid."""
        if num_task_ids == 1:
            return self.prefix_slots
        return self.puzzle_emb_len or self.slots_of_task_embedding


@dataclass(frozen=True, kw_only=True)
class Architecture(BlockSettings):
    """Width, depth and wiring of an HRM, independent of the task. The defaults make a small network for a CPU."""

    H_layers: int = 2
    """Blocks in the slow planner H."""
    L_layers: int = 2
    """Blocks in the fast worker L."""
    H_cycles: int = 2
    """H steps per segment."""
    L_cycles: int = 2
    """L steps before each H step."""
    gradient: Literal["step", "cycle", "segment"] = "step"
    """Backpropagate through the last L and the last H step, the whole last H cycle, or the whole segment."""
