"""Mazes in the files that people have: every format gives exactly the maze in it, or an error with the place."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_envs.maze import MazeTask
from hrm_envs.maze.tokens import PATH, SYMBOLS
from hrm_envs.puzzles.sources import read_puzzles

TASK = MazeTask(7)
BATCH = TASK.sample(np.random.default_rng(3), 12)
# Rooms lie on odd rows and columns; the ends of this maze are in rooms, so that it can be drawn with thin walls.
ENDS = (BATCH.puzzle == 3) | (BATCH.puzzle == 4)
ROOMS = (np.add.outer(np.arange(7) % 2 * 2, np.arange(7) % 2) == 3).reshape(-1)
BATCH = BATCH.take(np.argsort((ENDS & ~ROOMS).any(axis=1), kind="stable"))
PUZZLE, SOLUTION = BATCH.puzzle[0], BATCH.solution[0]


def draw(tokens, cells=SYMBOLS, between=""):
    rows = np.array(cells)[tokens].reshape(7, 7)
    return "\n".join(between.join(row) for row in rows)


def cells(wall="#", free=" ", start="S", goal="G", path="o"):
    return ("?", wall, free, start, goal, path)


def rooms(tokens, post="+", width=2, height=1, start="S", goal="G"):
    """The maze as rooms of ``width`` x ``height`` characters with thin walls."""
    grid, lines = tokens.reshape(7, 7), []
    letters = {1: "#", 2: " ", 3: start, 4: goal}
    for row in range(0, 7, 2):
        walls = ["-" * width if grid[row, column] == 1 else " " * width for column in (1, 3, 5)]
        lines.append(post + post.join(walls) + post)
        if row < 6:
            line = ""
            for column in range(7):
                token = grid[row + 1, column]
                line += ("|" if token == 1 else " ") if column % 2 == 0 else letters[token].center(width)
            lines += [line, *[line.replace(start, " ").replace(goal, " ")] * (height - 1)]
    return "\n".join(lines)


#: Text by the format it stands for; all hold the first maze.
TEXTS = {
    "ours": draw(PUZZLE),
    "dots": draw(PUZZLE, cells(free=".")),
    "S and E": draw(PUZZLE, cells(goal="E")),
    "S and F": draw(PUZZLE, cells(goal="F")),
    "S and X": draw(PUZZLE, cells(goal="X")),
    "A and B": draw(PUZZLE, cells(start="A", goal="B")),
    "E and X": draw(PUZZLE, cells(start="E", goal="X")),
    "small letters": draw(PUZZLE, cells(start="s", goal="e")),
    "full blocks": draw(PUZZLE, cells(wall="\u2588")),
    "squares": draw(PUZZLE, cells(wall="\u2b1b", free="\u2b1c")),
    "X for walls": draw(PUZZLE, cells(wall="X")),
    "x for walls, dots": draw(PUZZLE, cells(wall="x", free=".", goal="E")),
    "stars for walls (DeepMind Lab)": draw(PUZZLE, cells(wall="*", start="P")),
    "FrozenLake": draw(PUZZLE, cells(wall="H", free="F")),
    "Pacman search layout": draw(PUZZLE, cells(wall="%", start="P", goal=".")),
    "1 and 0": draw(PUZZLE, cells(wall="1", free="0")),
    "0 and 1, swapped": draw(PUZZLE, cells(wall="0", free="1", goal="E")),
    "2 and 3 for the ends": draw(PUZZLE, cells("1", "0", "2", "3")),
    "numbers with spaces": draw(PUZZLE, cells("1", "0", "2", "3"), " "),
    "CSV of numbers": draw(PUZZLE, cells("1", "0", "2", "3"), ","),
    "CSV of characters": draw(PUZZLE, cells(free="."), ","),
    "title and comment": "; by me\nMy maze, level 3\n" + draw(PUZZLE),
    "maze-dataset, with its path": draw(SOLUTION, cells(goal="E", path="X")),
    "mazelib, with its path": draw(SOLUTION, cells(goal="E", path="+")),
    "path of o": draw(SOLUTION),
    "path of stars": draw(SOLUTION, cells(path="*")),
    "+--+": rooms(PUZZLE),
    "+---+, E": rooms(PUZZLE, width=3, goal="E"),
    "micromouse": rooms(PUZZLE, post="o", width=3),
    "two rows a room": rooms(PUZZLE, width=4, height=2),
    "JSON of numbers": json.dumps(PUZZLE.reshape(7, 7).tolist()),
    "JSON of 0 and 1, ends apart": json.dumps({
        "maze": (PUZZLE == 1).astype(int).reshape(7, 7).tolist(),
        "start": [int(i) for i in divmod(int((PUZZLE == 3).argmax()), 7)],
        "end": [int(i) for i in divmod(int((PUZZLE == 4).argmax()), 7)],
    }),
    "JSON of rows": json.dumps({"grid": draw(PUZZLE).split("\n")}),
    "JSON of cells": json.dumps([[*row] for row in draw(PUZZLE).split("\n")]),
    "official CSV": "question,answer\n" + draw(PUZZLE).replace("\n", "") + "," + draw(SOLUTION).replace("\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_a_format_gives_its_maze(tmp_path, name):
    (tmp_path / "maze").write_text(TEXTS[name], encoding="utf-8")
    for source in (tmp_path / "maze", TEXTS[name]):
        found = read_puzzles(source, TASK)
        np.testing.assert_array_equal(found.puzzle, BATCH.puzzle[:1])
        np.testing.assert_array_equal(found.solution, BATCH.solution[:1])


def test_mazes_in_one_file():
    for between in ("\n\n", "\n\n\n", "\nMaze number two\n"):
        found = read_puzzles(between.join(draw(puzzle) for puzzle in BATCH.puzzle), TASK)
        np.testing.assert_array_equal(found.puzzle, BATCH.puzzle)


def test_arrays_of_digits(tmp_path):
    for wall, free in ((1, 0), (0, 1)):
        codes = np.array([9, wall, free, 2, 3, 4])
        np.savez(tmp_path / "a.npz", puzzles=codes[BATCH.puzzle].reshape(-1, 7, 7), solutions=codes[BATCH.solution])
        found = read_puzzles(tmp_path / "a.npz", TASK)
        np.testing.assert_array_equal(found.puzzle, BATCH.puzzle)
        np.testing.assert_array_equal(found.solution, BATCH.solution)


FIELD = "[[1,1,1,1,1],[1,0,0,0,1],[1,0,0,0,1],[1,0,0,0,1],[1,1,1,1,1]]"
GOOD = "#####\n#S..#\n#.#.#\n#..G#\n#####"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (GOOD.replace("S", ".").replace("G", "."), "line 1: no S and G are marked: write S into the cell of the start"),
        (GOOD.replace("G", "."), "line 1: the start is marked, but no goal"),
        (GOOD.replace("S.", "SS"), "line 1: 2 cells hold S"),
        (GOOD.replace("S.", "S#").replace("#.#.#", "###.#"), "line 1: no path leads from S to G"),
        (GOOD.replace("..G", ".oG"), "line 1: the path that is drawn into the maze is not a shortest one"),
        (GOOD.replace("S.", "S?"), r"line 2, column 3: '\?' is not a maze character"),
        ("#####\n#@ .#\n# $ #\n#   #\n#####", "line 2, column 3|line 2, column 2: '@'"),
        ("#####\n#S H#\n#-- #\n#  G#\n#####", "is not a maze character"),
        ("WGWGWG\nWG>>WG\nWGGGWG", "is not a maze character"),
        ("%%%%%\n%P.G%\n%. .%\n%o .%\n%%%%%", "is not a maze character"),
        ("#####\n#S.G#\n#...#\n#...#\n#...#\n#####", "the maze has 6 x 5 cells, more than the 5 x 5 of this"),
        ("#####\n#S..#\n#.#.#\n#..G\n#####", "line 4, column 5: the line has 4 characters, line 1 has 5"),
        ("+--+--+\n|S |  |\n+  x  +\n|   G |\n+--+--+", "line 3, column 1: expected posts"),
        ("+--+--+\n|SG   |\n+  +  +\n|     |\n+--+--+", "line 2, column 2: a room holds"),
        ("+--+--+\n|S    |\n+  +  +\n|G G  |\n+--+--+", "line 4, column 4: expected a wall '|' or a gap, found"),
        ("o---o---o\n| S | G |\no   o   o\n|   | G |\no---o---o", "line 1: 2 cells hold G"),
        (f'{{"maze": {FIELD}, "start": [9, 1]}}', "is outside the maze"),
        (f'{{"maze": {FIELD}, "start": [1, 1], "begin": [1, 1]}}', "expected one field with .row, column."),
        (f'{{"maze": {FIELD}}}', "no S and G are marked"),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        read_puzzles(text, MazeTask(5))


def test_walls_of_digits_must_tell():
    """In an open field, both ways to read 0 and 1 join S and G."""
    with pytest.raises(ValueError, match="it is open which characters of the maze are walls"):
        read_puzzles("00110\nS0G11\n11110\n00010\n01010", MazeTask(5))


# pictures


def picture(tokens, block=1, colours=((0, 0, 0), (255, 255, 255), (0, 200, 0), (220, 30, 30))):
    pixels = np.array([(9, 9, 9), *colours], np.uint8)[tokens].reshape(7, 7, 3)
    return pixels.repeat(block, axis=0).repeat(block, axis=1)


def save(path, pixels):
    pygame = pytest.importorskip("pygame")
    pygame.image.save(pygame.image.frombuffer(pixels.tobytes(), pixels.shape[1::-1], "RGB"), path)
    return path


@pytest.mark.parametrize("block", [1, 6])
def test_a_picture_gives_its_maze(tmp_path, block, caplog):
    caplog.set_level(logging.INFO, "hrm_envs")
    found = read_puzzles(save(tmp_path / "maze.png", picture(PUZZLE, block)), TASK)
    np.testing.assert_array_equal(found.puzzle, BATCH.puzzle[:1])
    np.testing.assert_array_equal(found.solution, BATCH.solution[:1])
    assert "colours: #000000 is wall, #00c800 is start, #dc1e1e is goal, #ffffff is free" in caplog.text


def test_pictures_that_are_not_clear(tmp_path):
    def refused(pixels, message):
        with pytest.raises(ValueError, match=message):
            read_puzzles(save(tmp_path / "maze.png", pixels), TASK)

    refused(picture(PUZZLE, 2)[:-1], "the picture has 13 x 14 pixels, which are not blocks for 7 x 7 cells")
    refused(picture(PUZZLE)[:6].repeat(7, axis=0), "it seems to have 6 x 7|several colours")
    refused(picture(PUZZLE, 1, ((0, 0, 0), (255, 255, 255), (0, 0, 255), (220, 30, 30))), "#0000ff is neither black")
    refused(picture(PUZZLE, 1, ((0, 0, 0), (255, 255, 255), (255, 255, 255), (0, 0, 0))), "no S and G are marked")
    pixels = picture(PUZZLE, 3)
    pixels[4, 4] = 128
    refused(pixels, "row 2, column 2: the block of 3 x 3 pixels has several colours; it seems to have 21 x 21")
    path = save(tmp_path / "maze.png", picture(PUZZLE))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"maze\.png: the picture cannot be read"):
        read_puzzles(path, TASK)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\xff" * 40)
    with pytest.raises(ValueError, match="at most 16,777,216 are allowed"):
        read_puzzles(path, TASK)


@given(st.text(st.sampled_from("#. SGEXo+-|01,\n"), max_size=60))
@settings(max_examples=150, deadline=None)
def test_no_text_causes_another_error(text):
    try:
        found = read_puzzles(text, MazeTask(5)).puzzle.shape
    except ValueError:
        return
    assert found[1] == 25


@given(
    st.integers(0, 11), st.sampled_from(sorted("#\u2588%xX1")), st.sampled_from(["SG", "SE", "AB", "se"]), st.booleans()
)
@settings(max_examples=60, deadline=None)
def test_every_style_reads_back(number, wall, ends, solved):
    free = {"1": "0"}.get(wall, " ")
    if wall == "%":
        ends, solved = "P.", False
    tokens = BATCH.solution[number] if solved and wall != "1" else BATCH.puzzle[number]
    found = read_puzzles(draw(tokens, cells(wall, free, *ends, path="o")), TASK)
    np.testing.assert_array_equal(found.puzzle[0], BATCH.puzzle[number])
    np.testing.assert_array_equal(found.solution[0] == PATH, BATCH.solution[number] == PATH)


RECTANGLE = "#######\n#S...##\n####..#\n#G...##\n#######"


def test_rectangles_are_filled_with_walls(caplog):
    caplog.set_level("INFO", logger="hrm_envs")
    found = read_puzzles(f"{RECTANGLE}\n\n#####\n#S.G#\n#####", TASK)
    board = np.ones((7, 7), np.uint8)
    board[:5] = TASK.parse(RECTANGLE).reshape(7, 7)[:5]
    np.testing.assert_array_equal(found.puzzle[0].reshape(7, 7), board)
    assert "2 mazes of 3 x 5, 5 x 7 cells: walls fill the board of 7 x 7" in caplog.text
    # The shortest path of the first has three cells in row 2, one in row 3, and three in row 4.
    assert (found.solution == 5).sum(axis=1).tolist() == [7, 1]
    assert TASK.verify(found, found.solution).success.all()


def test_a_path_that_is_drawn_into_a_rectangle_is_its_solution():
    drawn = "#####\n#SoG#\n#####"
    found = read_puzzles(drawn, TASK)
    assert TASK.format(found.solution[0]).splitlines()[:3] == [row + "##" for row in drawn.splitlines()]


@pytest.mark.parametrize("block", [1, 4])
def test_pictures_of_rectangles(tmp_path, block):
    pixels = picture(TASK.parse(RECTANGLE)[0])[:5].repeat(block, axis=0).repeat(block, axis=1)
    found = read_puzzles(save(tmp_path / "maze.png", pixels), TASK)
    np.testing.assert_array_equal(found.puzzle, TASK.parse(RECTANGLE))
