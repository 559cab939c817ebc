"""Files from outside, opened with care: regular files only, and whatever is wrong with one is said in one line."""

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
    """What lies at a path, through links; ``"other"`` is a pipe, a device, or what may not be looked at.

    Reading from a pipe or a device may last for ever, so nothing but files and folders is ever opened.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: no file can have such a name
        return "absent"
    except OSError as error:  # a part of the path may not be searched, or links lead around in a circle
        return "absent" if error.errno == errno.ENAMETOOLONG else "other"
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


@contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file from outside for reading.

    Raises:
        ValueError: there is none, it is no regular file, or it may not be read; the text begins with the path.
    """
    kind = kind_of(path)
    if kind == "absent":
        raise ValueError(f"{shown_path(path)}: there is no such file")
    if kind != "file":
        raise ValueError(f"{shown_path(path)} is {'a folder' if kind == 'folder' else 'no regular file'}, not a file")
    try:
        file = path.open("rb")
    except OSError as error:
        raise ValueError(f"{shown_path(path)} cannot be opened: {error.strerror}") from error
    with file:
        yield file


def list_folder(folder: Path, end: str) -> list[Path]:
    """What in a folder has a name with this end, by name.

    Raises:
        ValueError: the folder may not be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith(end))
    except OSError as error:
        raise ValueError(f"{shown_path(folder)} cannot be read: {error.strerror}") from error


def is_plain_name(name: Any) -> bool:
    """Whether a text is the name of something directly inside a folder, on any system: no path, no way out of it."""
    return isinstance(name, str) and name not in ("", "..") and "\0" not in name and PureWindowsPath(name).name == name


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, with or without the mark that some editors put in front.

    Raises:
        ValueError: it cannot be read, or is no such text; the text names the file and the line.
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
            f"{shown_path(path)}, line {line}: byte {content[error.start]:#04x} is no UTF-8; save it as UTF-8 text"
        ) from error


def read_json(path: Path) -> Any:
    """A JSON document in UTF-8.

    Raises:
        ValueError: it cannot be read, is larger than 64 MiB or no JSON (NaN and Infinity are none); the text names
            the file, and the line where that is known.
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
    """A JSON document from its text.

    Raises:
        ValueError: it is no JSON (NaN and Infinity are none), or nested too deeply; the text says where.
    """
    try:
        return json.loads(text, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except ValueError as error:  # a constant that is no number, or an integer of too many digits
        raise ValueError(str(error).split(";")[0]) from error


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{shown(name)} is no number of JSON")
