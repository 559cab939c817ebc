"""The conformance kit passes the built-in tasks and catches each way of breaking one."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from hrm_envs.maze import MazeTask
from hrm_envs.streams import hash_rows
from hrm_envs.sudoku import SudokuTask
from hrm_envs.task import IdTable, PuzzleBatch, Task, TaskSpec, Verdict
from hrm_envs.testing import RULES, TaskError, check_task


@pytest.mark.parametrize(
    "task",
    [SudokuTask(4), SudokuTask(6), MazeTask(7), MazeTask(9, kind="random")],
    ids=lambda task: task.spec.name,
)
def test_built_in_tasks_conform(task):
    check_task(task)


class SortTask(Task):
    """Sort a row of letters. Symmetric under reversal: a small correct task for the broken ones to break."""

    spec = TaskSpec("Sort", (1, 8), ("?", "a", "b", "c", "d"))

    def sample(self, rng, num):
        puzzle = rng.integers(1, 5, (num, 8)).astype(np.uint8)
        return PuzzleBatch(puzzle, np.sort(puzzle, axis=1))

    def verify(self, batch, answer):
        right = answer == np.sort(batch.puzzle, axis=1)
        return Verdict(right.all(axis=1), right.mean(axis=1, dtype=np.float32))

    def augment(self, batch, draws):
        flip = draws.integers(2).astype(bool)[:, None]
        return replace(batch, puzzle=np.where(flip, batch.puzzle[:, ::-1], batch.puzzle))

    def symmetry_key(self, puzzle):
        return np.minimum(hash_rows(puzzle), hash_rows(puzzle[:, ::-1]))

    def complete(self, puzzle):
        return PuzzleBatch(puzzle, np.sort(puzzle, axis=1))


def test_the_small_task_conforms():
    check_task(SortTask())
    check_task(SortTask(), num=1, seed=5)


# -- one class for each way of breaking it; the docstring is what the message must say ---------------------------


class TwoEqualSymbols(SortTask):
    """symbols\\[2\\]='a' must be unique"""

    spec = TaskSpec("Broken", (1, 8), ("?", "a", "a", "c", "d"))


class LongSymbol(SortTask):
    """symbols\\[2\\]='bb' must be one printable character"""

    spec = TaskSpec("Broken", (1, 8), ("?", "a", "bb", "c", "d"))


class NoGrid(SortTask):
    """grid_shape=\\(0, 8\\) must be positive"""

    spec = TaskSpec("Broken", (0, 8), ("?", "a", "b", "c", "d"))


class TooManySymbols(SortTask):
    """257 symbols"""

    spec = TaskSpec("Broken", (1, 8), tuple(chr(200 + i) for i in range(257)))


class Forgetful(SortTask):
    """sample returns no row"""

    def sample(self, rng, num):
        return super().sample(rng, num).take(slice(0))


class WrongWidth(SortTask):
    """puzzle has shape \\(64, 7\\), not \\(64, 8\\)"""

    def sample(self, rng, num):
        batch = super().sample(rng, num)
        return PuzzleBatch(batch.puzzle[:, 1:], batch.solution)


class WrongDtype(SortTask):
    """solution has dtype int64, not uint8"""

    def sample(self, rng, num):
        batch = super().sample(rng, num)
        return PuzzleBatch(batch.puzzle, batch.solution.astype(np.int64))


class PaddedPuzzle(SortTask):
    """puzzle of row 0 holds 0 at cell 3, which is padding"""

    def sample(self, rng, num):
        batch = super().sample(rng, num)
        batch.puzzle[:, 3] = 0
        return PuzzleBatch(batch.puzzle, np.sort(batch.puzzle, axis=1))


class TokenOutOfRange(SortTask):
    """puzzle of row 0 holds 5 at cell 0, which is no token"""

    def sample(self, rng, num):
        batch = super().sample(rng, num)
        batch.puzzle[0, 0] = 5
        return batch


class UnknownIdentity(SortTask):
    """task_id of row 0 is 3; num_task_ids=1"""

    def sample(self, rng, num):
        batch = super().sample(rng, num)
        return replace(batch, task_id=np.full(num, 3, np.int32))


class IgnoresSeed(SortTask):
    """rng is ignored"""

    def sample(self, rng, num):
        return super().sample(np.random.default_rng(0), num)


class GlobalRandomness(SortTask):
    """draw everything from rng"""

    def sample(self, rng, num):
        return super().sample(np.random.default_rng(), num)


class NoVerdict(SortTask):
    """verify returns ndarray, not a Verdict"""

    def verify(self, batch, answer):
        return super().verify(batch, answer).success


class DoubleScore(SortTask):
    """score has dtype float64, not float32"""

    def verify(self, batch, answer):
        verdict = super().verify(batch, answer)
        return replace(verdict, score=verdict.score.astype(np.float64))


class RejectsItself(SortTask):
    """rejects the solution of row \\d(.|\\n)*puzzle:(.|\\n)*answer:"""

    def sample(self, rng, num):
        batch = super().sample(rng, num)
        return replace(batch, solution=batch.puzzle[:, ::-1].copy())


class ScoreWithoutSuccess(SortTask):
    """success is False but the score is 1.0"""

    def verify(self, batch, answer):
        verdict = super().verify(batch, answer)
        return replace(verdict, score=np.ceil(verdict.score))


class ScoreOutside(SortTask):
    """score -[0-9.]+ is outside"""

    def verify(self, batch, answer):
        verdict = super().verify(batch, answer)
        return replace(verdict, score=2 * verdict.score - 1)


class Scribbles(SortTask):
    """verify changes the answers"""

    def verify(self, batch, answer):
        verdict = super().verify(batch, answer)
        answer[:] = batch.solution
        return verdict


class JudgesTogether(SortTask):
    """in the batch, but \\(.*\\) alone"""

    def verify(self, batch, answer):
        verdict = super().verify(batch, answer)
        return replace(verdict, score=np.where(verdict.success, 1, verdict.score.min()).astype(np.float32))


class AcceptsBlank(SortTask):
    """accepts an answer of nothing but padding"""

    def verify(self, batch, answer):
        right = (answer == np.sort(batch.puzzle, axis=1)) | (answer == 0)
        return Verdict(right.all(axis=1), right.mean(axis=1, dtype=np.float32))


class AugmentDropsRows(SortTask):
    """augment returns 63 rows for 64"""

    def augment(self, batch, draws):
        return super().augment(batch, draws).take(slice(1, None))


class AugmentInPlace(SortTask):
    """augment changes the puzzles that it is given"""

    def augment(self, batch, draws):
        batch.puzzle[:] = batch.puzzle[:, ::-1]
        return batch


class AugmentIgnoresDraws(SortTask):
    """draws is ignored"""

    def augment(self, batch, draws):
        return replace(batch, puzzle=batch.puzzle[:, ::-1].copy())


class AugmentGlobalRandomness(SortTask):
    """draw everything from draws"""

    def augment(self, batch, draws):
        flip = np.random.default_rng().integers(0, 2, (len(batch), 1)) == 1
        return replace(batch, puzzle=np.where(flip, batch.puzzle[:, ::-1], batch.puzzle))


class AugmentTogether(SortTask):
    """another copy in the batch than alone"""

    def augment(self, batch, draws):
        flip = draws.integers(2)[-1:].astype(bool)[:, None] ^ (draws.integers(2) == 1)[:, None]
        return replace(batch, puzzle=np.where(flip, batch.puzzle[:, ::-1], batch.puzzle))


class AugmentSpoilsSolution(SortTask):
    """rejects the solution of the copy of row"""

    def augment(self, batch, draws):
        flip = draws.integers(2).astype(bool)[:, None]
        puzzle = np.where(flip, 5 - batch.puzzle, batch.puzzle).astype(np.uint8)
        return replace(batch, puzzle=puzzle)


class NoKey(SortTask):
    """different keys \\(augment needs a symmetry_key of its own\\)"""

    symmetry_key = Task.symmetry_key


class IntegerKey(SortTask):
    """symmetry_key has dtype int64, not uint64"""

    def symmetry_key(self, puzzle):
        return super().symmetry_key(puzzle).astype(np.int64)


class KeyOfTheBatch(SortTask):
    """row 0 has key .* in the batch, but .* alone"""

    def symmetry_key(self, puzzle):
        return super().symmetry_key(puzzle) + np.uint64(len(puzzle))


class OneClass(SortTask):
    """only 0 distinct puzzles in split '(train|test)'"""

    def symmetry_key(self, puzzle):
        return np.zeros(len(puzzle), np.uint64)


class FewPuzzles(SortTask):
    """default_num_puzzles\\['train'\\] is 1000, but Sort has only \\d+ distinct puzzles"""

    def sample(self, rng, num):
        puzzle = rng.integers(1, 3, (num, 8)).astype(np.uint8)
        puzzle[:, 3:5] = 1
        return PuzzleBatch(puzzle, np.sort(puzzle, axis=1))


class SharesStored(SortTask):
    """puzzles with key \\d+ are in the train and in the test split"""

    def stored(self, split):
        return super().sample(np.random.default_rng(3), 9)


class AnswerInContext(SortTask):
    """'hint' depends on the solution"""

    def context_spaces(self):
        return {"hint": spaces.Box(0, 4, (8,), np.uint8)}

    def context(self, batch):
        return {"hint": batch.solution.copy()}


class UnannouncedContext(SortTask):
    """context has entries \\['hint'\\], context_spaces has \\[\\]"""

    def context(self, batch):
        return {"hint": batch.puzzle.copy()}


class ContextOutOfRange(AnswerInContext):
    """'hint' of row 0 lies outside its space"""

    def context(self, batch):
        return {"hint": batch.puzzle + np.uint8(4)}


class RenumbersExamples(SortTask):
    """augment changes example of row 0 from 0 to 1"""

    def augment(self, batch, draws):
        return replace(super().augment(batch, draws), example=batch.example + np.int32(1))


class UnknownMark(SortTask):
    """mark 3 is none of"""

    def mark(self, batch, answer):
        return np.full_like(answer, 3)


class MarksSolutionWrong(SortTask):
    """mark calls cell 0 of the solution wrong"""

    def mark(self, batch, answer):
        return np.full_like(answer, 2)


class ParsesReversed(SortTask):
    """is read back as"""

    def parse(self, text):
        return super().parse(text)[:, ::-1]


class CompletesWrong(SortTask):
    """complete returns a solution of row \\d that verify rejects"""

    def complete(self, puzzle):
        return PuzzleBatch(puzzle, puzzle[:, ::-1].copy())


class CannotDraw(SortTask):
    """fails while checking the rule 'draw paints any answer': ZeroDivisionError"""

    def draw(self, board):
        raise ZeroDivisionError


BROKEN = [c for c in list(globals().values()) if isinstance(c, type) and issubclass(c, SortTask) and c is not SortTask]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_broken_tasks_are_caught_by_name(broken):
    with pytest.raises(TaskError, match=broken.__doc__) as caught:
        check_task(broken())
    named = re.search(r"the rule '(.+?)':", str(caught.value))
    assert named is not None
    assert named[1] in RULES


def test_every_rule_is_broken_by_some_task():
    named = set()
    for broken in BROKEN:
        with pytest.raises(TaskError) as caught:
            check_task(broken())
        named.add(re.search(r"the rule '(.+?)':", str(caught.value))[1])
    assert named == set(RULES)


def test_a_task_with_a_stored_collection_and_context_conforms():
    class Stored(SortTask):
        spec = replace(SortTask.spec, id_table=IdTable(("one", "two"), copies=3))
        puzzles = SortTask().sample(np.random.default_rng(0), 60)
        keys = SortTask().symmetry_key(puzzles.puzzle)

        def sample(self, rng, num):
            return Task.sample(self, rng, num)

        def stored(self, split):
            chosen = np.flatnonzero((self.keys % np.uint64(4) == 0) == (split == "test"))
            return replace(self.puzzles.take(chosen), task_id=np.full(len(chosen), 1, np.int32))

        def augment(self, batch, draws):
            return replace(super().augment(batch, draws), task_id=(1 + draws.integers(3)).astype(np.int32))

        def context_spaces(self):
            return {"first": spaces.Box(0, 4, (1,), np.uint8)}

        def context(self, batch):
            return {"first": batch.puzzle[:, :1].copy()}

    check_task(Stored())


def test_padding_is_allowed_where_grids_are_smaller():
    with pytest.raises(TaskError, match="padded=True"):
        check_task(PaddedPuzzle())
    check_task(PaddedPuzzle(), padded=True)
