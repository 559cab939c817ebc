"""Safe access to untrusted files: only regular files are opened, and each problem is a one-line error."""

from __future__ import annotations

import errno
import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import Any, BinaryIO, Literal, NoReturn

from hrm_envs.checks import shown, shown_path
from hrm_envs.limits import MAX_JSON_BYTES

Kind = Literal["file", "folder", "other", "absent"]


def kind_of(path: Path) -> Kind:
    """The kind of file at a path, following links; ``"other"`` is a pipe, a device, or inaccessible.

    Reading from a pipe or a device may block forever, so only files and folders are opened.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: invalid file name
        return "absent"
    except OSError as error:  # no permission, or circular links
        return "absent" if error.errno == errno.ENAMETOOLONG else "other"
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


@contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading.

    Raises:
        ValueError: the file is missing, not a regular file, or not readable; the message begins with the path.
    """
    kind = kind_of(path)
    if kind == "absent":
        raise ValueError(f"{shown_path(path)}: there is no such file")
    if kind != "file":
        raise ValueError(
            f"{shown_path(path)} is {'a folder, not a file' if kind == 'folder' else 'not a regular file'}"
        )
    try:
        file = path.open("rb")
    except OSError as error:
        raise ValueError(f"{shown_path(path)} cannot be opened: {error.strerror}") from error
    with file:
        yield file


def list_folder(folder: Path, end: str) -> list[Path]:
    """The entries of a folder whose names end with ``end``, sorted by name.

    Raises:
        ValueError: the folder cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith(end))
    except OSError as error:
        raise ValueError(f"{shown_path(folder)} cannot be read: {error.strerror}") from error


def is_plain_name(name: Any) -> bool:
    """Whether ``name`` is a plain file name on every system, not a path that could leave the folder."""
    return isinstance(name, str) and name not in ("", "..") and "\0" not in name and PureWindowsPath(name).name == name


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte-order mark.

    Raises:
        ValueError: the file cannot be read or is not UTF-8; the message names the file and the line.
    """
    with open_file(path) as file:
        try:
            content = file.read()
        except OSError as error:
            raise ValueError(f"{shown_path(path)} cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{shown_path(path)}, line {line}: byte {content[error.start]:#04x} is not UTF-8; save it as UTF-8 text"
        ) from error


def read_json(path: Path) -> Any:
    """Read a JSON document in UTF-8.

    Raises:
        ValueError: the file cannot be read, is larger than 64 MiB or is not valid JSON (NaN and Infinity are not); the
            message names the file and, if known, the line.
    """
    path = Path(path)
    where = f"{shown_path(path)} cannot be read as JSON"
    if kind_of(path) == "file" and path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{where}: it is larger than {MAX_JSON_BYTES // 1024**2} MiB")
    text = read_text(path)
    try:
        return parse_json(text)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def parse_json(text: str) -> Any:
    """Parse a JSON document.

    Raises:
        ValueError: the text is not valid JSON (NaN and Infinity are not), or nested too deeply; the message gives the
            position.
    """
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except ValueError as error:  # NaN, Infinity, or an integer with too many digits
        raise ValueError(str(error).split(";")[0]) from error


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{shown(name)} is not valid JSON")
