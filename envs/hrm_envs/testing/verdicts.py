"""Rules for the verifier."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hrm_envs.spec import PAD, Tokens
from hrm_envs.task import PuzzleBatch, Verdict
from hrm_envs.testing.specimen import FEW, Rules, Specimen, TaskError, check_array, check_untouched, first

#: Minimum number of random answers.
_MANY = 64


def _verdict_is_well_formed(specimen: Specimen) -> None:
    num = len(specimen.batch)
    verdict = specimen.task.verify(specimen.batch.copy(), specimen.answers.copy())
    if not isinstance(verdict, Verdict):
        raise TaskError(f"verify returns {type(verdict).__name__}, not a Verdict")
    check_array(verdict.success, "verify: success", (num,), np.bool_)
    check_array(verdict.score, "verify: score", (num,), np.float32)


def _verify_leaves_its_inputs(specimen: Specimen) -> None:
    batch, answers = specimen.batch.copy(), specimen.answers.copy()
    specimen.task.verify(batch, answers)
    check_untouched(specimen.batch, batch, "verify")
    row = first((answers != specimen.answers).any(axis=1))
    if row is not None:
        text = f"verify changes its input answers, first in row {row}"
        raise TaskError(text + specimen.show(batch.puzzle[row], specimen.answers[row]))


def _verify_repeats_itself(specimen: Specimen) -> None:
    batch, answers = specimen.batch, specimen.answers
    kept = specimen.task.verify(batch, answers)
    success, score = kept.success.copy(), kept.score.copy()
    for _ in range(3):
        specimen.task.verify(batch, batch.solution.copy())  # must not affect later calls
        again = specimen.task.verify(batch, answers)
        if np.shares_memory(again.success, kept.success) or np.shares_memory(again.score, kept.score):
            raise TaskError("two calls of verify share memory: return new arrays, or copies")
        same = np.isclose(again.score, score, rtol=0, atol=0, equal_nan=True)
        row = first((again.success != success) | ~same)
        if row is not None:
            raise TaskError(
                f"row {row}: first ({success[row]}, {score[row]}), later ({again.success[row]}, {again.score[row]})"
                + specimen.show(batch.puzzle[row], answers[row])
            )


def _solutions_are_accepted(specimen: Specimen) -> None:
    batch = specimen.batch
    row = first(~specimen.task.verify(batch, batch.solution.copy()).success)
    if row is not None:
        raise TaskError(
            f"verify rejects the solution of row {row}" + specimen.show(batch.puzzle[row], batch.solution[row])
        )


def _score_matches_success(specimen: Specimen) -> None:
    batch, answers = specimen.batch, specimen.answers
    verdict = specimen.task.verify(batch, answers)
    row = first(~((verdict.score >= 0) & (verdict.score <= 1)))
    if row is not None:
        text = f"row {row}: score {verdict.score[row]} is outside [0, 1]"
        raise TaskError(text + specimen.show(batch.puzzle[row], answers[row]))
    row = first(verdict.success != (verdict.score == 1))
    if row is not None:
        text = f"row {row}: success is {verdict.success[row]} but the score is {verdict.score[row]}"
        raise TaskError(text + specimen.show(batch.puzzle[row], answers[row]))


def _verdict_judges_rows_alone(specimen: Specimen) -> None:
    batch, answers = specimen.batch, specimen.answers
    verdict = specimen.task.verify(batch, answers)
    for row in range(min(FEW, len(batch))):
        alone = specimen.task.verify(batch.take(slice(row, row + 1)), answers[row : row + 1])
        if alone.success[0] != verdict.success[row] or alone.score[0] != verdict.score[row]:
            raise TaskError(
                f"row {row}: ({verdict.success[row]}, {verdict.score[row]}) in the batch, but "
                f"({alone.success[0]}, {alone.score[0]}) alone" + specimen.show(batch.puzzle[row], answers[row])
            )


def _blank_answers_are_rejected(specimen: Specimen) -> None:
    batch = specimen.batch
    row = first(specimen.task.verify(batch, np.full_like(batch.puzzle, PAD)).success)
    if row is not None:
        raise TaskError(f"row {row}: verify accepts an answer that is all padding" + specimen.show(batch.puzzle[row]))


def _wrong_answers_are_rejected(specimen: Specimen) -> None:
    """Some answers other than the solution may be right, but a verifier that accepts all of them is wrong."""
    for kind, batch, answers in _doubtful_answers(specimen):
        if len(batch) >= FEW and specimen.task.verify(batch, answers).success.all():
            text = f"verify accepts {kind} in all {len(batch)} tries; the first is"
            raise TaskError(text + specimen.show(batch.puzzle[0], answers[0]))


def _doubtful_answers(specimen: Specimen) -> Iterator[tuple[str, PuzzleBatch, Tokens]]:
    """Kinds of answers that are mostly wrong, without those equal to the solution."""
    rng, batch = np.random.default_rng(specimen.seed), specimen.batch
    many = batch.take(np.arange(max(_MANY, len(batch))) % len(batch))
    noise = rng.integers(1, specimen.task.spec.vocab_size, many.puzzle.shape, np.uint8)
    neighbour = np.roll(batch.solution, 1, axis=0)
    for kind, rows, answers in (
        ("random tokens", many, noise),
        ("the unchanged puzzle", batch, batch.puzzle.copy()),
        ("the solution of another puzzle", batch, neighbour),
    ):
        other = (answers != rows.solution).any(axis=1)
        yield kind, rows.take(other), answers[other]


RULES: Rules = {
    "verify returns a well-formed verdict": _verdict_is_well_formed,
    "verify does not change its inputs": _verify_leaves_its_inputs,
    "verify is deterministic": _verify_repeats_itself,
    "verify accepts the solutions of the task": _solutions_are_accepted,
    "scores lie in [0, 1] and are 1 only for success": _score_matches_success,
    "verify grades each row independently": _verdict_judges_rows_alone,
    "verify rejects blank answers": _blank_answers_are_rejected,
    "verify rejects answers that are rarely right": _wrong_answers_are_rejected,
}
