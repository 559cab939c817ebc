"""Rules for the optional methods of a task: context, editable cells, marks, text and solving."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hrm_envs.spec import MARK_NONE, MARK_RIGHT, MARK_WRONG, PAD
from hrm_envs.testing.specimen import (
    FEW,
    Rules,
    Specimen,
    TaskError,
    check_array,
    check_batch,
    check_untouched,
    first,
    overrides,
)


def _context_fits_its_spaces(specimen: Specimen) -> None:
    task, batch = specimen.task, specimen.batch
    spaces = dict(task.context_spaces())
    given = batch.copy()
    context = dict(task.context(given))
    check_untouched(batch, given, "context")
    if set(context) != set(spaces):
        raise TaskError(f"context has entries {sorted(context)}, context_spaces has {sorted(spaces)}")
    taken = set(spaces) & {"puzzle", "answer", "segment", "task_id"}
    if taken:
        raise TaskError(f"context_spaces: {taken.pop()!r} is already an entry of every observation")
    blind = task.context(replace(given, solution=np.full_like(batch.solution, PAD)))
    for name, space in spaces.items():
        if len(space.shape) != 1:
            raise TaskError(f"context_spaces: {name!r} has shape {space.shape}; entries are 1-D")
        check_array(context[name], f"context: {name}", (len(batch), *space.shape), space.dtype)
        row = first(np.array([not space.contains(entry) for entry in context[name]]))
        if row is not None:
            raise TaskError(f"context: {name!r} of row {row} lies outside its space {space}")
        if (blind[name] != context[name]).any():
            raise TaskError(f"context: {name!r} depends on the solution, which agents must not see")
        if np.shares_memory(context[name], given.puzzle) or np.shares_memory(context[name], blind[name]):
            raise TaskError(f"context: {name!r} shares memory with the puzzles or an earlier call: return copies")
        for row in range(min(FEW, len(batch))):
            alone = task.context(batch.take(slice(row, row + 1)))[name]
            if (alone[0] != context[name][row]).any():
                text = f"context: {name!r} of row {row} is {context[name][row]} in the batch, but {alone[0]} alone"
                raise TaskError(text + specimen.show(batch.puzzle[row]))


def _solutions_can_be_written(specimen: Specimen) -> None:
    task, batch = specimen.task, specimen.batch
    given = batch.puzzle.copy()
    editable = task.editable(given)
    check_array(editable, "editable", batch.puzzle.shape, np.bool_)
    if (given != batch.puzzle).any():
        raise TaskError("editable changes its input puzzles")
    tokens = task.answer_tokens
    check_array(tokens, "answer_tokens", np.shape(tokens), np.uint8)
    if tokens.ndim != 1 or (np.diff(tokens.astype(int)) <= 0).any() or (tokens >= task.spec.vocab_size).any():
        raise TaskError(f"answer_tokens={tokens} must be 1-D, ascending and below {task.spec.vocab_size}")
    written = batch.solution != batch.puzzle
    for what, bad in (
        ("changes a cell where editable is False", written & ~editable),
        ("holds a token that is not in answer_tokens", written & ~np.isin(batch.solution, tokens)),
    ):
        if bad.any():
            row, cell = np.argwhere(bad)[0]
            text = f"row {row}, cell {cell}: the solution {what}"
            raise TaskError(text + specimen.show(batch.puzzle[row], batch.solution[row]))


def _marks_are_well_formed(specimen: Specimen) -> None:
    batch = specimen.batch
    given, answers = batch.copy(), specimen.answers.copy()
    marks = specimen.task.mark(given, answers)
    check_array(marks, "mark", batch.puzzle.shape, np.uint8)
    check_untouched(batch, given, "mark")
    if (answers != specimen.answers).any():
        raise TaskError("mark changes its input answers")
    bad = np.argwhere(~np.isin(marks, (MARK_NONE, MARK_RIGHT, MARK_WRONG)))
    if len(bad):
        row, cell = bad[0]
        raise TaskError(f"row {row}, cell {cell}: mark {marks[row, cell]} is not MARK_NONE, MARK_RIGHT or MARK_WRONG")
    wrong = np.argwhere(specimen.task.mark(batch, batch.solution.copy()) == MARK_WRONG)
    if len(wrong):
        row, cell = wrong[0]
        text = f"row {row}: mark returns MARK_WRONG for cell {cell} of the solution"
        raise TaskError(text + specimen.show(batch.puzzle[row], batch.solution[row]))


def _text_is_read_back(specimen: Specimen) -> None:
    for row, puzzle in enumerate(specimen.batch.puzzle[:FEW]):
        text = specimen.task.format(puzzle)
        tokens = specimen.task.parse(text)
        check_array(tokens, f"parse(format(row {row}))", (1, specimen.task.spec.num_cells), np.uint8)
        cell = first(tokens[0] != puzzle)
        if cell is not None:
            raise TaskError(f"row {row}: cell {cell} is {puzzle[cell]} but parses as {tokens[0, cell]}:\n{text}")


def _complete_solves(specimen: Specimen) -> None:
    if not overrides(specimen.task, "complete"):
        return
    puzzle = specimen.batch.puzzle[:FEW]
    solved = specimen.task.complete(puzzle.copy())
    check_batch(specimen, solved, "complete")
    if solved.puzzle.shape != puzzle.shape or (solved.puzzle != puzzle).any():
        raise TaskError("complete changes the puzzles")
    row = first(~specimen.task.verify(solved, solved.solution.copy()).success)
    if row is not None:
        text = f"complete returns a solution of row {row} that verify rejects"
        raise TaskError(text + specimen.show(puzzle[row], solved.solution[row]))


RULES: Rules = {
    "context fits its spaces and does not reveal the solution": _context_fits_its_spaces,
    "solutions differ from puzzles only in editable cells": _solutions_can_be_written,
    "mark returns a mark for each cell": _marks_are_well_formed,
    "parse reads what format writes": _text_is_read_back,
    "complete returns right solutions": _complete_solves,
}
