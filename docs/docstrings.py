"""Prepares docstrings for the reference: attribute comments, cross-references and tables that Markdown does not know.

mkdocs.yml names this file as an extension of griffe, which reads the source code without importing it.
"""

import re
from typing import Any

from griffe import Attribute, Docstring, Extension, Object

_ROLE = re.compile(r":[a-z]+:`(~?)\.?([\w.]+)(?: <[\w.]+>)?`")
_RULE = re.compile(r"\s*=+( +=+)+\s*")


def in_markdown(text: str) -> str:
    """Text with references to objects as code, and with reStructuredText tables as preformatted text."""
    text = _ROLE.sub(lambda found: f"`{found[2].rpartition('.')[2] if found[1] else found[2]}`", text)
    lines, rules = [], 0
    for line in text.splitlines():
        is_rule = _RULE.fullmatch(line) is not None
        lines += ["```text"] * (is_rule and rules % 3 == 0) + [line]
        rules += is_rule
        # A table has a rule above its header, one below it, and one at its end.
        lines += ["```"] * (is_rule and rules % 3 == 0)
    return "\n".join(lines)


def comment_above(attribute: Attribute) -> str:
    """The comment of ``#:`` lines directly above an attribute, or an empty string."""
    if attribute.lineno is None:
        return ""
    before = attribute.lines_collection[attribute.filepath][: attribute.lineno - 1]
    found: list[str] = []
    while before and before[-1].strip().startswith("#:"):
        found.insert(0, before.pop().strip().removeprefix("#:").strip())
    return " ".join(found)


class Docstrings(Extension):
    """Changes docstrings before they are parsed."""

    def on_attribute_instance(self, *, attr: Attribute, **kwargs: Any) -> None:
        """Read the comment above an attribute as its docstring."""
        if attr.docstring is None and (text := comment_above(attr)):
            attr.docstring = Docstring(in_markdown(text), lineno=attr.lineno, parent=attr)

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """Turn the docstring of every object into Markdown."""
        if obj.docstring is not None:
            obj.docstring.value = in_markdown(obj.docstring.value)
