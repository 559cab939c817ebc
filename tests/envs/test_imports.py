"""The direction of imports: environments know nothing of agents, nets nothing of environments."""

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

#: What a module of hrm_agents may import of the rest of hrm_agents.
ARROWS = {
    "models": {"models", "errors"},
    "halting": {"errors"},
    "losses": {"errors"},
    "optim": {"errors"},
    "policy": {"models", "halting", "errors"},
    "answer_policy": {"errors"},
    "rollout": {"policy", "answer_policy", "models", "halting", "errors"},
    # The last one to write a file, as a picture is written.
    "analysis": {"analysis", "errors", "records"},
}
#: What a part of hrm_agents may use of hrm_envs beyond its exports: pictures are painted in one place.
ALSO_USED = {"analysis": {"canvas"}}
#: Those that the trainer drives, which must not know it.
BELOW_TRAINER = (
    "models",
    "halting",
    "losses",
    "answer_policy",
    "answer_learning",
    "optim",
    "policy",
    "rollout",
    "checkpoint",
    "evaluation",
    "logging",
)


def files(package: str, part: str = "") -> list[Path]:
    base = SOURCES[package] / part
    return [base.with_suffix(".py")] if base.with_suffix(".py").is_file() else sorted(base.rglob("*.py"))


def imports(path: Path, *, lazy: bool = True) -> Iterator[str]:
    """Full names of the modules that a file imports, without those for type checkers alone.

    Args:
        path: the file.
        lazy: imports inside functions count too.
    """
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
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


def test_environments_know_neither_torch_nor_agents():
    assert_free_of(files("hrm_envs"), ("torch", "hrm_agents"))


def test_pygame_is_imported_when_something_is_drawn():
    assert_free_of(files("hrm_envs"), ("pygame", "PIL"), lazy=False)


@pytest.mark.parametrize("part", ["models", "losses", "halting", "optim"])
def test_nets_and_losses_know_no_environment(part):
    assert_free_of(files("hrm_agents", part), ("gymnasium", "hrm_envs"))


def test_agents_use_what_the_environments_export():
    """Sizes come from spaces and specs, so no module of a task family is needed; commands look inside to explain."""
    for path in files("hrm_agents"):
        part = path.relative_to(SOURCES["hrm_agents"]).parts[0]
        if part in ("commands", "integrations"):
            continue
        allowed = {*hrm_envs.__all__, *ALSO_USED.get(part, ())}
        named = [name for name in imports(path) if name.startswith("hrm_envs.")]
        inside = [name for name in named if name.split(".")[1] not in allowed]
        assert not inside, f"{path.relative_to(ROOT)} imports {inside}"


@pytest.mark.parametrize("part", sorted(ARROWS))
def test_arrows(part):
    for path in files("hrm_agents", part):
        for name in imports(path):
            if is_of(name, "hrm_agents"):
                assert name.split(".")[1] in ARROWS[part], f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("part", BELOW_TRAINER)
def test_nothing_below_the_trainer_knows_it(part):
    assert_free_of(files("hrm_agents", part), ("hrm_agents.trainer", "hrm_agents.cli", "hrm_agents.commands"))


def test_figures_need_numpy_alone():
    assert_free_of(files("hrm_agents", "analysis"), ("torch", "gymnasium", "pygame", "PIL"), lazy=False)


def test_importing_the_environments_is_cheap():
    code = "import hrm_envs, sys; assert not {'torch', 'pygame', 'hrm_agents', 'hrm_envs.sudoku'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
