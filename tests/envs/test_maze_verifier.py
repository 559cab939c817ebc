"""The maze verifier accepts exactly the shortest paths."""

from pathlib import Path

import numpy as np
import pytest
from maze_text import parse_maze

from hrm_envs.maze import MazeTask
from hrm_envs.maze.search import UNREACHED, distances, shortest_path
from hrm_envs.maze.verifier import neighbour_count, verify_paths
from hrm_envs.spec import MARK_NONE, MARK_RIGHT, MARK_WRONG
from hrm_envs.task import PuzzleBatch

WALL, FREE, START, GOAL, PATH = 1, 2, 3, 4, 5
OFFICIAL = Path(__file__).parents[2].parent / "shared" / "data" / "maze-30x30-hard-train.npz"


@pytest.fixture(scope="module")
def official() -> PuzzleBatch:
    if not OFFICIAL.exists():
        pytest.skip("official mazes are not here")
    with np.load(OFFICIAL) as data:
        return PuzzleBatch(data["inputs"], data["labels"])


@pytest.fixture(scope="module")
def task30() -> MazeTask:
    return MazeTask(30, "random")


def simple_shortest_paths(grid):
    """All shortest paths of one grid as sets of the cells between S and G, by depth-first enumeration."""
    rows, columns = grid.shape
    start = tuple(np.argwhere(grid == START)[0])
    paths, best = [], [rows * columns + 1]

    def walk(cell, trail):
        if len(trail) > best[0] + 1:
            return
        if grid[cell] == GOAL:
            best[0] = min(best[0], len(trail) - 1)
            paths.append(trail[1:-1])
            return
        for step in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            to = (cell[0] + step[0], cell[1] + step[1])
            inside = 0 <= to[0] < rows and 0 <= to[1] < columns
            if inside and grid[to] != WALL and to not in trail:
                walk(to, [*trail, to])

    walk(start, [start])
    return {frozenset(p) for p in paths if len(p) + 1 == best[0]}


SMALL_BOARDS = [
    "S..\n...\n..G",
    "SG.\n...\n...",
    "S...\n....\n...G",
    "S.#.\n....\n.#.G",
    "....\n.SG.\n....",
    ".....\nS...G\n.....",
    "S..#\n.#..\n...G\n....",
    "#######\n#S....#\n#.#.#.#\n#....G#\n#######",
]


@pytest.mark.parametrize("text", SMALL_BOARDS)
def test_every_subset_of_free_cells(text):
    grid = parse_maze(text)
    free = np.argwhere(grid == FREE)
    right = simple_shortest_paths(grid)
    assert right
    subsets = np.arange(2 ** len(free))
    answers = np.repeat(grid.reshape(1, -1), len(subsets), axis=0)
    for k, (r, c) in enumerate(free):
        answers[(subsets >> k) & 1 == 1, r * grid.shape[1] + c] = PATH
    solution = grid.copy()
    for cell in next(iter(right)):
        solution[cell] = PATH
    batch = PuzzleBatch(
        np.broadcast_to(grid.reshape(-1), answers.shape), np.broadcast_to(solution.reshape(-1), answers.shape)
    )
    verdict = verify_paths(batch, answers, grid.shape[1])
    expected = np.zeros(len(subsets), bool)
    bit = {tuple(cell): 1 << k for k, cell in enumerate(free.tolist())}
    expected[[sum(bit[tuple(map(int, cell))] for cell in path) for path in right]] = True
    np.testing.assert_array_equal(verdict.success, expected)
    np.testing.assert_array_equal(verdict.score == 1, expected)
    assert verdict.score.min() >= 0
    assert verdict.score.dtype == np.float32


def test_random_small_grids_with_arbitrary_answers():
    """Arbitrary answers are right only if they are a shortest path drawn on the puzzle."""
    rng = np.random.default_rng(3)
    batch = MazeTask(5, "random", min_path=1, wall_share=(0.1, 0.4)).sample(rng, 200)
    task = MazeTask(5, "random")
    for i in range(len(batch)):
        grid = batch.puzzle[i].reshape(5, 5)
        right = simple_shortest_paths(grid)
        answers = np.repeat(batch.solution[i : i + 1], 300, axis=0)
        flips = rng.random(answers.shape) < rng.choice([0.0, 0.04, 0.1], size=(300, 1))
        answers = np.where(flips, rng.integers(0, 6, answers.shape), answers).astype(np.uint8)
        expected = []
        for answer in answers.reshape(-1, 5, 5):
            trace = frozenset(zip(*np.nonzero(answer == PATH), strict=True))
            kept = bool((np.where(answer == PATH, FREE, answer) == grid).all())
            expected.append(kept and trace in right)
        rows = batch.take(np.full(300, i))
        np.testing.assert_array_equal(task.verify(rows, answers).success, expected)


def test_detours_and_cycles_are_wrong():
    grid = parse_maze("#######\n#S...G#\n#.....#\n#..#..#\n#.....#\n#.....#\n#######")
    task = MazeTask(7)
    batch = task.complete(grid.reshape(1, -1))
    detour = parse_maze("#######\n#S   G#\n#o   o#\n#o # o#\n#o   o#\n#ooooo#\n#######")
    verdict = task.verify(batch, detour.reshape(1, -1))
    assert not verdict.success[0]
    assert 0 < verdict.score[0] < 1
    cycle = batch.solution.reshape(7, 7).copy()
    cycle[3:6, 2:5] = parse_maze("o#o\nooo\nooo")
    assert not task.verify(batch, cycle.reshape(1, -1)).success[0]


def test_neighbours_do_not_wrap_around_the_border():
    cells = np.zeros((2, 4, 5), np.uint8)
    cells[0, 1, 4] = cells[1, 0, 0] = 1
    count = neighbour_count(cells.reshape(2, -1), 5).reshape(2, 4, 5)
    assert count[0].sum() == 3
    assert count[1].sum() == 2
    assert count[0, 2, 0] == count[0, 1, 0] == 0
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 2, (50, 4, 5)).astype(np.uint8)
    rim = np.pad(cells, ((0, 0), (1, 1), (1, 1)))
    expected = rim[:, :-2, 1:-1] + rim[:, 2:, 1:-1] + rim[:, 1:-1, :-2] + rim[:, 1:-1, 2:]
    np.testing.assert_array_equal(neighbour_count(cells.reshape(50, -1), 5).reshape(50, 4, 5), expected)


def test_empty_answers_score_nothing(task30):
    batch = task30.sample(np.random.default_rng(0), 5)
    for answer in (np.zeros_like(batch.puzzle), batch.puzzle):
        verdict = task30.verify(batch, answer)
        assert not verdict.success.any()
        assert (verdict.score == 0).all()


def test_official_labels_are_right(task30, official):
    verdict = task30.verify(official, official.solution)
    assert verdict.success.all()
    assert (verdict.score == 1).all()


def test_other_shortest_paths_are_right(task30, official):
    open_cells = (official.puzzle != WALL).reshape(-1, 30, 30)
    distance = distances(open_cells, (official.puzzle == START).argmax(1))
    goal = (official.puzzle == GOAL).argmax(1)
    np.testing.assert_array_equal(
        distance.reshape(1000, -1)[np.arange(1000), goal], (official.solution == PATH).sum(1) + 1
    )
    rng = np.random.default_rng(0)
    others = 0
    for _ in range(3):
        path = shortest_path(distance, goal, rng).reshape(1000, -1)
        answer = np.where(path, PATH, official.puzzle).astype(np.uint8)
        assert task30.verify(official, answer).success.all()
        assert (task30.mark(official, answer)[path] == MARK_RIGHT).all()
        others += int((answer != official.solution).any(1).sum())
    assert others > 2500


def test_single_cell_corruptions_of_official_labels(task30, official):
    for i in range(4):
        cells, shifts = np.divmod(np.arange(900 * 5), 5)
        answers = np.repeat(official.solution[i : i + 1], 4500, axis=0)
        answers[np.arange(4500), cells] = (answers[np.arange(4500), cells] + shifts + 1) % 6
        verdict = task30.verify(official.take(np.full(4500, i)), answers)
        assert not verdict.success.any()
        assert verdict.score.max() < 1
    rng = np.random.default_rng(1)
    rows = np.arange(1000)
    for _ in range(10):
        answers = official.solution.copy()
        cells = rng.integers(0, 900, 1000)
        answers[rows, cells] = (answers[rows, cells] + rng.integers(1, 6, 1000)) % 6
        assert not task30.verify(official, answers).success.any()


def test_score_falls_with_every_further_error(task30, official):
    answer = official.solution[:50].copy()
    batch = official.take(slice(50))
    last = np.ones(50)
    for _ in range(4):
        # Erase one more wall of each maze.
        answer[np.arange(50), (answer == WALL).argmax(1)] = FREE
        score = task30.verify(batch, answer).score
        assert (score < last).all()
        last = score


def test_marks():
    task = MazeTask(5, "random")
    puzzle = parse_maze("S....\n.....\n..#..\n.....\n..G..").reshape(1, -1)
    batch = task.complete(puzzle)
    assert (task.mark(batch, np.zeros_like(puzzle)) == MARK_NONE).all()
    assert (task.mark(batch, puzzle) == MARK_NONE).all()
    answer = parse_maze("So..o\n.....\n.Go..\n.....\n..G..").reshape(1, -1)
    marks = task.mark(batch, answer).reshape(5, 5)
    expected = np.zeros((5, 5))
    expected[0, 1] = MARK_RIGHT
    expected[0, 4] = expected[2, 1] = expected[2, 2] = MARK_WRONG
    np.testing.assert_array_equal(marks, expected)
    assert (task.mark(batch, batch.solution)[batch.solution == PATH] == MARK_RIGHT).all()


def test_search_distances_against_a_queue():
    rng = np.random.default_rng(0)
    open_cells = rng.random((40, 6, 9)) > 0.4
    source = rng.integers(0, 54, 40)
    got = distances(open_cells, source)
    for grid, first, found in zip(open_cells, source, got, strict=True):
        expected = np.full((6, 9), UNREACHED)
        queue = [divmod(int(first), 9)]
        expected[queue[0]] = 0
        for r, c in queue:
            for to in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
                if 0 <= to[0] < 6 and 0 <= to[1] < 9 and grid[to] and expected[to] == UNREACHED:
                    expected[to] = expected[r, c] + 1
                    queue.append(to)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("batch", [1, 2])
def test_search_leaves_its_input_alone(batch):
    grids = np.ones((batch, 4, 4), bool)
    distance = distances(grids, np.zeros(batch, int))
    assert grids.all()
    assert (distance[:, 3, 3] == 6).all()
    assert distance.sum() == batch * 48


def test_search_names_the_row_without_a_path():
    grids = np.ones((3, 5, 5), bool)
    grids[1, 2] = False
    distance = distances(grids, np.zeros(3, int))
    with pytest.raises(ValueError, match="row 1: no path"):
        shortest_path(distance, np.full(3, 24))
