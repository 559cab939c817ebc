"""What the content of a file is, and its puzzles: arrays, a picture, a table, a JSON document, or text.

The content decides, not the suffix, except that a file called ``.npz`` or ``.npy`` must hold arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO, TextIOWrapper
from typing import BinaryIO

import numpy as np

from hrm_envs.checks import shown
from hrm_envs.limits import MAX_JSON_BYTES
from hrm_envs.puzzles.arrays import NotArraysError, is_arrays, read_arrays
from hrm_envs.puzzles.decoding import decode, encoding_of, wrong_byte
from hrm_envs.puzzles.documents import looks_like_json, read_document
from hrm_envs.puzzles.numbers import numbers_as_tokens
from hrm_envs.puzzles.picture import PNG, read_png
from hrm_envs.puzzles.rows import Places, Rows, located
from hrm_envs.puzzles.tables import Table, find_table, read_table
from hrm_envs.puzzles.values import find_names
from hrm_envs.task import Task

#: Suffixes of files that must hold arrays: such a file with other content is damaged.
ARRAYS = (".npz", ".npy")

#: How much of a file is looked at to find out what it is.
_START = 1 << 16

#: First bytes of formats that cannot be read, and what they are.
_OTHERS = {
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"\x89HDF": "an HDF5 file",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF document",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ": "packed with xz",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"7z\xbc\xaf": "packed with 7-Zip",
    b"Rar!": "packed with RAR",
    b"\x80\x04\x95": "a Python pickle, which could run code",
    b"\x80\x05\x95": "a Python pickle, which could run code",
}


def read_content(file: BinaryIO, name: str, task: Task) -> Iterator[Rows]:
    """The puzzles of a file, at most a few thousand at a time.

    Args:
        file: its content, unpacked; must be able to seek.
        name: the file, as messages show it.
        task: whose puzzles it holds.

    Raises:
        ValueError: the content cannot be read; the message names the file and the line, entry or array.
    """
    try:
        start = file.read(_START)
        file.seek(0)
        for magic, what in _OTHERS.items():
            if start.startswith(magic):
                raise ValueError(located(name, f"it is {what}; save it as CSV, JSON lines, .npz or text"))
        if is_arrays(start) or name.lower().endswith(ARRAYS):
            yield from _read_arrays(file, name, task)
        elif start.startswith(PNG):
            try:
                tokens = task.from_picture(read_png(file))
            except ValueError as error:
                raise ValueError(located(name, str(error))) from error
            yield Rows(tokens, np.zeros_like(tokens), Places(name, "puzzle", range(1, len(tokens) + 1)))
        else:
            yield from _read_encoded(file, start, name, task)
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror or error}") from error


def read_text(text: str, name: str, task: Task) -> Iterator[Rows]:
    """As :func:`read_content`, for text that is decoded already."""
    table = _table_of(text, name)
    if table is not None:
        yield from read_table(StringIO(text, newline=""), table, name, task)
    elif looks_like_json(text):
        if len(text) > MAX_JSON_BYTES:
            raise ValueError(located(name, f"it is larger than {MAX_JSON_BYTES // 1024**2} MiB"))
        yield from read_document(text, name, task).chunks()
    else:
        try:
            reading = task.read(text)
        except ValueError as error:
            raise ValueError(located(name, str(error))) from error
        unit, numbers = ("line", reading.lines) if reading.lines else ("puzzle", range(1, len(reading.puzzle) + 1))
        yield from Rows(reading.puzzle, reading.solution, Places(name, unit, numbers), reading.skipped).chunks()


def _read_encoded(file: BinaryIO, start: bytes, name: str, task: Task) -> Iterator[Rows]:
    """The puzzles of a text file. A table is read lazily, because it may be large."""
    encoding = encoding_of(start)
    table = _table_of(start.decode(encoding, "replace"), name)
    if table is None:
        try:
            text = decode(file.read())
        except ValueError as error:
            raise ValueError(located(name, str(error))) from error
        yield from read_text(text, name, task)
        return
    try:
        with TextIOWrapper(file, encoding, newline="") as lines:
            yield from read_table(lines, table, name, task)
    except UnicodeDecodeError as error:
        raise ValueError(located(name, wrong_byte(error))) from error


def _table_of(text: str, name: str) -> Table | None:
    """The table whose header is the first line of a text that is not empty; None if it is none."""
    line = next((line for line in text[:_START].splitlines() if line.strip()), "")
    try:
        return find_table(line)
    except ValueError as error:
        raise ValueError(located(name, f"line 1: {error}")) from error


def _read_arrays(file: BinaryIO, name: str, task: Task) -> Iterator[Rows]:
    """The puzzles of a numpy file."""
    try:
        arrays = read_arrays(file)
    except NotArraysError as error:
        raise ValueError(f"{name} cannot be read as a numpy file: {error}") from error
    if set(arrays) == {""}:  # an .npy file
        arrays = {"inputs": arrays[""]}
    names = find_names(sorted(arrays))
    if names is None:
        raise ValueError(f"{name} holds {shown(sorted(arrays))}; expected 'inputs' and optionally 'labels'")
    solution = None if names.solution is None else arrays[names.solution]
    try:
        puzzle, known = numbers_as_tokens(arrays[names.puzzle], solution, task)
    except ValueError as error:
        raise ValueError(located(name, str(error))) from error
    yield from Rows(puzzle, known, Places(name, "puzzle", range(len(puzzle)))).chunks()
