"""The import layers: every part of both packages has a layer, and imports only from lower layers.

Imports for type checkers count as well, and so do those inside functions: what a module names, it knows.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hrm_envs

ROOT = Path(__file__).parents[2]
SOURCES = {"hrm_envs": ROOT / "envs" / "hrm_envs", "hrm_agents": ROOT / "hrm_agents"}

#: The parts of each package, lowest first. Parts of the same layer do not import each other.
LAYERS = {
    "hrm_envs": [
        ["checks", "limits"],
        ["entry_points", "spec", "streams"],
        ["rendering", "text_form"],
        ["task"],
        ["puzzles", "registration", "rewards"],
        ["arc", "dynamics", "maze", "reasoning_gym", "sudoku"],
        ["construction", "frame_builder", "testing"],
        ["env_base"],
        ["env", "vector_env"],
        ["moves"],
        ["wrappers"],
        ["play"],
    ],
    "hrm_agents": [
        ["errors", "interrupts", "transfer", "zoo"],
        ["distributed", "limits"],
        ["halting", "losses", "models", "optim", "terminal", "user_modules"],
        ["environments", "policy"],
        ["evaluation", "rollout", "settings"],
        ["learning"],
        ["config"],
        ["presets", "records", "schedule"],
        ["assembly"],
        ["memory", "solving", "trainer"],
        ["analysis"],
        ["reports", "speed"],
        ["commands", "integrations"],
        ["cli"],
        ["__main__"],
    ],
}


def part_of(name: str) -> str:
    """``"task"`` for ``hrm_envs.task.Task``."""
    return name.split(".")[1]


def files(package: str, part: str = "") -> list[Path]:
    base = SOURCES[package] / part
    return [base.with_suffix(".py")] if base.with_suffix(".py").is_file() else sorted(base.rglob("*.py"))


def imports(path: Path, *, lazy: bool = True) -> Iterator[str]:
    """Full names of the imports of a file.

    Args:
        path: the file.
        lazy: imports inside functions and for type checkers count too.
    """
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not lazy:
            waiting += node.orelse
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not lazy:
            continue
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they lead"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            waiting += ast.iter_child_nodes(node)


def is_of(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def assert_free_of(paths: list[Path], packages: tuple[str, ...], *, lazy: bool = True) -> None:
    assert paths
    for path in paths:
        for name in imports(path, lazy=lazy):
            assert not any(is_of(name, package) for package in packages), f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("package", LAYERS)
def test_every_part_has_its_layer(package):
    found = {
        path.stem for path in SOURCES[package].iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    named = [part for layer in LAYERS[package] for part in layer]
    assert sorted(named) == sorted(found - {"__init__"})


@pytest.mark.parametrize("package", LAYERS)
def test_imports_lead_downwards(package):
    height = {part: number for number, layer in enumerate(LAYERS[package]) for part in layer}
    upwards = []
    for path in files(package):
        place = path.relative_to(SOURCES[package]).with_suffix("").parts
        if place == ("__init__",):
            continue  # re-exports the parts
        for name in imports(path):
            if not name.startswith(f"{package}.") or part_of(name) not in height or part_of(name) == place[0]:
                continue
            if height[part_of(name)] >= height[place[0]]:
                upwards.append(f"{path.relative_to(ROOT)} imports {name}")
    assert upwards == []


@pytest.mark.parametrize("package", LAYERS)
def test_no_modules_import_each_other_in_a_circle(package):
    """Within a part too. Packages re-export their modules, so they do not count."""
    base = SOURCES[package].parent
    names = {".".join(path.relative_to(base).with_suffix("").parts): path for path in files(package)}
    knows: dict[str, set[str]] = {}
    for module, path in names.items():
        named = {name if name in names else name.rpartition(".")[0] for name in imports(path)}
        knows[module] = (named & set(names)) - {module}
    # Repeatedly remove modules without imports: the remaining ones form cycles.
    while leaves := {module for module, others in knows.items() if not others}:
        knows = {module: others - leaves for module, others in knows.items() if module not in leaves}
    assert knows == {}


def test_the_picture_of_the_layers_is_true():
    page = (ROOT / "docs" / "structure.md").read_text()
    for package, layers in LAYERS.items():
        picture = "\n".join(f"  {'  '.join(layer)}" for layer in reversed(layers))
        assert f"{package}\n{picture}\n" in page, f"docs/structure.md should have:\n{package}\n{picture}"


def test_environments_know_neither_torch_nor_agents():
    assert_free_of(files("hrm_envs"), ("torch", "hrm_agents"))


def test_pygame_is_imported_when_something_is_drawn():
    assert_free_of(files("hrm_envs"), ("pygame", "PIL"), lazy=False)


@pytest.mark.parametrize("part", ["models", "losses", "halting", "optim"])
def test_nets_and_losses_know_no_environment(part):
    assert_free_of(files("hrm_agents", part), ("gymnasium", "hrm_envs"))


def test_agents_use_what_the_environments_export():
    """Sizes come from spaces and specs, so agents need no module of a task family, except commands."""
    also_used = {"reports": {"rendering"}, "evaluation": {"task"}}
    for path in files("hrm_agents"):
        part = path.relative_to(SOURCES["hrm_agents"]).parts[0]
        if part in ("commands", "integrations"):
            continue
        allowed = {*hrm_envs.__all__, *also_used.get(part, ())}
        named = [name for name in imports(path) if name.startswith("hrm_envs.")]
        inside = [name for name in named if part_of(name) not in allowed]
        assert not inside, f"{path.relative_to(ROOT)} imports {inside}"


def test_figures_need_numpy_alone():
    assert_free_of(files("hrm_agents", "reports"), ("torch", "gymnasium", "pygame", "PIL"), lazy=False)


def test_importing_the_environments_is_cheap():
    code = "import hrm_envs, sys; assert not {'torch', 'pygame', 'hrm_agents', 'hrm_envs.sudoku'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_the_agents_does_not_load_torch_nor_a_model_the_compiler():
    code = (
        "import hrm_agents, hrm_agents.cli, sys; assert 'torch' not in sys.modules; "
        "import hrm_agents.trainer; assert 'torch' in sys.modules; assert 'torch._dynamo' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_modules_are_short_enough_to_read():
    """A module of more than 350 lines rarely has one job. There is no exception."""
    longer = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for package in SOURCES
        for path in files(package)
        if len(path.read_text().splitlines()) > 350
    }
    assert longer == {}


def test_names_of_test_files_are_unique():
    """pytest imports them by name alone, so that of two with one name the second fails."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name not in ("__init__.py", "conftest.py")]
    assert sorted(names) == sorted(set(names))
