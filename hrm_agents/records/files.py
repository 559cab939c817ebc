"""Atomic writes of files, and reading of JSON, with clear errors."""

from __future__ import annotations

import errno
import glob
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from hrm_agents.errors import UserError, one_line, shown_path
from hrm_agents.records.locks import try_lock
from hrm_envs import read_json as read_json_file

_PART = ".part"
_DESCRIPTOR = re.compile(r"/dev/(?P<name>stdout|stderr)|/(?:dev|proc/self|proc/thread-self)/fd/(?P<number>\d{1,6})")


def write_atomically(path: Path, data: bytes, *, through_links: bool = True) -> None:
    """Replace the content of ``path`` by ``data``, completely or not at all.

    Replaces the target of a symbolic link and keeps the link. Writes directly into anything but a regular file, such
    as ``/dev/null``, ``/dev/stdout`` or a pipe. Removes temporary files of writers that were killed.

    Args:
        path: the file.
        data: its new content.
        through_links: follow a symbolic link; if False, the file replaces the link.

    Raises:
        UserError: the file cannot be written or the disk is full; the old content is unchanged.
    """
    path = Path(path)
    try:
        descriptor = _open_descriptor(path)
        if descriptor is not None:
            with open(os.dup(descriptor), "wb", buffering=0) as stream:
                _write_all(stream, data)
            return
        place = _place(path) if through_links else path
        if place.exists() and not place.is_file():
            _refuse_folder(place)
            with open(place, "wb", buffering=0) as device:
                _write_all(device, data)
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale_parts(place)
        with _part_beside(place) as (part, file):
            _write_all(file, data)
            os.fsync(file.fileno())
            os.replace(part, place)
        _sync_folder(place.parent)
    except (OSError, ValueError) as error:  # ValueError: such as a null character in the name
        raise UserError(_cannot_write(path, error)) from error


def check_writable(path: Path) -> None:
    """Check before long work that :func:`write_atomically` can write ``path``, without changing it.

    Raises:
        UserError: it cannot.
    """
    path = Path(path)
    try:
        descriptor = _open_descriptor(path)
        if descriptor is not None:
            os.fstat(descriptor)
            return
        place = _place(path)
        _refuse_folder(place)
        if place.exists() and not place.is_file():
            if not os.access(place, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        with _part_beside(place):
            pass
    except (OSError, ValueError) as error:  # ValueError: such as a null character in the name
        raise UserError(_cannot_write(path, error)) from error


def _remove_stale_parts(path: Path) -> None:
    """Remove the temporary files of killed writers of ``path``, but not of running ones."""
    for part in path.parent.glob(f"{glob.escape(_part_prefix(path))}*{_PART}"):
        with suppress(OSError):
            descriptor = os.open(part, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
            try:
                if stat.S_ISREG(os.fstat(descriptor).st_mode) and try_lock(descriptor):
                    part.unlink()
            finally:
                os.close(descriptor)


def read_json(path: Path) -> Any:
    """Read a JSON file; see :func:`hrm_envs.puzzles.files.read_json`.

    Raises:
        UserError: it is missing, not a regular file, or not JSON; the message names the file.
    """
    try:
        return read_json_file(path)
    except ValueError as error:
        raise UserError(str(error)) from error


def _open_descriptor(path: Path) -> int | None:
    """Descriptor of this process that a path such as ``/dev/stdout`` names: its target must not be replaced."""
    found = _DESCRIPTOR.fullmatch(str(path))
    if found is None:
        return None
    return {"stdout": 1, "stderr": 2}[found["name"]] if found["name"] else int(found["number"])


def _place(path: Path) -> Path:
    """The target of a symbolic link, or the path itself."""
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


@contextmanager
def _part_beside(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """Create a temporary file of unpredictable name beside ``path``; removed at the end unless it was moved.

    It is locked while open, which distinguishes it from a stale one in :func:`_remove_stale_parts`.
    """
    while True:
        descriptor, name = tempfile.mkstemp(prefix=_part_prefix(path), suffix=_PART, dir=path.parent)
        try_lock(descriptor)
        if os.fstat(descriptor).st_nlink:  # otherwise it was removed as stale just before the lock
            break
        os.close(descriptor)
    part = Path(name)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        try:
            with suppress(OSError, AttributeError):  # some systems and file systems have no permissions
                os.fchmod(descriptor, _mode(path))
            yield part, file
        finally:
            with suppress(OSError):  # already moved after a success
                part.unlink()


def _part_prefix(path: Path) -> str:
    """Prefix of temporary files of ``path``, at most about as long as its name."""
    return f".{path.name[:100]}."


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def _mode(path: Path) -> int:
    """Permissions for a file that replaces ``path``: those of ``path``, or the default under the user's umask."""
    with suppress(OSError):
        return stat.S_IMODE(path.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _write_all(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power failure, where the system supports it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _cannot_write(path: Path, error: Exception) -> str:
    advice = "free some space" if disk_is_full(error) else "choose another place"
    return f"cannot write {shown_path(path)}: {reason(error)}; {advice}. What was there before is untouched"


def disk_is_full(error: Exception) -> bool:
    """Whether writing failed for lack of space, a quota, or a limit on file sizes."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def reason(error: Exception) -> str:
    """Message of an error, without the path that system calls append."""
    return one_line(str(getattr(error, "strerror", None) or error))
