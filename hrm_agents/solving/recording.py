"""Episodes as pictures: frames of an agent at work, and GIFs of them."""

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
from hrm_agents.solving.solver import Segment, Solver

Picture = NDArray[np.uint8]

#: How much longer the last picture of an episode stays than the others.
_HOLD = 4
#: Choosing the colours of a GIF looks at about so many pixels.
_PALETTE_PIXELS = 2_000_000


def record_episode(
    solver: Solver, env: Any, *, seed: int | None = None, options: dict[str, Any] | None = None
) -> tuple[list[Picture], tuple[Segment, ...]]:
    """Play one episode in an environment made with ``render_mode="rgb_array"``.

    Returns:
        The pictures uint8 ``[H, W, 3]``, the first of the bare puzzle, then one a segment; and the segments.
    """
    frames: list[Picture] = []
    segments: list[Segment] = []
    with user_errors(solver.env_id):
        for segment in solver.think(env, seed=seed, options=options, on_reset=lambda: frames.append(env.render())):
            segments.append(segment)
            frames.append(env.render())
    return frames, tuple(segments)


def check_gif(path: Path) -> None:
    """Whether :func:`write_gif` could write ``path``, found out before the pictures are made.

    Raises:
        UserError: the name is not that of a GIF, or the file cannot be written.
    """
    if path.suffix.lower() != ".gif":
        raise UserError(f"{path}: only GIFs are written; choose a name that ends in .gif")
    check_writable(path)


def write_gif(path: Path, episodes: Sequence[Sequence[Picture]], fps: float = 2.0) -> None:
    """Write episodes, one after another, as a GIF that loops.

    Args:
        path: ends in ``.gif``, the only format there is.
        episodes: their pictures, all of one size.
        fps: pictures a second, from 0.1 to 100.

    Raises:
        UserError: see :func:`check_gif`.
        ValueError: there are no pictures, or ``fps`` is out of range.
    """
    check_gif(path)
    if not 0.1 <= fps <= 100:
        raise ValueError(f"fps={fps} must lie between 0.1 and 100")
    images = [Image.fromarray(frame) for frames in episodes for frame in frames]
    if not images:
        raise ValueError("there are no pictures to write")
    # One palette for all pictures, or colours flicker: taken from all, as mistakes may show in the early ones only.
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
