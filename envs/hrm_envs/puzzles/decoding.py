"""From the bytes of an untrusted file to text: gzip, byte-order marks, UTF-8 and UTF-16."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from hrm_envs.checks import shown_path
from hrm_envs.limits import FREE_BYTES, MAX_EXPANSION
from hrm_envs.puzzles.files import open_file

_GZIP = b"\x1f\x8b"
#: Encodings by byte-order mark. That of UTF-32 begins with that of UTF-16.
_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


@contextmanager
def open_unpacked(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading, unpacked if its content is that of a gzip file.

    Raises:
        ValueError: the file cannot be read or unpacked, or unpacks to more than 64 MiB and a hundred times its size;
            the message begins with the path.
    """
    with open_file(path) as file:
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        if not packed:
            yield file
            return
        try:
            content = file.read()
        except OSError as error:
            raise ValueError(f"{shown_path(path)} cannot be read: {error.strerror or error}") from error
    try:
        yield BytesIO(unpack(content))
    except GzipError as error:
        raise ValueError(f"{shown_path(path)}: {error}") from error


class GzipError(ValueError):
    """Packed content is damaged or would unpack to too much."""


def unpack(content: bytes) -> bytes:
    """The content of a gzip file; other content is returned unchanged.

    Raises:
        GzipError: it is damaged, or unpacks to more than 64 MiB and a hundred times its size.
    """
    if not content.startswith(_GZIP):
        return content
    most = max(FREE_BYTES, MAX_EXPANSION * len(content))
    try:
        with gzip.GzipFile(fileobj=BytesIO(content)) as file:
            unpacked = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise GzipError(f"it cannot be unpacked with gzip: {error}") from error
    if len(unpacked) > most:
        raise GzipError(f"its {len(content):,} bytes would unpack to more than {most:,}")
    return unpacked


def encoding_of(start: bytes) -> str:
    """The encoding of a text that begins with ``start``: that of its byte-order mark, UTF-16 without one, or UTF-8."""
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return encoding
    # In UTF-16, every other byte of ASCII characters is 0; in UTF-8, no byte of a text is.
    even, odd = start[0:64:2], start[1:64:2]
    if len(even) > 1 and not any(odd) and all(even):
        return "utf-16-le"
    return "utf-16-be" if len(odd) > 1 and not any(even) and all(odd) else "utf-8"


def decode(content: bytes) -> str:
    """The text of a file's bytes.

    Raises:
        ValueError: the bytes are not text in their encoding (see :func:`encoding_of`); the message names the line.
    """
    try:
        return content.decode(encoding_of(content[:64]))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line}: {wrong_byte(error)}") from error


def wrong_byte(error: UnicodeDecodeError) -> str:
    """What is wrong with bytes that are not text, in words for a user."""
    name = error.encoding.upper().removesuffix("-SIG")
    return f"byte {error.object[error.start]:#04x} is not {name}; save it as UTF-8 text"
