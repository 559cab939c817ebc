"""Safe reading of untrusted ``.npy`` and ``.npz`` files.

Nothing is unpickled or evaluated, memory is only allocated for bytes that the file has, and no file may unpack to many
times its own size.
"""

from __future__ import annotations

import math
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import shown, shown_path
from hrm_envs.limits import FREE_BYTES, MAX_ARRAYS, MAX_EXPANSION
from hrm_envs.puzzles.files import open_file

_MAGIC = b"\x93NUMPY"
_ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
#: Struct format of the header length, by format version.
_LENGTHS = {1: "<H", 2: "<I", 3: "<I"}
#: Maximum header length; numpy writes 118 bytes for an array of numbers.
_LONGEST_HEADER = 10_000
#: An entry of a header such as ``{'descr': '<i4', 'fortran_order': False, 'shape': (3, 4), }``.
_ENTRY = re.compile(r"'(\w+)'\s*:\s*('[^'\\]*'|True|False|\([^()]*\))\s*(?:,\s*|$)")
#: Booleans, integers and floating-point numbers.
_NUMBERS = re.compile(r"[<>|=]?[biuf?][0-9]{0,2}")
#: A dimension; Python 2 appended an L.
_LENGTH = re.compile(r"[0-9]{1,18}L?")
_FLAGS = ("True", "False")
_MOST_AXES = 32
_NAME_END = ".npy"

#: Exceptions of zipfile for files that are damaged, encrypted or compressed by an unknown method.
_ZIP_ERRORS = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, OSError, EOFError, RuntimeError, ValueError,
    KeyError, IndexError, OverflowError,
)  # fmt: skip


def load_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """All arrays of a file: those of an ``.npz`` file by name, that of an ``.npy`` file as ``""``.

    The content decides the format, not the suffix. Memory use is proportional to the file size. The arrays contain
    booleans, integers or floating-point numbers.

    Raises:
        ValueError: the file is missing, not a regular file, damaged, encrypted, unpacks to more than 64 MiB and a
            hundred times its size, or contains anything but such arrays; the message names the file and the array.
    """
    path = Path(path)
    try:
        with open_file(path) as file:
            return read_arrays(file)
    except NotArraysError as error:
        raise ValueError(f"{shown_path(path)} cannot be read as a numpy file: {error}") from error
    except OSError as error:
        raise ValueError(f"{shown_path(path)} cannot be read: {error.strerror or error}") from error


def is_arrays(start: bytes) -> bool:
    """Whether content that begins with ``start`` is meant as an ``.npy`` or ``.npz`` file."""
    return start.startswith((_MAGIC, *_ZIP_MAGICS))


def read_arrays(file: BinaryIO) -> dict[str, NDArray[Any]]:
    """As :func:`load_arrays`, from an open file that can seek.

    Raises:
        NotArraysError: the content is not that of such a file; the message gives the reason.
        OSError: it cannot be read.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(len(_MAGIC))
    file.seek(0)
    if start == _MAGIC:
        return {"": _read_array(file, size)}
    if start.startswith(_ZIP_MAGICS):
        return _read_zip(file, size)
    raise NotArraysError("it is empty" if not start else "it is neither .npy nor .npz")


class NotArraysError(ValueError):
    """A file is rejected; the message gives the reason."""


def _read_zip(file: IO[bytes], size: int) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz`` file of ``size`` bytes."""
    try:
        archive = zipfile.ZipFile(file)
    except _ZIP_ERRORS as error:
        raise NotArraysError(_reason(error)) from error
    with archive:
        members = archive.infolist()
        _check_members(members, size)
        arrays = {}
        for member in members:
            name = shown(member.filename.removesuffix(_NAME_END))
            try:
                with archive.open(member) as content:
                    array = _read_array(content, member.file_size)
            except NotArraysError as error:
                raise NotArraysError(f"array {name}: {error}") from error
            except _ZIP_ERRORS as error:
                raise NotArraysError(f"array {name}: {_reason(error)}") from error
            arrays[member.filename.removesuffix(_NAME_END)] = array
    return arrays


def _check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    """Reject an archive of ``size`` bytes if its directory is invalid or it would unpack to far more."""
    if len(members) > MAX_ARRAYS:
        raise NotArraysError(f"it has {len(members)} arrays; at most {MAX_ARRAYS} are allowed")
    names: set[str] = set()
    for member in members:
        name = shown(member.filename)
        if not member.filename.endswith(_NAME_END):
            raise NotArraysError(f"it holds {name}, which is not an .npy array")
        if member.filename in names:
            raise NotArraysError(f"it holds {name} twice")
        names.add(member.filename)
        if member.flag_bits & 1:
            raise NotArraysError(f"{name} is encrypted")
        # numpy writes these two. Python decompresses blocks of other methods without a size limit.
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NotArraysError(f"{name} uses compression method {member.compress_type}; numpy stores or deflates")
        if member.file_size > max(FREE_BYTES, MAX_EXPANSION * member.compress_size):
            raise NotArraysError(
                f"{name} would unpack from {member.compress_size:,} to {member.file_size:,} bytes, more than "
                f"{MAX_EXPANSION} times as many"
            )
    # Overlapping members would unpack the same bytes many times.
    if sum(member.compress_size for member in members) > size:
        raise NotArraysError("its arrays claim more packed bytes than the file has")
    unpacked = sum(member.file_size for member in members)
    if unpacked > max(FREE_BYTES, MAX_EXPANSION * size):
        raise NotArraysError(
            f"its {size:,} bytes would unpack to {unpacked:,}, more than {MAX_EXPANSION} times as many"
        )


def _read_array(file: IO[bytes], size: int) -> NDArray[Any]:
    """One array in ``.npy`` format with ``size`` bytes, including the header."""
    magic = file.read(len(_MAGIC) + 2)
    if len(magic) < len(_MAGIC) + 2 or not magic.startswith(_MAGIC):
        raise NotArraysError("it is not in .npy format")
    version = magic[len(_MAGIC)]
    if version not in _LENGTHS:
        raise NotArraysError(f"unknown format version {version}")
    field = struct.calcsize(_LENGTHS[version])
    length = int.from_bytes(file.read(field), "little")
    if length > _LONGEST_HEADER:
        raise NotArraysError(f"its header claims {length:,} bytes; an array of numbers needs about a hundred")
    header = file.read(length)
    left = size - len(magic) - field - length
    if len(header) < length or left < 0:
        raise NotArraysError("its header is incomplete")
    dtype, shape, fortran = _read_header(header)
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != left:
        raise NotArraysError(f"its header claims {shown(claimed)} bytes of shape {shown(shape)}, it has {left:,}")
    content = file.read(claimed)
    if len(content) < claimed:
        raise NotArraysError(f"it ends after {len(content):,} of {claimed:,} bytes")
    try:
        return np.frombuffer(content, dtype).copy().reshape(shape, order="F" if fortran else "C")
    except ValueError as error:  # an empty array with a dimension too large for numpy
        raise NotArraysError(f"its header claims the shape {shown(shape)}") from error


def _read_header(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """Dtype, shape and Fortran order of a header.

    The header is a Python literal. numpy evaluates it; this function matches the few forms of an array of numbers.
    """
    text = header.decode("latin1").strip()
    inner = text[1:-1].strip() if text.startswith("{") and text.endswith("}") else ""
    entries: dict[str, str] = {}
    at = 0
    while entry := _ENTRY.match(inner, at):
        entries[entry[1]], at = entry[2], entry.end()
    complete = at == len(inner) and set(entries) == {"descr", "fortran_order", "shape"}
    if not complete or entries["fortran_order"] not in _FLAGS:
        raise NotArraysError("its header does not describe an array of numbers")
    dtype = _number_type(entries["descr"].strip("'"))
    lengths = [length.strip() for length in entries["shape"].strip("()").split(",")]
    if lengths[-1] == "":  # as after the comma of "(3,)", or of "()"
        lengths.pop()
    if len(lengths) > _MOST_AXES or not all(_LENGTH.fullmatch(length) for length in lengths):
        raise NotArraysError(f"its header has the invalid shape {shown(entries['shape'])}")
    return dtype, tuple(int(length.rstrip("L")) for length in lengths), entries["fortran_order"] == "True"


def _number_type(descr: str) -> np.dtype[Any]:
    """The dtype of a name such as ``"<i4"``. Other names could make numpy create objects or records."""
    if _NUMBERS.fullmatch(descr):
        try:
            return np.dtype(descr)
        except TypeError:
            pass  # an invalid size, such as "<i3"
    raise NotArraysError(f"it is of type {shown(descr)}; expected numbers")


def _reason(error: Exception) -> str:
    """The message of a library exception in one short line."""
    return " ".join(str(error).split())[:80] or "it is damaged"
