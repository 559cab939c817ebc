"""``hrm-agents watch``."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hrm_agents.commands.common import (
    EXPLAINED,
    Device,
    Keywords,
    Modules,
    keywords,
    needs_display,
    parse,
    progress,
    say,
)
from hrm_agents.errors import UserError, user_errors
from hrm_agents.limits import Limits
from hrm_agents.user_modules import import_modules
from hrm_agents.zoo import DEFAULT


@dataclass(frozen=True)
class Watch:
    """Watch a model think, in a window or as a GIF (--record). Close the window or press Ctrl-C to stop."""

    checkpoint: Annotated[Path, tyro.conf.Positional, EXPLAINED] = Path(DEFAULT)
    """Checkpoint folder, or the name of a model of `hrm-agents models`; maze-9x9 if omitted."""
    record: Annotated[Path | None, EXPLAINED] = None
    """Write this GIF file (NAME.gif) instead of opening a window."""
    episodes: Annotated[int | None, EXPLAINED] = None
    """Number of puzzles; if omitted, 3 in a GIF and without end in a window."""
    seed: int = 0
    """Seed of the choice of puzzles."""
    fps: float = 2.0
    """Segments per second."""
    kwargs: Keywords = ()
    module: Modules = ()
    device: Device = "cpu"


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Watch, "watch", arguments)
    if not 0.1 <= options.fps <= 100:
        raise UserError(f"--fps must lie between 0.1 and 100, got {options.fps}")
    if options.episodes is not None:
        # All images of a GIF are in memory until it is written.
        Limits(1, 1_000 if options.record is not None else math.inf).check("--episodes", options.episodes)
    import_modules(options.module)
    return _show(options) if options.record is None else _record(options, options.record)


def _record(options: Watch, path: Path) -> int:
    from hrm_agents.solving.recording import check_gif, record_episode, write_gif
    from hrm_agents.solving.solver import load

    check_gif(path)
    solver = load(options.checkpoint, options.device)
    env = solver.make_env(**{**keywords(options.kwargs), "render_mode": "rgb_array"})
    number = options.episodes or 3
    episodes = []
    with progress("thinking") as share:
        for episode in range(number):
            frames, _ = record_episode(solver, env, seed=options.seed if episode == 0 else None)
            episodes.append(frames)
            share((episode + 1) / number)
    write_gif(path, episodes, options.fps)
    say(f"wrote {path}")
    return 0


def _show(options: Watch) -> int:
    from hrm_agents.solving.solver import load

    solver = load(options.checkpoint, options.device)
    env = solver.make_env(**{**keywords(options.kwargs), "render_mode": "human"})
    env.unwrapped.metadata = {**env.unwrapped.metadata, "render_fps": options.fps}
    episode = solved = 0
    try:
        with user_errors(solver.env_id), needs_display("write a GIF with --record FILE.gif"):
            while options.episodes is None or episode < options.episodes:
                success = False
                for segment in solver.think(env, seed=options.seed if episode == 0 else None):
                    success = segment.success
                    if env.unwrapped.window_closed:  # type: ignore[attr-defined]
                        return 0
                episode, solved = episode + 1, solved + success
                print(f"\rsolved {solved} of {episode}", end="", file=sys.stderr, flush=True)
    finally:
        if episode:
            print(file=sys.stderr)
        env.close()
    return 0
