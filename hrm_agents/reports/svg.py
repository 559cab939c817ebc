"""Charts inside a page: SVG whose colours follow the page's light or dark theme."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from hrm_agents.reports.figures import LIGHT
from hrm_agents.reports.markup import Markup, element

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Variables of the page in place of the colours of a light chart. matplotlib draws what has no colour in black.
_VARIABLES = {
    **{color: f"var(--series-{rank})" for rank, color in enumerate(LIGHT.colors)},
    **{LIGHT.paper: "var(--paper)", LIGHT.ink: "var(--ink)", LIGHT.muted: "var(--muted)", LIGHT.grid: "var(--grid)"},
    "#000000": "var(--ink)",
}
#: No metadata: it would hold links and the date.
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def inline_svg(figure: Figure, name: str, label: str) -> Markup:
    """A light figure as an element ``svg``, with text as text, in the colours of the page.

    Args:
        figure: from one of the draw functions, without ``dark``.
        name: unique in the page; the ids inside begin with it.
        label: what the chart shows, for readers who do not see it.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "hrm-agents", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata=_NO_METADATA)
    text = re.sub(r"<!--.*?-->|<style.*?</style>", "", buffer.getvalue(), flags=re.DOTALL)
    opening, content = re.search(r"(<svg.*?>)(.*)</svg>", text, re.DOTALL).groups()  # type: ignore[union-attr]
    content = re.sub("<[^>]*>", lambda tag: _adapted(tag[0], name), content)
    box = re.search(r'viewBox="([^"]+)"', opening)[1]  # type: ignore[index]
    width = float(box.split()[2])
    # Below this width its text would be too small to read: its box scrolls instead.
    return element(
        "svg", Markup(content), viewBox=box, role="img", aria_label=label, style=f"min-width: {0.9 * width:.0f}px"
    )


def _adapted(tag: str, name: str) -> str:
    """A tag with variables for colours, and ids that are unique in the page."""
    tag = re.sub(r"#[0-9a-f]{6}\b", lambda color: _VARIABLES.get(color[0], color[0]), tag)
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", tag)
