"""Mazes of rooms with thin walls, such as ``+--+`` and ``|``, as grids with a cell for every wall."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

#: A row of posts with walls or gaps between them.
_POSTS = re.compile(r"([+oO*.])(?:([-=_]+| +)\1)+")
_BARS = "|!"


def is_rooms(rows: Sequence[str]) -> bool:
    """Whether rows of characters draw rooms: the first is a row of posts with at least one wall."""
    return len(rows) > 2 and bool(_POSTS.fullmatch(rows[0].rstrip())) and bool(re.search("[-=_]", rows[0]))


def rooms_to_cells(rows: Sequence[str], line: int) -> list[str]:
    """Rooms and walls as cells: ``2 r + 1`` rows of ``2 c + 1`` characters for ``r`` rows of ``c`` rooms.

    ``#`` is a wall, a space is free, and a room keeps the character that is drawn into it.

    Args:
        rows: the rows of characters; the first is a row of posts.
        line: the line of the first row, for messages.

    Raises:
        ValueError: a wall is incomplete, or the rows do not fit together; the message names line and column.
    """
    post = rows[0][0]
    width = rows[0].index(post, 1)
    height = next((number for number, row in enumerate(rows) if number and row.startswith(post)), 0)
    total = len(rows[0].rstrip())
    columns = list(range(0, total, width))
    if height < 2 or (len(rows) - 1) % height or (total - 1) % width or width < 2:
        raise ValueError(f"line {line}: the posts {post!r} are not at equal distances")
    cells = []
    for number, row in enumerate(text.ljust(total) for text in rows):
        if len(row.rstrip()) > total:
            raise ValueError(f"line {line + number}: has {len(row.rstrip())} characters, line {line} has {total}")
        at_posts = number % height == 0
        if at_posts:
            cells.append(_posts(row, columns, post, line + number))
        elif number % height == 1:
            block = [text.ljust(total) for text in rows[number : number + height - 1]]
            cells.append(_rooms(block, columns, line + number))
    return cells


def _posts(row: str, columns: Sequence[int], post: str, line: int) -> str:
    """A row of posts as cells."""
    cells = ["#"]
    for left, right in pairwise(columns):
        wall = set(row[left + 1 : right])
        if row[left] != post or row[right] != post or (wall != {" "} and not wall <= set("-=_")):
            raise ValueError(
                f"line {line}, column {left + 1}: expected posts {post!r} with a wall or a gap between them"
            )
        cells += [" " if wall == {" "} else "#", "#"]
    return "".join(cells)


def _rooms(block: Sequence[str], columns: Sequence[int], line: int) -> str:
    """The rows of characters between two rows of posts as one row of cells."""
    cells = []
    for left, right in zip(columns, [*columns[1:], columns[-1]], strict=True):
        bars = {row[left] for row in block}
        if bars != {" "} and not bars <= set(_BARS):
            raise ValueError(f"line {line}, column {left + 1}: expected a wall '|' or a gap, found {sorted(bars)}")
        cells.append(" " if bars == {" "} else "#")
        inside = {character for row in block for character in row[left + 1 : right]} - {" "}
        if len(inside) > 1:
            raise ValueError(f"line {line}, column {left + 2}: a room holds {sorted(inside)}, more than one character")
        if left != right:
            cells.append(inside.pop() if inside else " ")
    return "".join(cells)
