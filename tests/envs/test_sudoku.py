"""The Sudoku task: generator, verifier, symmetries, splits and users' puzzles."""

from __future__ import annotations

from functools import cache
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_envs.puzzles.pool import make_pool
from hrm_envs.streams import Draws
from hrm_envs.sudoku import SudokuTask
from hrm_envs.sudoku.generator import random_grids
from hrm_envs.sudoku.layout import BLANK
from hrm_envs.sudoku.solver import solve
from hrm_envs.task import PuzzleBatch

SIZES = (4, 6, 9)
OFFICIAL = Path(__file__).parents[2].parent / "shared" / "data" / "sudoku-extreme-sample-1k.npz"


@cache
def sampled(size: int) -> tuple[SudokuTask, PuzzleBatch]:
    task = SudokuTask(size)
    return task, task.sample(np.random.default_rng(size), 200)


def draws_for(seed: int, num: int) -> Draws:
    return Draws(np.arange(num, dtype=np.uint64) + np.uint64(seed), np.zeros(num, np.int64))


def is_complete(layout, tokens) -> bool:
    return all(set(tokens[unit]) == set(range(2, layout.size + 2)) for unit in layout.units)


@pytest.mark.parametrize("size", SIZES)
def test_generated_puzzles_are_unique_and_in_range(size):
    task, batch = sampled(size)
    result = solve(task.layout, batch.puzzle)
    assert len(batch) == 200
    assert result.is_unique.all()
    np.testing.assert_array_equal(result.solution, batch.solution)
    empty = (batch.puzzle == BLANK).sum(axis=1)
    low, high = task.empty_cells
    assert low <= empty.min() < empty.max() <= high
    assert all(is_complete(task.layout, row) for row in batch.solution)


def test_random_4x4_grids_cover_all_288():
    task, _ = sampled(4)
    grids, counts = np.unique(random_grids(task.layout, np.random.default_rng(0), 14_400), axis=0, return_counts=True)
    assert len(grids) == 288
    # 50 on average, but 38 and 56 for the two classes.
    assert counts.min() > 12
    assert counts.max() < 95


def test_levels_keep_their_promise():
    for level, num in (("singles", 20), ("easy", 8), ("medium", 2)):
        task = SudokuTask(level=level)
        batch = task.sample(np.random.default_rng(1), num)
        guesses = solve(task.layout, batch.puzzle).guesses
        assert task.difficulty is not None
        assert (guesses >= task.difficulty[0]).all()
        assert (guesses <= task.difficulty[1]).all()
        empty = (batch.puzzle == BLANK).sum(axis=1)
        assert (empty >= task.empty_cells[0]).all()
        assert (empty <= task.empty_cells[1]).all()


def test_explicit_ranges_override_the_level():
    task = SudokuTask(level="hard", empty_cells=(10, 12), difficulty=(0, 0))
    assert (task.empty_cells, task.difficulty) == ((10, 12), (0, 0))
    assert SudokuTask(level="hard").default_num_puzzles != SudokuTask().default_num_puzzles


@pytest.mark.parametrize("size", SIZES)
def test_same_seed_same_puzzles(size):
    task, batch = sampled(size)
    again = task.sample(np.random.default_rng(size), 200)
    other = task.sample(np.random.default_rng(size + 1), 20)
    np.testing.assert_array_equal(again.puzzle, batch.puzzle)
    assert (other.puzzle != batch.puzzle[:20]).any()


@pytest.mark.parametrize("size", SIZES)
def test_verifier_rejects_every_single_cell_corruption(size):
    task, batch = sampled(size)
    cells = task.layout.num_cells
    for i in range(3):
        one = batch.take(np.full(cells * 256, i))
        answer = one.solution.copy()
        cell, token = np.divmod(np.arange(cells * 256), 256)
        answer[np.arange(len(answer)), cell] = token
        verdict = task.verify(one, answer)
        np.testing.assert_array_equal(verdict.success, (answer == one.solution).all(axis=1))
        np.testing.assert_array_equal(verdict.score == 1, verdict.success)
        assert verdict.score.dtype == np.float32


@given(st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_verifier_agrees_with_brute_force(seed):
    task, _ = sampled(4)
    rng = np.random.default_rng(seed)
    # Few givens, so that several answers are right; the answers are valid grids, nearly valid grids or noise.
    solution = random_grids(task.layout, rng, 64)
    puzzle = np.where(rng.random(solution.shape) < 0.9, BLANK, solution).astype(np.uint8)
    answer = random_grids(task.layout, rng, 64)
    answer[:32] = np.where(puzzle[:32] != BLANK, puzzle[:32], answer[:32])
    noise = rng.random(answer.shape) < rng.choice([0, 0.05], (64, 1))
    answer = np.where(noise, rng.integers(0, 6, answer.shape), answer).astype(np.uint8)
    verdict = task.verify(PuzzleBatch(puzzle, solution), answer)
    for i in range(64):
        kept = all(p in (BLANK, a) for p, a in zip(puzzle[i], answer[i], strict=True))
        right = kept and is_complete(task.layout, answer[i])
        asked = [j for j in range(16) if puzzle[i, j] == BLANK or puzzle[i, j] != answer[i, j]]
        hits = sum(puzzle[i, j] == BLANK and answer[i, j] == solution[i, j] for j in asked)
        assert verdict.success[i] == right
        assert verdict.score[i] == pytest.approx(1 if right else hits / len(asked))


def test_puzzle_without_blanks():
    task, batch = sampled(9)
    full = PuzzleBatch(batch.solution, batch.solution)
    assert (task.verify(full, full.solution).score == 1).all()
    wrong = full.solution.copy()
    wrong[:, 0] = BLANK
    verdict = task.verify(full, wrong)
    assert not verdict.success.any()
    assert (verdict.score == 0).all()


@pytest.mark.parametrize("size", SIZES)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=8, deadline=None)
def test_augment_keeps_validity_and_class(size, seed):
    task, batch = sampled(size)
    copy = task.augment(batch, draws_for(seed, len(batch)))
    result = solve(task.layout, copy.puzzle)
    assert result.is_unique.all()
    np.testing.assert_array_equal(result.solution, copy.solution)
    assert task.verify(copy, copy.solution).success.all()
    np.testing.assert_array_equal(task.symmetry_key(copy.puzzle), task.symmetry_key(batch.puzzle))
    assert (copy.puzzle != batch.puzzle).any(axis=1).mean() > 0.9
    # The copy of a row depends only on its own stream.
    alone = task.augment(batch.take(slice(7, 8)), draws_for(seed + 7, 1))
    np.testing.assert_array_equal(alone.puzzle[0], copy.puzzle[7])


@pytest.mark.parametrize(("size", "copies"), [(4, 128), (6, 3456 // 12)])
def test_augment_reaches_the_whole_group(size, copies):
    # A marked cell reaches every position; on 4x4, all 8 * 8 * 2 arrangements of a numbered grid occur.
    task, batch = sampled(size)
    many = batch.take(np.zeros(4000, np.int64))
    moved = task.augment(many, draws_for(1, 4000))
    patterns = np.unique(moved.puzzle == BLANK, axis=0)
    assert len(patterns) <= (128 if size == 4 else 3456)
    single = PuzzleBatch(many.solution.copy(), many.solution)
    single.puzzle[:, 0] = BLANK
    spots = (task.augment(single, draws_for(2, 4000)).puzzle == BLANK).argmax(axis=1)
    share = np.bincount(spots, minlength=size * size) / 4000 * size * size
    assert share.min() > 0.6
    assert share.max() < 1.5
    names = np.unique(moved.solution, axis=0)
    assert len(names) > copies


@pytest.mark.parametrize("size", [6, 9])
def test_symmetry_key_tells_puzzles_apart(size):
    task, batch = sampled(size)
    assert len(np.unique(task.symmetry_key(batch.puzzle))) == len(batch)
    transposed = batch.puzzle.reshape(-1, size, size).transpose(0, 2, 1).reshape(len(batch), -1)
    same = task.symmetry_key(transposed) == task.symmetry_key(batch.puzzle)
    assert same.all() if size == 9 else not same.any()


def canonical_form(puzzle: np.ndarray) -> bytes:
    """The smallest symmetric copy of a 4x4 puzzle, with digits relabelled in order of appearance."""
    grid = puzzle.reshape(4, 4)
    bands = ((0, 1), (2, 3))
    lines = [(*a, *b) for x, y in permutations(bands) for a in permutations(x) for b in permutations(y)]
    best = b"\xff"
    for base in (grid, grid.T):
        for rows in lines:
            for columns in lines:
                names = {BLANK: BLANK}
                tokens = base[np.ix_(rows, columns)].ravel().tolist()
                copy = bytes(names.setdefault(token, len(names) + BLANK) for token in tokens)
                best = min(best, copy)
    return best


def test_splits_are_disjoint_by_class():
    task = SudokuTask(4, empty_cells=(9, 11))
    train, test = make_pool(task, "train", 400), make_pool(task, "test", 100)
    train_classes = {canonical_form(row) for row in train.puzzle}
    test_classes = {canonical_form(row) for row in test.puzzle}
    assert not train_classes & test_classes
    # Nearly every class has its own key.
    keys = len(np.unique(task.symmetry_key(train.puzzle)))
    assert 0.95 * len(train_classes) <= keys <= len(train_classes)


@pytest.mark.parametrize("size", SIZES)
def test_pools_are_large_enough(size):
    pool = make_pool(SudokuTask(size), "test", 1000 if size < 9 else 100)
    assert len(np.unique(pool.puzzle, axis=0)) == len(pool)


@pytest.mark.skipif(not OFFICIAL.exists(), reason="the official sample is not here")
def test_official_puzzles():
    data = np.load(OFFICIAL)
    task = SudokuTask()
    batch = PuzzleBatch(data["inputs"], data["labels"])
    assert task.verify(batch, batch.solution).success.all()
    assert len(np.unique(task.symmetry_key(batch.puzzle))) == 1000
    np.testing.assert_array_equal(task.complete(batch.puzzle[::4]).solution, batch.solution[::4])


def test_complete_solves_outside_puzzles():
    task, batch = sampled(6)
    done = task.complete(batch.puzzle)
    np.testing.assert_array_equal(done.solution, batch.solution)
    np.testing.assert_array_equal(task.complete(batch.puzzle[0]).solution[0], batch.solution[0])


def test_complete_names_what_is_wrong():
    task, batch = sampled(9)
    blank = np.full((1, 81), BLANK, np.uint8)
    clash = blank.copy()
    clash[0, [22, 24]] = 5
    with pytest.raises(ValueError, match="row 3, column 5 and row 3, column 7 both hold 4"):
        task.complete(clash)
    with pytest.raises(ValueError, match=r"^puzzle 1: row 3, column 5 and"):
        task.complete(np.concatenate([batch.puzzle[:1], clash]))
    with pytest.raises(ValueError, match="81 cells"):
        task.complete(blank[:, :80])
    for token in (0, 11, 300, -1):
        bad = blank.astype(np.int64)
        bad[0, 10] = token
        with pytest.raises(ValueError, match=f"row 2, column 2 holds token {token}"):
            task.complete(bad)
    with pytest.raises(ValueError, match="integer tokens"):
        task.complete(blank.astype(np.float32))
    with pytest.raises(ValueError, match="several solutions"):
        task.complete(blank)
    impossible = blank.copy()
    impossible[0, :8] = np.arange(2, 10)
    impossible[0, 17] = 10  # the 9 of row 1 must be in column 9, where it clashes
    with pytest.raises(ValueError, match="no solution"):
        task.complete(impossible)


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"size": 5}, "size=5: a Sudoku has one of the sizes 4, 6, 9"),
        ({"level": "nightmare"}, "level='nightmare': choose one of 'singles', 'easy'"),
        ({"size": 4, "level": "easy"}, "levels are for size 9"),
        ({"empty_cells": (5, 3)}, r"empty_cells=\(5, 3\) must satisfy low <= high"),
        ({"empty_cells": (-1, 3)}, "empty_cells=-1 must be from 0 to 64"),
        ({"size": 4, "empty_cells": (4, 13)}, "empty_cells=13 must be from 0 to 12"),
        ({"empty_cells": 5}, "two integers"),
        ({"difficulty": (3, 2)}, r"difficulty=\(3, 2\) must satisfy low <= high"),
        ({"difficulty": (1, 2, 3)}, "two integers"),
    ],
)
def test_constructor_errors(keywords, text):
    with pytest.raises(ValueError, match=text):
        SudokuTask(**keywords)


def test_sample_gives_up_on_ranges_without_puzzles():
    with pytest.raises(ValueError, match="widen the ranges"):
        SudokuTask(4, empty_cells=(1, 2), difficulty=(5, 9)).sample(np.random.default_rng(0), 4)
