"""Tensors in files: what a file claims about them is checked before their data is read."""

from __future__ import annotations

import io
import math
import os
import stat
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from hrm_agents.errors import shown

#: Maximum number of bytes that describe the content of a file; the deepest HRM takes a third of it.
MAX_HEADER = 1024**2
#: Maximum number of tensors in a file; the deepest HRM has 2,056.
_MAX_TENSORS = 4096
_MAX_AXES = 8
_MAX_SIZE = 2**48
_LOCAL_HEADER = 30


class Refused(ValueError):
    """A file cannot be used; the message says why, without the name of the file."""


@dataclass(frozen=True)
class Block:
    """A range of bytes in a file with the data of one or more tensors."""

    start: int
    """First byte."""
    size: int
    """Bytes."""
    checksum: int = 0
    """CRC-32, or 0 if the file has none."""

    def read(self, file: BinaryIO) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The bytes, uint8 ``[size]``.

        Raises:
            ValueError: the file is too short, or the checksum is wrong.
        """
        content = np.empty(self.size, np.uint8)
        file.seek(self.start)
        if file.readinto(content.data) < self.size:  # type: ignore[attr-defined]
            raise ValueError("the file is truncated")
        if self.checksum and zlib.crc32(content.data) != self.checksum:
            raise ValueError("a checksum is wrong")
        return content


@dataclass(frozen=True)
class StoredTensor:
    """Description of a tensor in a file."""

    block: str
    """Key of its block."""
    dtype: torch.dtype | str
    """Its type; a string if torch has no such type."""
    shape: tuple[int, ...]
    """Sizes of its axes."""
    stride: tuple[int, ...] | None = None
    """Stride of each axis in elements, contiguous by default."""
    start: int = 0
    """First byte, relative to the block."""

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of each axis in elements."""
        return contiguous(self.shape) if self.stride is None else self.stride

    @property
    def span(self) -> int:
        """Number of elements from its first to its last, inclusive; 0 if it is empty."""
        if 0 in self.shape:
            return 0
        return 1 + sum((length - 1) * step for length, step in zip(self.shape, self.strides, strict=True))


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The stride of a contiguous tensor."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def sizes(values: Any) -> tuple[int, ...]:
    """Check the shape or the stride that a file gives.

    Raises:
        ValueError: not a list of at most 8 whole numbers from 0 to 2**48.
    """
    if not isinstance(values, list | tuple) or len(values) > _MAX_AXES:
        raise ValueError("not a list of sizes")
    if not all(type(value) is int and 0 <= value < _MAX_SIZE for value in values):
        raise ValueError("a size is out of range")
    return tuple(values)


class _ShortReads(io.BufferedReader):
    """A file with bounded reads, for libraries that read as many bytes as the file says."""

    def read(self, size: int | None = -1) -> bytes:
        """Read bytes.

        Raises:
            ValueError: more than ``MAX_HEADER`` bytes would be read.
        """
        most = MAX_HEADER + 1
        content = super().read(most if size is None or size < 0 else min(size, most))
        if len(content) == most:
            raise ValueError("its description takes more bytes than that of any network")
        return content


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; reading a pipe or a device may never end.

    Raises:
        Refused: there is no such file, it is not a regular file, or it cannot be read.
    """
    try:
        # Without NONBLOCK, opening a pipe waits for a writer.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
        descriptor = os.open(path, flags)
    except FileNotFoundError as error:
        raise Refused("there is no such file") from error
    except OSError as error:
        raise Refused(f"it cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # the name contains a null character
        raise Refused("there is no such file") from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise Refused("it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file")
    return _ShortReads(io.FileIO(descriptor, "rb"))


def zip_blocks(file: BinaryIO) -> dict[str, Block]:
    """Blocks of the members of a zip archive, in the order of its directory.

    Raises:
        Refused: a member is compressed or encrypted, or a name occurs twice.
        Exception: of any other class, if it is not an archive.
    """
    blocks: dict[str, Block] = {}
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            how = "encrypted" if member.flag_bits & 1 else "compressed"
            raise Refused(f"{shown(member.filename)} in it is {how}; save it uncompressed")
        if member.filename in blocks:
            raise Refused(f"it holds {shown(member.filename)} twice")
        file.seek(member.header_offset)
        header = file.read(_LOCAL_HEADER)
        if len(header) < _LOCAL_HEADER or not header.startswith(b"PK\x03\x04"):
            raise ValueError("a member is missing")
        names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        start = member.header_offset + _LOCAL_HEADER + names
        blocks[member.filename] = Block(start, member.file_size, member.CRC)
    return blocks


def check_claims(tensors: Iterable[StoredTensor], blocks: Mapping[str, Block], file_size: int) -> None:
    """Compare the tensors of a file with its size, before allocating memory for them.

    Args:
        tensors: to be read, of floating-point types.
        blocks: that hold them.
        file_size: in bytes.

    Raises:
        Refused: there are too many tensors, or they need more bytes than the file has.
        ValueError: a tensor ends after its block, or a block after the file.
    """
    tensors = list(tensors)
    if len(tensors) > _MAX_TENSORS:
        raise Refused(f"it holds {len(tensors):,} tensors; an HRM has at most {_MAX_TENSORS:,}")
    needed = 0
    for tensor in tensors:
        assert isinstance(tensor.dtype, torch.dtype)
        block = blocks[tensor.block]
        if tensor.start + tensor.span * tensor.dtype.itemsize > block.size:
            raise ValueError("a tensor ends after its block")
        needed += math.prod(tensor.shape) * tensor.dtype.itemsize
    if needed > file_size:
        raise Refused(
            f"its tensors need {shown(needed)} bytes and the file has {file_size:,}: some share memory or are "
            "expanded; save a contiguous copy of each"
        )
    used = {blocks[tensor.block] for tensor in tensors}
    if any(block.start < 0 or block.start + block.size > file_size for block in used):
        raise ValueError("the file is truncated")
    if sum(block.size for block in used) > file_size:
        raise Refused("its parts overlap")


def read_tensors(file: BinaryIO, tensors: Mapping[str, StoredTensor], blocks: Mapping[str, Block]) -> dict[str, Tensor]:
    """Read tensors that passed :func:`check_claims`, onto the CPU. Each block is read once.

    Raises:
        ValueError: the file has become shorter, or a checksum is wrong.
    """
    content: dict[str, Tensor] = {}
    read: dict[str, Tensor] = {}
    for name, stored in tensors.items():
        assert isinstance(stored.dtype, torch.dtype)
        if stored.block not in content:
            content[stored.block] = torch.from_numpy(blocks[stored.block].read(file))
        end = stored.start + stored.span * stored.dtype.itemsize
        numbers = content[stored.block][stored.start : end]
        if stored.start % stored.dtype.itemsize:  # not aligned, since an array follows a header of any length
            numbers = numbers.clone()
        read[name] = numbers.view(stored.dtype).as_strided(stored.shape, stored.strides)
    return read
