"""What a command says where there is no display."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hrm_agents.errors import UserError


@contextmanager
def needs_display(advice: str) -> Iterator[None]:
    """Turn the error of a window, which advises programmers, into one for whoever typed the command.

    Args:
        advice: what to do instead.
    """
    from hrm_envs.rendering.window import NoDisplay

    try:
        yield
    except NoDisplay as error:
        raise UserError(f"there is no display to open a window on: {advice}") from error
