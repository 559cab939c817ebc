"""What a line of a Sudoku file is: a grid or two, a row, a rule of a frame, or a note."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hrm_envs.sudoku.layout import BLANK, Layout

#: Characters that stand for a blank.
BLANKS = "0._*xX?-"
#: Characters between cells; the last range draws boxes in Unicode.
_BETWEEN = re.compile(r"[\s,;:|!\"'\[\](){}\u2500-\u257f]+")
_RULE = re.compile(r"[-*_=+|~\s\u2500-\u257f]*")
#: Characters of a rule that may stand for blanks instead, and those that may not.
_EITHER, _SURELY = re.compile(r"[-*_]"), re.compile(r"[=+~\u2500-\u257f]")
_COMMENT = re.compile(r"#|//|^\s*;")
#: Two letters in a row that are not blanks: a word.
_PROSE = re.compile(r"[^\W\d_xX]{2}")
#: A line that only numbers a puzzle, or gives its size.
_NUMBER = re.compile(r"\(?[0-9]+([xX][0-9]+|[.):])?")

_TWO_DIGITS = re.compile(r"[0-9]{2}")

Cells = list[int]
Kind = Literal["empty", "comment", "title", "rule", "row", "either", "grid"]


@dataclass(frozen=True)
class Line:
    """What a line is."""

    kind: Kind
    #: The cells of a row, or of each grid.
    cells: Sequence[Cells] = ()
    #: The characters that stand for blanks in it.
    blanks: frozenset[str] = frozenset()


def classify(text: str, layout: Layout, tokens: Mapping[str, int]) -> Line:
    """What a line is; a line of blanks that could also be a rule is ``"either"``.

    Args:
        text: the line.
        layout: size of the Sudokus.
        tokens: the token of each character of a cell.

    Raises:
        ValueError: the line has cells, but is neither a row nor a grid; the message gives the column, from 1, if a
            character is wrong.
    """
    comment = _COMMENT.search(text)
    body = text[: comment.start()] if comment else text
    if not body.strip():
        return Line("comment" if comment else "empty")
    if _RULE.fullmatch(body):
        blanks = _EITHER.findall(body)
        if _SURELY.search(body) or len(blanks) != layout.size:
            return Line("rule")
        return Line("either", [[BLANK] * layout.size], frozenset(blanks))
    words = [word for word in _BETWEEN.split(body) if word]
    if not words:
        return Line("rule")
    parts = _numbers(words, layout, tokens) or [_cells(word, tokens) for word in words]
    # Two digits are a number here; 10 has no blank.
    blanks_used = frozenset("".join(word for word in words if not _TWO_DIGITS.fullmatch(word))) & frozenset(BLANKS)
    grids, rest = _find_grids(parts, layout)
    too_long = next((len(part) for part in rest if len(part) > layout.num_cells // 2), None)
    if grids and too_long is None:
        return Line("grid", grids, blanks_used)
    if all(parts) and sum(map(len, parts)) == layout.size:
        return Line("row", [[cell for part in parts for cell in part]], blanks_used)
    if too_long is None and (_PROSE.search(body) or _NUMBER.fullmatch(body.strip())):
        return Line("title")
    raise ValueError(_problem(body, parts, too_long, layout, tokens))


def _numbers(words: Sequence[str], layout: Layout, tokens: Mapping[str, int]) -> list[Cells]:
    """One cell per word, if some words are numbers of two digits and the words are a row or a grid; otherwise none."""
    if layout.size < 10 or len(words) < layout.size or not any(map(_TWO_DIGITS.fullmatch, words)):
        return []
    cells = [
        [int(word) + BLANK] if _TWO_DIGITS.fullmatch(word) and int(word) <= layout.size else _cells(word, tokens)
        for word in words
    ]
    return cells if all(len(cell) == 1 for cell in cells) else []


def _cells(word: str, tokens: Mapping[str, int]) -> Cells:
    """The cells of a word; none if it has another character."""
    cells = [tokens.get(character, 0) for character in word]
    return cells if all(cells) else []


def _find_grids(parts: Sequence[Cells], layout: Layout) -> tuple[list[Cells], list[Cells]]:
    """The grids among the words of a line, and the other words."""
    grids, rest, at = [], [], 0
    while at < len(parts):
        length = len(parts[at])
        count = layout.num_cells // length if length in (1, layout.size, layout.num_cells) else 0
        window = parts[at : at + count]
        if count and len(window) == count and {len(part) for part in window} == {length}:
            grids.append([cell for part in window for cell in part])
            at += count
        else:
            rest.append(parts[at])
            at += 1
    return grids, rest


def _problem(body: str, parts: Sequence[Cells], too_long: int | None, layout: Layout, tokens: Mapping[str, int]) -> str:
    """Why a line with cells is neither a row nor a grid."""
    size = layout.size
    between = set(_BETWEEN.sub("", body))
    unknown = [character for character in between if character not in tokens]
    if too_long is None and unknown:
        column = min(map(body.index, unknown))
        return (
            f", column {column + 1}: {body[column]!r} is not a cell of a {size}x{size} Sudoku; cells are "
            f"{size_text(layout)} and blanks {' '.join(BLANKS)}"
        )
    count = too_long or sum(map(len, parts))
    return f": has {count} cells, expected {size} (a row) or {layout.num_cells} (a grid)"


def size_text(layout: Layout) -> str:
    """The cells of a Sudoku in words: ``"digits 1 to 9"``."""
    return f"digits 1 to {layout.symbols[-1]}"
