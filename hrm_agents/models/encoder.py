"""An HRM over anything that is tokens or numbers: (observation, carry) -> (carry, features).

The recursion is the one of :class:`~hrm_agents.models.hrm.HRM`; instead of an answer it gives one vector a row, for
heads of the user's own. The parts of an observation lie one after the other in one sequence of slots, behind the
prefix: a cell of tokens is a slot, and so is every patch of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrm_agents.models.architecture import Architecture
from hrm_agents.models.embeddings import rope_1d, rope_2d
from hrm_agents.models.layers import Linear, Rotary, truncated_normal_
from hrm_agents.models.recursion import Carry, Recursion

Readout = Literal["slot", "mean", "both"]


@dataclass(frozen=True)
class TokenPart:
    """A part of an observation that is int [B, S], each cell one of V tokens."""

    num_cells: int
    """S, one slot each."""
    vocab_size: int
    """V; the tokens are 0 to V - 1 and mean the same in every cell."""
    grid_shape: tuple[int, int] | None = None
    """Rows and columns, for positions in two dimensions; one row if not given."""

    @property
    def num_slots(self) -> int:
        """How much of the sequence it takes."""
        return self.num_cells

    @property
    def width(self) -> int:
        """Length of one row as it enters."""
        return self.num_cells


@dataclass(frozen=True)
class FeaturePart:
    """A part of an observation that is float [B, F], cut into patches that follow each other."""

    num_features: int
    """F, of unit scale: nothing here normalises them."""
    patch_size: int = 1
    """Numbers a slot; the last patch is filled up with zeros."""
    grid_shape: tuple[int, int] | None = None
    """Rows and columns of patches, for positions in two dimensions; one row if not given."""

    @property
    def num_slots(self) -> int:
        """How much of the sequence it takes."""
        return math.ceil(self.num_features / self.patch_size)

    @property
    def width(self) -> int:
        """Length of one row as it enters."""
        return self.num_features


InputPart = TokenPart | FeaturePart


class _TokenEmbedding(nn.Module):
    """Tokens [B, S] to slots [B, S, d] of unit variance."""

    def __init__(self, part: TokenPart, hidden_size: int) -> None:
        super().__init__()
        self.scale = math.sqrt(hidden_size)
        self.token = nn.Parameter(truncated_normal_(torch.empty(part.vocab_size, hidden_size), 1.0 / self.scale))

    def forward(self, values: Tensor) -> Tensor:
        return F.embedding(values.int(), self.token) * self.scale


class _PatchEmbedding(nn.Module):
    """Numbers [B, F] to slots [B, S, d], of unit variance where the numbers have it."""

    def __init__(self, part: FeaturePart, hidden_size: int) -> None:
        super().__init__()
        self.patch_size = part.patch_size
        self.padding = part.num_slots * part.patch_size - part.num_features
        self.patch = Linear(part.patch_size, hidden_size)
        # Tells the patches from those of another part even where all numbers are zero.
        self.bias = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, values: Tensor) -> Tensor:
        values = F.pad(values.float(), (0, self.padding))
        return self.patch(values.view(values.shape[0], -1, self.patch_size)) + self.bias


def readout_size(hidden_size: int, readout: Readout) -> int:
    """Length of the features that ``readout`` gives."""
    return 2 * hidden_size if readout == "both" else hidden_size


class HRMEncoder(Recursion):
    """Planner and worker over an observation, with features instead of an answer.

    Args:
        config: width, depth, wiring and how far the gradient reaches, as in HRM. ``puzzle_emb_ndim`` is not used.
        parts: what an observation consists of, by name, in the order of the sequence; or its only part.
        readout: the features are slot 0 of z_H (with prefix slots: a slot of its own, which gathers), the mean over
            the slots of the observation, or both side by side.

    Raises:
        ValueError: a size is not positive, or a grid does not have as many places as its part has slots.
    """

    def __init__(
        self, config: Architecture, parts: Mapping[str, InputPart] | InputPart, *, readout: Readout = "slot"
    ) -> None:
        config.check()
        named = dict(parts) if isinstance(parts, Mapping) else {"observation": parts}
        if readout not in ("slot", "mean", "both"):
            raise ValueError(f"readout={readout!r}: there are 'slot', 'mean' and 'both'")
        _check_parts(named)
        super().__init__(config, config.prefix_slots + sum(part.num_slots for part in named.values()))
        self.parts = named
        self.readout: Readout = readout
        d = config.hidden_size
        # A list, since names of parts may not be names of modules.
        self.embeddings = nn.ModuleList(
            _TokenEmbedding(part, d) if isinstance(part, TokenPart) else _PatchEmbedding(part, d)
            for part in named.values()
        )
        self.prefix = nn.Parameter(torch.zeros(config.prefix_slots, d))
        self.position: nn.Parameter | None = None
        if "learned" in config.position:
            # With the input in equal shares, as in HRM: the sum keeps unit variance.
            self.position = nn.Parameter(truncated_normal_(torch.empty(self.num_slots, d), 1.0))
        self._add_modules()
        self._add_states(self._rotary_tables())

    @property
    def features_dim(self) -> int:
        """Length of the features: d, or 2 d with ``readout="both"``."""
        return readout_size(self.config.hidden_size, self.readout)

    def forward(self, obs: Mapping[str, Tensor] | Tensor, carry: Carry, *, segments: int = 1) -> tuple[Carry, Tensor]:
        """Think on, for one segment if no other number is given.

        The gradient sees the last segment, and of that the part that ``Architecture.gradient`` says.

        Args:
            obs: every part by its name, or the only part: int [B, S] for tokens, float [B, F] for numbers.
            carry: states after the last segment, rows of new episodes reset.
            segments: at least 1.

        Returns:
            The new carry, detached, and features float32 [B, ``features_dim``].

        Raises:
            ValueError: a part is missing or of another shape, or there is nothing to think.
        """
        thought = self._think_on(self._embed(obs), carry, segments)
        return thought.detach(), self._read(thought.z_H)

    def forward_cells(
        self, obs: Mapping[str, Tensor] | Tensor, carry: Carry, *, segments: int = 1
    ) -> tuple[Carry, Tensor]:
        """As ``forward``, but with features of every slot on its own: z_H without its prefix, float32 [B, S, d]."""
        thought = self._think_on(self._embed(obs), carry, segments)
        return thought.detach(), self._cells(thought)

    def encode(self, obs: Mapping[str, Tensor] | Tensor, segments: int = 1) -> Tensor:
        """Features float32 [B, ``features_dim``] after ``segments`` segments from a fresh carry; see ``forward``."""
        return self._read(self._think_afresh(obs, segments).z_H)

    def encode_cells(self, obs: Mapping[str, Tensor] | Tensor, segments: int = 1) -> Tensor:
        """As ``encode``, but of every slot of the observation on its own: z_H without its prefix, float32 [B, S, d]."""
        return self._cells(self._think_afresh(obs, segments))

    def _think_afresh(self, obs: Mapping[str, Tensor] | Tensor, segments: int) -> Carry:
        x = self._embed(obs)
        return self._think_on(x, self.initial_carry(x.shape[0]), segments)

    def _think_on(self, x: Tensor, carry: Carry, segments: int) -> Carry:
        if segments < 1:
            raise ValueError(f"segments={segments}: it takes at least 1")
        with torch.no_grad():
            for _ in range(segments - 1):
                carry = self.think(carry, x)
        return self.think(carry, x)

    def _embed(self, obs: Mapping[str, Tensor] | Tensor) -> Tensor:
        """The observation as x [B, T, d], in the type of the activations."""
        if isinstance(obs, Tensor):
            if len(self.parts) > 1:
                raise ValueError(f"the observation has the parts {', '.join(self.parts)}: pass them by name")
            obs = dict.fromkeys(self.parts, obs)
        slots = []
        for (name, part), embedding in zip(self.parts.items(), self.embeddings, strict=True):
            if name not in obs:
                raise ValueError(f"part {name!r} is missing; the observation has {', '.join(obs) or 'none'}")
            values = obs[name]
            if values.ndim != 2 or values.shape[1] != part.width:
                raise ValueError(f"part {name!r} has shape {tuple(values.shape)}, expected [B, {part.width}]")
            if isinstance(part, TokenPart) and values.is_floating_point():
                raise ValueError(f"part {name!r} is {values.dtype}, expected integers: the tokens")
            slots.append(embedding(values))
        x = torch.cat((self.prefix.expand(slots[0].shape[0], -1, -1), *slots), dim=1)
        if self.position is not None:
            x = (x + self.position) * math.sqrt(0.5)
        return x.to(self.dtype)

    def _cells(self, thought: Carry) -> Tensor:
        return thought.z_H[:, self.config.prefix_slots :].float()

    def _read(self, z_H: Tensor) -> Tensor:
        slot, mean = z_H[:, 0].float(), z_H[:, self.config.prefix_slots :].float().mean(1)
        return {"slot": slot, "mean": mean, "both": torch.cat((slot, mean), dim=-1)}[self.readout]

    def _rotary_tables(self) -> Rotary | None:
        """Positions of all slots; in two dimensions every part has its own grid, so cells of two parts can meet."""
        config = self.config
        if config.position == "learned":
            return None
        if config.position == "rope":
            return rope_1d(self.num_slots, config.head_dim, config.rope_theta)
        grids = [part.grid_shape or (1, part.num_slots) for part in self.parts.values()]
        prefixes = [config.prefix_slots] + [0] * (len(grids) - 1)
        tables = [
            rope_2d(grid, prefix, config.head_dim, config.rope_theta)
            for grid, prefix in zip(grids, prefixes, strict=True)
        ]
        return torch.cat([cos for cos, _ in tables]), torch.cat([sin for _, sin in tables])


def _check_parts(parts: Mapping[str, InputPart]) -> None:
    """Raise ValueError for what would otherwise fail deep inside a layer."""
    if not parts:
        raise ValueError("an observation needs at least one part")
    for name, part in parts.items():
        sizes = (
            (part.num_cells, part.vocab_size) if isinstance(part, TokenPart) else (part.num_features, part.patch_size)
        )
        if min(sizes) < 1:
            raise ValueError(f"part {name!r}: sizes must be at least 1, got {part}")
        if part.grid_shape is not None and math.prod(part.grid_shape) != part.num_slots:
            rows, columns = part.grid_shape
            raise ValueError(f"part {name!r}: a grid of {rows} x {columns} places for {part.num_slots} slots")
