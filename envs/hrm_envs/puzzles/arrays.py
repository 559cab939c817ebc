"""Arrays from ``.npy`` and ``.npz`` files of strangers.

Everything that a file claims is checked before it is believed: nothing is unpickled or evaluated, no memory is set
aside for bytes that the file does not have, and no file unpacks to many times its own size.
"""

from __future__ import annotations

import math
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import shown, shown_path
from hrm_envs.limits import FREE_BYTES, MAX_ARRAYS, MAX_EXPANSION
from hrm_envs.puzzles.files import open_file

_MAGIC = b"\x93NUMPY"
_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
#: How the length of the header is written, by version of the format.
_LENGTHS = {1: "<H", 2: "<I", 3: "<I"}
#: Longest header that is looked at; numpy writes 118 bytes for an array of numbers.
_LONGEST_HEADER = 10_000
#: An entry of a header such as ``{'descr': '<i4', 'fortran_order': False, 'shape': (3, 4), }``.
_ENTRY = re.compile(r"'(\w+)'\s*:\s*('[^'\\]*'|True|False|\([^()]*\))\s*(?:,\s*|$)")
#: Booleans, integers and floating-point numbers.
_NUMBERS = re.compile(r"[<>|=]?[biuf?][0-9]{0,2}")
#: A length, as Python 2 wrote it too.
_LENGTH = re.compile(r"[0-9]{1,18}L?")
_FLAGS = ("True", "False")
_MOST_AXES = 32
_NAME_END = ".npy"

#: What Python's zip reader raises for files that are damaged, encrypted or packed in ways that it does not know.
_ZIP_ERRORS = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, OSError, EOFError, RuntimeError, ValueError,
    KeyError, IndexError, OverflowError,
)  # fmt: skip


def load_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """All arrays of a file: those of an ``.npz`` by name, that of an ``.npy`` as ``""``. The content decides which.

    Takes memory in proportion to the file. Arrays are fresh and hold booleans, integers or floating-point numbers.

    Raises:
        ValueError: the file is absent, no regular file, damaged, encrypted, unpacks to more than 64 MiB and a hundred
            times its size, or holds something else than such arrays; the text names the file and the array.
    """
    path = Path(path)
    try:
        with open_file(path) as file:
            start = file.read(len(_MAGIC))
            file.seek(0)
            if start == _MAGIC:
                return {"": _read_array(file, os.fstat(file.fileno()).st_size)}
            if start.startswith(_ZIP_MAGICS):
                return _read_zip(file, os.fstat(file.fileno()).st_size)
    except _Refused as error:
        raise ValueError(f"{shown_path(path)} cannot be read as a numpy file: {error}") from error
    except OSError as error:
        raise ValueError(f"{shown_path(path)} cannot be read: {error.strerror or error}") from error
    what = "it is empty" if not start else "it begins as neither .npy nor .npz does"
    raise ValueError(f"{shown_path(path)} cannot be read as a numpy file: {what}")


class _Refused(Exception):
    """A file is not as it should be; the text says in what."""


def _read_zip(file: IO[bytes], size: int) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz`` file of ``size`` bytes."""
    try:
        archive = zipfile.ZipFile(file)
    except _ZIP_ERRORS as error:
        raise _Refused(_reason(error)) from error
    with archive:
        members = archive.infolist()
        _check_members(members, size)
        arrays = {}
        for member in members:
            name = shown(member.filename.removesuffix(_NAME_END))
            try:
                with archive.open(member) as content:
                    array = _read_array(content, member.file_size)
            except _Refused as error:
                raise _Refused(f"array {name}: {error}") from error
            except _ZIP_ERRORS as error:
                raise _Refused(f"array {name}: {_reason(error)}") from error
            arrays[member.filename.removesuffix(_NAME_END)] = array
    return arrays


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse, by what it claims to hold, an archive of ``size`` bytes that would unpack to far more than it is."""
    if len(members) > MAX_ARRAYS:
        raise _Refused(f"it holds {len(members)} arrays; at most {MAX_ARRAYS} are read")
    names: set[str] = set()
    for member in members:
        name = shown(member.filename)
        if not member.filename.endswith(_NAME_END):
            raise _Refused(f"it holds {name}, which is no .npy array")
        if member.filename in names:
            raise _Refused(f"it holds {name} twice")
        names.add(member.filename)
        if member.flag_bits & 1:
            raise _Refused(f"{name} is encrypted")
        # Of the others Python unpacks a block at once, however large it gets; numpy writes these two.
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _Refused(f"{name} is packed by method {member.compress_type}; numpy stores or deflates")
        if member.file_size > max(FREE_BYTES, MAX_EXPANSION * member.compress_size):
            raise _Refused(
                f"{name} would unpack from {member.compress_size:,} to {member.file_size:,} bytes, more than "
                f"{MAX_EXPANSION} times as many"
            )
    # Members that share their packed bytes would unpack them again and again.
    if sum(member.compress_size for member in members) > size:
        raise _Refused("its arrays claim more packed bytes than the file has")
    unpacked = sum(member.file_size for member in members)
    if unpacked > max(FREE_BYTES, MAX_EXPANSION * size):
        raise _Refused(f"its {size:,} bytes would unpack to {unpacked:,}, more than {MAX_EXPANSION} times as many")


def _read_array(file: IO[bytes], size: int) -> NDArray[Any]:
    """One array in the ``.npy`` format, which takes ``size`` bytes, header and all."""
    magic = file.read(len(_MAGIC) + 2)
    if len(magic) < len(_MAGIC) + 2 or not magic.startswith(_MAGIC):
        raise _Refused("it does not begin as an array does")
    version = magic[len(_MAGIC)]
    if version not in _LENGTHS:
        raise _Refused(f"version {version} of the format is unknown")
    field = struct.calcsize(_LENGTHS[version])
    length = int.from_bytes(file.read(field), "little")
    if length > _LONGEST_HEADER:
        raise _Refused(f"its header claims {length:,} bytes; an array of numbers needs a hundred")
    header = file.read(length)
    left = size - len(magic) - field - length
    if len(header) < length or left < 0:
        raise _Refused("it ends within its header")
    dtype, shape, fortran = _read_header(header)
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != left:
        raise _Refused(f"its header claims {shown(claimed)} bytes of shape {shown(shape)}, it has {left:,}")
    content = file.read(claimed)
    if len(content) < claimed:
        raise _Refused(f"it ends after {len(content):,} of {claimed:,} bytes")
    try:
        return np.frombuffer(content, dtype).copy().reshape(shape, order="F" if fortran else "C")
    except ValueError as error:  # nothing in it, and yet longer than numpy can count
        raise _Refused(f"its header claims the shape {shown(shape)}") from error


def _read_header(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """What a header says: dtype, shape, and whether the array is stored column by column.

    It is a Python literal, which numpy evaluates; the few forms that describe an array of numbers are matched here.
    """
    text = header.decode("latin1").strip()
    inner = text[1:-1].strip() if text.startswith("{") and text.endswith("}") else ""
    told: dict[str, str] = {}
    at = 0
    while entry := _ENTRY.match(inner, at):
        told[entry[1]], at = entry[2], entry.end()
    if at < len(inner) or set(told) != {"descr", "fortran_order", "shape"} or told["fortran_order"] not in _FLAGS:
        raise _Refused("its header does not describe an array of numbers")
    dtype = _number_type(told["descr"].strip("'"))
    lengths = [length.strip() for length in told["shape"].strip("()").split(",")]
    if lengths[-1] == "":  # as after the comma of "(3,)", or of "()"
        lengths.pop()
    if len(lengths) > _MOST_AXES or not all(_LENGTH.fullmatch(length) for length in lengths):
        raise _Refused(f"its header gives the shape {shown(told['shape'])}")
    return dtype, tuple(int(length.rstrip("L")) for length in lengths), told["fortran_order"] == "True"


def _number_type(descr: str) -> np.dtype[Any]:
    """The dtype of a name such as ``"<i4"``; of longer ones numpy may make an object or a record."""
    if _NUMBERS.fullmatch(descr):
        try:
            return np.dtype(descr)
        except TypeError:
            pass  # a size that no number has, such as "<i3"
    raise _Refused(f"it is of type {shown(descr)}; expected numbers")


def _reason(error: Exception) -> str:
    """What a library says of a damaged file, in one short line."""
    return " ".join(str(error).split())[:80] or "it is damaged"
