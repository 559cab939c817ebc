"""What lies beside published weights: which file to read, and the settings that the weights do not tell.

The public HRM and TRM training code writes a folder of ``step_N`` files and an ``all_config.yaml``. Both are read as
data; no code in them is run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from hrm_agents.errors import one_line, shown, shown_path
from hrm_agents.models.limits import LIMITS, check_choice

#: Name of the settings beside the weights.
SETTINGS_FILE = "all_config.yaml"
_LARGEST_SETTINGS = 1024**2
_WEIGHTS = "checkpoint"
_STEP = re.compile(r"step_(\d{1,18})")
_SUFFIXES = (".safetensors", ".npz", ".pt", ".pth", ".ckpt", ".bin")

#: Settings of the published code by our names; the first group is needed to run the weights, which do not tell them.
_NAMES = {
    "num_heads": "num_heads",
    "H_cycles": "H_cycles",
    "L_cycles": "L_cycles",
    "max_segments": "halt_max_steps",
    "puzzle_emb_len": "puzzle_emb_len",
    "rope_theta": "rope_theta",
    "rms_eps": "rms_norm_eps",
    "hidden_size": "hidden_size",
    "H_layers": "H_layers",
    "L_layers": "L_layers",
}
#: TRM has no H layers, and with no number of prefix slots as many as its task embedding fills.
_MAY_BE_ZERO = ("H_layers", "puzzle_emb_len")
_POSITIONS = ("none", "rope", "learned")
_ANSWER_LOSSES = {"stablemax_cross_entropy": "stablemax", "softmax_cross_entropy": "softmax"}
#: Whether TRM was trained without Q(continue), and the rule that it halts by then.
_HALTING_RULES = {True: "probability", False: "q"}


class ReleasedFiles(NamedTuple):
    """Files of one published checkpoint."""

    weights: Path
    settings: Path | None
    """None if there are none beside the weights."""


def find_files(path: Path) -> ReleasedFiles:
    """Find the weights in a folder, or take the named file, and the settings beside it.

    In a folder the weights are the file ``checkpoint``, else the ``step_N`` with the largest N, else the only file with
    a suffix of weights.

    Raises:
        ValueError: the folder has no such file, or several; the message is one line.
    """
    # Unlike Path.is_dir, os.path.isdir is False for a name that is too long.
    if not os.path.isdir(path):
        return ReleasedFiles(path, _settings_in(path.parent))
    try:
        names = sorted(entry.name for entry in path.iterdir() if not entry.is_dir())
    except OSError as error:
        raise ValueError(f"{shown_path(path)} cannot be read: {error.strerror or error}") from error
    steps = {int(match[1]): name for name in names if (match := _STEP.fullmatch(name))}
    others = [name for name in names if name.lower().endswith(_SUFFIXES)]
    if _WEIGHTS in names:
        found = _WEIGHTS
    elif steps:
        found = steps[max(steps)]
    elif len(others) == 1:
        (found,) = others
    else:
        problem = f"several: {', '.join(map(shown, others[:5]))}; name one" if others else "none"
        raise ValueError(f"{shown_path(path)}: expected a file of weights (checkpoint or step_N), found {problem}")
    return ReleasedFiles(path / found, _settings_in(path))


def _settings_in(folder: Path) -> Path | None:
    path = folder / SETTINGS_FILE
    return path if os.path.isfile(path) else None


def read_settings(path: Path) -> dict[str, Any]:
    """Read the settings of a published checkpoint, under our names.

    Returns:
        Those of ``num_heads``, ``H_cycles``, ``L_cycles``, ``max_segments``, ``puzzle_emb_len``, ``rope_theta``,
        ``rms_eps``, ``hidden_size``, ``H_layers``, ``L_layers``, ``position``, ``answer_loss`` and ``halting_rule``
        that the file names.

    Raises:
        ValueError: it is not YAML, too large, or a value is of the wrong type or out of range; the message is one line.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_SETTINGS + 1)
        if len(content) > _LARGEST_SETTINGS:
            raise ValueError(f"{shown_path(path)} is larger than 1 MiB: these are not settings")
        document = yaml.load(content, yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)
    except OSError as error:
        raise ValueError(f"{shown_path(path)} cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{shown_path(path)} is not YAML: {one_line(str(error), 200)}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{shown_path(path)}: expected settings by name, found {type(document).__name__}")
    arch = document.get("arch", document)
    if not isinstance(arch, dict):
        raise ValueError(f"{shown_path(path)}: arch: expected settings by name, found {type(arch).__name__}")
    try:
        return _checked(arch)
    except ValueError as error:
        raise ValueError(f"{shown_path(path)}: arch.{error}") from error


def _checked(arch: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for ours, theirs in _NAMES.items():
        value = arch.get(theirs)
        if value is None:
            continue
        whole = ours not in ("rope_theta", "rms_eps")
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise ValueError(f"{theirs} must be a {'whole ' if whole else ''}number, got {shown(value)}")
        if ours in LIMITS and not (ours in _MAY_BE_ZERO and value == 0):
            LIMITS[ours].check(theirs, value, ValueError)
        found[ours] = value
    position = arch.get("pos_encodings")
    if position is not None:
        check_choice("pos_encodings", position, _POSITIONS)
        found["position"] = position
    loss = arch.get("loss")
    kind = loss.get("loss_type") if isinstance(loss, dict) else None
    if kind is not None:
        if kind not in _ANSWER_LOSSES:
            raise ValueError(f"loss.loss_type {shown(kind)} is unknown; choose from {', '.join(_ANSWER_LOSSES)}")
        found["answer_loss"] = _ANSWER_LOSSES[kind]
    halts_alone = arch.get("no_ACT_continue")
    if halts_alone is not None:
        if not isinstance(halts_alone, bool):
            raise ValueError(f"no_ACT_continue must be true or false, got {shown(halts_alone)}")
        found["halting_rule"] = _HALTING_RULES[halts_alone]
    return found
