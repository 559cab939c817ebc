"""The colours of images: a dark and a light theme."""

from __future__ import annotations

from dataclasses import dataclass

from hrm_envs.checks import choice

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Theme:
    """Colours by their purpose.

    In each theme, blue, amber and red stay distinct under all common colour blindness; every meaning is also shown by a
    shape. Text has a contrast of at least 4.5 to the background, walls and marks one of at least 3 to the floor.
    """

    #: Behind everything, and behind a board or a block of the strip.
    background: Color
    panel: Color
    #: A cell of the answer, of the puzzle, and a wrong one with its stripes.
    tile: Color
    given: Color
    wrong: Color
    hatch: Color
    #: Keys, and the part of a bar that is not filled.
    raised: Color
    track: Color
    #: Outlines, and stronger ones.
    line: Color
    strong: Color
    #: Text of minor importance, and all other text.
    muted: Color
    ink: Color
    #: Right, or the agent's; new or changed; wrong.
    blue: Color
    amber: Color
    red: Color
    #: Free cells and walls of a maze.
    floor: Color
    wall: Color


DARK = Theme(
    background=(13, 18, 30), panel=(20, 27, 43),
    tile=(30, 39, 60), given=(43, 54, 82), wrong=(46, 34, 48), hatch=(74, 44, 54),
    raised=(52, 65, 95), track=(40, 51, 77),
    line=(70, 84, 116), strong=(128, 146, 184),
    muted=(150, 163, 190), ink=(244, 247, 252),
    blue=(100, 181, 255), amber=(255, 208, 84), red=(255, 108, 82),
    floor=(16, 21, 35), wall=(96, 110, 146),
)  # fmt: skip
LIGHT = Theme(
    background=(255, 255, 255), panel=(238, 241, 247),
    tile=(255, 255, 255), given=(214, 221, 235), wrong=(255, 232, 228), hatch=(250, 205, 198),
    raised=(222, 228, 238), track=(214, 221, 233),
    line=(158, 170, 196), strong=(98, 112, 146),
    muted=(82, 94, 120), ink=(20, 27, 43),
    blue=(0, 92, 184), amber=(168, 100, 0), red=(196, 34, 22),
    floor=(250, 251, 254), wall=(120, 134, 168),
)  # fmt: skip
#: The themes by name.
THEMES = {"dark": DARK, "light": LIGHT}


def theme_named(name: str) -> Theme:
    """The theme of the keyword ``theme``.

    Raises:
        ValueError: there is no theme of that name.
    """
    return THEMES[choice("theme", name, tuple(THEMES))]


def contrast(one: Color, other: Color) -> float:
    """The contrast ratio of two colours, 1 to 21, as the Web Content Accessibility Guidelines 2 define it."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: Color) -> float:
    """Relative luminance of an sRGB colour, 0 to 1."""
    red, green, blue = (
        level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in (c / 255 for c in color)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
