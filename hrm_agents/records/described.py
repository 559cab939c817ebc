"""Networks in ``config.json``: by the name under which they are registered, with their settings and sizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from hrm_agents.config import from_dict, to_dict
from hrm_agents.errors import UserError, one_line
from hrm_agents.models.interface import SegmentModel, Sizes
from hrm_agents.models.registry import HRM_NAME, ModelKind, model_kind, name_of


def description_of(model: SegmentModel) -> dict[str, Any]:
    """The entries of ``config.json`` about a network: its name, null if it is not registered, settings and sizes."""
    return {"model_name": name_of(model), "model": {**to_dict(model.settings), **to_dict(model.sizes)}}


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
