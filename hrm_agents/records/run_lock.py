"""One owner for the folder of a run: whoever trains in it holds a lock, which the system releases when it dies."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hrm_agents.errors import UserError, one_line

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

_NAME = ".lock"
#: Folders that this process holds already, and how often.
_held: dict[Path, int] = {}


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Own the folder of a run inside a ``with`` block; the folder is made if it is not there.

    Within one process the lock may be taken again, so that whoever holds it can call what takes it too.

    Raises:
        UserError: another process trains in the folder, or it cannot be written.
    """
    try:
        key = Path(os.path.realpath(folder))
    except ValueError as error:  # a name that no folder can have
        raise UserError(f"cannot write to {one_line(str(folder))}: {error}; choose another with --out") from error
    made = [place for place in (folder, *folder.parents) if not os.path.exists(place)]
    if key in _held:
        _held[key] += 1
        try:
            yield
        finally:
            _held[key] -= 1
        return
    descriptor = _take(folder)
    _held[key] = 1
    try:
        yield
    finally:
        del _held[key]
        with suppress(OSError):
            (folder / _NAME).unlink()
            for place in made:
                place.rmdir()  # only if nothing was written into it
        os.close(descriptor)


def _take(folder: Path) -> int:
    """The descriptor that holds the lock."""
    path = folder / _NAME
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(
                f"cannot write to {one_line(str(folder))}: {reason}; choose another folder with --out"
            ) from error
        try:
            _lock(descriptor)
            # Whoever held it before removes the file, which may have been in the moment before the lock.
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                break
        except FileNotFoundError:
            pass
        except BlockingIOError:
            owner = ""
            with suppress(OSError, UnicodeDecodeError):
                owner = os.read(descriptor, 200).decode().strip()
            os.close(descriptor)
            raise UserError(
                f"{folder} is in use by {owner or 'another process'}, which trains in it: wait for it, stop it, or "
                "choose another folder"
            ) from None
        os.close(descriptor)
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    return descriptor


def _lock(descriptor: int) -> None:
    """Lock an open file, where its file system can do that.

    Raises:
        BlockingIOError: another process has locked it.
    """
    if fcntl is None:
        try:
            # One byte far behind the owner's name, since nobody else can read what is locked.
            os.lseek(descriptor, 1 << 20, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError from error
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks: better no lock than no run
        return
