"""Episodes as images: frames of a model that solves puzzles, and files of them: GIF, MP4, or a strip as PNG."""

from __future__ import annotations

import io
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hrm_agents.errors import UserError, one_line, user_errors
from hrm_agents.records.files import check_writable, write_atomically
from hrm_agents.solving.solution import Segment
from hrm_agents.solving.solver import Solver

Frame = NDArray[np.uint8]

#: The last image of an episode stays this many times as long as the others.
_HOLD = 4
#: The palette of a GIF is computed from about this many pixels.
_PALETTE_PIXELS = 2_000_000
#: Images per second of an MP4, at least: players show slower ones badly.
_VIDEO_FPS = 10
#: A strip is at most this wide, in pixels, unless a single image is wider.
_STRIP_WIDTH = 3840


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


def check_recording(path: Path) -> None:
    """Check that :func:`write_recording` can write ``path``, before the images are made.

    Raises:
        UserError: the name ends in none of ``.gif``, ``.mp4`` and ``.png``, the file cannot be written, or it is an MP4
            and the extra ``video`` is not installed.
    """
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise UserError(
            f"{path}: choose a name that ends in .gif (animation), .mp4 (video) or .png (all images in one strip)"
        )
    if suffix == ".mp4":
        _ffmpeg()
    check_writable(path)


def write_recording(path: Path, episodes: Sequence[Sequence[Frame]], fps: float = 2.0) -> None:
    """Write episodes in the format that the suffix of ``path`` asks for.

    Args:
        path: ends in ``.gif``, ``.mp4`` or ``.png``.
        episodes: images of each, all of one size.
        fps: images per second, from 0.1 to 100; a strip has none.

    Raises:
        UserError: see :func:`check_recording`.
        ValueError: there are no images, or ``fps`` is out of range.
    """
    check_recording(path)
    _WRITERS[path.suffix.lower()](path, episodes, fps)


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
        path: ends in ``.gif``.
        episodes: images of each, all of one size.
        fps: images per second, from 0.1 to 100.

    Raises:
        UserError: see :func:`check_gif`.
        ValueError: there are no images, or ``fps`` is out of range.
    """
    check_gif(path)
    _check_contents(episodes, fps)
    images = [Image.fromarray(frame) for frames in episodes for frame in frames]
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


def write_mp4(path: Path, episodes: Sequence[Sequence[Frame]], fps: float = 2.0) -> None:
    """Write episodes, one after another, as an MP4 (H.264). The arguments are those of :func:`write_gif`.

    Raises:
        UserError: the extra ``video`` is not installed, the video cannot be encoded, or the file cannot be written.
        ValueError: there are no images, or ``fps`` is out of range.
    """
    program = _ffmpeg()
    _check_contents(episodes, fps)
    height, width, _ = next(frame for frames in episodes for frame in frames).shape
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "-"]
    # H.264 needs even sides in this pixel format, the one that all players know.
    filters = f"fps={max(fps, _VIDEO_FPS)},pad=ceil(iw/2)*2:ceil(ih/2)*2"
    target = ["-vf", filters, "-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    with tempfile.TemporaryDirectory() as folder:
        file, log = Path(folder) / "video.mp4", Path(folder) / "log"
        with log.open("wb") as errors:
            command = [program, "-loglevel", "error", *source, *target, str(file)]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors) as encoder, suppress(BrokenPipeError):
                assert encoder.stdin is not None
                for frames in episodes:
                    for image in [*frames, *[frames[-1]] * (_HOLD - 1 if frames else 0)]:
                        encoder.stdin.write(np.ascontiguousarray(image).tobytes())
        if encoder.returncode:
            reason = one_line(log.read_text(errors="replace"))
            raise UserError(f"{path}: ffmpeg could not encode the video: {reason}")
        write_atomically(path, file.read_bytes())


def write_strip(path: Path, episodes: Sequence[Sequence[Frame]], fps: float = 2.0) -> None:
    """Write all images side by side as a PNG. Every episode begins a row, and long ones take several.

    Args:
        path: the file.
        episodes: images of each, all of one size.
        fps: has no effect.

    Raises:
        UserError: the file cannot be written.
        ValueError: there are no images.
    """
    _check_contents(episodes, fps)
    height, width, _ = (frame := next(frame for frames in episodes for frame in frames)).shape
    columns = min(max(map(len, episodes)), max(1, _STRIP_WIDTH // width))
    rows = [frames[start : start + columns] for frames in episodes for start in range(0, len(frames), columns)]
    strip = np.full((len(rows) * height, columns * width, 3), frame[0, 0], np.uint8)
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            strip[row * height : (row + 1) * height, column * width : (column + 1) * width] = image
    buffer = io.BytesIO()
    Image.fromarray(strip).save(buffer, "PNG", optimize=True)
    write_atomically(path, buffer.getvalue())


_WRITERS: dict[str, Callable[[Path, Sequence[Sequence[Frame]], float], None]] = {
    ".gif": write_gif,
    ".mp4": write_mp4,
    ".png": write_strip,
}


def _check_contents(episodes: Sequence[Sequence[Frame]], fps: float) -> None:
    if not 0.1 <= fps <= 100:
        raise ValueError(f"fps={fps} must lie between 0.1 and 100")
    if not any(episodes):
        raise ValueError("there are no images to write")


def _ffmpeg() -> str:
    """The ffmpeg program of the extra ``video``.

    Raises:
        UserError: it is not installed.
    """
    try:
        import imageio_ffmpeg

        program: str = imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:  # RuntimeError: the package has no program for this platform
        raise UserError('MP4 needs ffmpeg, which is not installed: run `pip install "hrm-agents[video]"`') from error
    return program
