"""Records as text: JSON lines, and CSV.

A resumed run first removes the lines of updates that it does again, and one that a kill cut off.
"""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hrm_agents.errors import UserError
from hrm_agents.records.append_file import AppendFile, cannot_record
from hrm_agents.records.files import write_atomically
from hrm_agents.records.recorder import Opening, Record, Recorder


class _Key(NamedTuple):
    """What tells two lines of a file apart: no update has two records on the same puzzles."""

    step: int
    about: Hashable


class _Lines:
    """A text file with a line for each record.

    A record that an earlier part of the run has written already is not written again: a run that was killed after an
    evaluation repeats it, unless it has saved since.

    Args:
        path: of the file.
        done: updates of an earlier part of the run; with 0, what is in the file is removed.
        key_of: the key of a line; ValueError, TypeError or KeyError if it is no record.
        heading: number of lines before the first record.

    Raises:
        UserError: the file cannot be read or written.
    """

    def __init__(self, path: Path, done: int, key_of: Callable[[str], _Key], heading: int = 0) -> None:
        self._key_of = key_of
        lines = _whole_lines(path) if done else []
        keys = {line: self._key(line) for line in lines[heading:]}
        kept = lines[:heading] + [line for line, key in keys.items() if key is not None and key.step <= done]
        write_atomically(path, "".join(kept).encode())
        self._known = {key for key in keys.values() if key is not None and key.step == done}
        self._file = AppendFile.open(path)

    def append(self, line: str) -> None:
        """Add a line, unless the file has a record of its key."""
        if self._key(line) not in self._known:
            self._file.append(f"{line}\n".encode())

    def close(self) -> None:
        self._file.close()

    def _key(self, line: str) -> _Key | None:
        try:
            return self._key_of(line)
        except (ValueError, TypeError, KeyError):
            return None


class JsonLines(Recorder):
    """Writes ``progress.jsonl``: an object for each record.

    Raises:
        UserError: the file cannot be read or written.
    """

    def __init__(self, run: Opening) -> None:
        self._lines = _Lines(run.out / "progress.jsonl", run.done, self._key_of)

    @staticmethod
    def _key_of(line: str) -> _Key:
        entry = json.loads(line)
        return _Key(int(entry["step"]), (entry["kind"], entry.get("split"), entry.get("num_puzzles")))

    def add(self, record: Record) -> None:
        """Write a line."""
        figures = {tag: value if math.isfinite(value) else None for tag, value in record.known().items()}
        entry = {"step": record.step, "time": _now(), "kind": record.kind, **record.facts, **figures}
        self._lines.append(json.dumps(entry))

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


class Csv(Recorder):
    """Writes ``progress.csv`` for training and ``evaluations.csv`` for evaluations.

    The first record of a file decides on its columns. A figure that is not known is an empty cell.

    Raises:
        UserError: a file cannot be read or written.
    """

    def __init__(self, run: Opening) -> None:
        names = {"training": "progress.csv", "evaluation": "evaluations.csv"}
        self._tables = {kind: _Table(run.out / name, run.done) for kind, name in names.items()}

    def add(self, record: Record) -> None:
        """Write a row."""
        row = {"step": record.step, "time": _now(), **record.facts, **record.figures}
        self._tables[record.kind].add(row)

    def close(self) -> None:
        """Close the files."""
        for table in self._tables.values():
            table.close()


class _Table:
    """A CSV file."""

    def __init__(self, path: Path, done: int) -> None:
        self._columns = _cells(_whole_lines(path)[0]) if done and _whole_lines(path) else []
        self._lines = _Lines(path, done, self._key_of, heading=1)

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a row, after the heading if it is the first."""
        if not self._columns:
            self._columns = list(row)
            self._lines.append(_csv_line(self._columns))
        self._lines.append(_csv_line([row.get(column) for column in self._columns]))

    def close(self) -> None:
        self._lines.close()

    def _key_of(self, line: str) -> _Key:
        row = dict(zip(self._columns, _cells(line), strict=True))
        return _Key(int(row["step"]), (row.get("split"), row.get("num_puzzles")))


def _whole_lines(path: Path) -> list[str]:
    """The lines of a file up to the last line break; none if there is no file."""
    try:
        *whole, _ = path.read_bytes().decode(errors="replace").split("\n")
        return [f"{line}\n" for line in whole]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(cannot_record(path.parent, error)) from error


def _cells(line: str) -> list[str]:
    """The cells of a line; none if it is not CSV."""
    try:
        return next(csv.reader([line]))
    except csv.Error:  # such as a null character before Python 3.11
        return []


def _csv_line(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _now() -> float:
    """Seconds since 1970, to the millisecond."""
    return round(time.time(), 3)
