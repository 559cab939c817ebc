"""Ctrl-C, SIGTERM and the end of a time limit as requests to stop after the current update."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: The reason of a request that is no signal: the time is up.
TIME_IS_UP = 0x100


class Stopped(KeyboardInterrupt):
    """A training run was asked to stop.

    Args:
        reason: number of a signal, or :data:`TIME_IS_UP`.
        advice: how to continue.
    """

    def __init__(self, reason: int, advice: str = "") -> None:
        super().__init__(*[advice] * bool(advice))
        self.reason = reason

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C and 143 after SIGTERM, as shells report them; 75, "try again", when the time is up."""
        return getattr(os, "EX_TEMPFAIL", 75) if self.reason == TIME_IS_UP else 128 + self.reason


@contextmanager
def stop_requests(max_seconds: float | None = None) -> Iterator[list[int]]:
    """Yield a list that gets a reason at Ctrl-C or SIGTERM, or after a time, so that the current update can finish.

    A second Ctrl-C interrupts at once.

    Args:
        max_seconds: the time; no limit if None.
    """
    requests: list[int] = []
    limit = threading.Timer(max_seconds or 0.0, requests.append, [TIME_IS_UP])
    limit.daemon = True  # a limit does not keep the program alive

    def request(number: int, frame: Any) -> None:
        requests.append(number)
        signal.signal(number, signal.default_int_handler)

    try:
        before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread, where Python delivers no signals
        before = {}
    try:
        if max_seconds is not None:
            limit.start()
        yield requests
    finally:
        limit.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
