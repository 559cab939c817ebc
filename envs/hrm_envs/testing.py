"""The conformance kit for people who write a task: one call checks every rule that the package relies on.

    from hrm_envs.testing import check_task

    def test_my_task():
        check_task(MyTask(size=5))

A broken rule raises :class:`TaskError`, whose text names the rule and shows the example that breaks it. Correct
tasks of the usual sizes pass in about a second.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_envs.board import Frame
from hrm_envs.pool import SPLITS, in_split, make_pool, stored_pool
from hrm_envs.rendering import paint
from hrm_envs.streams import Draws
from hrm_envs.task import MARK_NONE, MARK_RIGHT, MARK_WRONG, PAD, PuzzleBatch, Task, Tokens, Verdict

#: Rows that are compared one by one with the batch, and puzzles that are solved anew.
_FEW = 12
#: Puzzles wanted of each split; every task should have as many.
_SPLIT_SIZE = 4
#: No more of ``default_num_puzzles`` are made of each split, for the check to stay quick.
_MOST_OF_SPLIT = 200


class TaskError(AssertionError):
    """A task breaks a rule; the text says which one and shows an example."""


def check_task(task: Task, *, num: int = 64, seed: int = 0, padded: bool = False) -> None:
    """Check a task against every rule in :data:`RULES`.

    Whether ``default_num_puzzles`` exist is tried with at most 200 puzzles of each split, to stay quick.

    Args:
        task: the task, ready made.
        num: how many puzzles to look at.
        seed: of the puzzles, symmetries and answers.
        padded: whether puzzles and solutions may hold padding, as grids smaller than the task's do.

    Raises:
        TaskError: the task breaks a rule.
    """
    specimen = _Specimen(task, num, seed, padded)
    name = getattr(getattr(task, "spec", None), "name", type(task).__name__)
    for rule, check in RULES.items():
        try:
            check(specimen)
        except TaskError as error:
            raise TaskError(f"{name} breaks the rule {rule!r}: {error}") from None
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise TaskError(f"{name} fails while checking the rule {rule!r}: {reason}") from error


@dataclass(frozen=True)
class _Specimen:
    """What the rules look at. Puzzles and answers are made when first asked for, after the rules on them."""

    task: Task
    num: int
    seed: int
    padded: bool

    def sample(self, seed: int) -> PuzzleBatch:
        """What the task samples from a fresh generator."""
        return self.task.sample(np.random.default_rng(seed), self.num)

    @cached_property
    def batch(self) -> PuzzleBatch:
        """``B`` puzzles, at most ``num``."""
        return self.sample(self.seed).take(slice(self.num))

    @cached_property
    def answers(self) -> Tokens:
        """uint8 ``[B, S]``: right, nearly right, untouched and random answers in turn."""
        rng = np.random.default_rng(self.seed)
        spec, batch = self.task.spec, self.batch
        answers = rng.integers(0, spec.vocab_size, batch.puzzle.shape).astype(np.uint8)
        answers[0::4] = batch.solution[0::4]
        answers[1::4] = batch.solution[1::4]
        rows = np.arange(1, len(batch), 4)
        cells = rng.integers(0, spec.num_cells, len(rows))
        answers[rows, cells] = (answers[rows, cells] + 1) % spec.vocab_size
        answers[2::4] = batch.puzzle[2::4]
        return answers

    def draws(self, episode: int, rows: slice = slice(None)) -> Draws:
        """Draws for the given rows; the same for the same arguments."""
        keys = np.random.default_rng(self.seed).integers(0, 2**64, len(self.batch), np.uint64)[rows]
        return Draws(keys, np.full(len(keys), episode))

    def augmented(self, episode: int) -> PuzzleBatch:
        """Symmetric copies of a copy of the puzzles."""
        return self.task.augment(self.batch.copy(), self.draws(episode))

    def show(self, puzzle: Tokens, answer: Tokens | None = None) -> str:
        """Grids for a message, on lines of their own."""
        text = f"\npuzzle:\n{_grid(self.task, puzzle)}"
        return text if answer is None else f"{text}\nanswer:\n{_grid(self.task, answer)}"


# -- the spec and the puzzles ------------------------------------------------------------------------------------


def _spec_is_sane(specimen: _Specimen) -> None:
    spec = specimen.task.spec
    if min(spec.grid_shape) < 1:
        raise TaskError(f"grid_shape={spec.grid_shape} must be positive")
    if not 2 <= spec.vocab_size <= 256:
        raise TaskError(f"{spec.vocab_size} symbols: padding and at least one more are needed, 256 at most fit a byte")
    for token, symbol in enumerate(spec.symbols):
        if len(symbol) != 1 or not symbol.isprintable():
            raise TaskError(f"symbols[{token}]={symbol!r} must be one printable character")
        if symbol in spec.symbols[:token]:
            raise TaskError(f"symbols[{token}]={symbol!r} must be unique, symbols[{spec.symbols.index(symbol)}] has it")
    table = spec.id_table
    if table is not None and (not table.tasks or table.copies < 1 or len(set(table.tasks)) < len(table.tasks)):
        raise TaskError("id_table needs at least one task and one copy, and names that differ")


def _sample_is_well_formed(specimen: _Specimen) -> None:
    batch = specimen.sample(specimen.seed)
    _check_batch(specimen, batch, "sample")


def _sample_follows_its_generator(specimen: _Specimen) -> None:
    first, again, other = (specimen.sample(seed) for seed in (specimen.seed, specimen.seed, specimen.seed + 1))
    if first.digest() != again.digest():
        raise TaskError("equal generators give different puzzles: draw everything from rng, nothing from elsewhere")
    if first.digest() == other.digest():
        raise TaskError("differently seeded generators give the same puzzles: rng is ignored")


# -- the verifier ------------------------------------------------------------------------------------------------


def _verdict_is_well_formed(specimen: _Specimen) -> None:
    num = len(specimen.batch)
    verdict = specimen.task.verify(specimen.batch.copy(), specimen.answers.copy())
    if not isinstance(verdict, Verdict):
        raise TaskError(f"verify returns {type(verdict).__name__}, not a Verdict")
    _check_array(verdict.success, "verify: success", (num,), np.bool_)
    _check_array(verdict.score, "verify: score", (num,), np.float32)


def _solutions_are_accepted(specimen: _Specimen) -> None:
    batch = specimen.batch
    row = _first(~specimen.task.verify(batch, batch.solution.copy()).success)
    if row is not None:
        raise TaskError(
            f"verify rejects the solution of row {row}" + specimen.show(batch.puzzle[row], batch.solution[row])
        )


def _score_matches_success(specimen: _Specimen) -> None:
    batch, answers = specimen.batch, specimen.answers
    verdict = specimen.task.verify(batch, answers)
    row = _first(~((verdict.score >= 0) & (verdict.score <= 1)))
    if row is not None:
        text = f"row {row}: score {verdict.score[row]} is outside [0, 1]"
        raise TaskError(text + specimen.show(batch.puzzle[row], answers[row]))
    row = _first(verdict.success != (verdict.score == 1))
    if row is not None:
        text = f"row {row}: success is {verdict.success[row]} but the score is {verdict.score[row]}"
        raise TaskError(text + specimen.show(batch.puzzle[row], answers[row]))


def _verify_leaves_its_inputs(specimen: _Specimen) -> None:
    batch, answers = specimen.batch.copy(), specimen.answers.copy()
    specimen.task.verify(batch, answers)
    _check_untouched(specimen.batch, batch, "verify")
    if (answers != specimen.answers).any():
        raise TaskError("verify changes the answers that it is given")


def _verdict_judges_rows_alone(specimen: _Specimen) -> None:
    batch, answers = specimen.batch, specimen.answers
    verdict = specimen.task.verify(batch, answers)
    for row in range(min(_FEW, len(batch))):
        alone = specimen.task.verify(batch.take(slice(row, row + 1)), answers[row : row + 1])
        if alone.success[0] != verdict.success[row] or alone.score[0] != verdict.score[row]:
            raise TaskError(
                f"row {row}: ({verdict.success[row]}, {verdict.score[row]}) in the batch, but "
                f"({alone.success[0]}, {alone.score[0]}) alone" + specimen.show(batch.puzzle[row], answers[row])
            )


def _blank_answers_are_rejected(specimen: _Specimen) -> None:
    batch = specimen.batch
    row = _first(specimen.task.verify(batch, np.full_like(batch.puzzle, PAD)).success)
    if row is not None:
        raise TaskError(
            f"row {row}: verify accepts an answer of nothing but padding" + specimen.show(batch.puzzle[row])
        )


# -- the symmetries ----------------------------------------------------------------------------------------------


def _augment_is_well_formed(specimen: _Specimen) -> None:
    batch, given = specimen.batch, specimen.batch.copy()
    copies = specimen.task.augment(given, specimen.draws(0))
    _check_untouched(batch, given, "augment")
    _check_batch(specimen, copies, "augment")
    if len(copies) != len(batch):
        raise TaskError(f"augment returns {len(copies)} rows for {len(batch)}")
    row = _first(_task_number(specimen.task, copies) != _task_number(specimen.task, batch))
    if row is not None:
        raise TaskError(f"augment changes task_id of row {row} from {batch.task_id[row]} to {copies.task_id[row]}")
    row = _first(copies.example != batch.example)
    if row is not None:
        raise TaskError(f"augment changes example of row {row} from {batch.example[row]} to {copies.example[row]}")


def _augment_follows_its_draws(specimen: _Specimen) -> None:
    first = specimen.augmented(0).digest()
    if first != specimen.augmented(0).digest():
        raise TaskError("equal draws give different copies: draw everything from draws, nothing from elsewhere")
    if not _overrides(specimen.task, "augment"):
        return
    if all(specimen.augmented(episode).digest() == first for episode in range(1, 5)):
        raise TaskError("different draws give the same copies: draws is ignored")


def _augment_takes_rows_alone(specimen: _Specimen) -> None:
    batch, together = specimen.batch, specimen.augmented(0)
    for row in range(min(_FEW, len(batch))):
        rows = slice(row, row + 1)
        alone = specimen.task.augment(batch.take(rows).copy(), specimen.draws(0, rows))
        if alone.digest() != together.take(rows).digest():
            raise TaskError(
                f"row {row} becomes another copy in the batch than alone with its own draws"
                + specimen.show(together.puzzle[row], alone.puzzle[0]).replace("answer:", "alone:")
            )


def _augment_keeps_solutions(specimen: _Specimen) -> None:
    for episode in range(3):
        copies = specimen.augmented(episode)
        row = _first(~specimen.task.verify(copies, copies.solution.copy()).success)
        if row is not None:
            text = f"verify rejects the solution of the copy of row {row}"
            raise TaskError(text + specimen.show(copies.puzzle[row], copies.solution[row]))


def _keys_are_well_formed(specimen: _Specimen) -> None:
    puzzle = specimen.batch.puzzle
    given = puzzle.copy()
    keys = specimen.task.symmetry_key(given)
    _check_array(keys, "symmetry_key", (len(puzzle),), np.uint64)
    if (given != puzzle).any():
        raise TaskError("symmetry_key changes the puzzles that it is given")
    for row in range(min(_FEW, len(puzzle))):
        alone = specimen.task.symmetry_key(puzzle[row : row + 1])[0]
        if alone != keys[row]:
            text = f"row {row} has key {keys[row]} in the batch, but {alone} alone"
            raise TaskError(text + specimen.show(puzzle[row]))


def _keys_are_invariant(specimen: _Specimen) -> None:
    keys = specimen.task.symmetry_key(specimen.batch.puzzle)
    for episode in range(3):
        copies = specimen.augmented(episode)
        # A copy with an identity of its own is another puzzle.
        same = copies.task_id == specimen.batch.task_id
        row = _first((specimen.task.symmetry_key(copies.puzzle) != keys) & same)
        if row is not None:
            advice = "" if _overrides(specimen.task, "symmetry_key") else " (augment needs a symmetry_key of its own)"
            text = f"row {row} and its symmetric copy have different keys{advice}"
            grids = specimen.show(specimen.batch.puzzle[row], copies.puzzle[row])
            raise TaskError(text + grids.replace("answer:", "copy:"))


def _splits_share_nothing(specimen: _Specimen) -> None:
    task, batch = specimen.task, specimen.batch
    keys = {}
    stored = stored_pool(task, "all") is not None
    for split in SPLITS[:2]:
        pool = stored_pool(task, split) if stored else make_pool(task, split, _SPLIT_SIZE, specimen.seed)
        # The same puzzle under two identities is two puzzles.
        keys[split] = set() if pool is None else {
            *zip(task.symmetry_key(pool.puzzle).tolist(), pool.task_id.tolist(), strict=True)
        }  # fmt: skip
    both = keys["train"] & keys["test"]
    if both:
        raise TaskError(f"puzzles with key {both.pop()[0]} are in the train and in the test split")
    if stored:
        return
    here = in_split(task, batch.puzzle, "test")
    row = _first(in_split(task, specimen.augmented(1).puzzle, "test") != here)
    if row is not None:
        raise TaskError(
            f"row {row} and its symmetric copy fall into different splits" + specimen.show(batch.puzzle[row])
        )


def _splits_hold_the_default(specimen: _Specimen) -> None:
    task = specimen.task
    if stored_pool(task, "all") is not None:
        return
    for split in SPLITS[:2]:
        wanted = task.default_num_puzzles[split]
        try:
            make_pool(task, split, min(wanted, _MOST_OF_SPLIT), specimen.seed)
        except ValueError as error:
            raise TaskError(
                f"default_num_puzzles[{split!r}] is {wanted}, but {error} (set default_num_puzzles on the task)"
            ) from error


# -- what else the agent sees -----------------------------------------------------------------------------------


def _context_fits_its_spaces(specimen: _Specimen) -> None:
    task, batch = specimen.task, specimen.batch
    spaces = dict(task.context_spaces())
    given = batch.copy()
    context = dict(task.context(given))
    _check_untouched(batch, given, "context")
    if set(context) != set(spaces):
        raise TaskError(f"context has entries {sorted(context)}, context_spaces has {sorted(spaces)}")
    taken = set(spaces) & {"puzzle", "answer", "segment", "task_id"}
    if taken:
        raise TaskError(f"context_spaces: {taken.pop()!r} is an entry of every observation already")
    blind = task.context(replace(given, solution=np.full_like(batch.solution, PAD)))
    for name, space in spaces.items():
        if len(space.shape) != 1:
            raise TaskError(f"context_spaces: {name!r} has shape {space.shape}; entries are 1-D")
        _check_array(context[name], f"context: {name}", (len(batch), *space.shape), space.dtype)
        row = _first(np.array([not space.contains(entry) for entry in context[name]]))
        if row is not None:
            raise TaskError(f"context: {name!r} of row {row} lies outside its space {space}")
        if (blind[name] != context[name]).any():
            raise TaskError(f"context: {name!r} depends on the solution, which no agent may see")


# -- reading, solving, showing -----------------------------------------------------------------------------------


def _marks_are_well_formed(specimen: _Specimen) -> None:
    batch = specimen.batch
    given, answers = batch.copy(), specimen.answers.copy()
    marks = specimen.task.mark(given, answers)
    _check_array(marks, "mark", batch.puzzle.shape, np.uint8)
    _check_untouched(batch, given, "mark")
    if (answers != specimen.answers).any():
        raise TaskError("mark changes the answers that it is given")
    bad = np.argwhere(~np.isin(marks, (MARK_NONE, MARK_RIGHT, MARK_WRONG)))
    if len(bad):
        row, cell = bad[0]
        raise TaskError(f"row {row}, cell {cell}: mark {marks[row, cell]} is none of MARK_NONE, MARK_RIGHT, MARK_WRONG")
    wrong = np.argwhere(specimen.task.mark(batch, batch.solution.copy()) == MARK_WRONG)
    if len(wrong):
        row, cell = wrong[0]
        text = f"row {row}: mark calls cell {cell} of the solution wrong"
        raise TaskError(text + specimen.show(batch.puzzle[row], batch.solution[row]))


def _text_is_read_back(specimen: _Specimen) -> None:
    for row, puzzle in enumerate(specimen.batch.puzzle[:_FEW]):
        text = specimen.task.format(puzzle)
        tokens = specimen.task.parse(text)
        _check_array(tokens, f"parse(format(row {row}))", (1, specimen.task.spec.num_cells), np.uint8)
        cell = _first(tokens[0] != puzzle)
        if cell is not None:
            raise TaskError(f"row {row}: cell {cell} was {puzzle[cell]} and is read back as {tokens[0, cell]}:\n{text}")


def _complete_solves(specimen: _Specimen) -> None:
    if not _overrides(specimen.task, "complete"):
        return
    puzzle = specimen.batch.puzzle[:_FEW]
    solved = specimen.task.complete(puzzle.copy())
    _check_batch(specimen, solved, "complete")
    if solved.puzzle.shape != puzzle.shape or (solved.puzzle != puzzle).any():
        raise TaskError("complete returns other puzzles than it was given")
    row = _first(~specimen.task.verify(solved, solved.solution.copy()).success)
    if row is not None:
        text = f"complete returns a solution of row {row} that verify rejects"
        raise TaskError(text + specimen.show(puzzle[row], solved.solution[row]))


def _draw_paints(specimen: _Specimen) -> None:
    if importlib.util.find_spec("pygame") is None:
        return
    one, rest = specimen.batch.take(slice(1)), specimen.answers[-1]
    nothing = np.full_like(rest, PAD)
    history = [nothing, one.puzzle[0], rest, one.solution[0]]
    for segment, answer in enumerate(history):
        verdict = specimen.task.verify(one, answer[None])
        frame = Frame(
            puzzle=one.puzzle[0],
            answer=answer,
            previous_answer=history[max(0, segment - 1)],
            marks=specimen.task.mark(one, answer[None])[0],
            segment=segment,
            max_segments=len(history) - 1,
            success=bool(verdict.success[0]),
            score=float(verdict.score[0]),
            halted=segment == len(history) - 1,
            forced=False,
            task_id=int(one.task_id[0]),
            example=int(one.example[0]),
        )
        paint(specimen.task, frame, (360, 240))


#: Every rule, in the order in which they are checked; each may take the ones before it for granted.
RULES: dict[str, Callable[[_Specimen], None]] = {
    "the spec is sane": _spec_is_sane,
    "sample returns well-formed puzzles": _sample_is_well_formed,
    "sample draws from its generator alone": _sample_follows_its_generator,
    "verify returns a well-formed verdict": _verdict_is_well_formed,
    "verify does not change its inputs": _verify_leaves_its_inputs,
    "verify accepts the solutions of the task": _solutions_are_accepted,
    "scores lie in [0, 1] and are 1 exactly for a success": _score_matches_success,
    "verify judges each row on its own": _verdict_judges_rows_alone,
    "verify rejects blank answers": _blank_answers_are_rejected,
    "augment returns well-formed puzzles": _augment_is_well_formed,
    "augment draws from its draws alone": _augment_follows_its_draws,
    "augment treats each row on its own": _augment_takes_rows_alone,
    "augment keeps solutions right": _augment_keeps_solutions,
    "symmetry_key returns a key for each row on its own": _keys_are_well_formed,
    "symmetry_key is equal for symmetric copies": _keys_are_invariant,
    "the train and the test split share no symmetry class": _splits_share_nothing,
    "each split holds the default number of puzzles": _splits_hold_the_default,
    "context fits its spaces and does not tell the solution": _context_fits_its_spaces,
    "mark returns a mark for each cell": _marks_are_well_formed,
    "parse reads what format writes": _text_is_read_back,
    "complete returns right solutions": _complete_solves,
    "draw paints any answer": _draw_paints,
}


# -- helpers -----------------------------------------------------------------------------------------------------


def _check_batch(specimen: _Specimen, batch: PuzzleBatch, source: str) -> None:
    """Shapes, dtypes and token range of puzzles that the task made."""
    spec = specimen.task.spec
    if not isinstance(batch, PuzzleBatch):
        raise TaskError(f"{source} returns {type(batch).__name__}, not a PuzzleBatch")
    num = len(batch)
    if num == 0:
        raise TaskError(f"{source} returns no row at all")
    for name, tokens in (("puzzle", batch.puzzle), ("solution", batch.solution)):
        _check_array(tokens, f"{source}: {name}", (num, spec.num_cells), np.uint8)
        bad = np.argwhere((tokens >= spec.vocab_size) | ((tokens == PAD) & (not specimen.padded)))
        if len(bad):
            row, cell = bad[0]
            what = "is padding (pass padded=True if it may be)" if tokens[row, cell] == PAD else "is no token"
            raise TaskError(
                f"{source}: {name} of row {row} holds {tokens[row, cell]} at cell {cell}, which {what}; "
                f"tokens go to {spec.vocab_size - 1}"
            )
    _check_array(batch.task_id, f"{source}: task_id", (num,), np.int32)
    row_ = _first((batch.task_id < 0) | (batch.task_id >= spec.num_task_ids))
    if row_ is not None:
        raise TaskError(
            f"{source}: task_id of row {row_} is {batch.task_id[row_]}; num_task_ids={spec.num_task_ids} allows "
            f"0 to {spec.num_task_ids - 1}"
        )
    _check_array(batch.example, f"{source}: example", (num,), np.int32)


def _check_array(array: Any, name: str, shape: tuple[int, ...], dtype: Any) -> None:
    if not isinstance(array, np.ndarray):
        raise TaskError(f"{name} is {type(array).__name__}, not an array")
    if array.shape != shape:
        raise TaskError(f"{name} has shape {array.shape}, not {shape}")
    if array.dtype != dtype:
        raise TaskError(f"{name} has dtype {array.dtype}, not {np.dtype(dtype)}")


def _check_untouched(before: PuzzleBatch, after: PuzzleBatch, source: str) -> None:
    if before.digest() != after.digest():
        raise TaskError(f"{source} changes the puzzles that it is given")


def _task_number(task: Task, batch: PuzzleBatch) -> NDArray[np.int32]:
    """Which task each row is of ``[B]``, whatever its copy; -1 for none."""
    table = task.spec.id_table
    return batch.task_id - 1 if table is None else (batch.task_id - 1) // table.copies


def _first(broken: NDArray[np.bool_]) -> int | None:
    """The first row of a mask, if any is set."""
    rows = np.flatnonzero(broken)
    return int(rows[0]) if len(rows) else None


def _overrides(task: Task, method: str) -> bool:
    return getattr(type(task), method) is not getattr(Task, method)


def _grid(task: Task, tokens: Tokens) -> str:
    """A grid in the spec's symbols, whatever the task's own format does."""
    return Task.format(task, tokens)
