"""One owner per run folder: the training process holds a lock that the system releases when the process ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from hrm_agents.distributed import ALONE, Ranks
from hrm_agents.errors import UserError, shown_path
from hrm_agents.records.files import reason
from hrm_agents.records.locks import try_lock

_NAME = ".lock"
#: Folders that this process holds, and how often.
_held: dict[Path, int] = {}


@contextmanager
def hold_folder(folder: Path, ranks: Ranks = ALONE) -> Iterator[None]:
    """Own a run folder inside a ``with`` block; creates the folder if it does not exist.

    Within one process the lock is reentrant, so that its holder can call functions that take it too.

    Args:
        folder: of the run.
        ranks: the processes that train together, of which the first holds it for all.

    Raises:
        UserError: another run has the folder, or it cannot be written.
    """
    with ExitStack() as stack:
        ranks.first(lambda: stack.enter_context(_held_folder(folder)))
        yield


@contextmanager
def _held_folder(folder: Path) -> Iterator[None]:
    """Hold the lock in this process."""
    try:
        key = Path(os.path.realpath(folder))
    except ValueError as error:  # such as a null character in the name
        raise UserError(_cannot_write(folder, error)) from error
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
                place.rmdir()  # fails unless it is empty
        os.close(descriptor)


def _take(folder: Path) -> int:
    """Lock the folder; returns the descriptor that holds the lock."""
    path = folder / _NAME
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            raise UserError(_cannot_write(folder, error)) from error
        if not try_lock(descriptor):
            owner = ""
            with suppress(OSError, UnicodeDecodeError):
                owner = os.read(descriptor, 200).decode().strip()
            os.close(descriptor)
            raise UserError(
                f"{folder} is in use by {owner or 'another process'}, which trains in it: wait for it, stop it, or "
                "choose another folder"
            )
        # The previous owner removes the file, perhaps just before the lock was taken.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                break
        os.close(descriptor)
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    return descriptor


def _cannot_write(folder: Path, error: Exception) -> str:
    return f"cannot write to {shown_path(folder)}: {reason(error)}; choose another folder with --out"
