"""Puzzles without solutions, scored by rules."""

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hrm_envs  # noqa: F401
from hrm_envs.spec import MARK_NONE, MARK_RIGHT, MARK_WRONG
from hrm_envs.streams import Draws
from hrm_envs.sudoku.task import SudokuTask
from hrm_envs.sudoku.verifier import legal_cells
from hrm_envs.task import PuzzleBatch

ID = "HRM/Sudoku-4x4-v0"


def lawful_by_hand(puzzle, answer, size, box):
    """The rules, cell by cell."""
    grid = answer.reshape(size, size)
    found = np.zeros((size, size), bool)
    for r in range(size):
        for c in range(size):
            given = puzzle.reshape(size, size)[r, c]
            if given != 1:
                found[r, c] = grid[r, c] == given
                continue
            top, left = r - r % box[0], c - c % box[1]
            same = [(r, x) for x in range(size)] + [(x, c) for x in range(size)]
            same += [(top + x, left + y) for x in range(box[0]) for y in range(box[1])]
            found[r, c] = grid[r, c] >= 2 and all(grid[at] != grid[r, c] for at in same if at != (r, c))
    return found.reshape(-1)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([4, 6, 9]))
def test_lawful_cells_by_brute_force(seed, size):
    task = SudokuTask(size=size, score="rules")
    rng = np.random.default_rng(seed)
    batch = task.sample(rng, 2).take(slice(0, 2))
    wrong = rng.random(batch.solution.shape) < 0.2
    answer = np.where(wrong, rng.integers(0, size + 2, batch.solution.shape), batch.solution).astype(np.uint8)
    found = legal_cells(task.layout, batch.puzzle, answer)
    for row in range(2):
        expected = lawful_by_hand(batch.puzzle[row], answer[row], size, task.layout.box_shape)
        np.testing.assert_array_equal(found[row], expected)
    verdict = task.verify(batch, answer)
    np.testing.assert_allclose(verdict.score, found.mean(1))
    np.testing.assert_array_equal(verdict.success, found.all(1))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([4, 6, 9]))
def test_nothing_depends_on_the_solution(seed, size):
    task = SudokuTask(size=size, score="rules")
    rng = np.random.default_rng(seed)
    batch = task.sample(rng, 4).take(slice(0, 4))
    answer = rng.integers(0, size + 2, batch.solution.shape).astype(np.uint8)
    bare = batch.labelled(0)
    known, unknown = task.verify(batch, answer), task.verify(bare, answer)
    np.testing.assert_array_equal(known.success, unknown.success)
    np.testing.assert_array_equal(known.score, unknown.score)
    np.testing.assert_array_equal(task.mark(batch, answer), task.mark(bare, answer))
    keys, episodes = rng.integers(0, 2**63, 4, np.uint64), np.zeros(4, np.int64)
    moved = task.augment(batch.labelled(2), Draws(keys, episodes))
    whole = task.augment(batch, Draws(keys, episodes))
    np.testing.assert_array_equal(moved.puzzle, whole.puzzle)
    np.testing.assert_array_equal(moved.solution[:2], whole.solution[:2])
    assert not moved.solution[2:].any()


def test_marks_by_the_rules():
    task = SudokuTask(size=4, score="rules")
    puzzle = np.array([[2, 1, 1, 1] + [1] * 12], np.uint8)
    answer = np.array([[2, 2, 3, 0] + [0] * 12], np.uint8)
    marks = task.mark(PuzzleBatch(puzzle, np.zeros_like(puzzle)), answer)[0]
    # The 1 beside the given 1 clashes, the 2 does not; empty cells have no mark.
    assert marks.tolist() == [MARK_NONE, MARK_WRONG, MARK_RIGHT, MARK_NONE] + [MARK_NONE] * 12


def test_the_first_puzzles_keep_their_solutions():
    kwargs = {"num_envs": 3, "num_puzzles": 10, "score": "rules"}
    some = gym.make_vec(ID, **kwargs, num_labelled=4)
    every = gym.make_vec(ID, **kwargs)
    np.testing.assert_array_equal(some.puzzles.puzzle, every.puzzles.puzzle)
    np.testing.assert_array_equal(some.puzzles.solution[:4], every.puzzles.solution[:4])
    assert every.puzzles.solution.all()  # other environments keep the solutions
    assert not some.puzzles.solution[4:].any()


def test_an_unlabelled_environment_plays_as_the_labelled_one():
    plays = []
    for kwargs in ({"num_labelled": 0}, {}):
        env = gym.make_vec(ID, num_envs=3, num_puzzles=10, score="rules", reward="partial", max_segments=2, **kwargs)
        obs, info = env.reset(seed=1)
        assert "solution" not in info
        rng, steps = np.random.default_rng(0), [obs["puzzle"]]
        for _ in range(5):
            answer = rng.integers(2, 6, (3, 16)).astype(np.uint8)
            obs, reward, *_ = env.step({"answer": answer, "halt": rng.integers(0, 2, 3)})
            steps += [obs["puzzle"], reward]
        plays.append(steps)
    for bare, whole in zip(*plays, strict=True):
        np.testing.assert_array_equal(bare, whole)


def test_several_answers_are_judged_at_once_and_nothing_moves():
    env = gym.make_vec(ID, num_envs=3, num_puzzles=10, reward="partial", max_segments=2)
    env.reset(seed=0)
    before = env.get_state()
    answers = np.random.default_rng(0).integers(2, 6, (3, 5, 16)).astype(np.uint8)
    answers[1, 2] = before["solution"][1]
    verdict, pays = env.judge(answers), env.halt_rewards(answers)
    assert verdict.success.shape == verdict.score.shape == pays.shape == (3, 5)
    assert verdict.success[1, 2]
    assert pays[1, 2] == 1.0
    for k in range(5):
        one = env.judge(answers[:, k])
        np.testing.assert_array_equal(verdict.score[:, k], one.score)
        np.testing.assert_array_equal(verdict.success[:, k], one.success)
        np.testing.assert_array_equal(pays[:, k], one.score)
    for name, array in env.get_state().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("env_id", "kwargs", "message"),
    [
        (ID, {"num_labelled": 11, "num_puzzles": 10, "score": "rules"}, "holds 10 puzzles"),
        (ID, {"num_labelled": -1, "score": "rules"}, "from 0"),
        (ID, {"num_labelled": 0}, "score='rules'"),
        (ID, {"num_labelled": 0, "score": "rules", "expose_solution": True}, "no solution to expose"),
        ("HRM/Maze-5x5-v0", {"num_labelled": 0}, "needs the solutions"),
        (ID, {"score": "luck"}, "score='luck': choose one of 'solution', 'rules'"),
    ],
)
def test_settings_that_cannot_work(env_id, kwargs, message):
    with pytest.raises(ValueError, match=message):
        gym.make_vec(env_id, num_envs=2, **kwargs).reset(seed=0)
