"""What all charts share: colours, the sheet they are drawn on, and files.

Figures are drawn without a display and without pyplot.
"""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hrm_agents.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: File formats of :func:`save_figure`.
ChartFormat = Literal["png", "pdf", "svg"]
#: Metadata without which a file does not depend on when it was written.
_UNDATED: dict[str, dict[str, Any]] = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
#: Marker and line style of each series: colour is never needed to tell two series apart.
STYLES = (("o", "-"), ("D", "--"), ("s", ":"), ("^", "-."), ("v", "-"), ("P", "--"), ("X", ":"), ("p", "-."))
#: With more bars or points than this, their labels would not fit.
MOST_LABELS = 16


class Theme(NamedTuple):
    """Colours of a chart."""

    paper: str
    ink: str
    muted: str
    grid: str
    #: One colour per series, distinguishable by colour-blind readers (after Okabe and Ito, 2008).
    colors: tuple[str, ...]


LIGHT = Theme(
    *("#ffffff", "#1a1a1a", "#595959", "#dedede"),
    ("#0072b2", "#d55e00", "#009e73", "#b0508f", "#b8860b", "#56b4e9", "#595959", "#7a4b1f"),
)
DARK = Theme(
    *("#0f1420", "#eef1f7", "#a9b3c6", "#2b3448"),
    ("#5fb4f0", "#ffb347", "#4fd1a5", "#e29ad0", "#f0e060", "#ff8a75", "#cfd6e4", "#c9a27a"),
)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, PDF or SVG, by the suffix of ``path``. Equal figures give equal bytes.

    Raises:
        UserError: the suffix is another one or the file cannot be written.
    """
    # Imported here: importing this module should load neither matplotlib nor what writes files.
    import matplotlib

    from hrm_agents.records.files import write_atomically

    kind, buffer = check_chart(path), io.BytesIO()
    # Type 42 fonts, because publishers refuse the default, Type 3.
    with matplotlib.rc_context({"svg.hashsalt": "hrm-agents", "pdf.fonttype": 42}):
        figure.savefig(buffer, format=kind, dpi=200, metadata=_UNDATED[kind])
    write_atomically(path, buffer.getvalue())


def check_chart(path: Path) -> str:
    """The format that the suffix of a chart's file names.

    Raises:
        UserError: charts have no such format.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in _UNDATED:
        valid = ", ".join(f".{known}" for known in _UNDATED)
        raise UserError(f"cannot write a chart to {path}: unknown suffix {path.suffix!r}; choose from {valid}")
    return kind


def sheet(
    size: tuple[float, float], title: str, subtitle: str, theme: Theme, ratios: tuple[int, ...] = (1,)
) -> tuple[Figure, list[Axes]]:
    """A figure of ``size`` inches with a heading, and axes below each other that share x, with these height ratios."""
    figure = _empty_figure(size, theme)
    rows = figure.subplots(len(ratios), sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    title, below = _wrap(title, subtitle, size[0])
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "linespacing": 1.2}
    rows[0].annotate(below, (0, 1), (0, 8), **place, fontsize=9, color=theme.muted)
    above: dict[str, Any] = {"loc": "left", "pad": 14 + 11 * len(below.splitlines()), "fontweight": "bold"}
    rows[0].set_title(title, **above, fontsize=12, color=theme.ink)
    for axes in rows:
        axes.grid(color=theme.grid, linewidth=0.8)
        _style(axes, theme)
    return figure, list(rows)


def panels(
    size: tuple[float, float], title: str, subtitle: str, theme: Theme, shape: tuple[int, int]
) -> tuple[Figure, list[Axes]]:
    """A figure of ``size`` inches with a heading, and rows times columns of axes without a grid, in reading order."""
    figure = _empty_figure(size, theme)
    rows, columns = shape
    title, below = _wrap(title, subtitle, size[0])
    heading = (8 + 15 * len(title.splitlines()) + 12 * len(below.splitlines())) / 72  # inches
    grid = figure.add_gridspec(1 + rows, columns, height_ratios=[heading, *[(size[1] - heading) / rows] * rows])
    above = figure.add_subplot(grid[0, :], xticks=[], yticks=[], frame_on=False, facecolor=theme.paper)
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top"}
    above.annotate(title, (0, 1), (0, 0), **place, fontsize=12, fontweight="bold", color=theme.ink)
    lower = -15 * len(title.splitlines()) - 3
    above.annotate(below, (0, 1), (0, lower), **place, linespacing=1.2, fontsize=9, color=theme.muted)
    for text in above.texts:
        text.set_in_layout(False)  # it may be wider than a panel
    made = [figure.add_subplot(grid[1 + row, column]) for row in range(rows) for column in range(columns)]
    for axes in made:
        _style(axes, theme)
    return figure, made


def _empty_figure(size: tuple[float, float], theme: Theme) -> Figure:
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise UserError('charts need matplotlib: pip install "hrm-agents[plot]"') from error
    return Figure(size, facecolor=theme.paper, layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.1))


def _wrap(title: str, subtitle: str, width: float) -> tuple[str, str]:
    """Both, in lines that fit ``width`` inches."""
    return textwrap.fill(title, int(8.5 * width)), textwrap.fill(subtitle, int(12.5 * width))


def _style(axes: Axes, theme: Theme) -> None:
    axes.set_facecolor(theme.paper)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.muted, labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.muted)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=theme.ink, fontsize=10)


def add_legend(figure: Figure, axes: Axes, theme: Theme, *more: Axes) -> None:
    """Name all series below the axes, where the legend covers none of them."""
    handles = [handle for each in (axes, *more) for handle in each.get_legend_handles_labels()[0]]
    names = [name for each in (axes, *more) for name in each.get_legend_handles_labels()[1]]
    longest = max(map(len, names))
    columns = max(1, min(len(names), int(figure.get_figwidth() * 13) // (longest + 9)))
    style: dict[str, Any] = {"frameon": False, "fontsize": 9, "labelcolor": theme.ink, "handlelength": 3}
    figure.legend(handles, names, loc="outside lower center", ncols=columns, **style)


def show_percent(axes: Axes) -> None:
    """Label the y axis in percent, with no tick below 0% or above 100%."""
    from matplotlib.ticker import PercentFormatter

    low, high = axes.get_ylim()
    ticks = [tick for tick in axes.get_yticks() if max(low, -1e-9) <= tick <= min(high, 1 + 1e-9)]
    digits = max(len(f"{100 * tick:.6g}".partition(".")[2]) for tick in ticks)
    axes.set_yticks(ticks)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, digits))


def line_style(theme: Theme, rank: int) -> dict[str, Any]:
    """Colour, marker and line of a series."""
    marker, line = STYLES[rank]
    return {"color": theme.colors[rank], "marker": marker, "linestyle": line}
