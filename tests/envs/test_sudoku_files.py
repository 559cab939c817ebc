"""Sudokus in the files that people have: every format gives exactly the puzzles in it, or an error with the place."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_envs.puzzles.sources import read_puzzles
from hrm_envs.sudoku import SudokuTask
from hrm_envs.sudoku.formats import character_tokens, format_grid
from hrm_envs.sudoku.layout import layout_for
from hrm_envs.sudoku.reading import read_grids
from hrm_envs.task import PuzzleBatch

TASKS = {size: SudokuTask(size) for size in (4, 6, 9)}
BATCHES = {size: task.sample(np.random.default_rng(size), 6) for size, task in TASKS.items()}
NINE, FOUR = BATCHES[9].take(slice(3)), BATCHES[4].take(slice(3))


def line(tokens, blank="."):
    return "".join(blank if token == 1 else str(token - 1) for token in tokens)


P = [line(puzzle) for puzzle in NINE.puzzle]
Z = [line(puzzle, "0") for puzzle in NINE.puzzle]
A = [line(solution) for solution in NINE.solution]


def rows(text, size=9, between=""):
    return [between.join(text[i : i + size]) for i in range(0, size * size, size)]


def framed(text, rule, bar="|", pad=""):
    lines = [bar + bar.join(pad + pad.join(row[i : i + 3]) + pad for i in (0, 3, 6)) + bar for row in rows(text)]
    return "\n".join([rule, *lines[:3], rule, *lines[3:6], rule, *lines[6:], rule])


def every(function: Callable[[int], str], between: str = "\n") -> str:
    return between.join(function(i) for i in range(3)) + "\n"


#: Text, and the number of puzzles in it (the first of the three), by the format it stands for.
TEXTS = {
    "one a line": ("\n".join(P), 3),
    "zeros, CRLF": ("\r\n".join(Z) + "\r\n", 3),
    "Royle's 17 clues, with an empty line at the end": ("\n".join(Z) + "\n\n", 3),
    "tdoku, with # comments": ("# from somewhere\n# 81 cells each: 0-9\n" + "\n".join(P), 3),
    "magictour, numbered": (every(lambda i: f"{P[i]} # {i + 1}"), 3),
    "Sudoku Exchange, hash and rating": (every(lambda i: f"0000183b305{i} {Z[i]} {i}.2"), 3),
    "gnome-sudoku, spaces and a rating": (every(lambda i: f"{' '.join(Z[i])}\t0.24{i}"), 3),
    "HoDoKu list": (every(lambda i: f":0000:x:{P[i]}:::"), 3),
    "names before": (every(lambda i: f"Puzzle {i + 1}: {P[i]}"), 3),
    "rating lists with semicolons": (every(lambda i: f"{P[i]};{i};ED=7.1/1.2/1.2"), 3),
    "pairs with commas": (every(lambda i: f"{P[i]},{A[i]}"), 3),
    "pairs with a colon": (every(lambda i: f"{Z[i]}:{A[i]}"), 3),
    "pairs with a tab and an id": (every(lambda i: f"{i}\t{Z[i]}\t{A[i]}\teasy"), 3),
    "pairs on lines in turn": (every(lambda i: f"{P[i]}\n{A[i]}"), 3),
    "grids with their solutions below": (
        every(lambda i: "Puzzle\n" + "\n".join(rows(P[i])) + "\nSolution\n" + "\n".join(rows(A[i]))), 3
    ),
    "Euler 96": (every(lambda i: f"Grid 0{i + 1}\n" + "\n".join(rows(Z[i]))), 3),
    "numbered grids": (every(lambda i: f"{i + 1}\n" + "\n".join(rows(Z[i]))), 3),
    "grids with empty lines between": (every(lambda i: "\n".join(rows(P[i])), "\n\n"), 3),
    "SadMan .sdk": ("#Aauthor\n#DA 9x9 puzzle, 2 of 30\n#B01-02-2003\n[Puzzle]\n" + "\n".join(rows(P[0])), 1),
    "SadMan .sdk with the state of a game": (
        "[Puzzle]\n" + "\n".join(rows(P[0])) + "\n[State]\n" + "\n".join(rows(P[1])) + "\n", 1
    ),
    "Simple Sudoku .ss": (framed(P[0], "*-----------*").replace("\n*", "\n|---+---+---|", 1), 1),
    "pluses and spaces": (framed(P[0], "+-------+-------+-------+", pad=" "), 1),
    "equals signs": (framed(Z[0], "+===+===+===+"), 1),
    "Unicode boxes": (framed(P[0], "╔═══╦═══╦═══╗", "║"), 1),
    "rules of dashes alone": (framed(P[0], "-" * 25, pad=" "), 1),
    "qqwing, readable": (
        "\n".join(
            " " + " | ".join(" ".join(row[i : i + 3]) for i in (0, 3, 6)) + (
                "\n-------|-------|-------" if number in (2, 5) else "")
            for number, row in enumerate(rows(P[0]))
        ), 1,
    ),
    "qqwing, compact": (every(lambda i: "\n".join(rows(P[i])), "\n\n"), 3),
    "qqwing, CSV": ("Puzzle,\n" + every(lambda i: f"{P[i]},"), 3),
    "qqwing, CSV with solutions": ("Puzzle,Solution,\n" + every(lambda i: f"{P[i]},{A[i]},"), 3),
    "comma grid": ("\n".join(rows(Z[0], between=",")), 1),
    "comma grid, blanks empty": ("\n".join(rows(Z[0], between=", ")), 1),
    "semicolon grid": ("\n".join(rows(Z[0], between=";")), 1),
    "81 numbers with commas": (every(lambda i: ",".join(Z[i])), 3),
    "bands apart": (
        "\n\n".join("\n".join(f"{r[:3]} {r[3:6]} {r[6:]}" for r in rows(P[0])[b : b + 3]) for b in (0, 3, 6)), 1
    ),
    "stars": ("\n".join(line(p, "*") for p in NINE.puzzle), 3),
    "dashes": ("\n".join(line(p, "-") for p in NINE.puzzle), 3),
    "underscores in nine lines": ("\n".join(rows(line(NINE.puzzle[0], "_"))), 1),
    "x": ("\n".join(line(p, "x") for p in NINE.puzzle), 3),
    "X in nine lines, with spaces": ("\n".join(rows(line(NINE.puzzle[0], "X"), between=" ")), 1),
    "question marks": ("\n".join(line(p, "?") for p in NINE.puzzle), 3),
    "dashes with spaces and pluses": (framed(line(NINE.puzzle[0], "-"), "+-------+-------+-------+", pad=" "), 1),
    "Python lists": ("grid = [\n" + "\n".join(f"  [{row}]," for row in rows(Z[0], between=", ")) + "\n]", 1),
    "OpenSudoku XML": (
        '<?xml version="1.0"?>\n<opensudoku>\n<name>Mine</name>\n'
        + every(lambda i: f'<game data="{Z[i]}" />') + "</opensudoku>", 3
    ),
    "Kaggle 1M": ("quizzes,solutions\n" + every(lambda i: f"{Z[i]},{A[i]}"), 3),
    "Kaggle 3M": ("id,puzzle,solution,clues,difficulty\n" + every(lambda i: f"{i},{P[i]},{A[i]},24,1.2"), 3),
    "Kaggle 4M, puzzle and solution swapped": ("Solution,Puzzle\n" + every(lambda i: f"{A[i]},{P[i]}"), 3),
    "official CSV": ("source,question,answer,rating\n" + every(lambda i: f"mine,{P[i]},{A[i]},{i}"), 3),
    "CSV in capitals, tabs": ("ID\tPUZZLE\tSOLUTION\n" + every(lambda i: f"{i}\t{P[i]}\t{A[i]}"), 3),
    "CSV with quotes and blanks": ('"puzzle" ; "solution"\n' + every(lambda i: f'"{P[i]}";"{A[i]}"'), 3),
    "CSV without solutions": ("id,question\n" + every(lambda i: f"{i},{P[i]}"), 3),
    "CSV with some solutions": ("puzzle,solution\n" + every(lambda i: f"{P[i]},{A[i] if i != 1 else ''}"), 3),
    "CSV with grids in a field": ("id,puzzle\n" + every(lambda i: f'{i},"' + "\n".join(rows(P[i])) + '"'), 3),
    "CSV with lists in a field": (
        "puzzle,solution\n" + every(
            lambda i: ",".join(f'"{[list(map(int, row)) for row in rows(t[i])]}"' for t in (Z, A))), 3
    ),
    "JSON of texts": (json.dumps(P), 3),
    "JSON of records": (json.dumps([{"Puzzle": p, "Solution": a, "n": 1} for p, a in zip(P, A, strict=True)]), 3),
    "JSON of one board": (json.dumps({"board": [list(map(int, row)) for row in rows(Z[0])], "level": "hard"}), 1),
    "JSON of null for blanks": (json.dumps([[int(c) or None for c in row] for row in rows(Z[0])]), 1),
    "JSON of boards": (json.dumps([[list(map(int, row)) for row in rows(z)] for z in Z]), 3),
    "JSON of rows of text": (json.dumps({"grid": rows(P[0])}), 1),
    "JSON of characters": (json.dumps([[*row] for row in rows(P[0])]), 1),
    "JSON of numbers in a row": (json.dumps([list(map(int, z)) for z in Z]), 3),
    "JSON of the dosuku service": (
        json.dumps({"newboard": {"grids": [{
            "value": [list(map(int, row)) for row in rows(Z[0])],
            "solution": [list(map(int, row)) for row in rows(A[0])],
            "difficulty": "Hard"}], "results": 1, "message": "All Ok"}}), 1,
    ),
    "JSON of columns": (json.dumps({"puzzles": P, "solutions": A}), 3),
    "JSON in a box": (json.dumps({"version": 1, "data": [{"mission": Z[0], "solution": A[0]}]}, indent=1), 1),
    "JSON lines": (every(lambda i: json.dumps({"question": P[i], "answer": A[i]})), 3),
    "JSON lines of texts": (every(lambda i: json.dumps(P[i])), 3),
    "JSON lines of boards": (every(lambda i: json.dumps([list(map(int, row)) for row in rows(Z[i])])), 3),
}  # fmt: skip

ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "utf-8": lambda text: text.encode(),
    "utf-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "gzip": lambda text: gzip.compress(text.encode(), mtime=0),
}


def same(found: PuzzleBatch, expected: PuzzleBatch) -> None:
    np.testing.assert_array_equal(found.puzzle, expected.puzzle)
    np.testing.assert_array_equal(found.solution, expected.solution)


@pytest.mark.parametrize("name", TEXTS)
def test_a_format_gives_its_puzzles(tmp_path, name):
    text, count = TEXTS[name]
    (tmp_path / "puzzles").write_text(text, encoding="utf-8", newline="")
    same(read_puzzles(tmp_path / "puzzles", TASKS[9]), NINE.take(slice(count)))
    same(read_puzzles(text, TASKS[9]), NINE.take(slice(count)))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", ["one a line", "Kaggle 1M", "JSON lines", "Euler 96"])
def test_encodings(tmp_path, name, encoding):
    content = ENCODINGS[encoding](TEXTS[name][0])
    (tmp_path / "puzzles.txt").write_bytes(content)
    for source in (tmp_path / "puzzles.txt", content):
        same(read_puzzles(source, TASKS[9]), NINE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1234\n-1-2\n", "line 2: the grid ends after 2 of 4 rows"),
        ("1.3.\n....\n....\n.2.4\n1.3.\n", "line 5: the grid ends after 1 of 4 rows"),
        ("1.3.\n....\n....\nTitle\n.2.4\n", "line 3: the grid ends after 3 of 4 rows"),
        ("1.3.\n\n....\n....\n.2.4\n", "line 3: the grid has an empty line after 1 of 4 rows"),
        ("1234 3412 2143 432", "line 1: has 15 cells, expected 4"),
        ("1243............\n1243............ 1243............", "line 2: holds 2 grids, which are not a puzzle"),
        ("0243400134120134 1243432134122134 1243432134122134", "line 1: holds 3 grids"),
        ("1 2 3 4\n3 4 1 12\n", "line 2: has 5 cells"),
        ("Name: 0243400134120", "line 1: has 13 cells"),
        ("question,answer\n0243400134120134\n", "line 2: has 1 fields, the header has 2"),
        ("question,answer\n0243400134120134,1243432134122134\n1,2", "line 3: 'question': has 1 cells"),
        ('{"puzzle": "0243400134120134"', "it cannot be read as JSON: line 1"),
        ('{"a": 1}', r"no field holds a puzzle: \['a'\]"),
        ('[{"puzzle": "0243400134120134"}, {"puzzle": "02434001341201"}]', "entry 2: 'puzzle': has 14 cells"),
        ('{"puzzle": "0243400134120134"}\n{"puzzle": 5}', "line 2: 'puzzle': expected text or a list of whole numbers"),
        ('{"puzzle": "0243400134120134"}\n{"puzzle"', "line 2: line 1, column 10"),
        ("[[0,2,4,3],[4,0,0,1],[3,4,1,2],[0,1,3,5]]", "both 0 and 5: write digits 1 to 4"),
        ("[[1,2,4,3],[4,3,2,1],[3,4,1,2],[2,1,3,4]]", "complete grids of digits, or puzzles of tokens"),
        ("0243400134120134\n11..............", "line 2: row 1, column 1 and row 1, column 2 both hold 1"),
        ("0243400134120134\n................", "line 2"),
        ("................", "holds no Sudoku grid|several solutions"),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        read_puzzles(text, TASKS[4])


@pytest.mark.parametrize("blank", "0._*xX?-")
def test_lines_of_blanks_are_rows_or_rules_as_the_other_rows_tell(blank):
    """A 4x4 grid with an empty row, without a rule and with rules that look the same."""
    tokens = np.array([2, 1, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 1, 5], np.uint8)
    lines = rows(line(tokens, blank), 4)
    layout, known = layout_for(4), character_tokens(4)
    for text in (lines, [*lines, *lines], [*lines, "", *lines], ["+--+", *lines[:2], "+--+", *lines[2:], "+--+"]):
        found = read_grids("\n".join(text), layout, known).puzzle
        np.testing.assert_array_equal(found, [tokens] * (len(found)))
        assert len(found) == len([row for row in text if row in lines]) // 4
    full = ["12.4", "3412", "----", "2143", "432."]
    assert read_grids("\n".join([*full, *full]), layout, known).lines == [1, 6]
    with pytest.raises(ValueError, match="line 2: may be a row of blanks or a rule"):
        read_grids("\n".join(["1234", "----", "3412", "----", "2143", "----", "4321", "----"]), layout, known)


def test_a_file_of_the_name_wins_and_a_missing_file_is_said_to_be_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("puzzles", "mine.sdm", "0243400134120134", "x.y.z"):
        Path(name).write_text(line(FOUR.puzzle[1]))
        same(read_puzzles(name, TASKS[4]), FOUR.take(slice(1, 2)))
    for name in ("other.sdm", "no/such/file", "puzzles.data", ".\\x"):
        with pytest.raises(ValueError, match="there is no such file or folder"):
            read_puzzles(name, TASKS[4])


@pytest.mark.parametrize(
    ("magic", "what"), [(b"PAR1", "a Parquet file"), (b"BZh9", "bzip2"), (b"\x80\x04\x95", "pickle")]
)
def test_formats_that_are_not_read_are_named(tmp_path, magic, what):
    (tmp_path / "a").write_bytes(magic + b"0" * 100)
    with pytest.raises(ValueError, match=f"a: it is .*{what}.*; save it as CSV"):
        read_puzzles(tmp_path / "a", TASKS[4])


def test_gzip_that_is_damaged_or_grows_too_much(tmp_path, monkeypatch):
    packed = gzip.compress(line(FOUR.puzzle[0]).encode())
    (tmp_path / "a.gz").write_bytes(packed[:-9])
    with pytest.raises(ValueError, match=r"a.gz: it cannot be unpacked with gzip"):
        read_puzzles(tmp_path / "a.gz", TASKS[4])
    (tmp_path / "a.gz").write_bytes(gzip.compress(b" " * 70_000_000, 9))
    with pytest.raises(ValueError, match="bytes would unpack to more than 67,108,864"):
        read_puzzles(tmp_path / "a.gz", TASKS[4])


def test_arrays_of_digits_and_of_tokens(tmp_path):
    digits = {"quizzes": FOUR.puzzle.astype(int) - 1, "solutions": FOUR.solution.astype(int) - 1}
    for arrays in (digits, {"inputs": FOUR.puzzle, "labels": FOUR.solution}, {"inputs": digits["quizzes"]}):
        np.savez(tmp_path / "a.npz", **arrays)
        same(read_puzzles(tmp_path / "a.npz", TASKS[4]), FOUR)
        buffer = BytesIO()
        np.save(buffer, next(iter(arrays.values())).reshape(-1, 4, 4))
        same(read_puzzles(gzip.compress(buffer.getvalue()), TASKS[4]), FOUR)
    solved = FOUR.solution.astype(int) - 1
    np.savez(tmp_path / "a.npz", puzzle=solved)
    with pytest.raises(ValueError, match=r"a.npz: the puzzles are complete grids of digits, or puzzles of tokens"):
        read_puzzles(tmp_path / "a.npz", TASKS[4])
    assert not (read_puzzles((solved, solved), TASKS[4]).puzzle == 1).any()


def test_what_was_read_is_said(tmp_path, caplog):
    caplog.set_level(logging.INFO, "hrm_envs")
    (tmp_path / "a.txt").write_text(TEXTS["Euler 96"][0])
    read_puzzles(tmp_path / "a.txt", TASKS[9])
    assert caplog.messages == [f"read 3 puzzles (Sudoku 9x9) from {tmp_path / 'a.txt'}, 3 lines skipped"]


CHARACTERS = st.sampled_from("0123456789.-*_xX?|+=#;, \n\t[]{}\"':abG/")


@given(st.text(CHARACTERS, max_size=120))
@settings(max_examples=150, deadline=None)
def test_no_text_causes_another_error(text):
    with suppress(ValueError):
        assert read_puzzles(text, TASKS[4]).puzzle.shape[1] == 16


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_every_style_reads_back(data):
    size = data.draw(st.sampled_from([4, 6, 9]))
    task, batch = TASKS[size], BATCHES[size].take(slice(data.draw(st.integers(1, 4))))
    blank = data.draw(st.sampled_from("0._*xX?-"))
    texts = [line(puzzle, blank) for puzzle in batch.puzzle]
    style = data.draw(st.sampled_from(["lines", "rows", "spaced", "commas", "boxes", "csv", "json", "pairs"]))
    if style == "lines":
        notes = data.draw(st.lists(st.sampled_from(["", "  # a note 1.2", " ;x"]), min_size=4, max_size=4))
        text = "\n".join(text + note for text, note in zip(texts, notes, strict=False))
    elif style in ("rows", "spaced", "commas"):
        between = {"rows": "", "spaced": " ", "commas": ","}[style]
        title = data.draw(st.sampled_from(["", "\n", "Grid 07\n", "# no 3\n"]))
        text = "\n".join(title + "\n".join(rows(text, size, between)) for text in texts)
    elif style == "boxes":
        text = "\n\n".join(format_grid(puzzle).replace(".", blank) for puzzle in batch.puzzle)
    elif style == "csv":
        comma = data.draw(st.sampled_from(",;\t|"))
        solutions = [line(solution) for solution in batch.solution]
        pairs = (f"{text}{comma}{solution}" for text, solution in zip(texts, solutions, strict=True))
        text = "\n".join([f"Puzzle{comma}Solution", *pairs])
    elif style == "json":
        text = json.dumps([{"quiz": rows(text, size)} for text in texts])
    else:
        text = "\n".join(f"{text} {line(answer)}" for text, answer in zip(texts, batch.solution, strict=True))
    same(read_puzzles(ENCODINGS[data.draw(st.sampled_from(sorted(ENCODINGS)))](text), task), batch)


@pytest.mark.parametrize("size", [12, 16])
def test_large_grids(size):
    """Letters or numbers for the digits from ten on, on a line, in rows and in boxes, and as arrays."""
    task = SudokuTask(size)
    batch = task.sample(np.random.default_rng(0), 2)
    symbols = [[task.spec.symbols[token] for token in puzzle] for puzzle in batch.puzzle]
    numbers = [[str(token - 1) for token in puzzle] for puzzle in batch.puzzle]
    texts = [
        "\n".join("".join(puzzle) for puzzle in symbols),
        "\n".join("".join(puzzle).lower() + " # a note" for puzzle in symbols),
        "\n\n".join(task.format(puzzle) for puzzle in batch.puzzle),
        "\n".join(" ".join(puzzle[i : i + size]) for puzzle in numbers for i in range(0, size**2, size)),
        "\n".join(",".join(puzzle) for puzzle in numbers),
        json.dumps([[int(number) for number in puzzle] for puzzle in numbers]),
    ]
    for text in texts:
        same(read_puzzles(text, task), batch)
    same(read_puzzles(batch.puzzle.astype(int) - 1, task), batch)
    assert task.verify(batch, batch.solution).success.all()
    with pytest.raises(ValueError, match="are blanks, or 0 is a digit: write the digits as 1 to 9 and A"):
        read_puzzles("0" + "".join(symbols[0])[1:], task)
