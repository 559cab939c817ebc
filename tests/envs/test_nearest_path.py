"""The best of all shortest paths, against all of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_envs.maze.nearest import best_shortest_path
from hrm_envs.maze.search import UNREACHED, distances


def all_shortest_paths(open_cells, start, goal):
    """Every shortest path between two cells of a grid, without its ends, by exhaustive search."""
    rows, columns = open_cells.shape
    found, walks = [], [[start]]
    while walks and not found:
        longer = []
        for walk in walks:
            row, column = divmod(walk[-1], columns)
            for there in ((row - 1, column), (row, column - 1), (row, column + 1), (row + 1, column)):
                cell = there[0] * columns + there[1]
                if 0 <= there[0] < rows and 0 <= there[1] < columns and open_cells[there] and cell not in walk:
                    (found if cell == goal else longer).append([*walk, cell])
        walks = longer
    return [walk[1:-1] for walk in found]


def solved(open_cells, start, goal, gain):
    """Flat masks of the best paths."""
    from_start, from_goal = distances(open_cells, start), distances(open_cells, goal)
    return best_shortest_path(from_start, from_goal, goal, gain).reshape(len(open_cells), open_cells[0].size)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 4), columns=st.integers(2, 5), walls=st.floats(0, 0.4))
def test_it_is_the_best_of_all(seed, rows, columns, walls):
    rng = np.random.default_rng(seed)
    open_cells = rng.random((6, rows, columns)) > walls
    ends = np.array([rng.choice(rows * columns, 2, replace=False) for _ in range(6)]).T
    open_cells.reshape(6, -1)[np.arange(6), ends] = True
    reached = distances(open_cells, ends[0]).reshape(6, -1)[np.arange(6), ends[1]] != UNREACHED
    open_cells, ends = open_cells[reached], ends[:, reached]
    gain = rng.normal(size=open_cells.shape)
    for row, path in enumerate(solved(open_cells, *ends, gain)):
        totals = {tuple(sorted(each)): gain[row].reshape(-1)[each].sum()
                  for each in all_shortest_paths(open_cells[row], *ends[:, row])}  # fmt: skip
        assert tuple(np.flatnonzero(path)) == max(totals, key=totals.get)


def test_equal_paths_are_told_apart_by_order():
    """From the goal back: up first, then left."""
    path = solved(np.ones((1, 2, 2), np.bool_), np.array([0]), np.array([3]), np.zeros((1, 2, 2)))
    assert path.tolist() == [[False, True, False, False]]


def test_neighbours_have_nothing_between():
    open_cells, gain = np.ones((2, 1, 3), np.bool_), np.ones((2, 1, 3))
    path = solved(open_cells, np.array([0, 0]), np.array([1, 2]), gain)
    assert path.tolist() == [[False, False, False], [False, True, False]]


def test_an_unreached_goal_is_named():
    open_cells = np.array([[[True, True, True]], [[True, False, True]]])
    with pytest.raises(ValueError, match="row 1: no path leads to the goal"):
        solved(open_cells, np.array([0, 0]), np.array([2, 2]), np.zeros((2, 1, 3)))
