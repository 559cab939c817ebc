"""Puzzle pools: distinct, reproducible, split by symmetry class, and cached by their settings."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from hrm_envs.construction import Settings, build_dynamics
from hrm_envs.maze import MazeTask
from hrm_envs.puzzles.pool import cached_pool, hold_pool, make_pool
from hrm_envs.puzzles.splits import DISJOINT, SPLITS, in_split
from hrm_envs.spec import TaskSpec
from hrm_envs.sudoku import SudokuTask
from hrm_envs.task import PuzzleBatch, Task, Verdict


class FewTask(Task):
    """As many puzzles as there are cells."""

    def __init__(self, cells: int = 40, token: int = 2) -> None:
        self.spec = TaskSpec(f"Few {cells}", (1, cells), ("?", "a", "b", "c"))
        self.token = token

    def sample(self, rng, num):
        puzzle = np.ones((num, self.spec.num_cells), np.uint8)
        puzzle[np.arange(num), rng.integers(0, self.spec.num_cells, num)] = self.token
        return PuzzleBatch(puzzle, puzzle.copy())

    def verify(self, batch, answer):
        success = (answer == batch.solution).all(axis=1)
        return Verdict(success, success.astype(np.float32))


@pytest.mark.parametrize("task", [SudokuTask(4), MazeTask(7), FewTask(400)], ids=lambda task: task.spec.name)
@pytest.mark.parametrize("split", SPLITS)
def test_pools_are_distinct_and_reproducible(task, split):
    pool = make_pool(task, split, 20)
    assert len(pool) == len(np.unique(pool.puzzle, axis=0)) == 20
    assert in_split(task, pool.puzzle, split).all()
    assert task.verify(pool, pool.solution).success.all()
    assert pool.digest() == make_pool(task, split, 20).digest()
    assert pool.digest() != make_pool(task, split, 20, seed=1).digest()


def test_splits_are_cut_by_symmetry_class():
    task = MazeTask(7)
    test, train = make_pool(task, "test", 60), make_pool(task, "train", 300)
    turned = test.puzzle.reshape(-1, 7, 7).transpose(0, 2, 1)[:, ::-1].reshape(-1, 49)
    assert in_split(task, turned, "test").all()
    assert not set(task.symmetry_key(turned).tolist()) & set(task.symmetry_key(train.puzzle).tolist())


def test_about_one_class_in_eight_is_held_out():
    puzzle = SudokuTask(6).sample(np.random.default_rng(0), 400).puzzle
    assert 20 < in_split(SudokuTask(6), puzzle, "test").sum() < 80


def test_too_few_classes_for_a_split_are_an_error():
    class OneClass(FewTask):
        def symmetry_key(self, puzzle):
            return np.zeros(len(puzzle), np.uint64)

    held = [split for split in DISJOINT if in_split(OneClass(), np.ones((1, 40), np.uint8), split)]
    assert len(held) == 1
    for split in set(DISJOINT) - set(held):
        with pytest.raises(ValueError, match=f"Few 40 has no puzzle in split '{split}' with these settings"):
            make_pool(OneClass(), split, 1)


def test_running_out_names_the_number_there_is():
    with pytest.raises(ValueError, match=r"Few 40 has only 40 distinct puzzles in split 'all' .*num_puzzles=40"):
        make_pool(FewTask(40), "all", 41)
    assert len(make_pool(FewTask(40), "all", 40)) == 40


def test_identities_count_as_a_difference():
    class TwoIdentities(FewTask):
        def sample(self, rng, num):
            batch = super().sample(rng, num)
            return PuzzleBatch(batch.puzzle, batch.solution, rng.integers(0, 2, num).astype(np.int32))

    assert len(make_pool(TwoIdentities(10), "all", 20)) == 20


def test_the_cache_returns_the_same_pool():
    task = FewTask(30)
    first = cached_pool(task, (FewTask, [("cells", [30])]), "all", 5, 0)
    assert cached_pool(task, (FewTask, [("cells", [30])]), "all", 5, 0) is first
    assert cached_pool(task, (FewTask, [("cells", [30])]), "all", 5, 1) is not first
    unhashable = (FewTask, {"cells": 30})
    assert cached_pool(task, unhashable, "all", 5, 0).digest() == first.digest()


def pool_of(factory, **kwargs) -> PuzzleBatch:
    return build_dynamics(factory, 1, Settings(num_puzzles=5, split="all"), kwargs).pool


def test_classes_of_the_same_name_have_pools_of_their_own():
    """As when a user edits a class in a notebook and runs the cell again."""

    def define(chosen):
        class Edited(FewTask):
            def __init__(self) -> None:
                super().__init__(30, chosen)

        return Edited

    old, new = define(2), define(3)
    assert repr(old) == repr(new)
    assert pool_of(old).puzzle.max() == 2
    assert pool_of(new).puzzle.max() == 3


def test_functions_at_the_same_address_have_pools_of_their_own():
    for token in (2, 3, 2, 3):
        assert pool_of(lambda token=token: FewTask(30, token)).puzzle.max() == token
        gc.collect()


def test_keywords_tell_pools_apart():
    assert pool_of(FewTask, token=2).puzzle.max() == 2
    assert pool_of(FewTask, token=3).puzzle.max() == 3


class StoredTask(FewTask):
    """Eight stored puzzles for training, two for validation and four for testing."""

    def __init__(self) -> None:
        super().__init__(14)
        puzzle = np.ones((14, 14), np.uint8) + np.eye(14, dtype=np.uint8)
        self.all = PuzzleBatch(puzzle, puzzle, example=np.arange(14, dtype=np.int32))

    def stored(self, split):
        return {"train": self.all.take(slice(8)), "validation": self.all.take(slice(8, 10))}.get(
            split, self.all.take(slice(10, None))
        )


def test_a_stored_collection_is_held_whole_and_in_order():
    assert hold_pool(StoredTask(), "test", None).example.tolist() == [10, 11, 12, 13]
    assert hold_pool(StoredTask(), "validation", None).example.tolist() == [8, 9]
    assert hold_pool(StoredTask(), "train+validation", None).example.tolist() == list(range(10))
    assert hold_pool(StoredTask(), "all", None).example.tolist() == list(range(14))
    assert len(build_dynamics(StoredTask, 1, Settings(), {}).pool) == 8


def test_a_collection_without_validation_puzzles_gives_some_of_its_training_puzzles():
    class TwoSplits(FewTask):
        def __init__(self) -> None:
            super().__init__(40)
            puzzle = np.ones((40, 40), np.uint8) + np.eye(40, dtype=np.uint8)
            self.all = PuzzleBatch(puzzle, puzzle, example=np.arange(40, dtype=np.int32))

        def stored(self, split):
            return {"train": self.all.take(slice(30)), "validation": None, "test": self.all.take(slice(30, 40))}[split]

    held = {split: hold_pool(TwoSplits(), split, None).example.tolist() for split in SPLITS}
    assert held["test"] == list(range(30, 40))
    assert 0 < len(held["validation"]) < 10
    assert sorted(held["train"] + held["validation"]) == held["train+validation"] == list(range(30))
    assert held["all"] == list(range(40))


def test_fewer_of_a_stored_collection_are_a_random_choice():
    chosen = [hold_pool(StoredTask(), "train", 4, seed).example.tolist() for seed in range(5)]
    assert all(len(set(c)) == 4 and c == sorted(c) and max(c) < 8 for c in chosen)
    assert len({tuple(c) for c in chosen}) > 1
    assert chosen[0] == hold_pool(StoredTask(), "train", 4, 0).example.tolist()


def test_more_than_stored_is_an_error_that_says_how_many_there_are():
    with pytest.raises(ValueError, match="holds 4 puzzles in split 'test' with these settings, not 5"):
        hold_pool(StoredTask(), "test", 5)


def test_a_task_may_take_the_keyword_puzzles_over():
    class Reader(StoredTask):
        def __init__(self, puzzles=None) -> None:
            super().__init__()
            self.source = puzzles

    dynamics = build_dynamics(Reader, 1, Settings(puzzles="somewhere"), {})
    assert dynamics.task.source == "somewhere"
    assert len(dynamics.pool) == 8


def test_a_task_without_puzzles_says_what_it_lacks():
    class Nothing(FewTask):
        sample = Task.sample

    with pytest.raises(TypeError, match="Nothing must define sample"):
        make_pool(Nothing(), "train", 1)
