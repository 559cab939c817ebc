"""Users' puzzles from arrays, text and files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from hrm_envs.env import ReasoningEnv
from hrm_envs.maze import MazeTask
from hrm_envs.puzzles import tables
from hrm_envs.puzzles.sources import read_puzzles
from hrm_envs.puzzles.splits import DISJOINT, in_split
from hrm_envs.sudoku import SudokuTask
from hrm_envs.task import PuzzleBatch

TASK = SudokuTask(4)
BATCH = TASK.sample(np.random.default_rng(0), 40)
TEXT = "\n".join(TASK.format(puzzle) for puzzle in BATCH.puzzle)
DATA = Path(__file__).parents[2].parent / "shared" / "data"


def make(task="hrm_envs.sudoku:SudokuTask", **kwargs):
    return ReasoningEnv(task, **{"size": 4, **kwargs} if isinstance(task, str) else kwargs)


def pool(env) -> PuzzleBatch:
    return env.puzzles


def sources(folder: Path):
    """Every kind of source, with and without solutions."""
    np.save(folder / "a.npy", BATCH.puzzle)
    np.save(folder / "grids.npy", BATCH.puzzle.reshape(-1, 4, 4))
    np.savez(folder / "plain.npz", inputs=BATCH.puzzle)
    np.savez_compressed(folder / "full.npz", inputs=BATCH.puzzle, labels=BATCH.solution)
    (folder / "a.txt").write_text(TEXT)
    (folder / "puzzles").write_text(TEXT)
    (folder / "a.npy").rename(folder / "renamed.npz")
    return {
        "batch": BATCH,
        "array": BATCH.puzzle,
        "int64": BATCH.puzzle.astype(np.int64),
        "list": BATCH.puzzle.tolist(),
        "grids": BATCH.puzzle.reshape(-1, 4, 4),
        "pair": (BATCH.puzzle, BATCH.solution),
        "pair of grids": (BATCH.puzzle.reshape(-1, 4, 4), BATCH.solution.reshape(-1, 4, 4)),
        "text": TEXT,
        "npy of grids": folder / "grids.npy",
        "npy by the wrong name": folder / "renamed.npz",
        "npz": str(folder / "plain.npz"),
        "npz with labels": folder / "full.npz",
        "txt": str(folder / "a.txt"),
        "no suffix": folder / "puzzles",
    }


def test_puzzles_from_anywhere(tmp_path):
    for name, source in sources(tmp_path).items():
        found = read_puzzles(source, TASK)
        assert np.array_equal(found.puzzle, BATCH.puzzle), name
        assert np.array_equal(found.solution, BATCH.solution), name
        assert found.puzzle.dtype == np.uint8, name
        env = make(puzzles=source, split="all")
        assert env.num_puzzles == 40, name


def test_outside_puzzles_are_copied():
    given = BATCH.puzzle.copy()
    env = make(puzzles=given, split="all")
    given[:] = 0
    assert np.array_equal(pool(env).puzzle, BATCH.puzzle)


def test_outside_puzzles_are_split_by_symmetry_class():
    envs = {split: make(puzzles=BATCH, split=split) for split in DISJOINT}
    assert sum(env.num_puzzles for env in envs.values()) == 40
    for split, env in envs.items():
        for other in DISJOINT:
            assert in_split(TASK, pool(env).puzzle, other).all() == (split == other)
    assert make(puzzles=BATCH, split="all", num_puzzles=7).num_puzzles == 7
    one = BATCH.take(in_split(TASK, BATCH.puzzle, "train")).take(slice(1))
    with pytest.raises(ValueError, match="none of the 1 puzzles is in split 'test'"):
        make(puzzles=one, split="test")


# -- the official files ------------------------------------------------------------------------------------------

HEADER = "source,question,answer,rating"


def write_csv(path: Path, batch: PuzzleBatch, task=TASK, newline="\n", header=HEADER) -> Path:
    """The batch in the CSV format of the official data sets."""
    symbols = np.array(task.spec.symbols)
    rows = [
        f"made,{''.join(symbols[p])},{''.join(symbols[s])},3" for p, s in zip(batch.puzzle, batch.solution, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}{newline}" for line in [header, *rows]).encode())
    return path


def write_folder(folder: Path, batch: PuzzleBatch, task=TASK, **changes) -> Path:
    """The batch as stored by HRM's scripts, with optional other entries of dataset.json."""
    num = len(batch)
    facts = {
        "pad_id": 0, "ignore_label_id": 0, "blank_identifier_id": 0, "vocab_size": task.spec.vocab_size,
        "seq_len": task.spec.num_cells, "num_puzzle_identifiers": 1, "total_groups": num,
        "mean_puzzle_examples": 1, "sets": ["all"], **changes,
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps(facts))
    arrays = {"inputs": batch.puzzle, "labels": batch.solution, "puzzle_identifiers": batch.task_id}
    arrays |= {
        "puzzle_indices": np.arange(num + 1, dtype=np.int32),
        "group_indices": np.arange(num + 1, dtype=np.int32),
    }
    for name, array in arrays.items():
        np.save(folder / f"all__{name}.npy", array)
    return folder


def same(found: PuzzleBatch, expected: PuzzleBatch) -> bool:
    return np.array_equal(found.puzzle, expected.puzzle) and np.array_equal(found.solution, expected.solution)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("task", [TASK, SudokuTask(9), MazeTask(8, "random")])
def test_csv_files(tmp_path, task, newline, monkeypatch):
    monkeypatch.setattr(tables, "CHUNK", 7)
    batch = task.sample(np.random.default_rng(1), 20)
    path = write_csv(tmp_path / "a.csv", batch, task, newline)
    for source in (path, str(path)):
        assert same(read_puzzles(source, task), batch)
    assert make(task, puzzles=str(path), split="all", num_puzzles=9).num_puzzles == 9


def test_csv_files_of_other_hands(tmp_path):
    """Quotes, a byte-order mark, other columns, 0 for a blank."""
    question, answer = ("".join(np.array(TASK.spec.symbols)[row]) for row in (BATCH.puzzle[0], BATCH.solution[0]))
    path = tmp_path / "a.CSV"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(
            [["answer", "note", "question"], [answer, "a, b", question.replace(".", "0")]]
        )
    assert same(read_puzzles(path, TASK), BATCH.take(slice(1)))


def test_csv_files_are_read_as_far_as_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "CHUNK", 8)
    path = write_csv(tmp_path / "a.csv", BATCH)
    with path.open("a") as file:
        file.write("made,too short,too short,0\n")
    assert same(read_puzzles(path, TASK, num_puzzles=5), BATCH.take(slice(5)))
    train = BATCH.take(in_split(TASK, BATCH.puzzle, "train"))
    assert same(read_puzzles(path, TASK, "train", 20), train.take(slice(20)))
    with pytest.raises(ValueError, match=r"line 42: 'question': the text holds no Sudoku grid"):
        read_puzzles(path, TASK)


def test_bad_csv_files(tmp_path):
    lines = write_csv(tmp_path / "good.csv", BATCH).read_text().splitlines()
    puzzle, solution = (line.split(",") for line in (lines[1], lines[2]))
    cases = {
        "question,puzzle,answer,rating": (0, r"line 1: \['question', 'puzzle'\] could all hold the puzzle"),
        f"a,{puzzle[1][:-1]},{puzzle[2]},3": (5, "line 6: 'question': has 15 cells, expected 4 .a row. or 16"),
        f"a,{puzzle[1]},{puzzle[2]}4,3": (5, "line 6: 'answer': has 17 cells"),
        f"a,{puzzle[1]}": (7, "line 8: has 2 fields, the header has 4"),
        f"a,{puzzle[1][:9]}y{puzzle[1][10:]},{puzzle[2]},3": (
            3,
            r"line 4: .* holds 'y' at row 3, column 2 \(character 10",
        ),
        f"a,{puzzle[1][:-1]}\u20ac,{puzzle[2]},3": (3, "line 4: 'question' holds '\u20ac' at row 4, column 4"),
        f"a,{puzzle[1]},{solution[2]},3": (40, "line 41: its solution does not solve it$"),
    }
    for line, (at, message) in cases.items():
        path = tmp_path / "bad.csv"
        path.write_text("\n".join([*lines[:at], line, *lines[at + 1 :]]), encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            make(puzzles=path, split="all")
    for content, message in ((b"", "holds no Sudoku grid"), (HEADER.encode(), "holds no puzzle"),
                             (HEADER.encode() + b"\n\xff,", "byte 0xff is not UTF-8")):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            make(puzzles=path, split="all")


@pytest.mark.parametrize("kind", ["folders", "files"])
def test_folders_with_both_splits_are_not_cut_again(tmp_path, kind):
    train, test = BATCH.take(slice(30)), BATCH.take(slice(30, None))
    held_out = in_split(TASK, train.puzzle, "validation")
    for name, batch in (("train", train), ("test", test)):
        if kind == "folders":
            write_folder(tmp_path / name, batch)
        else:
            write_csv(tmp_path / f"{name}.csv", batch)
    for source in (tmp_path, str(tmp_path)):
        for split, expected in (
            ("train", train.take(~held_out)), ("validation", train.take(held_out)), ("train+validation", train),
            ("test", test), ("all", BATCH),
        ):  # fmt: skip
            assert same(pool(make(puzzles=source, split=split)), expected), split
    assert same(pool(make(puzzles=tmp_path, split="all", num_puzzles=33)), BATCH.take(slice(33)))


def test_one_folder_is_cut_by_symmetry_class(tmp_path):
    folder = write_folder(tmp_path / "train", BATCH)
    for source in (folder, tmp_path):
        for split in ("train", "validation", "test", "train+validation", "all"):
            assert same(pool(make(puzzles=source, split=split)), BATCH.take(in_split(TASK, BATCH.puzzle, split)))


def test_folders_of_any_kind(tmp_path):
    """Ignored labels, several sets, no dataset.json."""
    labels = np.where(BATCH.puzzle == 1, BATCH.solution, 0)
    ignoring = write_folder(tmp_path / "ignoring", PuzzleBatch(BATCH.puzzle, labels))
    other = write_folder(
        tmp_path / "other", PuzzleBatch(BATCH.puzzle, np.where(labels == 0, -100, labels.astype(np.int32))),
        ignore_label_id=-100,
    )  # fmt: skip
    kept = write_folder(tmp_path / "kept", BATCH, ignore_label_id=None)
    plain = write_folder(tmp_path / "plain", BATCH)
    (plain / "dataset.json").unlink()
    sets = write_folder(tmp_path / "sets", BATCH.take(slice(10)), sets=["all", "more"])
    for part, array in (("inputs", BATCH.puzzle), ("labels", BATCH.solution)):
        np.save(sets / f"more__{part}.npy", array[10:])
    for folder in (ignoring, other, kept, plain, sets):
        assert same(read_puzzles(folder, TASK), BATCH), folder.name


def test_folders_of_another_task(tmp_path):
    big, maze = SudokuTask(9), MazeTask(30, "random")
    arc = {"vocab_size": 12, "seq_len": 900, "num_puzzle_identifiers": 400}
    folders = {
        "sudoku": write_folder(tmp_path / "sudoku", big.sample(np.random.default_rng(0), 2), big),
        "maze": write_folder(tmp_path / "maze", maze.sample(np.random.default_rng(0), 2), maze),
        "arc": write_folder(tmp_path / "arc", BATCH, **arc),
        "named": write_folder(tmp_path / "named", BATCH, num_puzzle_identifiers=7),
    }
    identities = PuzzleBatch(BATCH.puzzle, BATCH.solution, np.ones(40, np.int32))
    folders["more"] = write_folder(tmp_path / "more", identities)
    use_json = r"pass the folder of JSON tasks"
    for task, name, message in (
        (big, "maze", r"holds 30x30 mazes \(900 cells, 6 tokens\), but Sudoku 9x9 has 81 cells and 11 tokens: make"),
        (maze, "sudoku", r"holds 9x9 Sudoku \(81 cells, 11 tokens\), but Random maze 30x30 has 900"),
        (TASK, "sudoku", r"holds 9x9 Sudoku"),
        (big, "arc", f"holds ARC-AGI .*{use_json}"),
        (maze, "arc", f"holds ARC-AGI .*{use_json}"),
        (TASK, "named", f"have identities, Sudoku 4x4 has none; .*{use_json}"),
        (TASK, "more", f"have identities, Sudoku 4x4 has none; .*{use_json}"),
    ):
        with pytest.raises(ValueError, match=message):
            read_puzzles(folders[name], task)


def test_bad_folders(tmp_path):
    swapped = BATCH.solution.copy()
    swapped[4], swapped[5] = BATCH.solution[5], BATCH.solution[4]
    token = BATCH.puzzle.copy()
    token[3, 6] = 9
    changes = {
        "json": ("dataset.json", b"{", "dataset.json cannot be read as JSON"),
        "list": ("dataset.json", b"[]", "dataset.json: expected an object"),
        "text": ("dataset.json", b'{"seq_len": "many"}', "dataset.json: seq_len, .* must be whole numbers"),
        "pad": ("dataset.json", b'{"pad_id": 3}', "dataset.json: pad_id is 3; padding must be token 0"),
        "sets": ("dataset.json", b'{"sets": "all"}', "dataset.json: 'sets' must list"),
        "other": ("dataset.json", b'{"sets": ["some"]}', "some__inputs.npy is missing"),
        "cut": ("all__labels.npy", b"123", "all__labels.npy cannot be read as a numpy file"),
        "short": ("all__labels.npy", BATCH.solution[:7], r"puzzles have shape \(40, 16\), solutions \(7, 16\)"),
        "wrong": ("all__labels.npy", swapped, r"wrong, puzzle 4: its solution does not solve it$"),
        "token": ("all__inputs.npy", token, r"token, puzzle 3: cell \(row 2, column 3\) holds 9"),
    }
    for name, (file, content, message) in changes.items():
        path = write_folder(tmp_path / name, BATCH) / file
        path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
        with pytest.raises(ValueError, match=message):
            make(puzzles=path.parent, split="all")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"this folder holds no data set: expected dataset.json, all__inputs.npy"):
        make(puzzles=str(tmp_path / "empty"))
    with pytest.raises(ValueError, match="there is no such file or folder"):
        make(puzzles=str(tmp_path / "absent"))


def test_folders_as_reset_options(tmp_path):
    env = make(num_puzzles=1)
    one = write_folder(tmp_path / "train", BATCH.take(slice(1)))
    assert np.array_equal(env.reset(options={"puzzle": one})[0]["puzzle"], BATCH.puzzle[0])


def test_bad_files(tmp_path):
    good = sources(tmp_path)
    whole = Path(good["npz"]).read_bytes()
    files = {
        "text.npz": b"1234",
        "empty.npz": b"",
        "cut.npz": whole[: len(whole) // 2],
        "text.npy": b"1234",
        "cut.npy": Path(good["npy of grids"]).read_bytes()[:140],
        "bad.txt": b"12y4\n",
        "empty.txt": b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "names.npz", cells=BATCH.puzzle)
    np.savez(tmp_path / "short.npz", inputs=BATCH.puzzle, labels=BATCH.solution[:3])
    np.savez(tmp_path / "floats.npz", inputs=BATCH.puzzle.astype(float))
    np.savez(tmp_path / "other.npz", inputs=np.ones((3, 81), np.uint8))
    np.savez(tmp_path / "none.npz", inputs=np.ones((0, 16), np.uint8))
    swapped = BATCH.solution.copy()
    swapped[4], swapped[5] = BATCH.solution[5], BATCH.solution[4]
    np.savez(tmp_path / "wrong.npz", inputs=BATCH.puzzle, labels=swapped)
    expected = {
        "absent.npz": "there is no such file",
        "text.npz": "cannot be read as a numpy file",
        "empty.npz": "cannot be read as a numpy file",
        "cut.npz": "cannot be read as a numpy file",
        "text.npy": "cannot be read as a numpy file",
        "cut.npy": "cannot be read as a numpy file",
        "objects.npy": "cannot be read as a numpy file",
        "bad.txt": "line 1, column 3: 'y'",
        "empty.txt": "no Sudoku grid",
        "names.npz": r"holds \['cells'\]; expected 'inputs'",
        "short.npz": "40 puzzles but 3 solutions",
        "floats.npz": "expected integer tokens, found float64",
        "other.npz": r"4 x 4 = 16 cells; found shape \(3, 81\)",
        "none.npz": r"found shape \(0, 16\)",
        "wrong.npz": "puzzle 4: its solution does not solve it$",
    }
    for name, message in expected.items():
        with pytest.raises(ValueError, match=message):
            make(puzzles=tmp_path / name)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ((BATCH.puzzle,), r"a tuple must be \(puzzles, solutions\), found 1"),
        ((BATCH.puzzle, BATCH.solution, BATCH.task_id), "found 3 entries"),
        (PuzzleBatch(BATCH.puzzle, BATCH.solution, np.ones(40, np.int32)), "Sudoku 4x4 has identities 0 to 0"),
        (PuzzleBatch(BATCH.puzzle, BATCH.solution, np.zeros(3, np.int32)), r"task_id: .* found shape \(3,\)"),
        (np.where(np.arange(16) == 6, 17, BATCH.puzzle[:2]), r"puzzle 0: cell \(row 2, column 3\) holds 17"),
        ("", "no Sudoku grid"),
    ],
)
def test_bad_puzzles(source, message):
    with pytest.raises(ValueError, match=message):
        make(puzzles=source)


def test_one_maze_text():
    env = ReasoningEnv(MazeTask(5), puzzles="#####\n#S..#\n###.#\n#G..#\n#####", split="all")
    assert env.num_puzzles == 1


def test_tasks_without_a_solver_want_solutions():
    class Unsolved(SudokuTask):
        complete = SudokuTask.__mro__[1].complete

    with pytest.raises(ValueError, match="pass the solutions too"):
        ReasoningEnv(Unsolved(4), puzzles=BATCH.puzzle)
    assert ReasoningEnv(Unsolved(4), puzzles=(BATCH.puzzle, BATCH.solution), split="all").num_puzzles == 40


@pytest.mark.skipif(not DATA.is_dir(), reason="the official data sets are not here")
@pytest.mark.parametrize(
    ("id", "file"),
    [("HRM/Sudoku-9x9-v0", "sudoku-extreme-sample-1k.npz"), ("HRM/Maze-30x30-v0", "maze-30x30-hard-train.npz")],
)
def test_official_files_are_read(id, file):
    env = gym.make(id, puzzles=str(DATA / file), split="all", expose_solution=True)
    obs, info = env.reset(options={"index": 999})
    assert env.unwrapped.num_puzzles == 1000
    assert env.step({"answer": info["solution"], "halt": 1})[1] == 1.0
    assert obs in env.observation_space


def test_mazes_in_one_text(tmp_path):
    maze = "#####\n#S.G#\n#.#.#\n#...#\n#####"
    (tmp_path / "mazes.txt").write_text(f"{maze}\n\n{maze}\n")
    task = MazeTask(5)
    assert task.parse((tmp_path / "mazes.txt").read_text()).shape == (2, 25)
    with pytest.raises(ValueError, match="line 8, column 2: 'y' is not a maze character"):
        task.parse(f"{maze}\n\n#####\n#yoG#\n#.#.#\n#...#\n#####")
    with pytest.raises(ValueError, match="line 7: the maze has 4 x 6 cells, more than the 5 x 5 of this environment"):
        task.parse(f"{maze}\n\n######\n#S.G.#\n#....#\n######")
    for kwargs in ({"size": 7.0}, {"min_path": 2.5}, {"wall_share": 0.4}):
        with pytest.raises(ValueError, match=next(iter(kwargs))):
            MazeTask(**kwargs)
