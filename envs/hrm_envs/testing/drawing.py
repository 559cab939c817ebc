"""Rules on ``Task.draw``; skipped if pygame is not installed."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hrm_envs.rendering.board import Board
from hrm_envs.rendering.canvas import Canvas, import_pygame
from hrm_envs.rendering.frame_data import Frame
from hrm_envs.rendering.render import render_rgb
from hrm_envs.spec import PAD, Tokens
from hrm_envs.task import PuzzleBatch
from hrm_envs.testing.specimen import Rules, Specimen, TaskError, first

#: Side of the images that are compared, in pixels.
_SIDE = 360


def _draw_accepts_any_answer(specimen: Specimen) -> None:
    if importlib.util.find_spec("pygame") is None:
        return
    display = import_pygame().display
    closed = not display.get_init()
    one, random_answer = specimen.batch.take(slice(1)), specimen.answers[-1]
    history = [np.full_like(random_answer, PAD), one.puzzle[0], random_answer, one.solution[0]]
    for segment, answer in enumerate(history):
        frame = _frame(specimen, one, answer, history[max(0, segment - 1)], segment, len(history) - 1)
        render_rgb(specimen.task, frame, (360, 240))
        _board_pixels(specimen, frame)
    if closed and display.get_init():
        display.quit()
        raise TaskError("draw opens a display: draw on the board alone, so that rendering needs no screen")


def _draw_is_faithful(specimen: Specimen) -> None:
    if importlib.util.find_spec("pygame") is None:
        return
    batch = specimen.batch
    # Prefers a puzzle that differs from its solution.
    row = first((batch.puzzle != batch.solution).any(axis=1)) or 0
    one = batch.take(slice(row, row + 1))
    padding = np.full_like(one.puzzle[0], PAD)
    blank = _frame(specimen, one, padding, padding, 0, 2)
    image = _board_pixels(specimen, blank)
    if (image == image[0, 0]).all():
        raise TaskError("draw leaves the board blank" + specimen.show(one.puzzle[0]))
    if (_board_pixels(specimen, blank) != image).any():
        raise TaskError("draw shows the same frame in two ways: it must not depend on chance or on earlier calls")
    other = first((batch.puzzle != one.puzzle).any(axis=1))
    if other is not None:
        shown = _board_pixels(specimen, replace(blank, puzzle=batch.puzzle[other].copy()))
        if (shown == image).all():
            grids = specimen.show(one.puzzle[0], batch.puzzle[other], "another puzzle")
            raise TaskError("draw does not show the puzzle: these two look alike" + grids)
    solved = _frame(specimen, one, one.solution[0], one.puzzle[0], 1, 2)
    if (one.puzzle != one.solution).any() and (_board_pixels(specimen, solved) == image).all():
        text = "draw does not show the answer: the solved puzzle looks like the untouched one"
        raise TaskError(text + specimen.show(one.puzzle[0], one.solution[0]))


def _frame(
    specimen: Specimen, one: PuzzleBatch, answer: Tokens, previous_answer: Tokens, segment: int, max_segments: int
) -> Frame:
    """A frame of the only puzzle of ``one`` after an answer, with new arrays."""
    verdict = specimen.task.verify(one, answer[None])
    return Frame(
        puzzle=one.puzzle[0].copy(),
        answer=answer.copy(),
        previous_answer=previous_answer.copy(),
        marks=specimen.task.mark(one, answer[None])[0].copy(),
        segment=segment,
        max_segments=max_segments,
        success=bool(verdict.success[0]),
        score=float(verdict.score[0]),
        halted=segment == max_segments,
        forced=False,
        task_id=int(one.task_id[0]),
        example=int(one.example[0]),
    )


def _board_pixels(specimen: Specimen, frame: Frame) -> NDArray[np.uint8]:
    """Only the task's part of the image, uint8 ``[H, W, 3]``.

    Raises:
        TaskError: ``draw`` returns something or changes the frame.
    """
    names = ("puzzle", "answer", "previous_answer", "marks")
    before = {name: getattr(frame, name).copy() for name in names}
    canvas = Canvas(_SIDE, _SIDE)
    returned: object = specimen.task.draw(Board(canvas, specimen.task.spec, frame, (0, 0, _SIDE, _SIDE)))  # type: ignore[func-returns-value]
    if returned is not None:
        raise TaskError(f"draw returns {type(returned).__name__}: it must draw on the board and return None")
    for name, array in before.items():
        if (getattr(frame, name) != array).any():
            text = f"draw changes {name} of its frame"
            raise TaskError(text + specimen.show(before["puzzle"], before["answer"]))
    return canvas.pixels()


RULES: Rules = {
    "draw accepts any answer": _draw_accepts_any_answer,
    "draw shows the puzzle and the answer": _draw_is_faithful,
}
