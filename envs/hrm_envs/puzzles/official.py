"""The folders that the scripts of HRM's official data sets build, and folders with ``train`` and ``test``.

The tokens equal ours: 0 is padding, Sudoku has 1 for a blank and digit + 1, and mazes have positions in ``"# SGo"``
plus 1. The caller must check that each solution solves its puzzle.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrm_envs.checks import shown, shown_path, whole_number
from hrm_envs.puzzles.arrays import load_arrays
from hrm_envs.puzzles.files import is_plain_name, kind_of, list_folder, read_json
from hrm_envs.puzzles.numbers import as_tokens
from hrm_envs.puzzles.rows import Places, Rows
from hrm_envs.spec import PAD, TaskSpec

_SUFFIX = "__inputs.npy"
_ARC = "ARC-AGI"
_KNOWN = {(81, 11): "9x9 Sudoku", (900, 6): "30x30 mazes", (900, 12): _ARC}
_ARC_ADVICE = (
    "for ARC, pass the folder of JSON tasks that these puzzles were built from to HRM/ARC-AGI-1-v0 or HRM/ARC-AGI-2-v0"
)


def find_splits(folder: Path) -> dict[str, Path]:
    """The splits ``train`` and ``test`` of a folder, each a built folder of that name or a file such as ``train.csv``.

    Raises:
        ValueError: the folder cannot be read, or several files could be a split.
    """
    found = {}
    entries = list_folder(folder, "")
    for split in ("train", "test"):
        files = [path for path in entries if path.name.lower().split(".")[0] == split and kind_of(path) == "file"]
        if _is_data(folder / split):
            found[split] = folder / split
        elif len(files) > 1:
            names = ", ".join(path.name for path in files)
            raise ValueError(
                f"puzzles={shown_path(folder)!r}: {names} could all be the split {split!r}: keep one of them"
            )
        elif files:
            found[split] = files[0]
    return found


def _is_data(path: Path) -> bool:
    """Whether a path is a built folder or a file."""
    kind = kind_of(path)
    if kind != "folder":
        return kind == "file"
    return kind_of(path / "dataset.json") == "file" or bool(list_folder(path, _SUFFIX))


def read_folder(folder: Path, spec: TaskSpec) -> Rows:
    """Read a built folder: ``dataset.json`` and, for each of its sets, ``SET__inputs.npy`` and ``SET__labels.npy``.

    Without ``dataset.json``, the set is ``all``. Labels equal to ``ignore_label_id`` are replaced by the cell of the
    puzzle. The order is that of the file; groups of augmented copies are ignored.

    Raises:
        ValueError: the folder is not a built one, an array is missing or unreadable, or the puzzles belong to another
            task or have identities (ARC); the message names the file and says what to do.
    """
    if not _is_data(folder):
        raise ValueError(
            f"puzzles={shown_path(folder)!r}: this folder holds no data set: expected dataset.json, all{_SUFFIX} and "
            "all__labels.npy from HRM's scripts, or folders train and test with these, or train.csv and test.csv"
        )
    facts = _read_facts(folder / "dataset.json")
    _check_sizes(folder, spec, facts)
    names = _set_names(folder, facts)
    identifiers = [path for name in names if kind_of(path := folder / f"{name}__puzzle_identifiers.npy") == "file"]
    if facts.get("num_puzzle_identifiers", 1) != 1 or any(_load(path).any() for path in identifiers):
        raise ValueError(
            f"puzzles={shown_path(folder)!r}: its puzzles have identities, {spec.name} has none; {_ARC_ADVICE}"
        )
    inputs, labels = (_join(folder, names, part) for part in ("inputs", "labels"))
    if inputs.shape != labels.shape:
        raise ValueError(
            f"{shown_path(folder)}: puzzles have shape {shown(inputs.shape)}, solutions {shown(labels.shape)}; "
            "they must agree"
        )
    ignored = facts.get("ignore_label_id", 0)
    if ignored is not None:
        name = f"{shown_path(folder / 'dataset.json')}: ignore_label_id"
        labels = np.where(labels == whole_number(name, ignored, -(2**31), 2**31), inputs, labels)
    puzzle, solution = (
        as_tokens(array, spec, f"{shown_path(folder)}, {part}")
        for part, array in (("puzzle", inputs), ("solution", labels))
    )
    return Rows(puzzle, solution, Places(shown_path(folder), "puzzle", range(len(puzzle))))


def _read_facts(path: Path) -> dict[str, Any]:
    """The content of ``dataset.json``; empty if it does not exist."""
    if kind_of(path) == "absent":
        return {}
    facts = read_json(path)
    if not isinstance(facts, dict):
        raise ValueError(f"{shown_path(path)}: expected an object with 'seq_len', 'vocab_size' and other entries")
    return facts


def _set_names(folder: Path, facts: dict[str, Any]) -> list[str]:
    """The names of the sets, which are used in file names."""
    names = facts.get("sets", ["all"])
    where = shown_path(folder / "dataset.json")
    if not isinstance(names, list) or not names:
        raise ValueError(f"{where}: 'sets' must list the names of the sets, found {shown(names)}")
    for name in names:
        if not is_plain_name(name):
            raise ValueError(f"{where}: 'sets' must list plain file names, found {shown(name)}")
    if len(set(names)) < len(names):
        raise ValueError(f"{where}: 'sets' names a set twice: {shown(names)}")
    return names


def _join(folder: Path, names: list[str], part: str) -> NDArray[Any]:
    """One array with the rows of all sets, in order."""
    arrays = [_load(folder / f"{name}__{part}.npy") for name in names]
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) > 1 or min(array.ndim for array in arrays) == 0:
        found = shown([array.shape for array in arrays])
        raise ValueError(f"{shown_path(folder)}: the {part} of its sets have incompatible shapes: {found}")
    return np.concatenate(arrays)


def _check_sizes(folder: Path, spec: TaskSpec, facts: dict[str, Any]) -> None:
    """Check that the number of cells, tokens and padding, if given, match the task."""
    expected = {"seq_len": spec.num_cells, "vocab_size": spec.vocab_size, "pad_id": PAD}
    cells, tokens, pad = found = tuple(facts.get(name, value) for name, value in expected.items())
    if found == tuple(expected.values()):
        return
    where = shown_path(folder / "dataset.json")
    if not all(isinstance(value, int) for value in found):
        raise ValueError(f"{where}: {', '.join(expected)} must be whole numbers, found {shown(found)}")
    if (cells, tokens) == (spec.num_cells, spec.vocab_size):
        raise ValueError(f"{where}: pad_id is {shown(pad)}; padding must be token {PAD}")
    kind = _KNOWN.get((cells, tokens), "another task")
    raise ValueError(
        f"puzzles={shown_path(folder)!r} holds {kind} ({shown(cells)} cells, {shown(tokens)} tokens), but "
        f"{spec.name} has {spec.num_cells} cells and {spec.vocab_size} tokens: "
        + (_ARC_ADVICE if kind == _ARC else "make the environment of that task instead")
    )


def _load(path: Path) -> NDArray[Any]:
    if kind_of(path) == "absent":
        raise ValueError(f"puzzles={shown_path(path.parent)!r}: {shown_path(path.name)} is missing")
    arrays = load_arrays(path)
    if set(arrays) != {""}:
        raise ValueError(f"{shown_path(path)} holds {shown(sorted(arrays))}; expected one array, as in .npy files")
    return arrays[""]
