"""ARC tasks in the files that people have: each gives exactly the tasks in it, or an error with the place."""

from __future__ import annotations

import gzip
import json
import logging

import numpy as np
import pytest

from hrm_envs.arc import ARCTask
from hrm_envs.arc.files import load_tasks
from hrm_envs.env import ReasoningEnv

PAIRS = [{"input": [[1, 2]], "output": [[2, 1]]}, {"input": [[3, 4]], "output": [[4, 3]]}]
TESTS = [{"input": [[5, 6]], "output": [[6, 5]]}, {"input": [[7, 8]], "output": [[8, 7]]}]
TASK = {"train": PAIRS, "test": TESTS}
OPEN = {"train": PAIRS, "test": [{"input": test["input"]} for test in TESTS]}
OUTPUTS = [test["output"] for test in TESTS]
LISTS = [[pair["input"], pair["output"]] for pair in PAIRS]


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str | bytes) else json.dumps(content)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def names(sets):
    return {name: [problem.name for problem in problems] for name, problems in sets.items() if problems}


KAGGLE = {
    f"arc-agi_{split}_{kind}.json": {task: content}
    for split, task in (("training", "aa"), ("evaluation", "bb"))
    for kind, content in (("challenges", OPEN), ("solutions", OUTPUTS))
} | {"arc-agi_test_challenges.json": {"aa": OPEN}, "sample_submission.json": {"aa": [{"attempt_1": [[0]]}]}}

#: Files, the path to pass, and the tasks of each set.
LAYOUTS = {
    "Kaggle": (KAGGLE, "", {"training": ["aa"], "evaluation": ["bb"]}),
    "Kaggle, one file": (KAGGLE, "arc-agi_training_challenges.json", {"evaluation": ["aa"]}),
    "Kaggle, the test file": (KAGGLE, "arc-agi_test_challenges.json", {"evaluation": ["aa"]}),
    "Kaggle, the test file alone": ({"arc-agi_test_challenges.json": {"x": OPEN}}, "", {"evaluation": ["x"]}),
    "Kaggle, hyphens": (
        {"arc-agi_training-challenges.json": {"aa": OPEN}, "arc-agi_training-solutions.json": {"aa": OUTPUTS}},
        "", {"training": ["aa"]},
    ),
    "the ARC-AGI repository": (
        {"data/training/a.json": TASK, "data/evaluation/b.json": TASK, "apps/package.json": {}, "README.md": "text"},
        "", {"training": ["a"], "evaluation": ["b"]},
    ),
    "ConceptARC": (
        {"corpus/Center/Center1.json": TASK, "corpus/Above/Above1.json": TASK, "corpus/Above/Above2.json": TASK},
        "", {"evaluation": ["Above1", "Above2", "Center1"]},
    ),
    "Mini-ARC": ({"data/l6aby.json": TASK, "data/l6abz.json": TASK}, "data", {"evaluation": ["l6aby", "l6abz"]}),
    "RE-ARC": ({"re_arc/tasks/a.json": PAIRS, "re_arc/tasks/b.json": PAIRS}, "", {"training": ["a", "b"]}),
    "RE-ARC beside ARC": ({"training/a.json": PAIRS, "evaluation/b.json": TASK}, "",
                          {"training": ["a"], "evaluation": ["b"]}),
    "BARC": ({"barc.jsonl": "\n".join(json.dumps({"source": "s", "examples": LISTS}) for _ in range(2))},
             "barc.jsonl", {"training": ["barc-1", "barc-2"]}),
    "lines with names": ({"t.jsonl": "\n".join(json.dumps({"id": f"n{i}", **TASK}) for i in range(2))}, "t.jsonl",
                         {"evaluation": ["n0", "n1"]}),
    "a list of tasks": ({"t.json": [{"task_id": "p", **TASK}, TASK]}, "", {"evaluation": ["p", "t-2"]}),
    "one task": ({"00aa.json": TASK}, "00aa.json", {"evaluation": ["00aa"]}),
    "one task in its folder": ({"00aa.json": TASK}, "", {"evaluation": ["00aa"]}),
    "gzip": ({"00aa.json.gz": gzip.compress(json.dumps(TASK).encode())}, "", {"evaluation": ["00aa"]}),
    "UTF-16": ({"00aa.json": json.dumps(TASK).encode("utf-16")}, "", {"evaluation": ["00aa"]}),
    "macOS": ({"a.json": TASK, "._a.json": b"\0\5\x16\7", ".DS_Store": b"\0\0", "__MACOSX/b.json": b"\0"}, "",
              {"evaluation": ["a"]}),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_gives_its_tasks(tmp_path, name):
    files, path, expected = LAYOUTS[name]
    sets = load_tasks(write(tmp_path, files) / path)
    assert names(sets) == expected
    for problem in (problem for problems in sets.values() for problem in problems):
        assert [pair.output.tolist() for pair in problem.demonstrations] == [pair["output"] for pair in PAIRS]
        outputs = [None if pair.output is None else pair.output.tolist() for pair in problem.tests]
        without = [[], [None, None]] if "test file" in name or not problem.tests else [OUTPUTS]
        assert outputs in without


@pytest.mark.parametrize(
    ("files", "path", "message"),
    [
        (KAGGLE, "arc-agi_training_solutions.json", "this is a file of solutions or a submission: pass"),
        (KAGGLE, "sample_submission.json", "a submission: pass the file of challenges"),
        ({"a_challenges.json": {"x": OPEN}, "a_solutions.json": {"x": OUTPUTS[:1]}}, "", "expected a list of 2 grids"),
        ({"a_challenges.json": {"x": OPEN}, "a_solutions.json": {"x": [[[10]], [[1]]]}}, "",
         r"a_solutions\.json, task x: test 0 output: row 1, column 1 holds 10"),
        ({"a.json": {"train": PAIRS, "test": []}}, "", r"a\.json: 'test' must list at least one pair"),
        ({"a.json": {"train": [{"input": [[1]]}], "test": TESTS}}, "", "train 0 has no 'output'"),
        ({"t.jsonl": json.dumps(TASK) + "\n{\n"}, "", "line 2: line 1"),
        ({"readme.txt": "x"}, "", "no JSON file in it"),
        ({}, "nowhere", "there is no such folder of ARC tasks"),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_refused(tmp_path, files, path, message):
    with pytest.raises(ValueError, match=message):
        load_tasks(write(tmp_path, files) / path)


def test_two_tasks_of_one_name(tmp_path):
    with pytest.raises(ValueError, match="task a occurs twice"):
        ARCTask(puzzles=write(tmp_path, {"x/a.json": TASK, "y/a.json": TASK}), augmentations=1)


def make(folder, **kwargs):
    return ReasoningEnv("hrm_envs.arc:ARCTask", puzzles=folder, canvas=4, augmentations=2, **kwargs)


def test_tests_without_outputs_are_played_answered_and_not_scored(tmp_path):
    folder = write(tmp_path, {"evaluation/a.json": OPEN, "evaluation/b.json": TASK})
    assert make(folder, split="train").num_puzzles == 4
    env = make(folder, split="test", views=2)
    assert env.num_puzzles == 8
    batch, task = env.puzzles, env.task
    known = (batch.solution != 0).any(axis=1)
    assert known.tolist() == [False] * 4 + [True] * 4
    # An answer in the shape of an output, under the augmentation of each view: that of task b, for both.
    answer = np.concatenate([batch.solution[known]] * 2)
    assert task.verify(batch, answer).success.tolist() == known.tolist()
    assert (task.mark(batch, answer)[~known] == 0).all()
    result = task.ensemble(batch, answer, np.ones(8, np.float32))
    assert result.metrics["tasks"] == 2
    assert result.metrics["scored tasks"] == 1
    assert result.metrics["pass@1"] == 1.0
    submission = result.submission()
    assert [test["attempt_1"] for test in submission["b"]] == OUTPUTS
    assert len(submission["a"]) == 2


def test_tasks_larger_than_the_canvas_are_named_and_count_as_unsolved(tmp_path, caplog):
    large = {"train": PAIRS, "test": [{"input": [[1] * 9], "output": [[2] * 9]}]}
    folder = write(tmp_path, {"evaluation/small.json": TASK, "evaluation/large.json": large, "training/l.json": large})
    caplog.set_level(logging.INFO, "hrm_envs")
    env = make(folder, split="test")
    assert "1 evaluation tasks have a grid larger than 4 x 4 and are not played" in caplog.text
    assert "large (9)" in caplog.text
    assert "1 training tasks have a grid larger" in caplog.text
    assert env.num_puzzles == 2
    batch, task = env.puzzles, env.task
    result = task.ensemble(batch, batch.solution, np.ones(2, np.float32))
    assert result.metrics["pass@1"] == 0.5
    assert result.submission()["large"] == [{"attempt_1": [[0]], "attempt_2": [[0]]}]
    assert [test["attempt_1"] for test in result.submission()["small"]] == OUTPUTS
    one = task.ensemble(batch.take(slice(1)), batch.solution[:1], np.ones(1, np.float32))
    assert one.submission() == {}
