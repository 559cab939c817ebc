"""Rules for the right answer that is nearest to an agent's own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrm_envs.testing.specimen import FEW, Rules, Specimen, TaskError, check_array, check_untouched, first, overrides


def _scores(specimen: Specimen) -> NDArray[np.float32]:
    """Random scores ``[B, S, V]``."""
    shape = (*specimen.batch.puzzle.shape, specimen.task.spec.vocab_size)
    return np.random.default_rng(specimen.seed).standard_normal(shape, np.float32)


def _total(scores: NDArray[np.float32], answer: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Sum of the scores of an answer ``[B]``."""
    chosen = np.take_along_axis(scores, answer[..., None].astype(np.int64), axis=-1)[..., 0]
    return chosen.sum(axis=1, dtype=np.float64)


def _nearest_is_asked_for(specimen: Specimen) -> None:
    if overrides(specimen.task, "nearest") != specimen.task.many_answers:
        raise TaskError(
            f"many_answers is {specimen.task.many_answers}: set it to True if and only if the task defines nearest"
        )


def _nearest_is_right(specimen: Specimen) -> None:
    task, given, scores = specimen.task, specimen.batch.copy(), _scores(specimen)
    kept = scores.copy()
    nearest = task.nearest(given, scores)
    check_array(nearest, "nearest", given.puzzle.shape, np.uint8)
    check_untouched(specimen.batch, given, "nearest")
    if (scores != kept).any():
        raise TaskError("nearest changes its input scores")
    row = first(~task.verify(given, nearest).success)
    if row is not None:
        raise TaskError(
            f"verify rejects the nearest answer to row {row}"
            + specimen.show(given.puzzle[row], nearest[row], "nearest")
        )
    for row in range(min(FEW, len(given))):
        alone = task.nearest(given.take(slice(row, row + 1)), scores[row : row + 1])
        if (alone[0] != nearest[row]).any():
            text = f"the nearest answer to row {row} differs between the batch and the row alone"
            raise TaskError(text + specimen.show(given.puzzle[row], alone[0], "nearest, alone"))


def _nearest_is_nearest(specimen: Specimen) -> None:
    """No farther than the solution, and the solution itself for an agent that favours it."""
    task, batch, scores = specimen.task, specimen.batch, _scores(specimen)
    nearest = task.nearest(batch.copy(), scores)
    row = first(_total(scores, nearest) < _total(scores, batch.solution) - 1e-3)
    if row is not None:
        text = f"the nearest answer to row {row} has a lower sum of scores than its solution"
        raise TaskError(text + specimen.show(batch.puzzle[row], nearest[row], "nearest"))
    favoured = (batch.solution[..., None] == np.arange(task.spec.vocab_size)).astype(np.float32)
    row = first((task.nearest(batch.copy(), favoured) != batch.solution).any(axis=1))
    if row is not None:
        text = f"row {row}: the scores favour the solution in every cell, but nearest returns another answer"
        raise TaskError(text + specimen.show(batch.puzzle[row], batch.solution[row], "solution"))


RULES: Rules = {
    "many_answers says whether nearest is defined": _nearest_is_asked_for,
    "nearest returns a right answer to each row": _nearest_is_right,
    "nearest returns the answer with the largest sum of scores": _nearest_is_nearest,
}
