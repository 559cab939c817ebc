"""The batched Sudoku solver against plain brute force."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_envs.env import ReasoningEnv
from hrm_envs.sudoku import solver
from hrm_envs.sudoku.generator import dig, random_grids
from hrm_envs.sudoku.layout import BLANK, layout_for
from hrm_envs.sudoku.task import SudokuTask


def brute_force(layout, puzzle) -> list[tuple[int, ...]]:
    """All solutions, by trying every digit in every blank."""
    cells = list(puzzle)
    found = []

    def fill(cell: int) -> None:
        if cell == len(cells):
            found.append(tuple(cells))
            return
        if puzzle[cell] != BLANK:
            fill(cell + 1)
            return
        for token in range(2, layout.size + 2):
            if all(cells[peer] != token for peer in np.flatnonzero(layout.peers[cell])):
                cells[cell] = token
                fill(cell + 1)
        cells[cell] = BLANK

    givens = [i for i in range(len(cells)) if puzzle[i] != BLANK]
    if not any(layout.peers[i, j] and puzzle[i] == puzzle[j] for i in givens for j in givens):
        fill(0)
    return found


@given(st.integers(0, 2**32))
@settings(max_examples=6, deadline=None)
def test_solver_agrees_with_brute_force_on_4x4(seed):
    layout = layout_for(4)
    rng = np.random.default_rng(seed)
    grids = random_grids(layout, rng, 24)
    puzzle = np.where(rng.random(grids.shape) < 0.65, BLANK, grids)
    # Half of them with one or two wrong givens: no solution, or other ones.
    noise = rng.random(grids.shape) < np.where(np.arange(24) % 2, 0.06, 0)[:, None]
    puzzle = np.where(noise, rng.integers(2, 6, grids.shape), puzzle).astype(np.uint8)
    result = solver.solve(layout, puzzle)
    for i, row in enumerate(puzzle):
        expected = brute_force(layout, row.tolist())
        assert result.count[i] == min(len(expected), 2)
        if expected:
            assert tuple(result.solution[i].tolist()) in expected
        else:
            assert not result.solution[i].any()


def test_all_288_grids_are_counted():
    layout = layout_for(4)
    blank = np.full((1, 16), BLANK, np.uint8)
    assert solver.solve(layout, blank, limit=255).count[0] == 255
    first_row = blank.copy()
    first_row[0, :4] = (2, 3, 4, 5)
    assert solver.solve(layout, first_row, limit=255).count[0] == 288 // 24


@pytest.mark.parametrize("size", [6, 9])
def test_guess_count_does_not_depend_on_the_batch(size, monkeypatch):
    layout = layout_for(size)
    rng = np.random.default_rng(3)
    grids = random_grids(layout, rng, 40)
    puzzle, guesses = dig(layout, rng, grids, np.full(40, 24 if size == 6 else 54))
    result = solver.solve(layout, puzzle)
    assert result.is_unique.all()
    np.testing.assert_array_equal(result.guesses, guesses)
    monkeypatch.setattr(solver, "CHUNK", 8)
    np.testing.assert_array_equal(solver.solve(layout, puzzle[::-1]).guesses[::-1], guesses)
    assert guesses.max() > 0 or size == 6


def test_dig_respects_max_guesses():
    layout = layout_for(9)
    rng = np.random.default_rng(4)
    puzzle, guesses = dig(layout, rng, random_grids(layout, rng, 30), np.full(30, 53), max_guesses=0)
    assert (guesses == 0).all()
    assert (solver.solve(layout, puzzle).guesses == 0).all()


def test_singles_alone_need_no_guess():
    layout = layout_for(9)
    grids = random_grids(layout, np.random.default_rng(0), 50)
    puzzle = grids.copy()
    puzzle[:, :9] = BLANK
    result = solver.solve(layout, puzzle)
    assert result.is_unique.all()
    assert (result.guesses == 0).all()


def test_empty_batch():
    layout = layout_for(9)
    assert len(solver.solve(layout, np.empty((0, 81), np.uint8)).count) == 0
    assert len(random_grids(layout, np.random.default_rng(0), 0)) == 0


# -- searches that are stopped -----------------------------------------------------------------------------------

#: 17 clues without a solution: proving it takes 2.6 million guesses (Norvig 2006).
HOPELESS = ".....5.8....6.1.43..........1.5........1.6...3.......553.....61........4........."
#: Puzzles published as the hardest known at the time.
HARDEST = [
    ".......39.....1..5..3.5.8....8.9...6.7...2...1..4.......9.8..5..2....6..4..7.....",
    "1....7.9..3..2...8..96..5....53..9...1..8...26....4...3......1..4......7..7...3..",
    "..53.....8......2..7..1.5..4....53...1..7...6..32...8..6.5....9..4....3......97..",
    "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..",
    "1.......2.9.4...5...6...7...5.9.3.......7.......85..4.7.....6...3...9.8...2.....1",
    ".......12........3..23..4....18....5.6..7.8.......9.....85.....9...4.5..47...6...",
    "........3..1..56...9..4..7......9.5.7.......8.5.4.2....8..2..9...35..1..6........",
    "..3......4...8..36..8...1...4..6..73...9..........2..5..4.7..686........7..6..5..",
    "..............3.85..1.2.......5.7.....4...1...9.......5......73..2.1........4...9",
]
OFFICIAL = Path(__file__).parents[2].parent / "shared" / "data" / "sudoku-extreme-sample-1k.npz"
TASK = SudokuTask(9)


def test_a_hopeless_search_is_given_up_in_time():
    puzzle = TASK.parse(HOPELESS)
    began = time.process_time()
    with pytest.raises(ValueError, match=r"^no solution found within 5\d,\d{3} guesses: pass the"):
        TASK.complete(puzzle)
    assert time.process_time() - began < 10


def test_a_hopeless_search_in_a_batch():
    """A batch of them takes no longer, and the error names one."""
    fine = TASK.parse("\n".join(HARDEST))
    batch = np.concatenate([fine[:3], TASK.parse(HOPELESS).repeat(20, axis=0)])
    began = time.process_time()
    with pytest.raises(ValueError, match=r"^puzzle (3|\d\d): no solution found within") as caught:
        TASK.complete(batch)
    assert time.process_time() - began < 10
    assert 3 <= int(str(caught.value).split()[1][:-1]) < 23


def test_hard_puzzles_stay_far_below_the_bound():
    puzzle = TASK.parse("\n".join(HARDEST))
    result = solver.solve(TASK.layout, puzzle)
    assert result.is_unique.all()
    assert result.guesses.max() < solver.MOST_GUESSES / 20
    assert (TASK.complete(puzzle).solution == result.solution).all()


@pytest.mark.skipif(not OFFICIAL.is_file(), reason="the official data sets are not here")
def test_the_official_puzzles_stay_far_below_the_bound():
    with np.load(OFFICIAL) as data:
        guesses = solver.solve(TASK.layout, data["inputs"][:200], most_guesses=solver.MOST_GUESSES).guesses
    assert 500 < guesses.max() < solver.MOST_GUESSES / 20


def test_the_solution_beside_it_needs_no_search():
    solution = TASK.sample(np.random.default_rng(0), 1).solution
    puzzle = np.full_like(solution, BLANK)
    puzzle[0, :17] = solution[0, :17]
    env = ReasoningEnv(TASK, num_puzzles=1)
    env.reset(options={"puzzle": puzzle, "solution": solution})
    with pytest.raises(ValueError, match="several solutions"):
        env.reset(options={"puzzle": puzzle})


def test_a_bound_changes_no_result_below_it():
    """Without a limit, as in the generator and the rater, the search never stops early."""
    puzzle = TASK.parse("\n".join(HARDEST))
    free, bound = (solver.solve(TASK.layout, puzzle, most_guesses=most) for most in (None, 2000))
    for name in ("count", "solution", "guesses"):
        assert np.array_equal(getattr(free, name), getattr(bound, name))
    with pytest.raises(solver.SearchTooLongError) as caught:
        solver.solve(TASK.layout, puzzle, most_guesses=300)
    assert caught.value.guesses > 300
    assert free.guesses[caught.value.row] > 300
