"""The conformance checks detect each broken task, name the broken rule and show an example."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces
from sort_task import SortTask

from hrm_envs.spec import TaskSpec
from hrm_envs.streams import hash_rows
from hrm_envs.task import PuzzleBatch, Task, Verdict
from hrm_envs.testing import RULES, TaskError, check_task

#: Each broken task with the rule that it breaks and a pattern of the message.
BROKEN: list[tuple[type[Task], str, str]] = []


def breaks(rule, says):
    def keep(broken):
        BROKEN.append((broken, rule, says))
        return broken

    return keep


# -- the spec ----------------------------------------------------------------------------------------------------

SPEC = "the spec is valid"


@breaks(SPEC, r"spec is None, not a TaskSpec: set it on the class")
class NoSpec(SortTask):
    spec = None


@breaks(SPEC, r"symbols\[2\]='a' must be unique")
class TwoEqualSymbols(SortTask):
    spec = TaskSpec("Broken", (1, 8), ("?", "a", "a", "c", "d"))


@breaks(SPEC, r"symbols\[2\]='bb' must be one printable character")
class LongSymbol(SortTask):
    spec = TaskSpec("Broken", (1, 8), ("?", "a", "bb", "c", "d"))


@breaks(SPEC, r"symbols='\?abcd' must be a tuple")
class SymbolsInOneText(SortTask):
    spec = TaskSpec("Broken", (1, 8), "?abcd")


@breaks(SPEC, r"1 symbols: padding and at least one more")
class TooFewSymbols(SortTask):
    spec = TaskSpec("Broken", (1, 8), ("?",))


@breaks(SPEC, r"symbols\[1\]='\\n' must be one printable character")
class UnprintableSymbol(SortTask):
    spec = TaskSpec("Broken", (1, 8), ("?", "\n", "b", "c", "d"))


# -- sampling ----------------------------------------------------------------------------------------------------

FORM = "sample returns well-formed puzzles"
MEMORY = "sample returns new arrays"
DRAWN = "sample uses no randomness but its generator"


@breaks(FORM, r"puzzle has shape \(64, 8\), not \(64, 9\)")
class SpecLiesAboutTheGrid(SortTask):
    spec = replace(SortTask.spec, grid_shape=(3, 3))


@breaks(FORM, r"puzzle of row \d+ holds 4 at cell \d, which is not a token; tokens are 0 to 3")
class SpecLiesAboutTheTokens(SortTask):
    spec = replace(SortTask.spec, symbols=("?", "a", "b", "c"))


@breaks(FORM, r"sample returns tuple, not a PuzzleBatch")
class PlainTuple(SortTask):
    def sample(self, rng, num):
        batch = super().sample(rng, num)
        return batch.puzzle, batch.solution


@breaks(FORM, r"sample returns no row")
class Forgetful(SortTask):
    def sample(self, rng, num):
        return super().sample(rng, num).take(slice(0))


@breaks(FORM, r"sample\(rng, 1\) returns no row")
class OnlyEvenNumbers(SortTask):
    def sample(self, rng, num):
        return super().sample(rng, num // 2 * 2)


@breaks(FORM, r"puzzle has shape \(64, 7\), not \(64, 8\)")
class WrongWidth(SortTask):
    def sample(self, rng, num):
        batch = super().sample(rng, num)
        return PuzzleBatch(batch.puzzle[:, 1:], batch.solution)


@breaks(FORM, r"solution has shape \(63, 8\), not \(64, 8\)")
class SolutionMissing(SortTask):
    def sample(self, rng, num):
        batch = super().sample(rng, num)
        return PuzzleBatch(batch.puzzle, batch.solution[1:])


@breaks(FORM, r"solution has dtype int64, not uint8")
class WrongDtype(SortTask):
    def sample(self, rng, num):
        batch = super().sample(rng, num)
        return PuzzleBatch(batch.puzzle, batch.solution.astype(np.int64))


@breaks(FORM, r"puzzle of row 0 holds 0 at cell 3, which is padding")
class PaddedPuzzle(SortTask):
    def sample(self, rng, num):
        batch = super().sample(rng, num)
        batch.puzzle[:, 3] = 0
        return PuzzleBatch(batch.puzzle, np.sort(batch.puzzle, axis=1))


@breaks(FORM, r"task_id of row 0 is 3; num_task_ids=1")
class UnknownIdentity(SortTask):
    def sample(self, rng, num):
        return replace(super().sample(rng, num), task_id=np.full(num, 3, np.int32))


@breaks(MEMORY, r"two calls of sample share the memory of puzzle")
class SameArrayEveryCall(SortTask):
    buffer = np.zeros((64, 8), np.uint8)

    def sample(self, rng, num):
        batch = super().sample(rng, num)
        self.buffer[:num] = batch.puzzle
        return PuzzleBatch(self.buffer[:num], batch.solution)


@breaks(DRAWN, r"rng is ignored\npuzzle:\n[abcd]{8}")
class IgnoresSeed(SortTask):
    def sample(self, rng, num):
        return super().sample(np.random.default_rng(0), num)


@breaks(DRAWN, r"equally seeded generators give different puzzles.*\npuzzle:\n.*\npuzzle, the second time:\n")
class UnseededGenerator(SortTask):
    def sample(self, rng, num):
        return super().sample(np.random.default_rng(), num)


@breaks(DRAWN, r"equally seeded generators give different puzzles")
class CountsItsCalls(SortTask):
    calls = 0

    def sample(self, rng, num):
        self.calls += 1
        batch = super().sample(rng, num)
        return batch.take(np.roll(np.arange(num), self.calls))


@breaks(DRAWN, r"sample uses the global generator")
class GlobalNumpy(SortTask):
    def sample(self, rng, num):
        puzzle = np.random.randint(1, 5, (num, 8)).astype(np.uint8)  # noqa: NPY002
        return PuzzleBatch(puzzle, np.sort(puzzle, axis=1))


@breaks(DRAWN, r"sample uses the global generator")
class ReseedsGlobalPython(SortTask):
    def sample(self, rng, num):
        random.seed(int(rng.integers(1000)))
        puzzle = np.array([[random.randint(1, 4) for _ in range(8)] for _ in range(num)], np.uint8)
        return PuzzleBatch(puzzle, np.sort(puzzle, axis=1))


# -- the verifier ------------------------------------------------------------------------------------------------

VERDICT = "verify returns a well-formed verdict"
INPUTS = "verify does not change its inputs"
REPEATS = "verify is deterministic"
ACCEPTS = "verify accepts the solutions of the task"
SCORES = "scores lie in [0, 1] and are 1 only for success"
ALONE = "verify grades each row independently"
BLANK = "verify rejects blank answers"
WRONG = "verify rejects answers that are rarely right"
GRIDS = r"(.|\n)*\npuzzle:\n[?abcd.]{8}\nanswer:\n[?abcd.]{8}"


@breaks(VERDICT, r"verify returns ndarray, not a Verdict")
class NoVerdict(SortTask):
    def verify(self, batch, answer):
        return super().verify(batch, answer).success


@breaks(VERDICT, r"score has dtype float64, not float32")
class DoubleScore(SortTask):
    def verify(self, batch, answer):
        verdict = super().verify(batch, answer)
        return replace(verdict, score=verdict.score.astype(np.float64))


@breaks(VERDICT, r"success is bool, not an array")
class OneVerdictForAll(SortTask):
    def verify(self, batch, answer):
        verdict = super().verify(batch, answer)
        return replace(verdict, success=bool(verdict.success.all()))


@breaks(INPUTS, r"verify changes its input answers, first in row 0" + GRIDS)
class ScribblesOnAnswers(SortTask):
    def verify(self, batch, answer):
        verdict = super().verify(batch, answer)
        answer[:] = 1 + answer % 4
        return verdict


@breaks(INPUTS, r"verify changes its input puzzles: puzzle of row \d")
class ScribblesOnPuzzles(SortTask):
    def verify(self, batch, answer):
        batch.puzzle.sort(axis=1)
        return super().verify(batch, answer)


@breaks(INPUTS, r"verify changes its input puzzles: example of row 0")
class ScribblesOnExamples(SortTask):
    def verify(self, batch, answer):
        batch.example[:] += 1
        return super().verify(batch, answer)


@breaks(REPEATS, r"row \d+: first \(.*\), later \(.*\)" + GRIDS)
class RollsDice(SortTask):
    dice = random.Random(0)

    def verify(self, batch, answer):
        verdict = super().verify(batch, answer)
        return replace(verdict, score=verdict.score * np.float32(self.dice.uniform(0.5, 1.0)))


@breaks(REPEATS, r"row \d+: first \(.*\), later \(.*\)" + GRIDS)
class RemembersTheLastAnswers(SortTask):
    last = None

    def verify(self, batch, answer):
        verdict = super().verify(batch, answer)
        known = self.last is not None and len(self.last) == len(answer)
        changed = (self.last != answer).any(axis=1) if known else np.zeros(len(answer), bool)
        self.last = answer.copy()
        return Verdict(verdict.success & ~changed, np.where(changed, 0, verdict.score).astype(np.float32))


@breaks(REPEATS, r"two calls of verify share memory")
class SameVerdictArray(SortTask):
    buffer = np.zeros(64, np.float32)

    def verify(self, batch, answer):
        verdict = super().verify(batch, answer)
        self.buffer[: len(answer)] = verdict.score
        return replace(verdict, score=self.buffer[: len(answer)])


@breaks(ACCEPTS, r"verify rejects the solution of row \d" + GRIDS)
class RejectsItself(SortTask):
    def sample(self, rng, num):
        batch = super().sample(rng, num)
        return replace(batch, solution=batch.puzzle[:, ::-1].copy())


class FillTask(Task):
    """A row with the letters a to h in random order, some blank; a correct task, which other tests break."""

    spec = TaskSpec("Fill", (1, 8), (" ", ".", *"abcdefgh"))

    def sample(self, rng, num):
        solution = rng.permuted(np.tile(np.arange(2, 10, dtype=np.uint8), (num, 1)), axis=1)
        return PuzzleBatch(np.where(rng.random((num, 8)) < 0.4, 1, solution).astype(np.uint8), solution)

    def kept(self, batch, answer):
        return ((batch.puzzle == 1) | (answer == batch.puzzle)).all(axis=1)

    def full(self, answer):
        return (np.sort(answer, axis=1) == np.arange(2, 10)).all(axis=1)

    def verify(self, batch, answer):
        success = self.kept(batch, answer) & self.full(answer)
        return Verdict(success, success.astype(np.float32))


FILL_GRIDS = GRIDS.replace("?abcd", "a-h ")


@breaks(ACCEPTS, r"verify rejects the solution of row 0" + FILL_GRIDS)
class SolutionBreaksGivens(FillTask):
    def sample(self, rng, num):
        batch = super().sample(rng, num)
        return replace(batch, solution=np.roll(batch.solution, 1, axis=1))


@breaks(WRONG, r"verify accepts the solution of another puzzle in all \d+ tries; the first is" + FILL_GRIDS)
class ForgetsTheGivens(FillTask):
    def verify(self, batch, answer):
        success = self.full(answer)
        return Verdict(success, success.astype(np.float32))


@breaks(WRONG, r"verify accepts the unchanged puzzle in all \d+ tries; the first is" + FILL_GRIDS)
class ForgetsTheBlanks(FillTask):
    def verify(self, batch, answer):
        success = self.kept(batch, answer)
        return Verdict(success, success.astype(np.float32))


@breaks(BLANK, r"row 0: verify accepts an answer that is all padding\npuzzle:")
class AcceptsEverything(SortTask):
    def verify(self, batch, answer):
        return Verdict(np.ones(len(answer), bool), np.ones(len(answer), np.float32))


@breaks(BLANK, r"accepts an answer that is all padding")
class AcceptsBlank(SortTask):
    def verify(self, batch, answer):
        right = (answer == np.sort(batch.puzzle, axis=1)) | (answer == 0)
        return Verdict(right.all(axis=1), right.mean(axis=1, dtype=np.float32))


@breaks(WRONG, r"verify accepts random tokens in all \d+ tries; the first is" + GRIDS)
class AcceptsWhateverIsFull(SortTask):
    def verify(self, batch, answer):
        full = (answer != 0).mean(axis=1, dtype=np.float32)
        return Verdict(full == 1, full)


@breaks(SCORES, r"success is False but the score is 1.0" + GRIDS)
class FullScoreForFailure(SortTask):
    def verify(self, batch, answer):
        verdict = super().verify(batch, answer)
        return replace(verdict, score=np.ceil(verdict.score))


@breaks(SCORES, r"success is True but the score is 0.5" + GRIDS)
class HalfScoreForSuccess(SortTask):
    def verify(self, batch, answer):
        verdict = super().verify(batch, answer)
        return replace(verdict, score=verdict.score / 2)


@breaks(SCORES, r"score -[0-9.]+ is outside \[0, 1\]" + GRIDS)
class NegativeScore(SortTask):
    def verify(self, batch, answer):
        verdict = super().verify(batch, answer)
        return replace(verdict, score=2 * verdict.score - 1)


@breaks(SCORES, r"score nan is outside \[0, 1\]" + GRIDS)
class ScoreIsNoNumber(SortTask):
    def verify(self, batch, answer):
        verdict = super().verify(batch, answer)
        return replace(verdict, score=np.where(verdict.success, 1, np.nan).astype(np.float32))


@breaks(ALONE, r"row \d+: \(.*\) in the batch, but \(.*\) alone" + GRIDS)
class JudgesTogether(SortTask):
    def verify(self, batch, answer):
        verdict = super().verify(batch, answer)
        return replace(verdict, score=np.where(verdict.success, 1, verdict.score.min()).astype(np.float32))


# -- symmetries and splits ---------------------------------------------------------------------------------------

COPIES = "augment returns well-formed puzzles"
DRAWS = "augment uses no randomness but its draws"
KEYS = "symmetry_key returns a key for each row independently"
SAME_KEY = "symmetry_key is equal for symmetric copies"


@breaks(COPIES, r"augment returns 63 rows for 64")
class AugmentDropsRows(SortTask):
    def augment(self, batch, draws):
        return super().augment(batch, draws).take(slice(1, None))


@breaks(COPIES, r"augment: puzzle has shape \(64, 7\), not \(64, 8\)")
class AugmentCutsTheGrid(SortTask):
    def augment(self, batch, draws):
        batch = super().augment(batch, draws)
        return PuzzleBatch(batch.puzzle[:, 1:], batch.solution[:, 1:])


@breaks(COPIES, r"augment changes its input puzzles: puzzle of row \d")
class AugmentInPlace(SortTask):
    def augment(self, batch, draws):
        batch.puzzle[:] = batch.puzzle[:, ::-1].copy()
        return batch


@breaks(COPIES, r"augment changes example of row 0 from 0 to 1")
class RenumbersExamples(SortTask):
    def augment(self, batch, draws):
        return replace(super().augment(batch, draws), example=batch.example + np.int32(1))


@breaks(DRAWS, r"draws is ignored")
class AugmentIgnoresDraws(SortTask):
    def augment(self, batch, draws):
        return replace(batch, puzzle=batch.puzzle[:, ::-1].copy())


@breaks(DRAWS, r"use only draws for randomness")
class AugmentUnseeded(SortTask):
    def augment(self, batch, draws):
        flip = np.random.default_rng().integers(0, 2, (len(batch), 1)) == 1
        return replace(batch, puzzle=np.where(flip, batch.puzzle[:, ::-1], batch.puzzle))


@breaks(
    "augment treats each row independently", r"the copy of row \d+ differs .*\npuzzle:\n[abcd]{8}\nalone:\n[abcd]{8}"
)
class AugmentTogether(SortTask):
    def augment(self, batch, draws):
        flip = draws.integers(2)[-1:].astype(bool)[:, None] ^ (draws.integers(2) == 1)[:, None]
        return replace(batch, puzzle=np.where(flip, batch.puzzle[:, ::-1], batch.puzzle))


@breaks("augment keeps solutions right", r"rejects the solution of the copy of row \d" + GRIDS)
class AugmentSpoilsSolution(SortTask):
    def augment(self, batch, draws):
        flip = draws.integers(2).astype(bool)[:, None]
        puzzle = np.where(flip, 5 - batch.puzzle, batch.puzzle).astype(np.uint8)
        return replace(batch, puzzle=puzzle)


@breaks(SAME_KEY, r"different keys \(a task with augment must define symmetry_key\)\npuzzle:\n.*\ncopy:")
class NoKey(SortTask):
    symmetry_key = Task.symmetry_key


@breaks(KEYS, r"symmetry_key has dtype int64, not uint64")
class IntegerKey(SortTask):
    def symmetry_key(self, puzzle):
        return super().symmetry_key(puzzle).astype(np.int64)


@breaks(KEYS, r"row 0 has key .* in the batch, but .* alone")
class KeyOfTheBatch(SortTask):
    def symmetry_key(self, puzzle):
        return super().symmetry_key(puzzle) + np.uint64(len(puzzle))


@breaks(KEYS, r"symmetry_key uses Python's hash\(\).*use hrm_envs.streams.hash_rows")
class KeyOfThisProcess(SortTask):
    def symmetry_key(self, puzzle):
        return np.array([abs(hash(np.sort(row).tobytes())) for row in puzzle], np.uint64)


@breaks("the splits share no symmetry class", r"no puzzle in split '(train|validation|test)'")
class OneClass(SortTask):
    def symmetry_key(self, puzzle):
        return np.zeros(len(puzzle), np.uint64)


@breaks(
    "the splits share no symmetry class",
    r"key \d+ are in the splits train and test \(row 8 of test\)\npuzzle:\n[abcd]{8}",
)
class SplitsOverlap(SortTask):
    def stored(self, split):
        every = super().sample(np.random.default_rng(3), 20)
        return every.take({"train": slice(9), "validation": slice(17, 20), "test": slice(16, 7, -1)}[split])


@breaks("the splits share no symmetry class", r"are in the splits validation and test \(row 0 of test\)")
class TestsOnValidationPuzzles(SortTask):
    __test__ = False

    def stored(self, split):
        every = super().sample(np.random.default_rng(3), 20)
        return every.take({"train": slice(9), "validation": slice(9, 14), "test": slice(13, 20)}[split])


@breaks("the splits share no symmetry class", r"are in the splits train and test \(row 0 of test\)")
class NoValidationPuzzlesButOverlap(SortTask):
    def stored(self, split):
        every = super().sample(np.random.default_rng(3), 40)
        return {"train": every.take(slice(30)), "validation": None, "test": every.take(slice(28, 40))}[split]


@breaks("each split has the default number of puzzles", r"puzzles in split 'train' is 1000, but Sort has only")
class FewPuzzles(SortTask):
    def sample(self, rng, num):
        puzzle = rng.integers(1, 3, (num, 8)).astype(np.uint8)
        puzzle[:, 3:5] = 1
        return PuzzleBatch(puzzle, np.sort(puzzle, axis=1))


@breaks("each split has the default number of puzzles", r"default_num_puzzles=.* has no entry 'test'")
class NoTestPuzzles(SortTask):
    default_num_puzzles = {"train": 10}  # noqa: RUF012


# -- context, marks, text, solutions -----------------------------------------------------------------------------

CONTEXT = "context fits its spaces and does not reveal the solution"


class HintTask(SortTask):
    """Adds the first letter to the observation; a correct task, which other tests break."""

    def context_spaces(self):
        return {"hint": spaces.Box(0, 4, (1,), np.uint8)}

    def context(self, batch):
        return {"hint": batch.puzzle[:, :1].copy()}


@breaks(CONTEXT, r"'hint' depends on the solution")
class AnswerInContext(HintTask):
    def context(self, batch):
        return {"hint": batch.solution[:, :1].copy()}


@breaks(CONTEXT, r"context has entries \[\], context_spaces has \['hint'\]")
class MissingContext(HintTask):
    context = Task.context


@breaks(CONTEXT, r"'hint' of row 0 lies outside its space")
class ContextOutOfRange(HintTask):
    def context(self, batch):
        return {"hint": batch.puzzle[:, :1] + np.uint8(4)}


@breaks(CONTEXT, r"'hint' shares memory with the puzzles")
class ContextIsAView(HintTask):
    def context(self, batch):
        return {"hint": batch.puzzle[:, :1]}


@breaks(CONTEXT, r"'hint' of row \d is \[4\] in the batch, but \[[123]\] alone\npuzzle:")
class ContextOfTheBatch(HintTask):
    def context(self, batch):
        return {"hint": np.full_like(batch.puzzle[:, :1], batch.puzzle[:, 0].max())}


EDITS = "solutions differ from puzzles only in editable cells"


@breaks(EDITS, r"row \d, cell \d: the solution changes a cell where editable is False" + FILL_GRIDS)
class RewritesAGiven(FillTask):
    """The verifier also ignores that the first cell is given."""

    def sample(self, rng, num):
        batch = super().sample(rng, num)
        batch.puzzle[:, 0] = 2
        return batch

    def kept(self, batch, answer):
        return ((batch.puzzle == 1) | (answer == batch.puzzle))[:, 1:].all(axis=1)

    def editable(self, puzzle):
        return puzzle == 1


@breaks(EDITS, r"row \d, cell \d: the solution holds a token that is not in answer_tokens" + FILL_GRIDS)
class ForgetsALetter(FillTask):
    @property
    def answer_tokens(self):
        return np.arange(2, 9, dtype=np.uint8)


@breaks(EDITS, r"answer_tokens=\[3 2\] must be 1-D, ascending and below 10")
class DescendingTokens(FillTask):
    @property
    def answer_tokens(self):
        return np.array([3, 2], np.uint8)


@breaks(EDITS, r"editable has shape \(8,\), not \(64, 8\)")
class OneEditableRow(FillTask):
    def editable(self, puzzle):
        return puzzle[0] == 1


@breaks("grades_without_solution is true", r"mark marks row \d differently without its solution" + GRIDS)
class MarksByTheSolution(SortTask):
    """Verifies by rules, but uses the default marks, which need the solution."""

    grades_without_solution = True


@breaks("mark returns a mark for each cell", r"mark 3 is not MARK_NONE")
class UnknownMark(SortTask):
    def mark(self, batch, answer):
        return np.full_like(answer, 3)


@breaks("mark returns a mark for each cell", r"row 0: mark returns MARK_WRONG for cell 0 of the solution" + GRIDS)
class MarksSolutionWrong(SortTask):
    def mark(self, batch, answer):
        return np.full_like(answer, 2)


@breaks("parse reads what format writes", r"but parses as")
class ParsesReversed(SortTask):
    def parse(self, text):
        return super().parse(text)[:, ::-1]


@breaks("complete returns right solutions", r"complete returns a solution of row \d that verify rejects" + GRIDS)
class CompletesWrong(SortTask):
    def complete(self, puzzle):
        return PuzzleBatch(puzzle, puzzle[:, ::-1].copy())


# -- drawing -----------------------------------------------------------------------------------------------------

ACCEPTS = "draw accepts any answer"
SHOWS = "draw shows the puzzle and the answer"


@breaks(ACCEPTS, r"ZeroDivisionError")
class CannotDraw(SortTask):
    def draw(self, board):
        raise ZeroDivisionError


@breaks(ACCEPTS, r"IndexError")
class CannotDrawPadding(SortTask):
    def draw(self, board):
        for token in board.frame.answer:
            board.canvas.text((9, 9), "abcd"[int(token) - 1 if token else 9], 9)


@breaks(ACCEPTS, r"draw returns ndarray: it must draw on the board and return None")
class DrawReturnsAPicture(SortTask):
    def draw(self, board):
        return np.zeros((64, 64, 3))


@breaks(ACCEPTS, r"draw opens a display")
class DrawNeedsADisplay(SortTask):
    def draw(self, board):
        import pygame

        pygame.display.init()
        board.draw_symbols()


@breaks(ACCEPTS, r"draw changes answer of its frame" + GRIDS)
class DrawScribbles(SortTask):
    def draw(self, board):
        board.frame.answer[0] = 1 + board.frame.answer[0] % 4
        board.draw_symbols()


@breaks(SHOWS, r"draw leaves the board blank\npuzzle:\n[abcd]{8}")
class DrawsNothing(SortTask):
    def draw(self, board):
        pass


@breaks(SHOWS, r"draw shows the same frame in two ways")
class DrawsByChance(SortTask):
    dice = random.Random(0)

    def draw(self, board):
        board.canvas.circle((self.dice.uniform(50, 300), 150), 30, (255, 255, 255))


@breaks(SHOWS, r"draw does not show the answer: the solved puzzle looks like the untouched one" + GRIDS)
class DrawsTheQuestionAlone(SortTask):
    def draw(self, board):
        for index, token in enumerate(board.frame.puzzle):
            board.tile(board.rect(index), board.symbol(int(token)), True, 0, False, None)


@breaks(SHOWS, r"draw does not show the puzzle: these two look alike\npuzzle:\n.*\nanother puzzle:\n")
class DrawsTheAnswerAlone(SortTask):
    def draw(self, board):
        for index, token in enumerate(board.frame.answer):
            board.tile(board.rect(index), board.symbol(int(token)), True, 0, False, None)


# -- the nearest answer ------------------------------------------------------------------------------------------

ASKED = "many_answers says whether nearest is defined"
RIGHT = "nearest returns a right answer to each row"
NEAREST = "nearest returns the answer with the largest sum of scores"


class EitherWayTask(SortTask):
    """Sorted up or down: both are right."""

    many_answers = True

    def verify(self, batch, answer):
        up = np.sort(batch.puzzle, axis=1)
        right = np.maximum((answer == up).mean(axis=1), (answer == up[:, ::-1]).mean(axis=1)).astype(np.float32)
        return Verdict(right == 1, right)

    def nearest(self, batch, scores):
        up = np.sort(batch.puzzle, axis=1)
        totals = [np.take_along_axis(scores, each[..., None], -1).sum(axis=(1, 2)) for each in (up, up[:, ::-1])]
        return np.where((totals[0] >= totals[1])[:, None], up, up[:, ::-1])


@breaks(ASKED, r"many_answers is False: set it to True if and only if the task defines nearest")
class NearestNobodyAsksFor(EitherWayTask):
    many_answers = False


@breaks(ASKED, r"many_answers is True: set it to True if and only if")
class ManyAnswersWithoutNearest(SortTask):
    many_answers = True


@breaks(RIGHT, r"verify rejects the nearest answer to row 0\npuzzle:\n[?abcd.]{8}\nnearest:\n[?abcd.]{8}")
class NearestIsWhatTheAgentSays(EitherWayTask):
    def nearest(self, batch, scores):
        return scores.argmax(axis=-1).astype(np.uint8)


@breaks(RIGHT, r"nearest has dtype int64, not uint8")
class NearestOfAnotherType(EitherWayTask):
    def nearest(self, batch, scores):
        return super().nearest(batch, scores).astype(np.int64)


@breaks(RIGHT, r"nearest changes its input puzzles: solution of row 0")
class NearestWritesIntoTheBatch(EitherWayTask):
    def nearest(self, batch, scores):
        batch.solution[:] = batch.solution[:, ::-1]
        return batch.solution


@breaks(RIGHT, r"nearest changes its input scores")
class NearestWritesIntoTheScores(EitherWayTask):
    def nearest(self, batch, scores):
        scores -= scores.max(axis=-1, keepdims=True)
        return super().nearest(batch, scores)


@breaks(RIGHT, r"the nearest answer to row \d+ differs between the batch and the row alone")
class NearestToAllRowsTogether(EitherWayTask):
    def nearest(self, batch, scores):
        return super().nearest(batch, np.broadcast_to(scores.sum(axis=0), scores.shape))


@breaks(NEAREST, r"the nearest answer to row \d+ has a lower sum of scores than its solution")
class NearestIsFarthest(EitherWayTask):
    def nearest(self, batch, scores):
        return super().nearest(batch, -scores)


# -- all of them -------------------------------------------------------------------------------------------------


def complaint(broken, rule):
    """The message for a broken task."""
    if rule.startswith("draw "):
        pytest.importorskip("pygame")
    with pytest.raises(TaskError) as caught:
        check_task(broken())
    return str(caught.value)


@pytest.mark.parametrize(("broken", "rule", "says"), BROKEN, ids=lambda part: getattr(part, "__name__", ""))
def test_broken_tasks_are_caught_by_the_rule_that_they_break(broken, rule, says):
    text = complaint(broken, rule)
    assert f"the rule {rule!r}: " in text
    assert re.search(says, text), text


def test_every_rule_is_broken_by_some_task():
    assert {rule for _, rule, _ in BROKEN} == set(RULES)


@pytest.mark.parametrize("base", [SortTask, HintTask, FillTask, EitherWayTask])
def test_what_they_break_was_whole(base):
    check_task(base())


def test_keys_may_hash_in_ways_that_last():
    class Longhand(SortTask):
        def symmetry_key(self, puzzle):
            return np.minimum(hash_rows(puzzle), hash_rows(puzzle[:, ::-1])) ^ np.uint64(5)

    check_task(Longhand())
