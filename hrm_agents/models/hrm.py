"""The Hierarchical Reasoning Model as one segment: (carry, puzzle) -> (carry, answer logits, Q-values).

Wang et al. 2025, "Hierarchical Reasoning Model", arXiv 2506.21734, section 2. Where the paper's text
and its authors' code differ, this follows the code; the tests hold it to numbers that code computed.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrm_agents.models.embeddings import InputEmbedding, rope_1d, rope_2d
from hrm_agents.models.layers import Linear, ReasoningModule, Rotary, truncated_normal_


class TaskSizes(Protocol):
    """What a model must know of a task."""

    @property
    def vocab_size(self) -> int:
        """Number of tokens, padding included."""

    @property
    def grid_shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def num_task_ids(self) -> int:
        """Number of task identities; 1 if there are none."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Width, depth and wiring of an HRM, whatever the task. The defaults are a small net for a CPU."""

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
    """The MLP width is a multiple of this; 256 in the original, where it widens small nets much."""
    position: Literal["rope", "rope2d", "learned", "rope2d+learned"] = "learned"
    """Positions: rotary over the flat grid, rotary over rows and columns, a learned vector per cell, or these two."""
    rope_theta: float = 10000.0
    """Base of the rotary frequencies."""
    puzzle_emb_ndim: int | None = None
    """Size of a task embedding (default d); it fills ceil(size / d) prefix slots. Unused without task ids."""
    prefix_slots: int = 1
    """Learned slots in front of the grid when there are no task ids; with 0 the Q-head reads cell 0."""
    gradient: Literal["step", "cycle"] = "step"
    """Backpropagate through the last L and the last H step, or through the whole last H cycle."""
    rms_eps: float = 1e-5
    """Added to the mean square inside every norm."""
    dtype: Literal["float32", "bfloat16", "auto"] = "float32"
    """Type of activations and carry; auto is bfloat16 on CUDA and float32 elsewhere. Parameters stay float32."""


@dataclass(frozen=True)
class HRMConfig(Architecture):
    """An architecture and the sizes of a task: all that it takes to build an HRM."""

    vocab_size: int
    """Number of tokens V, of puzzles and of answers alike; 0 is padding."""
    grid_shape: tuple[int, int]
    """Rows and columns of the puzzle; their product is the number of cells S."""
    num_task_ids: int = 1
    """Number of task identities; 1 means none and no task embedding."""

    @classmethod
    def for_task(cls, architecture: Architecture, task: TaskSizes) -> HRMConfig:
        """The config of ``architecture`` for anything that has the three sizes, such as a task's spec."""
        return cls(
            **asdict(architecture),
            vocab_size=task.vocab_size,
            grid_shape=task.grid_shape,
            num_task_ids=task.num_task_ids,
        )

    def __post_init__(self) -> None:
        """Check what would otherwise fail deep inside a layer.

        Raises:
            ValueError: a size is not positive, or the heads do not fit.
        """
        sizes = ("vocab_size", "num_task_ids", "hidden_size", "num_heads", "H_layers", "L_layers")
        for name in (*sizes, "H_cycles", "L_cycles", "mlp_multiple"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("expansion", "rope_theta", "rms_eps"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a positive number, got {getattr(self, name)}")
        if len(self.grid_shape) != 2 or min(self.grid_shape) < 1:
            raise ValueError(f"grid_shape must be two positive numbers, got {self.grid_shape}")
        if self.prefix_slots < 0 or (self.puzzle_emb_ndim is not None and self.puzzle_emb_ndim < 1):
            raise ValueError("prefix_slots must not be negative and puzzle_emb_ndim must be positive")
        if self.hidden_size % self.num_heads:
            raise ValueError(f"num_heads {self.num_heads} must divide hidden_size {self.hidden_size}")
        pairs = {"learned": 1, "rope": 2, "rope2d": 4, "rope2d+learned": 4}[self.position]
        if self.head_dim % pairs:
            raise ValueError(f"{self.position} needs a head size divisible by {pairs}, got {self.head_dim}")

    @property
    def num_cells(self) -> int:
        """S, the number of grid cells."""
        return self.grid_shape[0] * self.grid_shape[1]

    @property
    def num_prefix_slots(self) -> int:
        """P, the number of slots in front of the grid."""
        if self.num_task_ids == 1:
            return self.prefix_slots
        return math.ceil(self.task_emb_ndim / self.hidden_size)

    @property
    def task_emb_ndim(self) -> int:
        """Length of one task embedding."""
        return self.puzzle_emb_ndim or self.hidden_size

    @property
    def head_dim(self) -> int:
        """Size of one attention head."""
        return self.hidden_size // self.num_heads

    @property
    def mlp_width(self) -> int:
        """Hidden width of the gated MLP."""
        width = round(self.expansion * self.hidden_size * 2 / 3)
        return math.ceil(width / self.mlp_multiple) * self.mlp_multiple


class Carry(NamedTuple):
    """What the model remembers between segments; never carries a gradient."""

    z_H: Tensor
    """[B, P + S, d], state of the planner."""
    z_L: Tensor
    """[B, P + S, d], state of the worker."""


class SegmentOutput(NamedTuple):
    """What one segment says."""

    logits: Tensor
    """float32 [B, S, V], scores of each token in each grid cell."""
    q_halt: Tensor
    """float32 [B], value of handing in this answer."""
    q_continue: Tensor
    """float32 [B], value of thinking on."""


class HRM(nn.Module):
    """Planner and worker over one puzzle representation, with an answer head and a Q-head."""

    H_init: Tensor
    L_init: Tensor
    rotary_cos: Tensor
    rotary_sin: Tensor

    def __init__(self, config: HRMConfig) -> None:
        super().__init__()
        self.config = config
        d, prefix = config.hidden_size, config.num_prefix_slots
        self.embedding = InputEmbedding(
            config.vocab_size,
            config.num_cells,
            d,
            prefix_slots=prefix,
            task_ids=config.num_task_ids,
            task_ndim=config.task_emb_ndim,
            learned_positions="learned" in config.position,
        )
        self.H = ReasoningModule(config.H_layers, d, config.num_heads, config.mlp_width, config.rms_eps)
        self.L = ReasoningModule(config.L_layers, d, config.num_heads, config.mlp_width, config.rms_eps)
        self.answer_head = Linear(d, config.vocab_size)
        # Near-zero success probability at the start: bootstrapped targets then grow from below.
        self.q_head = nn.Linear(d, 2)
        nn.init.zeros_(self.q_head.weight)
        nn.init.constant_(self.q_head.bias, -5.0)
        # One fixed vector each, shared over positions and rows.
        self.register_buffer("H_init", truncated_normal_(torch.empty(d), 1.0))
        self.register_buffer("L_init", truncated_normal_(torch.empty(d), 1.0))
        if config.position != "learned":
            if config.position == "rope":
                cos, sin = rope_1d(prefix + config.num_cells, config.head_dim, config.rope_theta)
            else:
                cos, sin = rope_2d(config.grid_shape, prefix, config.head_dim, config.rope_theta)
            # Derived from the config, hence not saved.
            self.register_buffer("rotary_cos", cos, persistent=False)
            self.register_buffer("rotary_sin", sin, persistent=False)

    @property
    def dtype(self) -> torch.dtype:
        """Type of activations and carry. "auto" goes by where the weights lie now, not by where they were trained."""
        if self.config.dtype == "auto":
            return torch.bfloat16 if self.H_init.device.type == "cuda" else torch.float32
        return torch.bfloat16 if self.config.dtype == "bfloat16" else torch.float32

    def initial_carry(self, batch_size: int) -> Carry:
        """Fresh states for ``batch_size`` rows, on the model's device."""
        shape = (batch_size, self.config.num_prefix_slots + self.config.num_cells, self.config.hidden_size)
        # A real copy: expanded memory would give the first segment other strides than the rest.
        return Carry(*(init.to(self.dtype).expand(shape).contiguous() for init in (self.H_init, self.L_init)))

    def reset_carry(self, carry: Carry, reset: Tensor) -> Carry:
        """Start the rows where ``reset`` bool[B] is set from the initial states; keep the others."""
        mask = reset[:, None, None]
        return Carry(
            torch.where(mask, self.H_init.to(carry.z_H.dtype), carry.z_H),
            torch.where(mask, self.L_init.to(carry.z_L.dtype), carry.z_L),
        )

    def forward(self, carry: Carry, puzzle: Tensor, task_id: Tensor | None = None) -> tuple[Carry, SegmentOutput]:
        """Think for one segment.

        Only the last L and H step (or the last H cycle, see ``HRMConfig.gradient``) are recorded for
        the gradient: the one-step approximation of section 2, "Approximate gradient". Memory does
        not grow with the number of cycles.

        Args:
            carry: states after the previous segment, rows of new puzzles reset.
            puzzle: uint8 or int [B, S], tokens in row-major order.
            task_id: int [B]; only needed with task embeddings.

        Returns:
            The new carry, detached, and the segment's outputs.
        """
        config = self.config
        rotary: Rotary | None = None if config.position == "learned" else (self.rotary_cos, self.rotary_sin)
        z_H, z_L = carry
        x = self.embedding(puzzle, task_id).to(self.dtype)

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
        z_H = self.H(z_H, z_L, rotary)

        logits = self.answer_head(z_H[:, config.num_prefix_slots :]).float()
        q_halt, q_continue = F.linear(z_H[:, 0].float(), self.q_head.weight, self.q_head.bias).unbind(-1)
        return Carry(z_H.detach(), z_L.detach()), SegmentOutput(logits, q_halt, q_continue)

    def dense_parameters(self) -> dict[str, nn.Parameter]:
        """All parameters but the task embedding, by name: for AdamATan2 and EMA."""
        return {name: p for name, p in self.named_parameters() if name not in self.sparse_parameters()}

    def sparse_parameters(self) -> dict[str, nn.Parameter]:
        """The task embedding table, if any, by name: its gradient is sparse, for SignSGD."""
        task = self.embedding.task
        return {} if task is None else {"embedding.task.weight": task.weight}
