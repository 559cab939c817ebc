"""HTML elements whose text is escaped, and the page around them."""

from __future__ import annotations

import html
from importlib.resources import files

from hrm_agents.reports.figures import DARK, LIGHT, Theme

#: Elements without content and end tag.
_VOID = {"meta", "img", "wbr"}
#: A page may load nothing and run nothing: it opens the same offline and years later.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Markup(str):
    """Text that is HTML already; any other text is escaped where it enters an element."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str | None) -> Markup:
    """An element around its children: text, which is escaped, and :class:`Markup`, which is not.

    Args:
        tag: its name.
        children: the content, in order.
        attributes: values are escaped and None is left out; ``class_`` stands for ``class`` and ``aria_label`` for
            ``aria-label``.
    """
    named = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items() if value is not None}
    opening = "".join((f"<{tag}", *(f' {name}="{_escaped(value)}"' for name, value in named.items()), ">"))
    if tag in _VOID:
        return Markup(opening)
    return Markup(f"{opening}{joined(*children)}</{tag}>")


def joined(*parts: str) -> Markup:
    """The parts one after another, text among them escaped."""
    return Markup("".join(part if isinstance(part, Markup) else _escaped(part) for part in parts))


def breakable(name: str) -> Markup:
    """A long name that may break after its dots, slashes, hyphens and underscores."""
    pieces = [""]
    for letter in name:
        pieces[-1] += letter
        if letter in "./_-":
            pieces.append("")
    return Markup(element("wbr").join(joined(piece) for piece in pieces))


def table(caption: str, head: list[str], rows: list[list[str]], class_: str | None = None) -> Markup:
    """A table that scrolls in a box of its own; the first cell of each row is its heading.

    Args:
        caption: says what it shows.
        head: names of the columns.
        rows: a cell for each column.
        class_: of the table.
    """
    heading = element("tr", *(element("th", name, scope="col") for name in head))
    body = [
        element("tr", element("th", cells[0], scope="row"), *(element("td", cell) for cell in cells[1:]))
        for cells in rows
    ]
    whole = element(
        "table", element("caption", caption), element("thead", heading), element("tbody", *body), class_=class_
    )
    # What scrolls must be reachable by keyboard, and then needs a name.
    return element("div", whole, class_="scroll", role="region", tabindex="0", aria_label=caption)


def section(name: str, title: str, *children: str) -> Markup:
    """A section with a heading that links can lead to."""
    return element(
        "section", element("h2", title, id=f"{name}-title"), *children, id=name, aria_labelledby=f"{name}-title"
    )


def missing(sentence: str) -> Markup:
    """Says why a part of the page is not there."""
    return element("p", sentence, class_="missing")


def document(title: str, *body: str) -> str:
    """A whole page: everything it needs is inside."""
    style = (files("hrm_agents.reports") / "page.css").read_text("utf-8")
    dark = f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        Markup(f"<style>\n:root {{ {_variables(LIGHT)} }}\n{dark}\n{style}</style>"),
    )
    page = element("html", head, element("body", element("main", *body)), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _variables(theme: Theme) -> str:
    """The colours of a theme as CSS variables; charts in the page use them too."""
    series = {f"series-{rank}": color for rank, color in enumerate(theme.colors)}
    named = {"paper": theme.paper, "ink": theme.ink, "muted": theme.muted, "grid": theme.grid, **series}
    return " ".join(f"--{name}: {color};" for name, color in named.items())


def _escaped(text: str) -> str:
    """Text for HTML; characters without a shape, such as those that reverse its direction, are spelt out."""
    plain = (each if each.isprintable() or each == "\n" else each.encode("unicode_escape").decode() for each in text)
    return html.escape("".join(plain))
