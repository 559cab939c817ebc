"""Episodes as images: frames of a model that solves puzzles, and GIFs of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hrm_agents.errors import UserError, user_errors
from hrm_agents.records.files import check_writable, write_atomically
from hrm_agents.solving.solution import Segment
from hrm_agents.solving.solver import Solver

Frame = NDArray[np.uint8]

#: The last image of an episode stays this many times as long as the others.
_HOLD = 4
#: The palette of a GIF is computed from about this many pixels.
_PALETTE_PIXELS = 2_000_000


def record_episode(
    solver: Solver, env: Any, *, seed: int | None = None, options: dict[str, Any] | None = None
) -> tuple[list[Frame], tuple[Segment, ...]]:
    """Play one episode in an environment made with ``render_mode="rgb_array"``.

    Returns:
        Images uint8 ``[H, W, 3]``, first of the puzzle, then one per segment; and the segments.
    """
    frames: list[Frame] = []
    segments: list[Segment] = []
    with user_errors(solver.env_id):
        for segment in solver.think(env, seed=seed, options=options, on_reset=lambda: frames.append(env.render())):
            segments.append(segment)
            frames.append(env.render())
    return frames, tuple(segments)


def check_gif(path: Path) -> None:
    """Check that :func:`write_gif` can write ``path``, before the images are made.

    Raises:
        UserError: the name does not end in ``.gif``, or the file cannot be written.
    """
    if path.suffix.lower() != ".gif":
        raise UserError(f"{path}: only GIFs can be written; choose a name that ends in .gif")
    check_writable(path)


def write_gif(path: Path, episodes: Sequence[Sequence[Frame]], fps: float = 2.0) -> None:
    """Write episodes, one after another, as a GIF that loops.

    Args:
        path: ends in ``.gif``, the only format.
        episodes: images of each, all of one size.
        fps: images per second, from 0.1 to 100.

    Raises:
        UserError: see :func:`check_gif`.
        ValueError: there are no images, or ``fps`` is out of range.
    """
    check_gif(path)
    if not 0.1 <= fps <= 100:
        raise ValueError(f"fps={fps} must lie between 0.1 and 100")
    images = [Image.fromarray(frame) for frames in episodes for frame in frames]
    if not images:
        raise ValueError("there are no images to write")
    # A palette per image would make colours flicker. It is taken from all, since only early ones may show mistakes.
    pixels = sum(image.width * image.height for image in images)
    stride = 1 + int((pixels / _PALETTE_PIXELS) ** 0.5)
    sample = np.concatenate([np.asarray(image)[::stride, ::stride] for image in images])
    palette = Image.fromarray(sample).quantize(255, dither=Image.Dither.NONE)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    step = int(1000 / fps)
    durations = [step * (_HOLD if i == len(frames) - 1 else 1) for frames in episodes for i in range(len(frames))]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=False)
    write_atomically(path, buffer.getvalue())
