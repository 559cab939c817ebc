"""ARC tasks in files as people have them: one task or many per file, with or without solutions, in nested folders.

A file holds one of these:

- a task, ``{"train": [...], "test": [...]}``, named after the file;
- a list of pairs (as in RE-ARC): a task with demonstrations alone;
- many tasks by name (as on Kaggle), whose test outputs may be in a second file: ``X_solutions.json`` for
  ``X_challenges.json``;
- a list of tasks, or one task per line, with names in a field such as ``id``.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hrm_envs.arc.data import EVALUATION, SETS, TRAINING, ARCProblem, Pair, Sets, is_task, read_problem, read_rows
from hrm_envs.checks import shown, shown_path
from hrm_envs.limits import MAX_JSON_BYTES
from hrm_envs.puzzles.decoding import decode, open_unpacked
from hrm_envs.puzzles.files import kind_of, list_folder, parse_json

#: The set of a task by the name of a folder around it.
_SETS = {"training": TRAINING, "train": TRAINING, "evaluation": EVALUATION, "eval": EVALUATION, "test": EVALUATION}
#: Suffixes of files with tasks.
_SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
_MAX_DEPTH = 16
_NAMES = ("id", "name", "task_id", "task_name", "task")
_CHALLENGES = "challenges"
#: Tasks named in a message.
_NAMED = 5

_log = logging.getLogger(__name__)


def load_tasks(path: Path) -> Sets:
    """The tasks of a file, or of all files in a folder and the folders in it.

    Tasks of a folder that are below ``training`` and ``evaluation``, or in combined files named so, belong to these
    sets. If there are none such, all are evaluation tasks: their demonstrations train, their test inputs test. So are
    those of a single file. Lists of pairs are training tasks. Of the combined files of a Kaggle competition, the
    ``test`` file is read only if it is alone or named. Hidden files and those of macOS (``._*``) are skipped.

    Raises:
        ValueError: the path does not exist or has no task, two tasks have the same name, or a file is invalid; the
            message names it.
    """
    kind, where = kind_of(path), f"puzzles={shown_path(path)!r}"
    if kind not in ("file", "folder"):
        raise ValueError(f"{where}: there is no such folder of ARC tasks (JSON files), nor such a file")
    found: list[tuple[str | None, ARCProblem]]
    if kind == "file":
        found = [(None, problem) for problem in _read_file(path)]
    else:
        if any(kind_of(path / part / "dataset.json") == "file" for part in ("", "train", "test")):
            raise ValueError(
                f"{where}: this is a folder of arrays, whose identities are incompatible; pass the folder of "
                "ARC tasks as JSON files that it was built from"
            )
        found = list(_read_folder(path))
        if not found:
            raise ValueError(f"{where}: no JSON file in it, nor in training/ and evaluation/")
    sets: dict[str, list[ARCProblem]] = {name: [] for name in SETS}
    for name, problem in found:
        sets[name or (EVALUATION if problem.tests else TRAINING)].append(problem)
    counts = [f"{len(problems)} {name} task{'s' * (len(problems) != 1)}" for name, problems in sets.items()]
    _log.info("read %s from %s", " and ".join(counts), shown_path(path))
    return {name: tuple(problems) for name, problems in sets.items()}


def _read_folder(folder: Path) -> Iterator[tuple[str | None, ARCProblem]]:
    """The tasks of a folder, each with the name of its set if it is known."""
    files = [path for path in _walk(folder) if path.name.lower().endswith(_SUFFIXES)]
    combined = [path for path in files if _CHALLENGES in path.name.lower()]
    if combined:
        # The test file of a competition repeats tasks of the others until the judges replace it.
        files = [path for path in combined if not re.search("(^|[_-])test", path.name.lower())] or combined
        for path in combined:
            if path not in files:
                _log.info("%s is not read beside the others: name it to answer its tasks", shown_path(path))
    in_sets = [path for path in files if _set_of_path(path, folder)]
    for path in in_sets or files:
        for problem in _read_file(path):
            yield _set_of_path(path, folder), problem


def _walk(folder: Path, depth: int = 0) -> Iterator[Path]:
    """The files of a folder and of the folders in it, in the order of their names, except hidden ones."""
    for path in list_folder(folder, ""):
        if path.name.startswith(".") or path.name == "__MACOSX":
            continue
        if kind_of(path) != "folder":
            yield path
        elif depth < _MAX_DEPTH and not path.is_symlink():
            yield from _walk(path, depth + 1)


def _set_of_path(path: Path, folder: Path) -> str | None:
    """The set that the folders around a file, or its own name, tell; None if they tell none."""
    around = [_SETS[part.lower()] for part in path.relative_to(folder).parts[:-1] if part.lower() in _SETS]
    return around[-1] if around else _set_of(path.name)


def _set_of(name: str) -> str | None:
    """The set that the name of a file with many tasks tells."""
    words = re.split("[^a-z]+", name.lower())
    return next((_SETS[word] for word in words if word in _SETS), None) if _CHALLENGES in words else None


def _read_file(path: Path) -> Iterator[ARCProblem]:
    """The tasks of a file."""
    where = shown_path(path)
    stem = path.name.split(".")[0]
    try:
        stem.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{where}: the name of the file, which names the task, is not valid UTF-8") from error
    document = _read_document(path)
    if is_task(document) or not document:
        yield read_problem(stem, document, where)
    elif isinstance(document, list):
        for number, task in enumerate(document, 1):
            name = next((task[key] for key in _NAMES if key in task), None) if isinstance(task, Mapping) else None
            yield read_problem(str(name or f"{stem}-{number}"), task, f"{where}, task {number}")
    elif isinstance(document, Mapping):
        yield from _read_named(path, document, where)
    else:
        raise ValueError(f"{where}: an ARC task is an object with 'train' and 'test', not {shown(document)}")


def _read_named(path: Path, document: Mapping[str, Any], where: str) -> Iterator[ARCProblem]:
    """Tasks by name, with the outputs of their tests from the file of solutions if there is one."""
    if not all(is_task(task) for task in document.values()):
        what = "is a file of solutions or a submission" if "train" not in document else "is not a whole task"
        advice = f"pass the file of {_CHALLENGES}" if "train" not in document else "it needs 'train' and 'test'"
        raise ValueError(f"{where}: an ARC task is an object with 'train' and 'test'; this {what}: {advice}")
    beside = path.with_name(path.name.replace(_CHALLENGES, "solutions"))
    solutions = _read_document(beside) if beside != path and kind_of(beside) == "file" else {}
    for name, task in document.items():
        problem = read_problem(name, task, f"{where}, task {name}")
        if isinstance(solutions, Mapping) and name in solutions:
            problem = _solved(problem, solutions[name], f"{shown_path(beside)}, task {name}")
        yield problem


def _solved(problem: ARCProblem, outputs: Any, where: str) -> ARCProblem:
    """A task with the outputs of its tests."""
    if not isinstance(outputs, list) or len(outputs) != len(problem.tests):
        raise ValueError(f"{where}: expected a list of {len(problem.tests)} grids, one for each test input")
    tests = []
    for number, (pair, rows) in enumerate(zip(problem.tests, outputs, strict=True)):
        output = read_rows(rows, f"{where}: test {number} output")
        tests.append(Pair(pair.input, output))
    return replace(problem, tests=tuple(tests))


def _read_document(path: Path) -> Any:
    """A JSON document, or the list of those on the lines of a file."""
    where = f"{shown_path(path)} cannot be read as JSON"
    with open_unpacked(path) as file:
        try:
            content = file.read(MAX_JSON_BYTES + 1)
        except OSError as error:
            raise ValueError(f"{shown_path(path)} cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_JSON_BYTES:
        raise ValueError(f"{where}: it is larger than {MAX_JSON_BYTES // 1024**2} MiB")
    try:
        text = decode(content)
    except ValueError as error:
        raise ValueError(f"{shown_path(path)}, {error}") from error
    try:
        return parse_json(text)
    except ValueError as error:
        lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        if len(lines) < 2 or ".jsonl" not in path.name.lower():
            raise ValueError(f"{where}: {error}") from error
    documents = []
    for number, line in lines:
        try:
            documents.append(parse_json(line))
        except ValueError as error:
            raise ValueError(f"{where}: line {number}: {error}") from error
    return documents


def say_dropped(dropped: Mapping[str, Sequence[ARCProblem]], canvas: int) -> None:
    """Name the tasks of each set that are larger than a canvas of so many rows and columns."""
    for name, problems in dropped.items():
        if problems:
            named = ", ".join(f"{problem.name} ({problem.largest})" for problem in problems[:_NAMED])
            more = f" and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
            _log.info(
                "%d %s tasks have a grid larger than %d x %d and are not played; in the test split, they count as "
                "unsolved: %s%s", len(problems), name, canvas, canvas, named, more,
            )  # fmt: skip
