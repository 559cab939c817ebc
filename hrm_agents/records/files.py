"""Files written whole or not at all, and JSON from outside read with clear errors."""

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

from hrm_agents.errors import UserError, one_line
from hrm_envs import read_json as read_json_file

try:
    import fcntl
except ImportError:  # Windows, which does not let anybody remove a file that is open
    fcntl = None  # type: ignore[assignment]

_PART = ".part"
_DESCRIPTOR = re.compile(r"/dev/(?P<name>stdout|stderr)|/(?:dev|proc/self|proc/thread-self)/fd/(?P<number>\d{1,6})")


def write_atomically(path: Path, data: bytes, *, through_links: bool = True) -> None:
    """Replace ``path`` by ``data``, wholly or not at all.

    A link is followed: what it points to is replaced, and the link stays. What is no regular file, such as
    ``/dev/null``, ``/dev/stdout`` or a pipe, is written to and stays what it is. Parts that killed writers left behind
    are removed.

    Args:
        path: the file.
        data: what it should hold.
        through_links: follow a link; otherwise the file takes its place.

    Raises:
        UserError: the file cannot be written or the disk is full; what was there before is untouched.
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
        remove_stale_parts(place)
        with _part_beside(place) as (part, file):
            _write_all(file, data)
            os.fsync(file.fileno())
            os.replace(part, place)
        _sync_folder(place.parent)
    except (OSError, ValueError) as error:  # a ValueError is a name that no file can have
        raise UserError(_cannot_write(path, error)) from error


def check_writable(path: Path) -> None:
    """Whether :func:`write_atomically` could write ``path``, found out before hours of work; ``path`` is unchanged.

    Raises:
        UserError: it could not.
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
    except (OSError, ValueError) as error:  # a ValueError is a name that no file can have
        raise UserError(_cannot_write(path, error)) from error


def remove_stale_parts(path: Path) -> None:
    """Remove what writers of ``path`` left behind that were killed; the parts of writers at work stay."""
    for part in path.parent.glob(f"{glob.escape(_part_prefix(path))}*{_PART}"):
        with suppress(OSError):
            descriptor = os.open(part, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
            try:
                if stat.S_ISREG(os.fstat(descriptor).st_mode) and _locked(descriptor):
                    part.unlink()
            finally:
                os.close(descriptor)


def read_json(path: Path) -> Any:
    """The content of a JSON file; see :func:`hrm_envs.puzzles.files.read_json`.

    Raises:
        UserError: it is missing, is no regular file, or is not JSON; the text names the file.
    """
    try:
        return read_json_file(path)
    except ValueError as error:
        raise UserError(str(error)) from error


def _open_descriptor(path: Path) -> int | None:
    """The open file of this process that a path stands for: what ``/dev/stdout`` leads to must not be replaced."""
    found = _DESCRIPTOR.fullmatch(str(path))
    if found is None:
        return None
    return {"stdout": 1, "stderr": 2}[found["name"]] if found["name"] else int(found["number"])


def _place(path: Path) -> Path:
    """Where writing to ``path`` ends up: the target of a link, else the path itself."""
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return target


@contextmanager
def _part_beside(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """A new file beside ``path``, under a name that nobody can guess; gone afterwards unless it was moved.

    The file is locked while it is written, so that whoever sweeps the folder knows it from a stale one.
    """
    while True:
        descriptor, name = tempfile.mkstemp(prefix=_part_prefix(path), suffix=_PART, dir=path.parent)
        _locked(descriptor)
        if os.fstat(descriptor).st_nlink:  # otherwise it was swept away in the moment before the lock
            break
        os.close(descriptor)
    part = Path(name)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        try:
            with suppress(OSError, AttributeError):  # not every system and file system has permissions
                os.fchmod(descriptor, _mode(path))
            yield part, file
        finally:
            # Gone after a success; left over after a failure.
            with suppress(OSError):
                part.unlink()


def _part_prefix(path: Path) -> str:
    """How the names of the parts of ``path`` begin; short enough to fit wherever the name itself does."""
    return f".{path.name[:100]}."


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def _mode(path: Path) -> int:
    """The permissions of a file that replaces ``path``: those it has, else what the user's mask leaves of all."""
    with suppress(OSError):
        return stat.S_IMODE(path.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _write_all(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _locked(descriptor: int) -> bool:
    """Lock an open file for this process unless another has; True where there are no such locks."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` last through a loss of power, where the system can do that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _cannot_write(path: Path, error: Exception) -> str:
    is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = "free some space" if is_full else "choose another place"
    return f"cannot write {one_line(str(path))}: {_reason(error)}; {advice}. What was there before is untouched"


def _reason(error: Exception) -> str:
    """What an error says, without the path that its system call appends."""
    strerror = getattr(error, "strerror", None)
    return one_line(str(strerror or error))
