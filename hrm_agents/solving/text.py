"""A model's thinking as text: the board after each segment, and what the model made of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hrm_agents.solving.solution import Segment
from hrm_agents.solving.solver import Solver

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_RIGHT, _WRONG, _PLAIN = "\x1b[1;34m", "\x1b[1;31m", "\x1b[0m"


def narrate(
    solver: Solver, env: Any, title: str, *, seed: int | None = None, color: bool = False
) -> Iterator[tuple[str, bool]]:
    """Play one episode in an environment made with ``render_mode="ansi"``, and tell it piece by piece.

    Wrong cells are followed by ``!`` and changed ones by ``*``, with and without colours.

    Args:
        solver: the model.
        env: from :meth:`Solver.make_env`.
        title: of the first piece, which is the puzzle.
        seed: of ``env.reset``.
        color: keep the colours.

    Yields:
        The text of the puzzle and of each segment, and whether the answer so far is right.
    """
    puzzle: list[str] = []
    for number, segment in enumerate(solver.think(env, seed=seed, on_reset=lambda: puzzle.append(env.render())), 1):
        if puzzle:
            yield _piece(title, puzzle.pop(), color), False
        yield _piece(describe(number, segment), env.render(), color), segment.success


def describe(number: int, segment: Segment) -> str:
    """One line on a segment: whether its answer is right, the model's values, and its decision."""
    percent = int(segment.score * 100 + 1e-6)  # rounded down, as in images
    verdict = f"{_RIGHT}right{_PLAIN}" if segment.success else f"{_WRONG}wrong{_PLAIN} (score {percent}%)"
    values = [f"Q halt {segment.q_halt:.2f}"]
    if segment.q_continue is not None:
        values.append(f"Q continue {segment.q_continue:.2f}")
    if segment.gain is not None:
        values.append(f"gain of thinking on {segment.gain:+.2f}")
    return f"segment {number}: {verdict}, {', '.join(values)}: {'halt' if segment.halt else 'think on'}"


def _piece(title: str, rendered: str, color: bool) -> str:
    """A title and the board of a rendered frame, whose first line is on the episode."""
    text = f"{title}\n{rendered.partition(chr(10))[2]}"
    return text if color else _STYLE.sub("", text)
