"""``hrm-agents watch``."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated

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
    """Watch a model think: in a window, as text (--text), or in a file (--record). Close the window with q or Esc."""

    checkpoint: Annotated[Path, tyro.conf.Positional, EXPLAINED] = Path(DEFAULT)
    """Checkpoint folder, or the name of a model of `hrm-agents models`; maze-9x9 if omitted."""
    record: Annotated[Path | None, EXPLAINED] = None
    """Write this file instead of opening a window: NAME.gif, NAME.mp4, or NAME.png for all images in one strip."""
    text: bool = False
    """Print the boards to the terminal instead of opening a window. In colour, unless NO_COLOR is set or the output is
    no terminal."""
    episodes: Annotated[int | None, EXPLAINED] = None
    """Number of puzzles; if omitted, without end in a window, 1 in a strip, and otherwise 3."""
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
    if options.text and options.record is not None:
        raise UserError("--text and --record exclude each other: text goes to standard output")
    if options.episodes is not None:
        # All images of a recording are in memory until it is written.
        Limits(1, 1_000 if options.record is not None else math.inf).check("--episodes", options.episodes)
    import_modules(options.module)
    if options.record is not None:
        return _record(options, options.record)
    return _print(options) if options.text else _show(options)


def _record(options: Watch, path: Path) -> int:
    from hrm_agents.solving.recording import check_recording, record_episode, write_recording
    from hrm_agents.solving.solver import load

    check_recording(path)
    solver = load(options.checkpoint, options.device)
    env = solver.make_env(**{**keywords(options.kwargs), "render_mode": "rgb_array"})
    number = options.episodes or (1 if path.suffix.lower() == ".png" else 3)
    episodes = []
    with progress("thinking") as share:
        for episode in range(number):
            frames, _ = record_episode(solver, env, seed=options.seed if episode == 0 else None)
            episodes.append(frames)
            share((episode + 1) / number)
    write_recording(path, episodes, options.fps)
    say(f"wrote {path}")
    return 0


def _print(options: Watch) -> int:
    from hrm_agents.solving.solver import load
    from hrm_agents.solving.text import narrate

    color = colored(sys.stdout)
    solver = load(options.checkpoint, options.device)
    env = solver.make_env(**{**keywords(options.kwargs), "render_mode": "ansi"})
    number = options.episodes or 3
    solved = 0
    with user_errors(solver.env_id):
        for episode in range(number):
            seed = options.seed if episode == 0 else None
            success = False
            for piece, right in narrate(solver, env, f"puzzle {episode + 1}", seed=seed, color=color):
                success = right
                print(piece, flush=True)
                if sys.stdout.isatty():
                    time.sleep(1 / options.fps)
            solved += success
    print(f"solved {solved} of {number}")
    return 0


def colored(file: IO[str]) -> bool:
    """Whether to write colours to a file: to a terminal, unless NO_COLOR (no-color.org) or TERM forbids it."""
    return file.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _show(options: Watch) -> int:
    from hrm_agents.solving.solver import load

    solver = load(options.checkpoint, options.device)
    env = solver.make_env(**{**keywords(options.kwargs), "render_mode": "human"})
    env.unwrapped.metadata = {**env.unwrapped.metadata, "render_fps": options.fps}
    episode = solved = 0
    try:
        with user_errors(solver.env_id), needs_display("print text with --text, or write a GIF with --record FILE.gif"):
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
