"""Every notebook runs from its first cell to its last, and is stored without outputs."""

import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("pygame")

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def text(cell) -> str:
    """What a cell printed."""
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.fixture
def run(tmp_path):
    """Runs a notebook of this name in a folder of its own."""

    def run(name):
        notebook = nbformat.read(FOLDER / name, as_version=4)
        nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
        return notebook

    return run


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.cell_type == "markdown" or (cell.outputs, cell.execution_count) == ([], None)


def test_watch_a_maze(run):
    cells = run("watch-a-maze.ipynb").cells
    printed = "".join(text(cell) for cell in cells if cell.cell_type == "code")
    assert re.search(r"segment 1: right with a probability of \d+%, thinks on; it is False", printed)
    assert printed.count("halts; it is True") == 1
    pictures = [output for cell in cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    assert len(pictures) == printed.count("right with a probability") > 1


def test_train_from_scratch(run):
    cells = run("train-4x4.ipynb").cells
    (trained,) = [text(cell) for cell in cells if "unseen puzzles solved" in cell.get("source", "")]
    assert float(trained.rsplit("\n", 2)[-2].split("%")[0]) > 60
    assert "segment 1: right with a probability of" in text(cells[-2])


def test_the_page_lists_every_notebook():
    page = (FOLDER / "index.md").read_text()
    assert NOTEBOOKS
    assert all(f"({path.name})" in page for path in NOTEBOOKS)
