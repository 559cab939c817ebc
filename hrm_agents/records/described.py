"""What ``config.json`` says of a run and its network.

Networks are described by the name under which they are registered, with their settings and sizes.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

import hrm_agents
from hrm_agents.config import TrainConfig, from_dict, to_dict
from hrm_agents.errors import UserError, one_line
from hrm_agents.halting.decisions import HaltingRule
from hrm_agents.models.interface import SegmentModel, Sizes
from hrm_agents.models.registry import HRM_NAME, ModelKind, model_kind, name_of


def description_of(model: SegmentModel) -> dict[str, Any]:
    """The entries of ``config.json`` about a network: its name, null if it is not registered, settings and sizes."""
    return {"model_name": name_of(model), "model": {**to_dict(model.settings), **to_dict(model.sizes)}}


def parts_of_your_own(
    config: TrainConfig, rule: HaltingRule, model: SegmentModel, optimizers: Sequence[Optimizer] | None
) -> dict[str, str]:
    """What the parts of a run that its settings do not name call themselves, by argument of the trainer.

    Args:
        config: the settings.
        rule: decides when to halt.
        model: the network.
        optimizers: the user's own; None for those of the settings.
    """
    found = {}
    if rule != config.halting_rule():
        found["rule"] = f"{type(rule).__module__}: {rule!r}"
    if name_of(model) is None:
        found["model"] = f"{type(model).__module__}: {type(model).__qualname__}"
    if optimizers is not None:
        found["optimizers"] = ", ".join(type(each).__qualname__ for each in optimizers)
    return {name: one_line(text) for name, text in found.items()}


def origin_of(env: Any, custom: Mapping[str, str]) -> dict[str, Any]:
    """What a run was made with: task, puzzles, and the parts of the user's own, from :func:`parts_of_your_own`."""
    return {"task": dataclasses.asdict(env.task_spec), "data_hash": env.data_hash, "custom": dict(custom)}


def description_of_run(config: TrainConfig, model: SegmentModel, max_segments: int, updates: int) -> dict[str, Any]:
    """The entries of ``config.json`` about a run and its network.

    Args:
        config: all settings.
        model: the network.
        max_segments: M, of the environment.
        updates: optimiser steps taken.
    """
    return {
        **description_of(model),
        "env": to_dict(config.env),
        "max_segments": max_segments,
        "package_version": hrm_agents.__version__,
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "updates": updates,
        "training": to_dict(config),
    }


@dataclass(frozen=True)
class DescribedNetwork:
    """A network that can be made from a description; nothing is imported for it."""

    kind: ModelKind
    settings: Any
    sizes: Sizes
    where: str
    """Source of the description, for messages."""

    @classmethod
    def read(cls, config: Mapping[str, Any], where: str) -> DescribedNetwork:
        """Read the entries of :func:`description_of`.

        Args:
            config: contents of ``config.json``, with an entry ``model``.
            where: its path, for messages.

        Raises:
            UserError: the network is not registered here, or a setting is unknown, missing or out of range.
        """
        where = f"{where}: model"
        # Before there were several networks, checkpoints did not name theirs.
        kind = model_kind(config.get("model_name", HRM_NAME), where)
        if not isinstance(config["model"], dict):
            raise UserError(f"{where}: expected an object, found {type(config['model']).__name__}")
        settings = dict(config["model"])
        sizes = {each.name: settings.pop(each.name) for each in dataclasses.fields(Sizes) if each.name in settings}
        return cls(kind, from_dict(kind.settings, settings, where), from_dict(Sizes, sizes, where), where)

    def draw(self) -> SegmentModel:
        """The network on the meta device: it has shapes, but takes no memory.

        Raises:
            UserError: settings and sizes do not fit together.
        """
        try:
            with torch.device("meta"):
                return self.build()
        except (RuntimeError, OverflowError, ValueError) as error:
            raise UserError(f"{self.where}: {one_line(str(error))}") from error

    def build(self) -> SegmentModel:
        """The network, with new weights."""
        return self.kind.build(self.settings, self.sizes)
