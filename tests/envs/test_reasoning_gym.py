"""Families of reasoning-gym as environments."""

import gymnasium as gym
import numpy as np
import pytest

pytest.importorskip("reasoning_gym", exc_type=ImportError)

import hrm_envs.reasoning_gym as families
from hrm_envs.spec import MARK_NONE, MARK_RIGHT, MARK_WRONG
from hrm_envs.testing import check_task

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of its dependencies

IDS = sorted(families.IDS)


@pytest.fixture(scope="module")
def sampled():
    """A task and a few puzzles, by id."""
    found = {}

    def sample(id):
        if id not in found:
            task = families.IDS[id]()
            found[id] = task, task.sample(np.random.default_rng(0), 6)
        return found[id]

    return sample


@pytest.mark.parametrize("id", IDS)
def test_its_verifier_accepts_its_solutions_and_nothing_near_them(sampled, id):
    task, batch = sampled(id)
    verdict = task.verify(batch, batch.solution)
    assert verdict.success.all()
    assert (verdict.score == 1).all()
    rng = np.random.default_rng(1)
    for _ in range(5):
        wrong = batch.solution.copy()
        cell = rng.integers(task.spec.num_cells, size=len(batch))
        rows = np.arange(len(batch))
        wrong[rows, cell] = 1 + (wrong[rows, cell] + rng.integers(task.spec.vocab_size - 2)) % (
            task.spec.vocab_size - 1
        )
        changed = wrong[rows, cell] != batch.solution[rows, cell]
        assert not task.verify(batch, wrong).success[changed].any()
    padded = batch.solution.copy()
    padded[:, 0] = 0
    assert not task.verify(batch, padded).success.any()


@pytest.mark.parametrize("id", IDS)
def test_an_episode(id):
    env = gym.make(f"hrm_envs.reasoning_gym:{id}", num_puzzles=4, expose_solution=True)
    obs, info = env.reset(seed=0)
    assert obs["puzzle"].shape == info["solution"].shape
    _, reward, terminated, _, info = env.step({"answer": info["solution"], "halt": 1})
    assert (reward, terminated, info["is_success"]) == (1.0, True, True)


@pytest.mark.parametrize("id", ["ReasoningGym/RotateMatrix-4x4-v0", "ReasoningGym/Kakurasu-4x4-v0"])
def test_it_conforms(id):
    check_task(families.IDS[id]())


def test_puzzles_by_hand():
    spiral = families.SpiralMatrix(3)
    puzzle = np.arange(1, 10).reshape(3, 3) + 1
    entry = {"metadata": {"matrix": (puzzle - 1).tolist(), "solution": [1, 2, 3, 6, 9, 8, 7, 4, 5]}}
    shown, solution = spiral.grids(entry)
    np.testing.assert_array_equal(shown, puzzle)
    assert spiral.format(solution.reshape(-1).astype(np.uint8)) == "123\n698\n745"
    assert spiral.text(solution) == "1 2 3 6 9 8 7 4 5"


def test_kakurasu_marks_rows_and_columns_whose_sums_hold():
    task = families.Kakurasu(2)
    entry = {"metadata": {"row_sums": [1, 2], "col_sums": [1, 2], "solution": [[1, 0], [0, 1]]}}
    puzzle, solution = (grid.reshape(1, -1).astype(np.uint8) for grid in task.grids(entry))
    assert task.format(puzzle[0]) == "..1\n..2\n12 "
    assert task.format(solution[0]) == "x-1\n-x2\n12 "
    batch = families.PuzzleBatch(puzzle, solution)
    answer = solution.copy()
    answer[0, 4] = puzzle[0, 4]  # back to a blank
    marks = task.mark(batch, answer).reshape(3, 3)
    assert marks[0, 0] == MARK_RIGHT
    assert marks[0, 1] == marks[1, 0] == MARK_WRONG
    assert marks[1, 1] == marks[2, 0] == marks[0, 2] == MARK_NONE


def test_sizes_without_symbols_are_refused():
    with pytest.raises(ValueError, match="size must be from 2 to 5, got 6"):
        families.Kakurasu(6)
