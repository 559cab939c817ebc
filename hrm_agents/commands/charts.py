"""Charts written by commands, whose other results do not depend on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hrm_agents.commands.common import say
from hrm_agents.errors import UserError, user_errors
from hrm_agents.reports.figures import ChartFormat, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_charts(
    folder: Path, charts: Mapping[str, Callable[..., Figure]], kind: ChartFormat, *, dark: bool
) -> list[Path]:
    """Draw charts into a folder and return their paths; say on standard error why there are none if that fails.

    Args:
        folder: of the files.
        charts: by file name without suffix, functions that draw, given the keyword ``dark``.
        kind: the suffix, which is the file format.
        dark: light lines on a dark ground.
    """
    paths = []
    try:
        for name, draw in charts.items():
            with user_errors(f"{name}.{kind}"):
                save_figure(draw(dark=dark), folder / f"{name}.{kind}")
            paths.append(folder / f"{name}.{kind}")
    except UserError as error:
        say(f"no {' or '.join(list(charts)[len(paths) :])} chart: {error}")
    return paths
