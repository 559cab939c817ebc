"""The dynamics of walks, against hand-computed steps and brute-force search, and the rules of doors."""

from __future__ import annotations

import copy
from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_envs.maze import MazeTask
from hrm_envs.maze.tokens import FREE, GOAL, START, WALL
from hrm_envs.moves.dynamics import MoveDynamics
from hrm_envs.moves.settings import AGENT, DOOR_OPEN, DOOR_SHUT, MOVES, MoveSettings
from hrm_envs.streams import hash_rows

UP, DOWN, LEFT, RIGHT = range(4)
HOOK = "#####\n#S  #\n### #\n#G  #\n#####"
ROUTE = [RIGHT, RIGHT, DOWN, DOWN, LEFT, LEFT]


def walk_of(puzzles, shape, seed=0, **kwargs) -> MoveDynamics:
    dynamics = MoveDynamics(len(puzzles), shape, MoveSettings(**kwargs))
    rows = np.arange(len(puzzles))
    dynamics.seed(np.arange(seed, seed + len(puzzles), dtype=np.uint64), rows)
    dynamics.reset(rows, puzzles)
    return dynamics


def hook(**kwargs) -> MoveDynamics:
    return walk_of(MazeTask(5).parse(HOOK), (5, 5), **kwargs)


def mazes(seed, num, size=9, kind="perfect"):
    task = MazeTask(size, kind, wall_share=(0.2, 0.4))
    puzzles = np.empty((0, size * size), np.uint8)
    rng = np.random.default_rng(seed)
    while len(puzzles) < num:
        puzzles = np.concatenate([puzzles, task.sample(rng, num).puzzle])
    return puzzles[:num]


def brute_distances(grid, goal, shape, walkable):
    """Steps to ``goal`` by a plain queue; unreachable cells are omitted."""
    found, queue = {goal: 0}, deque([goal])
    while queue:
        cell = queue.popleft()
        row, column = divmod(cell, shape[1])
        for down, right in MOVES:
            r, c = row + down, column + right
            if 0 <= r < shape[0] and 0 <= c < shape[1]:
                other = r * shape[1] + c
                if other not in found and grid[other] in walkable:
                    found[other] = found[cell] + 1
                    queue.append(other)
    return found


def brute_target(grid, cell, action, shape, walkable):
    """Where a move leads."""
    r, c = cell // shape[1] + MOVES[action][0], cell % shape[1] + MOVES[action][1]
    inside = 0 <= r < shape[0] and 0 <= c < shape[1]
    return r * shape[1] + c if inside and grid[r * shape[1] + c] in walkable else cell


def test_the_hook_step_by_step():
    dynamics = hook(step_cost=0.25)
    assert (dynamics.optimum[0], dynamics.limit[0], dynamics.cell[0]) == (6, 7, 6)
    assert dynamics.observe()[0].reshape(5, 5)[1].tolist() == [WALL, AGENT, FREE, FREE, WALL]
    cells, rewards, ends = [], [], []
    for action in ROUTE:
        outcome = dynamics.step(np.array([action]))
        cells.append(int(dynamics.cell[0]))
        rewards.append(float(outcome.reward[0]))
        ends.append((bool(outcome.success[0]), bool(outcome.truncated[0])))
    assert cells == [7, 8, 13, 18, 17, 16]
    assert rewards == [-0.25] * 5 + [1.0]
    assert ends == [(False, False)] * 5 + [(True, False)]


@pytest.mark.parametrize("doors", [0.0, 0.2])
def test_exploring_starts_are_all_cells_that_lead_to_the_goal(doors):
    """Against brute force, in a maze with unreachable cells; all others are equally likely."""
    (puzzle,) = MazeTask(7, "random").parse("#######\n# # S #\n### # #\n# G   #\n## ####\n## ## #\n#######")
    free = brute_distances(puzzle, int((puzzle == GOAL).argmax()), (7, 7), (FREE, START, GOAL))
    walks = 3000
    dynamics = walk_of(np.tile(puzzle, (walks, 1)), (7, 7), exploring_starts=True, door_probability=doors)
    cells, counts = np.unique(dynamics.cell, return_counts=True)
    assert set(cells) == {cell for cell, steps in free.items() if steps > 0}
    assert np.abs(counts / walks - 1 / len(cells)).max() < 0.03
    if not doors:
        assert all(dynamics.optimum[row] == free[cell] for row, cell in enumerate(dynamics.cell))
        grids = dynamics.grids()
        assert (grids[np.arange(walks), dynamics.cell] == START).all()
        assert ((grids == START).sum(axis=1) == 1).all()
        assert ((grids == WALL) == (puzzle == WALL)).all()
        assert ((grids == GOAL) == (puzzle == GOAL)).all()


def test_starts_change_from_walk_to_walk():
    puzzles = mazes(3, 1)
    dynamics, cells = walk_of(puzzles, (9, 9), exploring_starts=True), []
    for _ in range(12):
        cells.append(int(dynamics.cell[0]))
        dynamics.reset(np.array([0]), puzzles)
    assert len(set(cells)) > 5


def test_walls_hold_and_steps_run_out():
    dynamics = hook()
    for step in range(1, 8):
        outcome = dynamics.step(np.array([(UP, DOWN, LEFT)[step % 3]]))
        assert dynamics.cell[0] == 6
        assert outcome.reward[0] == -0.01
        assert (outcome.success[0], outcome.truncated[0]) == (False, step == 7)


def test_reaching_the_goal_with_the_last_step_is_no_time_out():
    dynamics = hook(max_steps=6)
    outcome = [dynamics.step(np.array([action])) for action in ROUTE][-1]
    assert (outcome.success[0], outcome.truncated[0]) == (True, False)


def test_open_borders_are_borders():
    dynamics = walk_of(np.array([[START] + [FREE] * 7 + [GOAL]], np.uint8), (3, 3))
    cells = []
    for action in (UP, LEFT, RIGHT, RIGHT, RIGHT, UP, DOWN, RIGHT):
        dynamics.step(np.array([action]))
        cells.append(int(dynamics.cell[0]))
    assert cells == [0, 0, 1, 2, 2, 2, 5, 5]
    assert dynamics.mask().tolist() == [[True, True, True, False]]


@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([5, 7, 9, 12]))
@settings(max_examples=20, deadline=None)
def test_the_optimum_is_the_shortest_path_and_can_be_walked(seed, size):
    puzzles = mazes(seed, 3, size, "perfect" if size % 2 else "random")
    dynamics = walk_of(puzzles, (size, size))
    to_goal = [
        brute_distances(grid, int(np.argmax(grid == GOAL)), (size, size), (FREE, START, GOAL)) for grid in puzzles
    ]
    best = [found[int(np.argmax(grid == START))] for found, grid in zip(to_goal, puzzles, strict=True)]
    assert dynamics.optimum.tolist() == best
    assert (dynamics.optimum < dynamics.limit).all()  # the time limit suffices
    arrived = np.zeros(3, np.int64)
    for step in range(1, max(best) + 1):
        action = []
        for row, grid in enumerate(puzzles):
            targets = [brute_target(grid, dynamics.cell[row], a, (size, size), (FREE, START, GOAL)) for a in range(4)]
            action.append(int(np.argmin([to_goal[row][target] for target in targets])))
        outcome = dynamics.step(np.array(action))
        arrived[outcome.success & (arrived == 0)] = step
    assert arrived.tolist() == best


@given(seed=st.integers(0, 2**32 - 1), probability=st.sampled_from([0.0, 0.1, 1.0]))
@settings(max_examples=15, deadline=None)
def test_the_mask_tells_what_moves(seed, probability):
    rng = np.random.default_rng(seed)
    dynamics = walk_of(mazes(seed, 4), (9, 9), seed, door_probability=probability)
    for _ in range(12):
        mask, before = dynamics.mask(), dynamics.cell
        moved = np.zeros((4, 4), bool)
        for action in range(4):
            trial = copy.deepcopy(dynamics)
            trial.step(np.full(4, action))
            moved[:, action] = trial.cell != before
        stuck = ~moved.any(axis=1)
        assert np.array_equal(mask, moved | stuck[:, None])
        dynamics.step(rng.integers(0, 4, 4))


def test_between_shut_doors_every_move_waits():
    # With some seeds the only open cell beside S is a shut door; with this probability it never flips.
    trials = (hook(seed=seed, door_probability=1e-12, num_doors=2) for seed in range(100))
    dynamics = next(walk for walk in trials if walk.grids()[0, 7] == DOOR_SHUT)
    assert dynamics.mask().all()
    dynamics.step(np.array([RIGHT]))
    assert dynamics.cell[0] == 6


@given(seed=st.integers(0, 2**32 - 1), num_doors=st.integers(1, 12), kind=st.sampled_from(["perfect", "random"]))
@settings(max_examples=20, deadline=None)
def test_doors_are_where_they_may_be(seed, num_doors, kind):
    puzzles = mazes(seed, 4, 9, kind)
    dynamics = walk_of(puzzles, (9, 9), seed, door_probability=0.1, num_doors=num_doors)
    for puzzle, grid, optimum in zip(puzzles, dynamics.grids(), dynamics.optimum, strict=True):
        free = np.pad(puzzle.reshape(9, 9) != WALL, 1)
        counts = {WALL: 0, FREE: 0}
        for cell in np.flatnonzero(np.isin(grid, (DOOR_OPEN, DOOR_SHUT))):
            row, column = cell // 9 + 1, cell % 9 + 1
            assert 1 < row < 9
            assert 1 < column < 9
            ways = (free[row - 1, column] & free[row + 1, column], free[row, column - 1] & free[row, column + 1])
            assert any(ways)
            if puzzle[cell] == FREE:
                neighbours = free[row - 1 : row + 2, column - 1 : column + 2][[0, 2, 1, 1], [1, 1, 0, 2]]
                assert neighbours.sum() == 2
            counts[int(puzzle[cell])] += 1  # a KeyError on S and G
        assert counts[WALL] <= num_doors - num_doors // 2
        assert counts[FREE] <= num_doors // 2
        if kind == "perfect" and num_doors <= 8:
            assert sum(counts.values()) == num_doors
        untouched = ~np.isin(grid, (DOOR_OPEN, DOOR_SHUT))
        assert np.array_equal(grid[untouched], puzzle[untouched])
        start, goal = int(np.argmax(puzzle == START)), int(np.argmax(puzzle == GOAL))
        every = (FREE, START, GOAL, DOOR_OPEN, DOOR_SHUT)
        assert brute_distances(grid, goal, (9, 9), every)[start] == optimum


def doors_of(dynamics):
    """Which cells are doors, and which of them are shut, both ``[B, S]``."""
    grid = dynamics.grids()
    return np.isin(grid, (DOOR_OPEN, DOOR_SHUT)), grid == DOOR_SHUT


def allowed_walk(puzzles, allowed, rows=None) -> np.ndarray:
    """The grids at the start, all doors open, of walks ``rows`` in 9x9 mazes."""
    rows = np.arange(len(puzzles)) if rows is None else rows
    dynamics = MoveDynamics(len(rows), (9, 9), MoveSettings(door_probability=0.1), allowed)
    dynamics.seed(rows.astype(np.uint64), np.arange(len(rows)))
    dynamics.reset(np.arange(len(rows)), puzzles[rows])
    return np.where(dynamics.grids() == DOOR_SHUT, DOOR_OPEN, dynamics.grids())


def test_doors_are_drawn_until_the_grid_may_be_shown():
    puzzles = mazes(0, 300)
    grids = allowed_walk(puzzles, lambda grid: hash_rows(grid) % np.uint64(8) == 0)
    assert ((grids == DOOR_OPEN).sum(axis=1) == 8).mean() > 0.9
    # 300 mazes times (7 / 8) ** 64 leaves 0.06 of them without doors.
    assert (hash_rows(grids) % np.uint64(8) == 0).sum() >= 298
    # Rows do not depend on how often others had to draw again.
    some = np.array([3, 200])
    assert np.array_equal(allowed_walk(puzzles, lambda grid: hash_rows(grid) % np.uint64(8) == 0, some), grids[some])
    assert np.array_equal(allowed_walk(puzzles, lambda grid: np.ones(len(grid), bool)), allowed_walk(puzzles, None))


def test_a_maze_that_may_be_shown_with_no_doors_gets_none():
    puzzles = mazes(0, 5)
    assert np.array_equal(allowed_walk(puzzles, lambda grid: np.zeros(len(grid), bool)), puzzles)


def test_doors_that_always_flip_flip_but_for_the_walkers_own():
    rng = np.random.default_rng(0)
    dynamics = walk_of(mazes(0, 200), (9, 9), door_probability=1.0)
    stood_on = 0
    for _ in range(30):
        is_door, before = doors_of(dynamics)
        dynamics.step((dynamics.mask() * rng.random((200, 4))).argmax(axis=1))
        own = np.zeros_like(is_door)
        own[np.arange(200), dynamics.cell] = True
        still_door, after = doors_of(dynamics)
        assert np.array_equal(is_door, still_door)
        assert np.array_equal(before != after, is_door & ~own)
        assert not after[own].any()
        stood_on += int((is_door & own).sum())
    assert stood_on > 50


def test_doors_flip_as_often_as_they_should():
    dynamics = walk_of(mazes(1, 500), (9, 9), door_probability=0.05)
    is_door, shut = doors_of(dynamics)
    assert abs(shut[is_door].mean() - 0.5) < 0.03  # 4,000 coins: 0.03 is nearly four deviations
    flips = []
    for _ in range(20):
        before = doors_of(dynamics)[1]
        dynamics.step(np.full(500, UP))
        flips.append((before != doors_of(dynamics)[1])[is_door].mean())
    assert abs(np.mean(flips) - 0.05) < 0.005


def test_what_doors_do_depends_on_the_seed_and_the_episode_alone():
    puzzles, rng = mazes(2, 6), np.random.default_rng(0)
    runs = []
    for rows in ([0, 1, 2, 3, 4, 5], [3]):  # together, and one of them alone
        dynamics = MoveDynamics(len(rows), (9, 9), MoveSettings(door_probability=0.2))
        every = np.arange(len(rows))
        dynamics.seed(np.array(rows, np.uint64), every)
        seen = []
        for _ in range(3):
            dynamics.reset(every, puzzles[rows])
            for _ in range(10):
                dynamics.step(rng.integers(0, 4, len(rows)))  # doors do not depend on moves
                seen.append(doors_of(dynamics))
        runs.append([(is_door[-3 if len(rows) > 1 else 0], shut[-3 if len(rows) > 1 else 0]) for is_door, shut in seen])
    same_doors = [np.array_equal(a[0], b[0]) for a, b in zip(*runs, strict=True)]
    assert all(same_doors)
    episodes = [runs[0][start][0] for start in (0, 10, 20)]
    assert not np.array_equal(episodes[0], episodes[1])
    # A door under one of the walkers does not flip, so a few doors may differ.
    alike = np.mean([np.mean(a[1] == b[1]) for a, b in zip(*runs, strict=True)])
    assert alike > 0.98


def test_shaping_on_paper():
    dynamics = hook(shaping=True, gamma=0.5, step_cost=0.0)
    # Seven open cells; the distances on the way are 6, 5, 4, 3, 2, 1, 0.
    outcome = dynamics.step(np.array([RIGHT]))
    assert outcome.reward[0] == pytest.approx(-0.5 * 5 / 7 + 6 / 7)
    outcome = dynamics.step(np.array([UP]))
    assert outcome.reward[0] == pytest.approx(-0.5 * 5 / 7 + 5 / 7)
    for action in ROUTE[1:]:
        outcome = dynamics.step(np.array([action]))
    assert outcome.reward[0] == pytest.approx(1 + 1 / 7)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_shaping_measures_the_way_that_is_open_now(seed):
    rng, puzzles = np.random.default_rng(seed), mazes(seed, 3)
    plain, shaped = (
        walk_of(puzzles, (9, 9), seed, door_probability=0.3, shaping=shaping, gamma=0.9) for shaping in (False, True)
    )

    def potential(row):
        grid = plain.grids()[row]
        found = brute_distances(grid, int(np.argmax(grid == GOAL)), (9, 9), (FREE, START, GOAL, DOOR_OPEN))
        return -found[plain.cell[row]] / (grid != WALL).sum() if plain.cell[row] in found else -1.0

    before = np.array([potential(row) for row in range(3)])
    for _ in range(15):
        action = rng.integers(0, 4, 3)
        base, total = plain.step(action), shaped.step(action)
        assert np.array_equal(plain.grids(), shaped.grids())
        after = np.array([potential(row) for row in range(3)])
        assert total.reward == pytest.approx(base.reward + 0.9 * after - before)
        before = after


def test_planes_and_tokens_say_the_same():
    puzzles, rng = mazes(4, 20), np.random.default_rng(0)
    tokens, planes = (walk_of(puzzles, (9, 9), door_probability=0.3, observation=kind) for kind in ("tokens", "planes"))
    for _ in range(20):
        action = rng.integers(0, 4, 20)
        tokens.step(action)
        planes.step(action)
        seen, wall_goal = tokens.observe().reshape(20, 9, 9), planes.observe()
        assert wall_goal.shape == (20, 5, 9, 9)
        for plane, token in enumerate((WALL, GOAL, AGENT, DOOR_OPEN, DOOR_SHUT)):
            hidden = seen == AGENT  # only the planes show the token under the walker
            assert np.array_equal((wall_goal[:, plane] == 255)[~hidden], (seen == token)[~hidden])
        assert np.array_equal(wall_goal[:, 2] == 255, seen == AGENT)
        assert np.isin(wall_goal, (0, 255)).all()


def test_a_random_walker_seldom_arrives_in_time():
    dynamics, rng = walk_of(mazes(5, 1000), (9, 9)), np.random.default_rng(0)
    assert (dynamics.limit == 31).all()  # 16 rooms and 15 openings in every perfect 9x9 maze
    arrived = np.zeros(1000, bool)
    for _ in range(31):
        arrived |= dynamics.step(rng.integers(0, 4, 1000)).success
    assert 0.03 < arrived.mean() < 0.1


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"max_steps": 0}, "max_steps=0"),
        ({"max_steps": 2.5}, "max_steps=2.5"),
        ({"step_cost": float("nan")}, "step_cost=nan"),
        ({"gamma": 1.1}, "gamma=1.1"),
        ({"shaping": 1}, "shaping=1"),
        ({"door_probability": -0.1}, "door_probability=-0.1"),
        ({"num_doors": -1, "door_probability": 0.1}, "num_doors=-1"),
        ({"num_doors": 4}, "needs a door_probability"),
        ({"observation": "pixels"}, "observation='pixels'"),
        ({"num_doors": 10, "door_probability": 0.1}, "9 inner cells"),
    ],
)
def test_bad_settings_are_named(kwargs, says):
    with pytest.raises(ValueError, match=says):
        hook(**kwargs)
