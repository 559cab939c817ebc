"""Trained models that ship with the package, by name; ``python -m benchmarks.zoo`` makes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent
#: File in the folder of a model, beside its checkpoint.
CARD = "card.json"
#: The model that commands take if none is named.
DEFAULT = "maze-9x9"


@dataclass(frozen=True)
class Card:
    """What to know of a model before using it."""

    env: str
    """Gymnasium id of the environment that it was trained in."""
    parameters: int
    seed: int
    """Of its training."""
    updates: int
    """Of its training, to the checkpoint that ships."""
    version: str
    """Of the package that trained it."""
    test: dict[str, Any]
    """Figures on test puzzles, as in :meth:`hrm_agents.evaluation.evaluate.Evaluation.to_dict`."""


def names() -> list[str]:
    """The models."""
    return sorted(path.parent.name for path in _ROOT.glob(f"*/{CARD}"))


def card(name: str) -> Card:
    """What to know of a model."""
    return Card(**json.loads((_ROOT / name / CARD).read_text(encoding="utf-8")))


def checkpoint_of(model: str | Path) -> Path:
    """The checkpoint folder of a model: by its name, or the path itself where it exists or is no name."""
    path = Path(model)
    return _ROOT / path if str(path) in names() and not path.exists() else path


def name_of(checkpoint: Path) -> str:
    """What people call a model: its name if it ships with the package, else its folder."""
    return checkpoint.name if checkpoint.parent == _ROOT else str(checkpoint)
