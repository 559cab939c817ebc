"""Test puzzles that are symmetric copies of training puzzles, in a folder that comes with both splits."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import shown_path
from hrm_envs.puzzles.rows import Rows
from hrm_envs.spec import TaskSpec
from hrm_envs.task import Task

#: Puzzles of each split that are compared: a few seconds of work.
_MOST = 50_000

_log = logging.getLogger(__name__)
#: Folders that were compared by this process; environments are made again and again.
_compared: set[tuple[Path, int, TaskSpec]] = set()


def warn_of_copies(folder: Path, train: Iterator[Rows], test: Iterator[Rows], task: Task) -> None:
    """Warn if test puzzles of a folder are symmetric copies of its training puzzles; once for each folder and task.

    Args:
        folder: for the message.
        train: rows of the training split, unread.
        test: rows of the test split, unread.
        task: whose symmetries count.

    Raises:
        ValueError: a split cannot be read.
    """
    entry = (folder.absolute(), folder.stat().st_mtime_ns, task.spec)
    if entry in _compared:
        return
    (known, all_known), (asked, all_asked) = (_keys(rows, task) for rows in (train, test))
    copies = int(np.isin(asked, known).sum())
    if copies:
        _log.warning(
            "%d of %d test puzzles in %s are symmetric copies of training puzzles: a model may know them by heart",
            copies, len(asked), shown_path(folder),
        )  # fmt: skip
    if not (all_known and all_asked):
        _log.info("only the first %d puzzles of each split of %s were compared", _MOST, shown_path(folder))
    _compared.add(entry)


def _keys(parts: Iterator[Rows], task: Task) -> tuple[NDArray[np.uint64], bool]:
    """The symmetry keys of the first puzzles, and whether these are all."""
    keys = [np.zeros(0, np.uint64)]
    for rows in parts:
        keys.append(task.symmetry_key(rows.puzzle))
        if sum(map(len, keys)) >= _MOST:
            return np.concatenate(keys)[:_MOST], False
    return np.concatenate(keys), True
