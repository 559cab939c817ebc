"""Heat maps over a board: when cells settle, and where a cell looks.

All take a result of :mod:`hrm_agents.analysis` and raise :class:`~hrm_agents.errors.UserError` if matplotlib is absent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hrm_agents.reports.figures import DARK, LIGHT, MOST_LABELS, Theme, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from hrm_agents.analysis.attention import AttentionMap
    from hrm_agents.analysis.settling import Settling

#: Symbols are written into the cells of boards with at most this many columns.
MOST_SYMBOLS = 16
#: From what is nothing special to what stands out; lightness changes steadily, so that hue is not needed.
LIGHT_SHADES = ("#f1efea", "#fdc58e", "#ee6a4c", "#a42a6f", "#3b0f59")
DARK_SHADES = ("#1c2436", "#5b2f86", "#c43f7c", "#ff9259", "#fff0b8")


def draw_settling(result: Settling, index: int | None = None, *, dark: bool = False) -> Figure:
    """The segment after which each cell keeps its token: on one puzzle, and on average over all.

    Args:
        result: of :func:`hrm_agents.analysis.settling.cell_settling`.
        index: the puzzle, from 0; the one whose cells change for longest if omitted.
        dark: light lines on a dark ground.
    """
    theme = DARK if dark else LIGHT
    shown = int(result.settled.sum(axis=1).argmax()) if index is None else index
    num, last = result.solved.shape
    verdict = "right" if result.solved[shown, -1] else "wrong"
    figure, (one, mean) = panels(
        (9.4, 5.0),
        f"{result.env_id}: when cells settle",
        f"number of the segment from which on a cell keeps its token; {num:,} puzzles, {last} segments",
        theme,
        (1, 2),
    )
    colors = segment_colors(last, dark=dark)
    _draw_board(one, result.settled[shown], result.grid_shape, colors, theme)
    _write_symbols(one, result.puzzle[shown], result.answer[shown], result.symbols, result.settled[shown], colors)
    one.set_title(f"puzzle {shown}: final answer {verdict}", **_title(theme))
    add_segment_bar(figure, [one], colors, last, "settles at segment", theme)
    average = result.settled.mean(axis=0)
    shades = _shades(1.0, max(float(average.max()), 1.0 + 1e-6), dark=dark)
    _draw_board(mean, average, result.grid_shape, shades, theme)
    mean.set_title("mean over all puzzles", **_title(theme))
    _add_bar(figure, [mean], shades, "mean segment", theme)
    return figure


def draw_attention(result: AttentionMap, heads: Sequence[int] | None = None, *, dark: bool = False) -> Figure:
    """Where a cell looks: its attention to all cells of the board, a panel for each head.

    Args:
        result: of :func:`hrm_agents.analysis.attention.attention_map`.
        heads: those to show, from 0; all if omitted.
        dark: light lines on a dark ground.
    """
    from matplotlib.patches import Rectangle

    theme = DARK if dark else LIGHT
    shown = list(range(len(result.weights))) if heads is None else list(heads)
    columns = min(len(shown), 4)
    rows = math.ceil(len(shown) / columns)
    row, column = divmod(result.cell, result.grid_shape[1])
    ratio = result.grid_shape[0] / result.grid_shape[1]
    figure, axes = panels(
        (max(2.5 * columns + 1.1, 4.6), 0.9 + 2.7 * rows * ratio),
        f"{result.env_id}: where row {row + 1}, column {column + 1} looks",
        f"attention of {result.layer} in segment {result.segment} of puzzle {result.index}; the cell is outlined, and "
        "the symbols are the answer",
        theme,
        (rows, columns),
    )
    weights = result.weights[shown]
    # The square root shows weights that are small beside the largest.
    colors = _shades(0.0, float(weights.max()), dark=dark, power=0.5)
    outline: dict[str, Any] = {"fill": False, "edgecolor": theme.colors[0], "linewidth": 2.2, "zorder": 5}
    for one, head in zip(axes, shown, strict=False):
        _draw_board(one, result.weights[head], result.grid_shape, colors, theme)
        _write_symbols(one, result.puzzle, result.answer, result.symbols, result.weights[head], colors)
        one.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **outline))
        rest = f" ({result.prefix[head]:.0%} off board)" if result.prefix[head] >= 0.005 else ""
        one.set_title(f"head {head}{rest}", **_title(theme))
    for unused in axes[len(shown) :]:
        unused.set_visible(False)
    _add_bar(figure, axes, colors, "attention", theme, percent=True)
    return figure


def segment_colors(last: int, first: float = 0.0, *, dark: bool) -> ScalarMappable:
    """A colour for each of the segments 1 to ``last``; with 0 as ``first``, that of segment 1 is near the paper's."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm

    colors = _colormap(first, dark=dark)
    return ScalarMappable(BoundaryNorm(np.arange(0.5, last + 1), colors.N), colors)


def add_segment_bar(
    figure: Figure, axes: Sequence[Axes], colors: ScalarMappable, last: int, label: str, theme: Theme
) -> None:
    """Explain the colours of :func:`segment_colors` beside the axes."""
    bar = _add_bar(figure, axes, colors, label, theme)
    bar.set_ticks(list(range(1, last + 1, math.ceil(last / MOST_LABELS))))
    bar.ax.tick_params(which="both", length=0)


def _add_bar(
    figure: Figure, axes: Sequence[Axes], colors: ScalarMappable, label: str, theme: Theme, *, percent: bool = False
) -> Any:
    bar = figure.colorbar(
        colors, ax=list(axes), fraction=0.05, aspect=28, pad=0.02, format="{x:.0%}" if percent else None
    )
    bar.ax.tick_params(colors=theme.muted, labelsize=8)
    bar.outline.set_visible(False)
    bar.set_label(label, color=theme.ink, fontsize=9)
    return bar


def _shades(low: float, high: float, *, dark: bool, power: float = 1.0) -> ScalarMappable:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import PowerNorm

    return ScalarMappable(PowerNorm(power, low, high), _colormap(0.0, dark=dark))


def _colormap(first: float, *, dark: bool) -> Colormap:
    """From near the colour of the paper to what stands out; the share ``first`` of the range is cut off."""
    from matplotlib.colors import LinearSegmentedColormap

    whole = LinearSegmentedColormap.from_list("whole", DARK_SHADES if dark else LIGHT_SHADES)
    return LinearSegmentedColormap.from_list("shades", whole(np.linspace(first, 1.0, 256)))


def _draw_board(axes: Axes, values: NDArray[Any], shape: tuple[int, int], colors: ScalarMappable, theme: Theme) -> None:
    rows, columns = shape
    axes.imshow(colors.to_rgba(values.reshape(shape)))
    axes.set(xticks=[], yticks=[])
    for edge in np.arange(-0.5, rows):
        axes.axhline(edge, color=theme.paper, linewidth=1.0)
    for edge in np.arange(-0.5, columns):
        axes.axvline(edge, color=theme.paper, linewidth=1.0)
    axes.spines[:].set_visible(False)


def _write_symbols(
    axes: Axes,
    puzzle: NDArray[np.uint8],
    answer: NDArray[np.uint8],
    symbols: Sequence[str],
    values: NDArray[Any],
    colors: ScalarMappable,
) -> None:
    """Write the answer into the cells, in bold what the puzzle does not give."""
    columns = round(axes.get_xlim()[1] + 0.5)
    if columns > MOST_SYMBOLS:
        return
    shades = colors.to_rgba(values)
    for cell, token in enumerate(answer):
        red, green, blue, _ = shades[cell]
        bright = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
        style: dict[str, Any] = {"ha": "center", "va": "center", "color": "#000000" if bright else "#ffffff"}
        found = token != puzzle[cell]
        style |= {
            "fontsize": 9 if found else 8,
            "fontweight": "bold" if found else "normal",
            "alpha": 1.0 if found else 0.55,
        }
        axes.text(cell % columns, cell // columns, symbols[token].strip(), **style)


def _title(theme: Theme) -> dict[str, Any]:
    return {"loc": "left", "fontsize": 10, "fontweight": "bold", "color": theme.ink}
