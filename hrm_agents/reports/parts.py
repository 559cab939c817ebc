"""Parts that the page of one run and the page of several share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from hrm_agents.errors import UserError
from hrm_agents.reports.markup import Markup, breakable, element, missing, table
from hrm_agents.reports.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Draws a chart; and the caption below it.
Drawing = tuple[Callable[[], "Figure"], str]


class Charts:
    """Numbers the figures of a page."""

    def __init__(self) -> None:
        self._count = 0

    def grid(self, drawings: Sequence[Drawing]) -> Markup:
        """Charts side by side where the page is wide enough; a sentence if they cannot be drawn."""
        try:
            return element("div", *(self._chart(draw(), caption) for draw, caption in drawings), class_="charts")
        except UserError as error:  # matplotlib is absent
            return missing(f"Charts are not shown: {error}.")

    def figure(self, content: Markup, caption: str, class_: str) -> Markup:
        """A numbered figure."""
        self._count += 1
        text = element("figcaption", element("b", f"Figure {self._count}."), " ", caption)
        return element("figure", content, text, id=f"figure-{self._count}", class_=class_)

    def _chart(self, figure: Figure, caption: str) -> Markup:
        svg = inline_svg(figure, f"chart-{self._count + 1}", caption)
        box = element("div", svg, class_="scroll", role="region", tabindex="0", aria_label=f"Chart {self._count + 1}")
        return self.figure(box, caption, "chart")


def settings_tables(settings: Mapping[str, str]) -> Markup:
    """Settings by their full name, a table for each group."""
    groups: dict[str, list[list[str]]] = {}
    for name in sorted(settings, key=lambda name: "." in name):  # those outside any group first
        group, dot, inner = name.partition(".")
        groups.setdefault(group if dot else "network", []).append([inner or name, breakable(settings[name])])
    return element("div", *(table(name, ["Setting", "Value"], rows) for name, rows in groups.items()), class_="columns")


def definitions(entries: Mapping[str, str]) -> Markup:
    """Names and values, one pair a line."""
    pairs = (element("div", element("dt", name), element("dd", value)) for name, value in entries.items())
    return element("dl", *pairs, class_="definitions")


def contents(sections: Mapping[str, str]) -> Markup:
    """Links to the sections of a page, by id and title."""
    items = (element("li", element("a", title, href=f"#{name}")) for name, title in sections.items())
    return element("nav", element("ol", *items), aria_label="Contents")


def footer(made_with: str) -> Markup:
    """What made the page."""
    text = f"Made by hrm-agents report with {made_with}. The page is complete in itself: it loads nothing."
    return element("footer", text)
