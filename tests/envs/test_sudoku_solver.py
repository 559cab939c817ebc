"""The batched Sudoku solver against plain brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_envs.sudoku import solver
from hrm_envs.sudoku.board import BLANK, geometry
from hrm_envs.sudoku.generator import dig, random_grids


def brute_force(board, puzzle) -> list[tuple[int, ...]]:
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
        for token in range(2, board.size + 2):
            if all(cells[peer] != token for peer in np.flatnonzero(board.peers[cell])):
                cells[cell] = token
                fill(cell + 1)
        cells[cell] = BLANK

    givens = [i for i in range(len(cells)) if puzzle[i] != BLANK]
    if not any(board.peers[i, j] and puzzle[i] == puzzle[j] for i in givens for j in givens):
        fill(0)
    return found


@given(st.integers(0, 2**32))
@settings(max_examples=6, deadline=None)
def test_solver_agrees_with_brute_force_on_4x4(seed):
    board = geometry(4)
    rng = np.random.default_rng(seed)
    grids = random_grids(board, rng, 24)
    puzzle = np.where(rng.random(grids.shape) < 0.65, BLANK, grids)
    # Half of them with a wrong given or two: no solution, or others.
    noise = rng.random(grids.shape) < np.where(np.arange(24) % 2, 0.06, 0)[:, None]
    puzzle = np.where(noise, rng.integers(2, 6, grids.shape), puzzle).astype(np.uint8)
    result = solver.solve(board, puzzle)
    for i, row in enumerate(puzzle):
        expected = brute_force(board, row.tolist())
        assert result.count[i] == min(len(expected), 2)
        if expected:
            assert tuple(result.solution[i].tolist()) in expected
        else:
            assert not result.solution[i].any()


def test_all_288_grids_are_counted():
    board = geometry(4)
    blank = np.full((1, 16), BLANK, np.uint8)
    assert solver.solve(board, blank, limit=255).count[0] == 255
    first_row = blank.copy()
    first_row[0, :4] = (2, 3, 4, 5)
    assert solver.solve(board, first_row, limit=255).count[0] == 288 // 24


@pytest.mark.parametrize("size", [6, 9])
def test_guess_count_does_not_depend_on_the_batch(size, monkeypatch):
    board = geometry(size)
    rng = np.random.default_rng(3)
    grids = random_grids(board, rng, 40)
    puzzle, guesses = dig(board, rng, grids, np.full(40, 24 if size == 6 else 54))
    result = solver.solve(board, puzzle)
    assert result.is_unique.all()
    np.testing.assert_array_equal(result.guesses, guesses)
    monkeypatch.setattr(solver, "CHUNK", 8)
    np.testing.assert_array_equal(solver.solve(board, puzzle[::-1]).guesses[::-1], guesses)
    assert guesses.max() > 0 or size == 6


def test_dig_respects_max_guesses():
    board = geometry(9)
    rng = np.random.default_rng(4)
    puzzle, guesses = dig(board, rng, random_grids(board, rng, 30), np.full(30, 53), max_guesses=0)
    assert (guesses == 0).all()
    assert (solver.solve(board, puzzle).guesses == 0).all()


def test_singles_alone_need_no_guess():
    board = geometry(9)
    grids = random_grids(board, np.random.default_rng(0), 50)
    puzzle = grids.copy()
    puzzle[:, :9] = BLANK
    result = solver.solve(board, puzzle)
    assert result.is_unique.all()
    assert (result.guesses == 0).all()


def test_empty_batch():
    board = geometry(9)
    assert len(solver.solve(board, np.empty((0, 81), np.uint8)).count) == 0
    assert len(random_grids(board, np.random.default_rng(0), 0)) == 0
