"""HRM encoder of tokens and numbers: (observation, carry) -> (carry, features).

It has the recursion of :class:`~hrm_agents.models.hrm.HRM`, and instead of an answer it returns one feature vector per
row, for heads of your own. The sequence consists of the prefix and the parts of the observation: one slot per cell of
tokens, and one per patch of numbers.

A carry that is kept from step to step is a memory. What is written into it is learned only if the gradient crosses
environment steps: see :meth:`HRMEncoder.unroll`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrm_agents.models.architecture import Architecture
from hrm_agents.models.embeddings import rotary_tables
from hrm_agents.models.layers import Linear, truncated_normal_
from hrm_agents.models.limits import check_choice, check_setting
from hrm_agents.models.recursion import Carry, Recursion

Readout = Literal["slot", "mean", "both"]


@dataclass(frozen=True)
class TokenPart:
    """A part of an observation with tokens: int [B, S]."""

    num_cells: int
    """S, one slot each."""
    vocab_size: int
    """Number of tokens V; tokens are 0 to V - 1 and share one embedding table over all cells."""
    grid_shape: tuple[int, int] | None = None
    """Rows and columns, for positions in two dimensions; one row by default."""

    @property
    def num_slots(self) -> int:
        """Number of slots in the sequence."""
        return self.num_cells

    @property
    def width(self) -> int:
        """Values per row of the input."""
        return self.num_cells


@dataclass(frozen=True)
class FeaturePart:
    """A part of an observation with numbers: float [B, F], split into consecutive patches."""

    num_features: int
    """F; the numbers should have unit scale, since they are not normalised."""
    patch_size: int = 1
    """Numbers per slot; the last patch is padded with zeros."""
    grid_shape: tuple[int, int] | None = None
    """Rows and columns of patches, for positions in two dimensions; one row by default."""

    @property
    def num_slots(self) -> int:
        """Number of slots in the sequence."""
        return math.ceil(self.num_features / self.patch_size)

    @property
    def width(self) -> int:
        """Values per row of the input."""
        return self.num_features


InputPart = TokenPart | FeaturePart


class _TokenEmbedding(nn.Module):
    """Embeds tokens [B, S] as slots [B, S, d] of unit variance."""

    def __init__(self, part: TokenPart, hidden_size: int) -> None:
        super().__init__()
        self.scale = math.sqrt(hidden_size)
        self.token = nn.Parameter(truncated_normal_(torch.empty(part.vocab_size, hidden_size), 1.0 / self.scale))

    def forward(self, values: Tensor) -> Tensor:
        return F.embedding(values.int(), self.token) * self.scale


class _PatchEmbedding(nn.Module):
    """Embeds numbers [B, F] as slots [B, S, d], of unit variance if the numbers have it."""

    def __init__(self, part: FeaturePart, hidden_size: int) -> None:
        super().__init__()
        self.patch_size = part.patch_size
        self.padding = part.num_slots * part.patch_size - part.num_features
        self.patch = Linear(part.patch_size, hidden_size)
        # Distinguishes the patches from those of another part even if all numbers are zero.
        self.bias = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, values: Tensor) -> Tensor:
        values = F.pad(values.float(), (0, self.padding))
        return self.patch(values.view(values.shape[0], -1, self.patch_size)) + self.bias


#: Settings for a memory: a short segment, all of which has a gradient. It is to a step what a cell is to an LSTM.
MEMORY = Architecture(H_cycles=1, gradient="cycle")


def architecture_for(bptt: int | None) -> Architecture:
    """Default architecture of a network whose gradients cross ``bptt`` environment steps."""
    return Architecture() if bptt == 1 else MEMORY


def readout_size(hidden_size: int, readout: Readout) -> int:
    """Number of features of a readout."""
    return 2 * hidden_size if readout == "both" else hidden_size


class HRMEncoder(Recursion):
    """Planner and worker over an observation, with features instead of an answer.

    Args:
        config: width, depth and wiring; ``puzzle_emb_ndim`` is not used.
        parts: parts of an observation by name, in the order of the sequence; or the only part.
        readout: the features are slot 0 of z_H (the first prefix slot, if there is one), the mean over the slots of
            the observation, or both concatenated.

    Raises:
        ValueError: a setting is out of bounds, or a grid does not have as many places as its part has slots.
    """

    def __init__(
        self, config: Architecture, parts: Mapping[str, InputPart] | InputPart, *, readout: Readout = "slot"
    ) -> None:
        config.check()
        named = dict(parts) if isinstance(parts, Mapping) else {"observation": parts}
        check_choice("readout", readout, get_args(Readout))
        _check_parts(named)
        super().__init__(config, config.prefix_slots + sum(part.num_slots for part in named.values()))
        self.parts = named
        self.readout: Readout = readout
        d = config.hidden_size
        # A list, since not every name of a part is a valid module name.
        self.embeddings = nn.ModuleList(
            _TokenEmbedding(part, d) if isinstance(part, TokenPart) else _PatchEmbedding(part, d)
            for part in named.values()
        )
        self.prefix = nn.Parameter(torch.zeros(config.prefix_slots, d))
        self.position: nn.Parameter | None = None
        if "learned" in config.position:
            # As in HRM, input and position have equal shares of a sum of unit variance.
            self.position = nn.Parameter(truncated_normal_(torch.empty(self.num_slots, d), 1.0))
        self._add_modules()
        grids = [part.grid_shape or (1, part.num_slots) for part in named.values()]
        self._add_states(rotary_tables(config, config.prefix_slots, grids))

    @property
    def features_dim(self) -> int:
        """Number of features: d, or 2 d with ``readout="both"``."""
        return readout_size(self.config.hidden_size, self.readout)

    def forward(
        self, obs: Mapping[str, Tensor] | Tensor, carry: Carry, *, segments: int = 1, detach: bool = True
    ) -> tuple[Carry, Tensor]:
        """Run the segments of one environment step.

        Args:
            obs: parts by name, or the only part: int [B, S] for tokens, float [B, F] for numbers.
            carry: states after the last segment, with the rows of new episodes reset.
            segments: at least 1.
            detach: only the last segment has a gradient, as far as ``Architecture.gradient`` says, and the new carry
                has none. Otherwise all segments have one, and it continues into ``carry`` and from the new carry: for
                loops of your own over the steps of an episode.

        Returns:
            The new carry and features float32 [B, ``features_dim``].

        Raises:
            ValueError: a part is missing or has the wrong shape or type, ``segments`` is less than 1, or no gradient
                would reach ``carry`` (see :meth:`check_bptt`).
        """
        carry, states = self._step(self._embed(obs), carry, segments, detach)
        return carry, self._read(states.z_H)

    def forward_cells(
        self, obs: Mapping[str, Tensor] | Tensor, carry: Carry, *, segments: int = 1, detach: bool = True
    ) -> tuple[Carry, Tensor]:
        """As :meth:`forward`, but one feature vector per slot of the observation: float32 [B, S, d]."""
        carry, states = self._step(self._embed(obs), carry, segments, detach)
        return carry, self._cells(states.z_H)

    def unroll(
        self,
        obs: Mapping[str, Tensor] | Tensor,
        carry: Carry,
        begins: Tensor,
        *,
        segments: int = 1,
        bptt: int | None = None,
    ) -> tuple[Carry, Tensor]:
        """Process a sequence of environment steps, with a gradient across steps: backpropagation through time.

        The activations of all T steps stay in memory until the backward pass. To need those of ``bptt`` steps only,
        unroll a long sequence in pieces of ``bptt`` steps, each with its own backward pass, from the carry that the
        piece before returned: the gradient is the same.

        Args:
            obs: as in :meth:`forward`, with time in front: [T, B, ...].
            carry: states before the first step.
            begins: bool [T, B], steps that begin an episode: they start from the initial carry.
            segments: per step, at least 1.
            bptt: the carry is detached before every ``bptt``-th step, so that the gradient of a step reaches at most
                ``bptt - 1`` steps back; None for the whole sequence. With 1 the result equals T calls of
                :meth:`forward`, and nothing is learned from what a step contributes to later ones.

        Returns:
            The carry after the last step, detached, and features float32 [T, B, ``features_dim``].

        Raises:
            ValueError: as :meth:`forward` and :meth:`check_bptt`.
        """
        self.check_bptt(bptt)
        features = []
        for step, begin in enumerate(begins):
            now = obs[step] if isinstance(obs, Tensor) else {name: part[step] for name, part in obs.items()}
            carry = self.reset_carry(carry.truncate(step, bptt), begin)
            carry, seen = self(now, carry, segments=segments, detach=bptt == 1)
            features.append(seen)
        return carry.detach(), torch.stack(features)

    def check_bptt(self, bptt: int | None) -> None:
        """Check that gradients can cross ``bptt`` environment steps; None stands for any number of steps.

        With ``H_cycles=1`` they reach the planner's state, and with ``gradient="cycle"`` the worker's as well. With
        more cycles they cross a segment only with ``gradient="segment"``.

        Raises:
            ValueError: ``bptt`` is less than 1, or it is not 1 and a segment cuts the gradient.
        """
        if bptt is not None:
            check_setting("bptt", bptt)
        if bptt != 1 and self.config.H_cycles > 1 and self.config.gradient != "segment":
            raise ValueError(
                f"no gradient crosses a segment with H_cycles={self.config.H_cycles} and "
                f'gradient="{self.config.gradient}": use H_cycles=1, or gradient="segment"'
            )

    def encode(self, obs: Mapping[str, Tensor] | Tensor, segments: int = 1) -> Tensor:
        """Features float32 [B, ``features_dim``] after ``segments`` segments from the initial carry."""
        return self._read(self._encode(obs, segments).z_H)

    def encode_cells(self, obs: Mapping[str, Tensor] | Tensor, segments: int = 1) -> Tensor:
        """As :meth:`encode`, but one feature vector per slot of the observation: float32 [B, S, d]."""
        return self._cells(self._encode(obs, segments).z_H)

    def _encode(self, obs: Mapping[str, Tensor] | Tensor, segments: int) -> Carry:
        x = self._embed(obs)
        return self._step(x, self.initial_carry(x.shape[0]), segments, detach=True)[1]

    def _step(self, x: Tensor, carry: Carry, segments: int, detach: bool) -> tuple[Carry, Carry]:
        """The new carry, and the same states with the gradient that features have."""
        check_setting("segments", segments)
        if not detach:
            self.check_bptt(None)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not detach):
            for _ in range(segments - 1):
                carry = self.think(carry, x)
        states = self.think(carry, x)
        return states.detach() if detach else states, states

    def _embed(self, obs: Mapping[str, Tensor] | Tensor) -> Tensor:
        """Embed the observation as x [B, T, d], in the type of the activations."""
        if isinstance(obs, Tensor):
            if len(self.parts) > 1:
                raise ValueError(f"the encoder has parts {', '.join(self.parts)}: pass them by name")
            obs = dict.fromkeys(self.parts, obs)
        slots = []
        for (name, part), embedding in zip(self.parts.items(), self.embeddings, strict=True):
            if name not in obs:
                raise ValueError(f"part {name!r} is missing; the observation has {', '.join(obs) or 'none'}")
            values = obs[name]
            if values.ndim != 2 or values.shape[1] != part.width:
                raise ValueError(f"part {name!r} has shape {tuple(values.shape)}, expected [B, {part.width}]")
            if isinstance(part, TokenPart) and values.is_floating_point():
                raise ValueError(f"part {name!r} is {values.dtype}, expected integer tokens")
            slots.append(embedding(values))
        x = torch.cat((self.prefix.expand(slots[0].shape[0], -1, -1), *slots), dim=1)
        if self.position is not None:
            x = (x + self.position) * math.sqrt(0.5)
        return x.to(self.dtype)

    def _cells(self, z_H: Tensor) -> Tensor:
        return z_H[:, self.config.prefix_slots :].float()

    def _read(self, z_H: Tensor) -> Tensor:
        slot, mean = z_H[:, 0].float(), self._cells(z_H).mean(1)
        return {"slot": slot, "mean": mean, "both": torch.cat((slot, mean), dim=-1)}[self.readout]


def _check_parts(parts: Mapping[str, InputPart]) -> None:
    """Raise ValueError for parts that would otherwise fail deep inside a layer."""
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
