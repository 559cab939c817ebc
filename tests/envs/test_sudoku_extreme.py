"""Hard Sudoku: the hill climbing, the data file, and the task."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import hrm_envs  # noqa: F401  (registers the ids)
from hrm_envs.puzzles.pool import hold_pool
from hrm_envs.sudoku import SudokuExtremeTask
from hrm_envs.sudoku.build_dataset import Recipe, choose, main, make
from hrm_envs.sudoku.extreme import DATA_FILE, load_collection
from hrm_envs.sudoku.generator import generate, random_grids
from hrm_envs.sudoku.hill_climbing import Found, Pool, minimise, neighbours
from hrm_envs.sudoku.layout import BLANK, layout_for
from hrm_envs.sudoku.solver import candidate_masks, search, solve
from hrm_envs.sudoku.symmetry import class_key
from hrm_envs.task import STORED_SPLITS
from hrm_envs.testing import check_task

OFFICIAL = Path(__file__).parents[2].parent / "shared" / "data" / "sudoku-extreme-sample-1k.npz"
ID = "HRM/Sudoku-Extreme-v0"
#: Those of the file; a part of "train" is for validation.
PARTS = ("train", "test")
#: Number of puzzles per split that the test solves again.
FEW = 60


def without_one_clue(puzzle):
    """All copies of ``puzzle`` [S] without one of its clues: [clues, S]."""
    clues = np.flatnonzero(puzzle != BLANK)
    fewer = np.repeat(puzzle[None], len(clues), axis=0)
    fewer[np.arange(len(clues)), clues] = BLANK
    return fewer


def is_minimal(layout, puzzle) -> bool:
    return all(not solve(layout, without_one_clue(row)).is_unique.any() for row in puzzle)


# -- the search --------------------------------------------------------------------------------------------------


def test_search_lists_every_solution():
    layout = layout_for(4)
    empty = np.full((2, 16), BLANK, np.uint8)
    empty[1, 0] = 2
    _, owner, found = search(layout, candidate_masks(layout, empty), limit=1000)
    assert np.bincount(owner).tolist() == [288, 72]  # all 4x4 grids, and grids with a 1 in the corner
    assert len(np.unique(found[owner == 0], axis=0)) == 288
    assert (found[owner == 1, 0] == 2).all()
    _, owner, _ = search(layout, candidate_masks(layout, empty), limit=10)
    assert (np.bincount(owner) >= 10).all()


@pytest.mark.parametrize("size", [4, 6])
def test_minimise_drops_every_needless_clue(size):
    layout, rng = layout_for(size), np.random.default_rng(0)
    batch = generate(layout, rng, 20, (2, 6))
    puzzle = minimise(layout, rng, batch.puzzle)
    result = solve(layout, puzzle)
    assert result.is_unique.all()
    assert np.array_equal(result.solution, batch.solution)
    assert ((puzzle == batch.puzzle) | (puzzle == BLANK)).all()
    assert is_minimal(layout, puzzle)
    assert np.array_equal(minimise(layout, rng, puzzle), puzzle)


def test_neighbours_have_one_solution_and_share_most_clues():
    layout, rng = layout_for(6), np.random.default_rng(0)
    grids = random_grids(layout, rng, 80)
    puzzle = minimise(layout, rng, grids)
    children, parent = neighbours(layout, rng, puzzle, grids)
    assert len(np.unique(parent)) > 20
    assert solve(layout, children).is_unique.all()
    parents = puzzle[parent]
    lost = ((parents != BLANK) & (children != parents)).sum(axis=1)
    gained = ((children != BLANK) & (children != parents)).sum(axis=1)
    assert (lost.min(), lost.max()) == (1, 3)
    assert set((gained - lost).tolist()) <= {0, 1}
    # The solution of some children differs from that of the parent.
    assert (solve(layout, children).solution != grids[parent]).any()


def pool_after(steps, seed=0, lines=24):
    pool = Pool(layout_for(6), np.random.default_rng(seed), lines)
    start = pool.best
    for _ in range(steps):
        pool.step()
    return start, pool


def test_a_pool_climbs():
    start, pool = pool_after(16)
    layout, found = pool.layout, pool.found
    assert (start.guesses.mean(), len(start)) < (pool.best.guesses.mean() / 2, 25)
    assert len(pool.best) == 3  # 24 lines, halved three times
    result = solve(layout, found.puzzle)
    assert result.is_unique.all()
    assert np.array_equal(result.guesses, found.guesses)
    assert np.array_equal(result.solution, found.solution)
    assert is_minimal(layout, found.puzzle)
    for line in range(24):
        own = found.guesses[found.line == line]
        assert own[0] == start.guesses[line]
        assert (np.diff(own) > 0).all()
    for i, line in enumerate(pool.best.line):
        assert pool.best.guesses[i] == found.guesses[found.line == line].max()


def test_runners_up_are_nearly_as_hard():
    _, pool = pool_after(5)
    before, best = len(pool.found), pool.best
    pool.step(runners_up=2)
    new = pool.found.take(np.arange(before, len(pool.found)))
    assert len(new) > 0
    assert np.bincount(new.line).max() <= 3
    hardest = dict(zip(best.line.tolist(), best.guesses.tolist(), strict=True))
    fall = [guesses < hardest[line] for line, guesses in zip(new.line.tolist(), new.guesses.tolist(), strict=True)]
    assert any(fall)
    assert np.array_equal(pool.best.line, best.line)
    for i, line in enumerate(best.line):
        assert pool.best.guesses[i] == max(best.guesses[i], *new.guesses[new.line == line], 0)
    assert is_minimal(pool.layout, new.puzzle)


def test_same_seed_same_pool_and_a_longer_search_goes_on_from_it():
    _, pool = pool_after(3)
    _, longer = pool_after(5)
    _, other = pool_after(3, seed=1)
    assert np.array_equal(longer.found.puzzle[: len(pool.found)], pool.found.puzzle)
    assert not np.array_equal(other.found.puzzle[:24], pool.found.puzzle[:24])


def test_choice_takes_the_hardest_of_each_line():
    layout = layout_for(4)
    puzzle = minimise(layout, np.random.default_rng(0), random_grids(layout, np.random.default_rng(1), 40))
    _, distinct = np.unique(class_key(layout, puzzle), return_index=True)
    puzzle = puzzle[distinct[:8]]
    # Lines 0 and 1 lasted; the last row has the class of the first row of line 2.
    puzzle[7] = puzzle[5].reshape(4, 4).T.ravel()
    line = np.array([0, 0, 0, 1, 0, 2, 3, 4])
    found = Found(puzzle, puzzle, np.arange(8, dtype=np.int32), line)

    def chosen(seen=(), **settings):
        recipe = Recipe(**{"per_line": 2, "per_pool": 99, **settings})
        took = choose(layout, np.random.default_rng(0), found, np.array([0, 1]), recipe, set(seen))
        return took.guesses.tolist()

    assert set(chosen()) in ({2, 3, 4, 6, 5}, {2, 3, 4, 6, 7})
    assert chosen(per_pool=3) == [2, 3, 4]
    assert len(chosen(per_pool=4)) == 4
    assert 4 not in chosen(seen=class_key(layout, puzzle[4:5]).tolist())


def test_making_a_collection():
    layout = layout_for(6)
    recipe = Recipe(pools=2, lines=16, steps=3, collect=2, per_line=2, per_pool=12)
    lines: list[str] = []
    arrays = make(layout, recipe, lines.append)
    assert len(lines) == 4 * 5
    assert "pool 4 of 4, step 5 of 5" in lines[-1]
    assert json.loads(str(arrays["recipe"]))["lines"] == 16
    assert all(0 < len(arrays[f"{split}_puzzle"]) <= 24 for split in PARTS)
    assert arrays["train_line"].max() < 2 * 16 <= arrays["test_line"].min()
    keys = class_key(layout, np.concatenate([arrays[f"{split}_puzzle"] for split in PARTS]))
    assert len(np.unique(keys)) == len(keys)
    again = make(layout, recipe)
    assert all(np.array_equal(arrays[name], again[name]) for name in arrays)


def test_command_line(tmp_path, capsys):
    out = tmp_path / "hard.npz"
    assert main(["--lines", "4", "--steps", "1", "--collect", "0", "--pools", "1", "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert f"{out}: " in captured.out
    assert "pool 2 of 2, step 1 of 1" in captured.err
    with np.load(out) as data, np.load(DATA_FILE) as shipped:
        assert f"train: {len(data['train_puzzle'])} puzzles" in captured.out
        assert data["test_puzzle"].shape[1] == 81
        assert {name: data[name].dtype.kind for name in data} == {name: shipped[name].dtype.kind for name in shipped}
    with pytest.raises(SystemExit):
        main(["--steps", "0"])
    assert "steps=0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path / "nowhere" / "hard.npz")])
    assert "there is no folder" in capsys.readouterr().err


# -- the data file -----------------------------------------------------------------------------------------------


def test_file_is_small_and_says_how_it_was_made():
    assert DATA_FILE.stat().st_size < 300_000
    with np.load(DATA_FILE) as data:
        recipe = json.loads(str(data["recipe"]))
    assert Recipe(**recipe) == Recipe()


@pytest.mark.parametrize("split", STORED_SPLITS)
def test_shipped_puzzles_are_what_they_claim(split):
    collection = load_collection(split)
    task, batch = SudokuExtremeTask(), collection.batch
    assert len(batch) == {"train": 882, "validation": 138, "test": 1020}[split]
    assert task.verify(batch, batch.solution).success.all()
    rows = np.random.default_rng(0).choice(len(batch), FEW, replace=False)
    result = solve(task.layout, batch.puzzle[rows])
    assert result.is_unique.all()
    assert np.array_equal(result.solution, batch.solution[rows])
    assert np.array_equal(result.guesses, collection.guesses[rows])
    assert is_minimal(task.layout, batch.puzzle[rows[:6]])


def test_shipped_puzzles_are_distinct_and_hardly_related():
    task = SudokuExtremeTask()
    keys = [task.symmetry_key(load_collection(split).batch.puzzle) for split in STORED_SPLITS]
    assert len(np.unique(np.concatenate(keys))) == sum(map(len, keys))
    lines = [load_collection(split).line for split in STORED_SPLITS]
    assert len(np.unique(np.concatenate(lines))) == sum(len(np.unique(line)) for line in lines)
    for line in lines:
        assert np.bincount(line).max() <= Recipe().per_line


@pytest.mark.parametrize("split", STORED_SPLITS)
def test_guess_counts_are_of_the_order_of_the_official_ones(split):
    # The official sample has a mean of 108.9, and a quarter of it needs at most 5 guesses.
    guesses = load_collection(split).guesses
    assert 109 / 2 < guesses.mean() < 109 * 2
    assert (guesses <= 5).mean() < 0.3
    assert np.percentile(guesses, 90) > 109


def test_official_guess_counts_are_as_the_docstring_says():
    if not OFFICIAL.is_file():
        pytest.skip("the official sample is not here")
    with np.load(OFFICIAL) as data:
        few = data["inputs"][::4].astype(np.uint8)
    assert 80 < solve(layout_for(9), few).guesses.mean() < 140


# -- the task ----------------------------------------------------------------------------------------------------


def test_conformance():
    check_task(SudokuExtremeTask())
    check_task(SudokuExtremeTask(difficulty=(20, 200)))


def test_spec_and_sizes():
    env = gym.make(ID).unwrapped
    assert (env.task_spec.name, env.max_segments) == ("Sudoku Extreme", 16)
    task = SudokuExtremeTask()
    for split in STORED_SPLITS:
        assert hold_pool(task, split, None).digest() == load_collection(split).batch.digest()
    assert len(hold_pool(task, "train", 7)) == 7
    # The caller may modify the returned arrays.
    task.stored("train").puzzle[:] = 0
    assert task.stored("train").puzzle.all()


def test_difficulty_selects_by_guess_count():
    low, high = 30, 60
    task = SudokuExtremeTask(difficulty=(low, high))
    for split in STORED_SPLITS:
        guesses = load_collection(split).guesses
        stored = task.stored(split)
        assert 0 < len(stored) == ((guesses >= low) & (guesses <= high)).sum() < len(guesses)
        result = solve(task.layout, stored.puzzle[:20])
        assert result.guesses.min() >= low
        assert result.guesses.max() <= high
    exact = int(load_collection("train").guesses[0])
    assert len(SudokuExtremeTask(difficulty=(exact, exact)).stored("train"))
    with pytest.raises(ValueError, match=r"holds \d+ puzzles in split 'test'"):
        hold_pool(task, "test", 2000)


@pytest.mark.parametrize(
    ("difficulty", "message"),
    [
        ((5, 2), "must satisfy low <= high"),
        ((-1, 2), "difficulty=-1 must be from 0"),
        (7, "two integers"),
        (("a", 2), "difficulty='a' must be a whole number"),
        (
            (10**6, 10**7),
            r"from \d+ to \d+ \(train\) and \d+ to \d+ \(validation\) and \d+ to \d+ \(test\), the nearest is \d+",
        ),
    ],
)
def test_bad_difficulty(difficulty, message):
    with pytest.raises(ValueError, match=message):
        SudokuExtremeTask(difficulty=difficulty)


def test_keywords_reach_the_task():
    env = gym.make(ID, difficulty=(50, 100), split="test", num_puzzles=5)
    obs, _ = env.reset(seed=0)
    guesses = solve(layout_for(9), obs["puzzle"][None]).guesses
    assert 50 <= guesses[0] <= 100
    with pytest.raises(TypeError, match="level"):
        gym.make(ID, level="hard")


def test_train_shows_symmetric_copies_and_test_does_not():
    stored = {row.tobytes() for split in STORED_SPLITS for row in load_collection(split).batch.puzzle}
    shown = {}
    for split in STORED_SPLITS:
        env = gym.make_vec(ID, num_envs=32, split=split)
        shown[split] = [row.tobytes() in stored for row in env.reset(seed=0)[0]["puzzle"]]
    assert not any(shown["train"])
    assert all(shown["validation"])
    assert all(shown["test"])


def test_import_reads_no_file():
    code = (
        "import hrm_envs.sudoku.extreme as extreme; "
        "assert not extreme.load_collection.cache_info().currsize; "
        "extreme.SudokuExtremeTask().stored('train'); extreme.SudokuExtremeTask().stored('train'); "
        "assert extreme.load_collection.cache_info().misses == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=DATA_FILE.parents[3])
