"""The pages of the environments name every id, every keyword, and the sections of Gymnasium's own pages in order."""

import inspect
import re
from pathlib import Path

import gymnasium as gym
import pytest

from hrm_envs.arc import ARCTask
from hrm_envs.construction import Settings
from hrm_envs.maze import MazeTask
from hrm_envs.moves.settings import MoveSettings
from hrm_envs.sudoku import SudokuExtremeTask, SudokuTask

FOLDER = Path(__file__).parents[1] / "docs" / "environments"
#: The sections that Gymnasium's pages have.
SECTIONS = [
    *("Description", "Observation Space", "Action Space", "Rewards", "Starting State", "Episode End"),
    *("Information", "Arguments", "Version History"),
]
#: Where the keywords come from, by page. Ids set the version of ARC.
KEYWORDS = {
    "index": {*Settings.__dataclass_fields__, "render_mode"},
    "sudoku": {*inspect.signature(SudokuTask).parameters, *inspect.signature(SudokuExtremeTask).parameters},
    "maze": set(inspect.signature(MazeTask).parameters),
    "arc": set(inspect.signature(ARCTask).parameters) - {"version"},
    "maze-moves": set(MoveSettings.__dataclass_fields__),
}


@pytest.mark.parametrize("page", KEYWORDS)
def test_the_sections_stand_in_gymnasiums_order(page):
    titles = re.findall(r"^## (.+)$", (FOLDER / f"{page}.md").read_text(), re.MULTILINE)
    assert [title for title in titles if title in SECTIONS] == SECTIONS


@pytest.mark.parametrize("page", KEYWORDS)
def test_every_keyword_has_a_line(page):
    arguments = (FOLDER / f"{page}.md").read_text().split("\n## Arguments\n")[1].split("\n## ")[0]
    named = {
        name for cell in re.findall(r"^\| (`.*?) \|", arguments, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }
    assert KEYWORDS[page] <= named


def test_every_id_has_a_page():
    index = (FOLDER / "index.md").read_text()
    assert all(f"`{id}`" in index for id in gym.registry if id.startswith("HRM/"))
