"""PNG pictures as arrays of colours."""

from __future__ import annotations

import os
from io import BytesIO
from typing import BinaryIO

import numpy as np
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

PNG = b"\x89PNG\r\n\x1a\n"
#: Pixels of a picture: 4096 x 4096.
_MAX_PIXELS = 2**24


def read_png(file: BinaryIO) -> NDArray[np.uint8]:
    """The colours of a picture, uint8 ``[height, width, 3]``; transparency is ignored.

    Raises:
        ValueError: the picture is damaged, or larger than 16 million pixels.
        DependencyNotInstalled: pygame is not installed.
    """
    content = file.read()
    width, height = (int.from_bytes(content[start : start + 4], "big") for start in (16, 20))
    if not 0 < width * height <= _MAX_PIXELS:
        raise ValueError(f"the picture has {width:,} x {height:,} pixels; at most {_MAX_PIXELS:,} are allowed")
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ImportError as error:
        raise DependencyNotInstalled(
            'reading a picture needs pygame, which is not installed: run `pip install "hrm-agents[render]"`'
        ) from error
    try:
        surface = pygame.image.load(BytesIO(content), "picture.png")
    except pygame.error as error:
        raise ValueError(f"the picture cannot be read: {error}") from error
    pixels = np.frombuffer(pygame.image.tobytes(surface, "RGB"), np.uint8)
    return pixels.reshape(surface.get_height(), surface.get_width(), 3)
