"""Tensors that still lie in a file: what the file claims of them, checked before a byte of them is read."""

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

#: The most that is read of a file to learn what it holds; names and shapes of the deepest HRM take a third of it.
LONGEST_HEAD = 1024**2
#: Tensors in one file; an HRM of the most layers has 2,056.
_MOST_TENSORS = 4096
_MOST_AXES = 8
_LONGEST_AXIS = 2**48
_LOCAL_HEADER = 30


class Refused(ValueError):
    """A file holds something that no weights need; the text says what, without the name of the file."""


@dataclass(frozen=True)
class Block:
    """A part of a file that holds the numbers of one or several tensors."""

    start: int
    """First byte."""
    size: int
    """Bytes."""
    checksum: int = 0
    """CRC-32, or 0 where the file has none."""

    def read(self, file: BinaryIO) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The bytes, uint8 ``[size]``.

        Raises:
            ValueError: the file ends before, or the checksum is another.
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
    """A tensor as a file describes it."""

    block: str
    """Key of the block in which it lies."""
    dtype: torch.dtype | str
    """Type of its numbers, in the words of the file where torch has no such type."""
    shape: tuple[int, ...]
    """Lengths of its axes."""
    stride: tuple[int, ...] | None = None
    """How many numbers apart neighbours along each axis lie; row after row if not given."""
    start: int = 0
    """First byte, counted from that of the block."""

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride, written out."""
        return row_by_row(self.shape) if self.stride is None else self.stride

    @property
    def span(self) -> int:
        """Numbers from its first to its last, both included; 0 if it has none."""
        if 0 in self.shape:
            return 0
        return 1 + sum((length - 1) * step for length, step in zip(self.shape, self.strides, strict=True))


def row_by_row(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The stride of a tensor of ``shape`` in which the last axis is the fastest."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def sizes(values: Any) -> tuple[int, ...]:
    """Lengths or strides that a file gives.

    Raises:
        ValueError: they are no whole numbers from 0 to 2**48, or too many.
    """
    if not isinstance(values, list | tuple) or len(values) > _MOST_AXES:
        raise ValueError("no list of sizes")
    if not all(type(value) is int and 0 <= value < _LONGEST_AXIS for value in values):
        raise ValueError("a size is out of range")
    return tuple(values)


class _ShortReads(io.BufferedReader):
    """A file of which nobody reads much at once: for libraries that would read as much as the file tells them to."""

    def read(self, size: int | None = -1) -> bytes:
        """As of any file.

        Raises:
            ValueError: more than ``LONGEST_HEAD`` bytes were asked for and are there.
        """
        most = LONGEST_HEAD + 1
        content = super().read(most if size is None or size < 0 else min(size, most))
        if len(content) == most:
            raise ValueError("the names and shapes in it take more bytes than those of any network")
        return content


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read; pipes and devices, of which reading may never end, are refused.

    Raises:
        Refused: there is no such file, it is none, or it cannot be read.
    """
    try:
        # Without NONBLOCK, opening a pipe waits for somebody who writes into it.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)
        descriptor = os.open(path, flags)
    except FileNotFoundError as error:
        raise Refused("there is no such file") from error
    except OSError as error:
        raise Refused(f"it cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a name that no path can have
        raise Refused("there is no such file") from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise Refused("it is a folder" if stat.S_ISDIR(mode) else "it is no regular file")
    return _ShortReads(io.FileIO(descriptor, "rb"))


def zip_blocks(file: BinaryIO) -> dict[str, Block]:
    """Where the members of a zip archive lie, in the order of its directory.

    Raises:
        Refused: a member is compressed or encrypted, or a name occurs twice.
        Exception: of some other kind, where it is no archive.
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
    """Compare what a file claims to hold with what it can hold, before memory is set aside for it.

    Args:
        tensors: all that will be read, of floating-point types.
        blocks: where they lie.
        file_size: bytes of the file.

    Raises:
        Refused: the tensors need more bytes than the file has.
        ValueError: a block or a tensor ends beyond the end of what it lies in.
    """
    tensors = list(tensors)
    if len(tensors) > _MOST_TENSORS:
        raise Refused(f"it holds {len(tensors):,} tensors; an HRM has at most {_MOST_TENSORS:,}")
    needed = 0
    for tensor in tensors:
        assert isinstance(tensor.dtype, torch.dtype)
        block = blocks[tensor.block]
        if tensor.start + tensor.span * tensor.dtype.itemsize > block.size:
            raise ValueError("a tensor ends beyond the bytes that hold it")
        needed += math.prod(tensor.shape) * tensor.dtype.itemsize
    if needed > file_size:
        raise Refused(
            f"its tensors need {shown(needed)} bytes and the file has {file_size:,}: some share memory or are "
            "expanded. Save a contiguous copy of each"
        )
    used = {blocks[tensor.block] for tensor in tensors}
    if any(block.start < 0 or block.start + block.size > file_size for block in used):
        raise ValueError("the file is truncated")
    if sum(block.size for block in used) > file_size:
        raise Refused("its parts overlap")


def read_tensors(file: BinaryIO, tensors: Mapping[str, StoredTensor], blocks: Mapping[str, Block]) -> dict[str, Tensor]:
    """The tensors on the CPU, after :func:`check_claims`. Each block is read once.

    Raises:
        ValueError: the file was truncated since, or a checksum is wrong.
    """
    content: dict[str, Tensor] = {}
    read: dict[str, Tensor] = {}
    for name, stored in tensors.items():
        assert isinstance(stored.dtype, torch.dtype)
        if stored.block not in content:
            content[stored.block] = torch.from_numpy(blocks[stored.block].read(file))
        end = stored.start + stored.span * stored.dtype.itemsize
        numbers = content[stored.block][stored.start : end]
        if stored.start % stored.dtype.itemsize:  # the header of an array may be of any length
            numbers = numbers.clone()
        read[name] = numbers.view(stored.dtype).as_strided(stored.shape, stored.strides)
    return read
