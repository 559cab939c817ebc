"""What the folder of a training run says about the run; its model is not run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrm_agents.errors import UserError
from hrm_agents.models.matching import num_parameters
from hrm_agents.models.registry import HRM_NAME
from hrm_agents.records.best import BestCheckpoint, Kept
from hrm_agents.records.checkpoint import CONFIG, MODEL, read_config
from hrm_agents.records.described import DescribedNetwork
from hrm_agents.reports.training_curves import Curve, read_curves

#: Written where a checkpoint of an earlier version lacks an entry.
NOT_RECORDED = "not recorded"
#: The setting of the seed.
SEED = "run.seed"


@dataclass(frozen=True)
class RunRecord:
    """A run, as far as its files describe it."""

    folder: Path
    config: Mapping[str, Any]
    """The parsed ``config.json``."""
    parameters: int | None
    """Number of trained weights of the network; None if the network cannot be made here."""
    curves: Mapping[str, Curve]
    """By tag; empty if there are no records."""
    best: Kept | None
    """The best checkpoint on the way, by validation puzzles; None if none is kept."""
    missing: Mapping[str, str]
    """Why there is no ``evaluation``, no number of ``parameters`` and no ``curves``, where that is so."""

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """Read a run, finished or not.

        Raises:
            UserError: the folder is no run, or its ``config.json`` is damaged.
        """
        config = read_config(folder)
        _check(config, str(folder / CONFIG))
        missing: dict[str, str] = {}
        parameters, curves = None, {}
        try:
            with_name = {**config, "model_name": config.get("model_name", HRM_NAME)}
            parameters = num_parameters(DescribedNetwork.read(with_name, str(folder / CONFIG)).draw())
        except UserError as error:
            own = config.get("custom", {}).get("model")
            missing["parameters"] = str(error) if own is None else f"the run trained its own network ({own})"
        try:
            curves = read_curves(folder)
        except UserError as error:
            missing["curves"] = str(error)
        if config.get("evaluation") is None:
            done = f"after {config['updates']:,} updates" if "updates" in config else "at an unknown update"
            missing["evaluation"] = f"the run has no final evaluation: its checkpoint is from {done}"
        return cls(folder, config, parameters, curves, BestCheckpoint(folder).kept(), missing)

    @property
    def env_id(self) -> str:
        """Gymnasium id of the environment."""
        return str(self.config["env"]["id"])

    @property
    def network(self) -> str:
        """Name of the network, or what a network of the user's own calls itself."""
        name = self.config.get("model_name", HRM_NAME)
        return str(name or self.config.get("custom", {}).get("model", "a network of its own"))

    @property
    def evaluation(self) -> Mapping[str, Any]:
        """The final evaluation; empty if there is none."""
        return self.config.get("evaluation") or {}

    @property
    def intervals(self) -> Mapping[str, Any]:
        """95% intervals over puzzles of the final figures, by name."""
        found: Mapping[str, Any] = self.evaluation.get("intervals", {})
        return found

    @property
    def progress(self) -> str:
        """How many of the planned updates are done."""
        done, planned = self.config.get("updates"), self.config["training"].get("run", {}).get("updates")
        return " of ".join(f"{each:,}" if isinstance(each, int) else "?" for each in (done, planned))

    def settings(self) -> dict[str, str]:
        """All settings by their full name, such as ``run.seed`` and ``env.kwargs.max_segments``, as text."""
        return dict(_flat({**self.config["training"], "env": self.config["env"]}))

    def origin(self) -> dict[str, str]:
        """Versions that trained the run, hashes of its puzzles and weights, and parts of the user's own, as text."""
        versions = self.config.get("versions", {})
        entries = {
            "hrm-agents": self.config.get("package_version"),
            "torch": versions.get("torch"),
            "Python": versions.get("python"),
            "SHA-256 of the training puzzles": self.config.get("data_hash"),
            "SHA-256 of the weights": self.config["files"].get(MODEL),
        }
        own = {f"own {part}": text for part, text in self.config.get("custom", {}).items()}
        return {name: NOT_RECORDED if value is None else as_text(value) for name, value in {**entries, **own}.items()}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and values of nested settings."""
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, as_text(value)


def as_text(value: Any) -> str:
    """A setting as text: strings as they are, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _check(config: Mapping[str, Any], where: str) -> None:
    """Check the types of the entries that a page reads.

    Raises:
        UserError: naming the first entry of another type.
    """
    optional: dict[str, Any] = {"custom": {}, "versions": {}, "evaluation": None}
    for name in ("env", "training", *optional):
        value = config.get(name, optional.get(name))
        if not isinstance(value, dict) and not (name == "evaluation" and value is None):
            raise UserError(f"{where}: {name!r} must be an object; is this the folder of a training run?")
    if not isinstance(config["env"].get("id"), str):
        raise UserError(f"{where}: 'env' must name the environment as its 'id'")
    for name, value in (config.get("evaluation") or {}).items():
        entries = value.values() if name == "intervals" and isinstance(value, dict) else [value]
        for entry in entries:
            if not _is_figure(entry, name):
                raise UserError(f"{where}: evaluation.{name} is damaged: evaluate the run again")


def _is_figure(value: Any, name: str) -> bool:
    """Whether an entry of an evaluation has its type: text, a truth value, a number, or numbers by segment or bound."""
    if name in ("env_id", "split"):
        return isinstance(value, str)
    if name == "is_scored":
        return isinstance(value, bool)
    if name in ("ensemble", "search"):
        return isinstance(value, dict)
    if name == "intervals" or name.endswith("_per_segment"):
        fits = isinstance(value, list) and all(_is_number(each) for each in value)
        return fits and (name != "intervals" or len(value) == 2)
    return _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
