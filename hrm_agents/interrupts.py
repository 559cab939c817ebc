"""Ctrl-C and SIGTERM as requests to stop after the current update."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Yield a list that becomes non-empty at Ctrl-C or SIGTERM, so that the current update can finish.

    A second Ctrl-C interrupts at once.
    """
    requests: list[int] = []

    def request(number: int, frame: Any) -> None:
        requests.append(number)
        signal.signal(number, signal.default_int_handler)

    try:
        before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread, where Python delivers no signals
        yield requests
        return
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
