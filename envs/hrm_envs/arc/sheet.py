"""Images of a vote: a row for each test input with the first attempts and the correct output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hrm_envs.arc.grids import Grid
from hrm_envs.arc.palette import PALETTE, draw_grid, size_text
from hrm_envs.arc.voting import Ballot, by_task, known_tasks
from hrm_envs.rendering.canvas import Canvas, Point, Rect, import_pygame, inset

_WHITE = (255, 255, 255)
# All in pixels.
_MARGIN = 28.0
_HEADER = 96.0  # title and column headers
_LABEL = 150.0  # width of the first column
_GRID = 196.0  # maximum width and height of a grid
_COLUMN = _GRID + 26.0
_CELL = 22.0  # maximum side of a cell
_CAPTION = 46.0  # two lines above each grid
_PADDING = 16.0  # inside the panel of each row
_MIN_ROW = 66.0  # minimum height of the grids, for the label beside them
_GAP = 10.0  # between rows
_PAGE = 1900.0  # maximum height of an image


def write_sheets(ballots: Sequence[Ballot], folder: Path, attempts: int = 2) -> list[Path]:
    """Draw all test inputs, sorted by task, on as many pages as needed, and return the paths.

    The pages are ``sheet.png``, ``sheet-2.png``, ...; pages of earlier results in ``folder`` are removed. A tick or a
    cross shows whether an attempt is correct, a frame marks correct ones, and dots mark the wrong cells of attempts of
    the correct size. Needs no display.

    Args:
        ballots: the votes; without any, no page is written.
        folder: existing folder to write to.
        attempts: number of candidates to show.

    Raises:
        DependencyNotInstalled: pygame is not installed.
    """
    import_pygame()
    for old in folder.glob("sheet*.png"):
        if old.stem.removeprefix("sheet").removeprefix("-").isdigit() or old.stem == "sheet":
            old.unlink()
    groups = by_task(ballots)
    rows = [(ballot, len(group)) for group in groups.values() for ballot in group]
    pages = list(_pages(rows, attempts))
    title = _title(ballots, attempts)
    paths = []
    for number, page in enumerate(pages, 1):
        canvas = _draw_page(page, attempts, title, f"page {number} of {len(pages)}")
        paths.append(folder / ("sheet.png" if number == 1 else f"sheet-{number}.png"))
        _save(canvas, paths[-1])
    return paths


def _title(ballots: Sequence[Ballot], attempts: int) -> str:
    known = known_tasks(ballots)
    if not known:
        return f"ARC: {len(by_task(ballots))} tasks"
    solved = sum(all(ballot.solved(attempts) for ballot in group) for group in known)
    return f"ARC: {solved} of {len(known)} {_plural('task', len(known))} solved within {attempts} attempts"


def _answers(ballot: Ballot, attempts: int) -> list[Grid]:
    """The attempts, and the correct output if it is known."""
    grids = [candidate.grid for candidate in ballot.candidates[:attempts]]
    return grids if ballot.test.output is None else [*grids, ballot.test.output]


def _cell(*grids: Grid) -> float:
    """The side of the cells with which all grids fit."""
    return min([_CELL, *(_GRID / max(grid.shape) for grid in grids)])


def _row_height(ballot: Ballot, attempts: int) -> float:
    answers = _answers(ballot, attempts)
    groups = [[ballot.test.input], answers]
    heights = [grid.shape[0] * _cell(*group) for group in groups for grid in group]
    return max(_MIN_ROW, *heights) + _CAPTION + 2 * _PADDING


def _pages(rows: Sequence[tuple[Ballot, int]], attempts: int) -> Iterator[list[tuple[Ballot, int]]]:
    """Divide rows into pages."""
    page: list[tuple[Ballot, int]] = []
    height = _HEADER
    for row in rows:
        more = _row_height(row[0], attempts) + _GAP
        if page and height + more > _PAGE:
            yield page
            page, height = [], _HEADER
        page.append(row)
        height += more
    if page:
        yield page


def _draw_page(page: Sequence[tuple[Ballot, int]], attempts: int, title: str, number: str) -> Canvas:
    columns = attempts + 2
    width = 2 * (_MARGIN + _PADDING) + _LABEL + columns * _COLUMN
    height = _HEADER + sum(_row_height(ballot, attempts) + _GAP for ballot, _ in page) + _MARGIN - _GAP
    canvas = Canvas(round(width), round(height))
    canvas.text((_MARGIN, 36), title, 24)
    canvas.text((width - _MARGIN, 36), number, 16, canvas.theme.muted, "right")
    heads = ["input", *(f"attempt {number}" for number in range(1, attempts + 1)), "correct output"]
    for column, head in enumerate(heads):
        canvas.text((_left(column) + _GRID / 2, 76), head, 17, canvas.theme.muted, align="center")
    top = _HEADER
    for ballot, tests in page:
        room = (_MARGIN, top, width - 2 * _MARGIN, _row_height(ballot, attempts))
        _draw_row(canvas, ballot, tests, attempts, room)
        top += room[3] + _GAP
    return canvas


def _left(column: int) -> float:
    """The left edge of the grids of a column; column 0 has the inputs."""
    return _MARGIN + _PADDING + _LABEL + column * _COLUMN + (_COLUMN - _GRID) / 2


def _draw_row(canvas: Canvas, ballot: Ballot, tests: int, attempts: int, room: Rect) -> None:
    canvas.rect(room, canvas.theme.panel, 10)
    _draw_label(canvas, ballot, tests, attempts, (room[0] + _PADDING, room[1] + _PADDING))
    top, known = room[1] + _PADDING, ballot.test.output is not None
    _draw_captioned_grid(
        canvas, ballot.test.input, 0, top, _cell(ballot.test.input), ["", size_text(ballot.test.input)]
    )
    cell = _cell(*_answers(ballot, attempts))
    for number in range(attempts):
        if number >= len(ballot.candidates):
            _draw_captions(canvas, number + 1, top, ["", "no other answer" if ballot.candidates else "no answer"])
            continue
        candidate = ballot.candidates[number]
        right = ballot.is_right(candidate) if known else None
        captions = [f"{candidate.count} of {ballot.views} views", _mistake(ballot, candidate.grid)]
        rect = _draw_captioned_grid(canvas, candidate.grid, number + 1, top, cell, captions, right)
        _draw_wrong_cells(canvas, ballot, candidate.grid, rect, cell)
    column = attempts + 1
    if ballot.test.output is None:
        _draw_captions(canvas, column, top, ["", "unknown"])
    else:
        _draw_captioned_grid(
            canvas, ballot.test.output, column, top, cell, [_rank(ballot), size_text(ballot.test.output)]
        )


def _draw_label(canvas: Canvas, ballot: Ballot, tests: int, attempts: int, at: Point) -> None:
    x, y = at[0], at[1] + 8
    canvas.text((x, y), ballot.test.task, 20, max_width=_LABEL - 8)
    canvas.text((x, y + 26), f"test input {ballot.test.index + 1} of {tests}", 15, canvas.theme.muted)
    if ballot.test.output is not None:
        solved = ballot.solved(attempts)
        _draw_mark(canvas, (x + 10, y + 62), 10, solved)
        canvas.text(
            (x + 30, y + 62),
            "solved" if solved else "not solved",
            17,
            canvas.theme.blue if solved else canvas.theme.red,
        )


def _draw_captioned_grid(
    canvas: Canvas, grid: Grid, column: int, top: float, cell: float, captions: list[str], right: bool | None = None
) -> Rect:
    """Draw a grid below its captions, with a tick or a cross if ``right`` is given, and return its rectangle."""
    _draw_captions(canvas, column, top, captions, right)
    height = grid.shape[0] * cell
    # Without extra height, so that all grids of a row are aligned at the top.
    rect = draw_grid(canvas, grid, (_left(column), top + _CAPTION, _GRID, height), cell)
    if right:
        canvas.rect(inset(rect, -5), canvas.theme.blue, 3, 3)
    return rect


def _draw_wrong_cells(canvas: Canvas, ballot: Ballot, grid: Grid, rect: Rect, cell: float) -> None:
    """Draw a dot on each wrong cell of an attempt of the correct size."""
    output = ballot.test.output
    if output is None or grid.shape != output.shape:
        return
    for row, column in np.argwhere(grid != output):
        at = rect[0] + (float(column) + 0.5) * cell, rect[1] + (float(row) + 0.5) * cell
        # White with a black rim is visible on all ten colours.
        canvas.circle(at, cell * 0.3, PALETTE[0])
        canvas.circle(at, cell * 0.2, _WHITE)


def _draw_captions(canvas: Canvas, column: int, top: float, captions: list[str], right: bool | None = None) -> None:
    """Draw two lines, the first after a tick or a cross if ``right`` is given."""
    middle = _left(column) + _GRID / 2
    first, second = captions
    # Centres the first line together with its mark.
    shift = 0.0 if right is None else 13.0
    if first:
        width = canvas.text(
            (middle + shift, top + 8), first, 16, canvas.theme.ink, align="center", max_width=_GRID - 2 * shift
        )
        if right is not None:
            _draw_mark(canvas, (middle + shift - width / 2 - 18, top + 8), 9, right)
    canvas.text((middle, top + 28), second, 14, canvas.theme.muted, align="center", max_width=_GRID)


def _draw_mark(canvas: Canvas, at: Point, radius: float, right: bool) -> None:
    """Draw a tick or a cross."""
    (x, y), r = at, radius
    if right:
        canvas.line([(x - r, y), (x - r * 0.3, y + r * 0.7), (x + r, y - r * 0.8)], canvas.theme.blue, r * 0.42)
    else:
        canvas.cross(at, r * 0.75, canvas.theme.red, r * 0.42)


def _mistake(ballot: Ballot, grid: Grid) -> str:
    """The size of an attempt and what is wrong with it, if that is known."""
    output, size = ballot.test.output, size_text(grid)
    if output is None:
        return size
    if grid.shape != output.shape:
        return f"{size}: wrong size"
    wrong = int(np.count_nonzero(grid != output))
    return f"{size}: {wrong} {_plural('cell', wrong)} wrong" if wrong else size


def _rank(ballot: Ballot) -> str:
    """The rank of the correct output in the vote."""
    if ballot.rank is None:
        return "not among the answers"
    return f"rank {ballot.rank} of {len(ballot.candidates)}"


def _plural(noun: str, number: int) -> str:
    return noun if number == 1 else noun + "s"


def _save(canvas: Canvas, path: Path) -> None:
    pygame = import_pygame()
    pixels = canvas.pixels()
    pygame.image.save(pygame.image.frombuffer(pixels.tobytes(), pixels.shape[1::-1], "RGB"), str(path))
