"""Conversion of Gymnasium observation spaces and observations to the input of an encoder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from hrm_agents.models.encoder import FeaturePart, InputPart, TokenPart

#: Name of the only part of a space other than Dict.
ONLY_PART = "observation"
#: Maximum number of slots, since the cost of attention is quadratic; larger observations need coarser patches.
MAX_SLOTS = 4096
#: Integers with at most this many values are tokens, others are numbers.
MAX_TOKENS = 1024
#: Larger bounds are regarded as infinite.
_NO_BOUND = 1e9
#: Default number of slots of a vector of numbers.
_VECTOR_SLOTS = 16


class PartReader(nn.Module):
    """Converts one part of a batch of observations to the input of an encoder."""

    def __init__(self, name: str, part: InputPart, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.name = name
        self.part = part
        self.shape = shape

    def rows(self, values: Any) -> Tensor:
        """Convert ``values`` [B, ...] to a tensor [B, n].

        Raises:
            ValueError: the shape is not a batch of the space's.
        """
        if not isinstance(values, Tensor):
            array = np.asarray(values)
            # Types that torch hardly supports, such as uint16, are converted. Copied, since arrays may be read-only.
            values = torch.from_numpy(array.astype(np.float32 if array.dtype.kind == "f" else np.int64))
        if values.ndim == 0 or tuple(values.shape[1:]) not in (self.shape, self.shape or (1,)):
            expected = ", ".join(("B", *map(str, self.shape)))
            raise ValueError(f"{self.name!r} has shape {list(values.shape)}, expected a batch [{expected}]")
        return values.reshape(values.shape[0], -1)


class TokenReader(PartReader):
    """Converts integers to tokens that start at zero: subtracts ``start``, the lowest value (of each cell)."""

    start: Tensor

    def __init__(
        self, name: str, part: TokenPart, shape: tuple[int, ...], start: int | NDArray[np.int64], sizes: Any
    ) -> None:
        super().__init__(name, part, shape)
        cells = np.zeros(part.num_cells, np.int64)
        self.register_buffer("start", torch.from_numpy(cells + start), persistent=False)
        self._last = torch.from_numpy(cells + np.asarray(sizes) - 1)

    def forward(self, values: Any) -> Tensor:
        """Convert integers, of any type, to tokens int64 [B, S].

        Raises:
            ValueError: the shape is wrong, or a value of an array is outside the space. Values of tensors are not
                checked.
        """
        tokens = self.rows(values).to(self.start.device).long() - self.start
        # Tensors may be on an accelerator, where the check would wait for it.
        if not isinstance(values, Tensor):
            host = tokens.cpu()
            wrong = ((host < 0) | (host > self._last)).nonzero()
            if len(wrong):
                row, cell = wrong[0].tolist()
                start = int(self.start[cell])
                raise ValueError(
                    f"{self.name!r}: row {row}, cell {cell} is {int(host[row, cell]) + start}, "
                    f"the space has {start} to {int(self._last[cell]) + start}"
                )
        return tokens


class NumberReader(PartReader):
    """Scales numbers with finite bounds to -1 to 1, and splits images into patches."""

    center: Tensor
    scale: Tensor

    def __init__(self, name: str, part: FeaturePart, box: spaces.Box, order: NDArray[np.int64] | None = None) -> None:
        super().__init__(name, part, box.shape)
        low, high = (np.asarray(bound, np.float64).reshape(-1) for bound in (box.low, box.high))
        bounded = (np.abs(low) < _NO_BOUND) & (np.abs(high) < _NO_BOUND)
        low, high = np.where(bounded, low, -1.0), np.where(bounded, high, 1.0)
        half = np.where(high > low, (high - low) / 2, 1.0)
        self.register_buffer("center", torch.from_numpy(((low + high) / 2).astype(np.float32)), persistent=False)
        self.register_buffer("scale", torch.from_numpy((1 / half).astype(np.float32)), persistent=False)
        self.order: Tensor | None
        self.register_buffer("order", None if order is None else torch.from_numpy(order), persistent=False)

    def forward(self, values: Any) -> Tensor:
        """Convert numbers to float32 [B, F].

        Raises:
            ValueError: the shape is wrong.
        """
        numbers = (self.rows(values).to(self.center.device).float() - self.center) * self.scale
        return numbers if self.order is None else numbers[:, self.order]


class SpaceReader(nn.Module):
    """Converts observations of a space to the input of :class:`~hrm_agents.models.encoder.HRMEncoder`.

    Call it with a batch of observations of a vector environment, as arrays or tensors. It has no parameters, and
    ``.to(device)`` moves it.
    """

    def __init__(self, space: spaces.Space[Any], readers: Mapping[str, TokenReader | NumberReader]) -> None:
        super().__init__()
        self.space = space
        self.parts: dict[str, InputPart] = {name: reader.part for name, reader in readers.items()}
        self._readers = nn.ModuleList(readers.values())

    def forward(self, obs: Any) -> dict[str, Tensor]:
        """Convert ``obs`` to its parts by name, each [B, width].

        Raises:
            ValueError: a part is missing, has the wrong shape, or is outside the space.
        """
        if not isinstance(self.space, spaces.Dict) and not isinstance(obs, Mapping):
            obs = {ONLY_PART: obs}
        missing = [name for name in self.parts if name not in obs]
        if missing:
            raise ValueError(f"the observation lacks {missing[0]!r}; it has {', '.join(map(str, obs)) or 'nothing'}")
        return {name: reader(obs[name]) for name, reader in zip(self.parts, self._readers, strict=True)}


def parts_of(space: spaces.Space[Any]) -> dict[str, spaces.Space[Any]]:
    """The spaces in a Dict by name, or any other space under the name ``ONLY_PART``."""
    return dict(space.spaces) if isinstance(space, spaces.Dict) else {ONLY_PART: space}


def read_space(
    space: spaces.Space[Any],
    *,
    patch: int = 1,
    features_per_slot: int | None = None,
    grids: Mapping[str, tuple[int, int]] | None = None,
) -> SpaceReader:
    """Make the reader of a space.

    ========================================= =======================================================================
    Discrete, MultiDiscrete, MultiBinary      tokens, one per slot
    integer Box [S] or [H, W]                 tokens, if there are at most 1,024 different values; otherwise numbers
    other Box [F]                             numbers, ``features_per_slot`` per slot
    other Box [H, W]; uint8 [H, W] 0 to 255   an image of one channel
    Box [C, H, W] or [H, W, C]                an image, ``patch`` x ``patch`` pixels per slot; C is the shorter end
    Dict of these                             concatenated, in the order of the Dict
    ========================================= =======================================================================

    Numbers with finite bounds are scaled to -1 to 1 (uint8 images from 0 to 255), others are unchanged: if their scale
    is far from 1, wrap the environment in ``gymnasium.wrappers.NormalizeObservation``.

    Args:
        space: observation space of one environment, not of a batch.
        patch: side of the square of pixels in a slot.
        features_per_slot: numbers of a vector in a slot; by default, vectors have at most 16 slots.
        grids: rows and columns of flat parts that have two dimensions, such as the cells of a puzzle, by name.

    Raises:
        ValueError: the space, or a part of it, is not supported or has too many slots, or a keyword is out of bounds.
    """
    if patch < 1 or (features_per_slot is not None and features_per_slot < 1):
        raise ValueError(f"patch={patch} and features_per_slot={features_per_slot} must be at least 1")
    found, grids = parts_of(space), dict(grids or {})
    if not found:
        raise ValueError("the observation space is an empty Dict")
    unknown = [name for name in grids if name not in found]
    if unknown:
        raise ValueError(f"grids names {unknown[0]!r}; the space has {', '.join(map(str, found))}")
    readers = {name: _read_part(name, part, patch, features_per_slot, grids.get(name)) for name, part in found.items()}
    slots = {name: reader.part.num_slots for name, reader in readers.items()}
    if sum(slots.values()) > MAX_SLOTS:
        largest = max(slots, key=lambda name: slots[name])
        raise ValueError(
            f"the observation makes {sum(slots.values()):,} slots, {slots[largest]:,} of them from {largest!r}; "
            f"at most {MAX_SLOTS:,} are supported: raise patch (images) or features_per_slot (vectors), or shrink it"
        )
    return SpaceReader(space, readers)


def _read_part(
    name: str,
    space: spaces.Space[Any],
    patch: int,
    features_per_slot: int | None,
    grid: tuple[int, int] | None,
) -> TokenReader | NumberReader:
    if isinstance(space, spaces.Discrete):
        return TokenReader(name, TokenPart(1, int(space.n), grid), (), int(space.start), int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        sizes = np.asarray(space.nvec, np.int64).reshape(-1)
        part = TokenPart(len(sizes), int(sizes.max()), grid or _grid_of(space.nvec.shape))
        return TokenReader(name, part, space.nvec.shape, np.asarray(space.start, np.int64).reshape(-1), sizes)
    if isinstance(space, spaces.MultiBinary):
        part = TokenPart(math.prod(space.shape), 2, grid or _grid_of(space.shape))
        return TokenReader(name, part, space.shape, 0, 2)
    if isinstance(space, spaces.Box):
        return _read_box(name, space, patch, features_per_slot, grid)
    hint = "; gymnasium.wrappers.FlattenObservation converts it to a Box" if space.is_np_flattenable else ""
    raise ValueError(
        f"{name!r} is a {type(space).__name__} space, which has no fixed number of tokens or numbers{hint}"
    )


def _read_box(
    name: str, box: spaces.Box, patch: int, features_per_slot: int | None, grid: tuple[int, int] | None
) -> TokenReader | NumberReader:
    shape = box.shape
    if not 1 <= len(shape) <= 3 or 0 in shape:
        raise ValueError(f"{name!r} is a Box of shape {shape}; it must have 1 to 3 dimensions, none of them 0")
    low, high = _int_bounds(box)
    image = len(shape) == 3 or (len(shape) == 2 and box.dtype == np.uint8 and (low, high) == (0, 255))
    if box.dtype is not None and box.dtype.kind in "iub":
        if not image and high - low < MAX_TOKENS:
            part = TokenPart(math.prod(shape), high - low + 1, grid or _grid_of(shape))
            return TokenReader(name, part, shape, low, high - low + 1)
        if max(abs(low), abs(high)) >= _NO_BOUND:
            raise ValueError(
                f"{name!r} is {box.dtype} without bounds, so that its scale is unknown: set the bounds of the Box"
            )
    if len(shape) > 1:
        return _read_image(name, box, patch, grid)
    per_slot = features_per_slot or math.ceil(shape[0] / _VECTOR_SLOTS)
    return NumberReader(name, FeaturePart(shape[0], per_slot, grid), box)


def _read_image(name: str, box: spaces.Box, patch: int, grid: tuple[int, int] | None) -> NumberReader:
    """A reader with one slot per patch; patches, and pixels in a patch, are in row-major order, channels last."""
    index: NDArray[np.int64] = np.arange(math.prod(box.shape)).reshape(box.shape)
    if index.ndim == 2:
        index = index[..., None]
    elif box.shape[0] <= box.shape[2]:
        index = index.transpose(1, 2, 0)
    height, width, channels = tuple(index.shape)
    if height % patch or width % patch:
        raise ValueError(f"{name!r}: patch={patch} does not divide an image of {height} x {width} pixels")
    rows, columns = height // patch, width // patch
    patches = index.reshape(rows, patch, columns, patch, channels).transpose(0, 2, 1, 3, 4)
    part = FeaturePart(index.size, patch * patch * channels, grid or (rows, columns))
    return NumberReader(name, part, box, patches.reshape(-1))


def _int_bounds(box: spaces.Box) -> tuple[int, int]:
    """Lowest and highest value of any cell of ``box``, limited to +-2^62."""
    limit = 2.0**62
    return int(max(np.min(box.low), -limit)), int(min(np.max(box.high), limit))


def _grid_of(shape: tuple[int, ...]) -> tuple[int, int] | None:
    return (int(shape[0]), int(shape[1])) if len(shape) == 2 else None
