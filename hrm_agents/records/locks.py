"""Locks on open files, which the system releases when their process ends."""

from __future__ import annotations

import os

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

#: On Windows no other process can read the locked byte, so it lies far behind the text in a lock file.
_LOCKED_BYTE = 1 << 20


def try_lock(descriptor: int) -> bool:
    """Lock an open file without waiting; False if another process has locked it.

    True on a file system without locks: better no lock than no run.
    """
    if fcntl is None:
        position = os.lseek(descriptor, 0, os.SEEK_CUR)
        try:
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, position, os.SEEK_SET)
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True
