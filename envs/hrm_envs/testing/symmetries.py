"""Rules for the symmetries, and for the splits derived from them."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from hrm_envs.puzzles.pool import default_size, make_pool, stored_pool
from hrm_envs.puzzles.splits import DISJOINT, in_split, puzzle_classes
from hrm_envs.task import PuzzleBatch, Task
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

#: Number of puzzles sampled per split; every task should have as many.
_SPLIT_SIZE = 4
#: Maximum number of the ``default_num_puzzles`` made per split, to stay fast.
_MOST_OF_SPLIT = 200


def _augment_is_well_formed(specimen: Specimen) -> None:
    batch, given = specimen.batch, specimen.batch.copy()
    copies = specimen.task.augment(given, specimen.draws(0))
    check_untouched(batch, given, "augment")
    check_batch(specimen, copies, "augment")
    if len(copies) != len(batch):
        raise TaskError(f"augment returns {len(copies)} rows for {len(batch)}")
    row = first(_task_number(specimen.task, copies) != _task_number(specimen.task, batch))
    if row is not None:
        raise TaskError(f"augment changes task_id of row {row} from {batch.task_id[row]} to {copies.task_id[row]}")
    row = first(copies.example != batch.example)
    if row is not None:
        raise TaskError(f"augment changes example of row {row} from {batch.example[row]} to {copies.example[row]}")


def _augment_follows_its_draws(specimen: Specimen) -> None:
    digest = specimen.augmented(0).digest()
    if digest != specimen.augmented(0).digest():
        raise TaskError("equal draws give different copies: use only draws for randomness")
    if not overrides(specimen.task, "augment"):
        return
    if all(specimen.augmented(episode).digest() == digest for episode in range(1, 5)):
        raise TaskError("different draws give the same copies: draws is ignored")


def _augment_takes_rows_alone(specimen: Specimen) -> None:
    batch, together = specimen.batch, specimen.augmented(0)
    for row in range(min(FEW, len(batch))):
        rows = slice(row, row + 1)
        alone = specimen.task.augment(batch.take(rows).copy(), specimen.draws(0, rows))
        if alone.digest() != together.take(rows).digest():
            raise TaskError(
                f"the copy of row {row} differs between the batch and the row alone with the same draws"
                + specimen.show(together.puzzle[row], alone.puzzle[0], "alone")
            )


def _augment_keeps_solutions(specimen: Specimen) -> None:
    for episode in range(3):
        copies = specimen.augmented(episode)
        row = first(~specimen.task.verify(copies, copies.solution.copy()).success)
        if row is not None:
            text = f"verify rejects the solution of the copy of row {row}"
            raise TaskError(text + specimen.show(copies.puzzle[row], copies.solution[row]))


def _solutions_are_not_needed(specimen: Specimen) -> None:
    task, batch, answers = specimen.task, specimen.batch, specimen.answers
    if not task.grades_without_solution:
        return
    blind = batch.labelled(0)
    seen, unseen = task.verify(batch, answers), task.verify(blind, answers)
    copies = task.augment(batch.copy(), specimen.draws(0)), task.augment(blind.copy(), specimen.draws(0))
    for what, broken in (
        ("verify judges", (seen.success != unseen.success) | (seen.score != unseen.score)),
        ("augment copies", (copies[0].puzzle != copies[1].puzzle).any(axis=1)),
        ("mark marks", (task.mark(batch, answers) != task.mark(blind, answers)).any(axis=1)),
    ):
        row = first(broken)
        if row is not None:
            text = f"{what} row {row} differently without its solution, although grades_without_solution is True"
            raise TaskError(text + specimen.show(batch.puzzle[row], answers[row]))


def _keys_are_well_formed(specimen: Specimen) -> None:
    puzzle = specimen.batch.puzzle
    given = puzzle.copy()
    keys = specimen.task.symmetry_key(given)
    check_array(keys, "symmetry_key", (len(puzzle),), np.uint64)
    if (given != puzzle).any():
        raise TaskError("symmetry_key changes its input puzzles")
    for row in range(min(FEW, len(puzzle))):
        alone = specimen.task.symmetry_key(puzzle[row : row + 1])[0]
        if alone != keys[row]:
            text = f"row {row} has key {keys[row]} in the batch, but {alone} alone"
            raise TaskError(text + specimen.show(puzzle[row]))
    # Python's hash() of strings and bytes differs between processes: a different hash() simulates another process.
    python_hash = hash
    with patch("builtins.hash", lambda value: python_hash(value) ^ 0x5A5A5A5A):
        elsewhere = specimen.task.symmetry_key(puzzle)
    if (elsewhere != keys).any():
        raise TaskError(
            "symmetry_key uses Python's hash(), which differs between processes and would mix the splits: use "
            "hrm_envs.streams.hash_rows"
        )


def _keys_are_invariant(specimen: Specimen) -> None:
    keys = specimen.task.symmetry_key(specimen.batch.puzzle)
    for episode in range(3):
        copies = specimen.augmented(episode)
        # A copy with its own identity is another puzzle.
        same = copies.task_id == specimen.batch.task_id
        row = first((specimen.task.symmetry_key(copies.puzzle) != keys) & same)
        if row is not None:
            advice = (
                "" if overrides(specimen.task, "symmetry_key") else " (a task with augment must define symmetry_key)"
            )
            text = f"row {row} and its symmetric copy have different keys{advice}"
            raise TaskError(text + specimen.show(specimen.batch.puzzle[row], copies.puzzle[row], "copy"))


def _splits_share_nothing(specimen: Specimen) -> None:
    task, batch = specimen.task, specimen.batch
    stored = stored_pool(task, "all") is not None
    # The same grid under two identities is two puzzles.
    splits_of: dict[tuple[int, ...], str] = {}
    for split in DISJOINT:
        pool = stored_pool(task, split) if stored else make_pool(task, split, _SPLIT_SIZE, specimen.seed)
        for row, name in enumerate([] if pool is None else map(tuple, puzzle_classes(task, pool).tolist())):
            if splits_of.setdefault(name, split) != split:
                assert pool is not None
                text = (
                    f"puzzles with key {name[0]} are in the splits {splits_of[name]} and {split} (row {row} of {split})"
                )
                raise TaskError(text + specimen.show(pool.puzzle[row]))
    if stored:
        return
    for split in DISJOINT:
        here = in_split(task, batch.puzzle, split)
        row_ = first(in_split(task, specimen.augmented(1).puzzle, split) != here)
        if row_ is not None:
            raise TaskError(
                f"row {row_} and its symmetric copy fall into different splits" + specimen.show(batch.puzzle[row_])
            )


def _splits_hold_the_default(specimen: Specimen) -> None:
    task = specimen.task
    if stored_pool(task, "all") is not None:
        return
    for split in DISJOINT:
        try:
            wanted = default_size(task, split)
        except KeyError as error:
            raise TaskError(f"default_num_puzzles={task.default_num_puzzles} has no entry {error}") from error
        try:
            make_pool(task, split, min(wanted, _MOST_OF_SPLIT), specimen.seed)
        except ValueError as error:
            raise TaskError(
                f"the default number of puzzles in split {split!r} is {wanted}, but {error} (set default_num_puzzles "
                "of the task)"
            ) from error


def _task_number(task: Task, batch: PuzzleBatch) -> NDArray[np.int32]:
    """The task of each row ``[B]``, regardless of its copy; -1 for none."""
    table = task.spec.id_table
    return batch.task_id - 1 if table is None else (batch.task_id - 1) // table.copies


RULES: Rules = {
    "augment returns well-formed puzzles": _augment_is_well_formed,
    "augment uses no randomness but its draws": _augment_follows_its_draws,
    "augment treats each row independently": _augment_takes_rows_alone,
    "augment keeps solutions right": _augment_keeps_solutions,
    "grades_without_solution is true": _solutions_are_not_needed,
    "symmetry_key returns a key for each row independently": _keys_are_well_formed,
    "symmetry_key is equal for symmetric copies": _keys_are_invariant,
    "the splits share no symmetry class": _splits_share_nothing,
    "each split has the default number of puzzles": _splits_hold_the_default,
}
