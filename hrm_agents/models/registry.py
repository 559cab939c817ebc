"""The table behind ``--model``: networks by name, the built-in ones and those of users."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hrm_agents.errors import UserError, did_you_mean, shown
from hrm_agents.models.hrm import HRM, Architecture
from hrm_agents.models.interface import SegmentModel, Sizes, TaskSizes
from hrm_agents.models.looped import Looped, LoopedSettings
from hrm_agents.models.recurrent import GRU, LSTM, RecurrentSettings
from hrm_agents.models.transformer import Transformer, TransformerSettings
from hrm_agents.models.trm import TRM, TRMSettings

#: Name of the default network.
HRM_NAME = "hrm"


@dataclass(frozen=True)
class ModelKind:
    """How to make the network of a name."""

    network: type[SegmentModel]
    """Its class."""
    settings: type[Any]
    """Dataclass of its settings, independent of the task."""
    training: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Settings of training that suit it, by group, such as ``{"halting": {"rule": "fixed"}}``."""

    def build(self, settings: Any, task: TaskSizes) -> SegmentModel:
        """Make a network with new weights for ``task``, such as a ``TaskSpec``.

        Raises:
            ValueError: the settings do not fit together or the task.
        """
        return self.network.build(settings, Sizes.of(task))


_MODELS: dict[str, ModelKind] = {
    HRM_NAME: ModelKind(HRM, Architecture),
    "trm": ModelKind(TRM, TRMSettings, {"halting": {"rule": "probability", "threshold": 0.5}}),
    "looped": ModelKind(Looped, LoopedSettings),
    "transformer": ModelKind(Transformer, TransformerSettings, {"halting": {"rule": "fixed", "fixed_segments": 1}}),
    "gru": ModelKind(GRU, RecurrentSettings),
    "lstm": ModelKind(LSTM, RecurrentSettings),
}


def register_model(
    name: str,
    network: type[SegmentModel],
    settings: type[Any],
    *,
    training: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Register a network, for ``hrm-agents train --model NAME`` and for loading its checkpoints.

    Args:
        name: letters, digits, ``-`` and ``_``, such as ``"my-net"``; saved in checkpoints.
        network: the class, whose constructor takes the settings and the :class:`~hrm_agents.models.interface.Sizes` of
            the task (see :meth:`SegmentModel.build`).
        settings: dataclass of its settings: plain values, each with a default and one line of documentation. They
            become the options ``--model.*``.
        training: defaults of other settings of training that suit it, by group, such as
            ``{"halting": {"rule": "probability"}}``.

    Raises:
        ValueError: the name is taken or has other characters, or class and settings are not of this form.
    """
    if not re.fullmatch(r"[A-Za-z][\w-]*", name, re.ASCII):
        raise ValueError(f"a model's name has letters, digits, - and _ only, got {shown(name)}")
    if not isinstance(network, type) or not issubclass(network, SegmentModel):
        raise ValueError(f"model {name!r}: {shown(network)} is not a subclass of SegmentModel")
    known = _MODELS.get(name)
    # Running a notebook cell again defines the same class anew.
    if known is not None and _place(known.network) != _place(network):
        raise ValueError(f"model {name!r} is registered already, as {'.'.join(_place(known.network))}")
    _check_settings(name, settings)
    _MODELS[name] = ModelKind(network, settings, dict(training or {}))


def _place(network: type[SegmentModel]) -> tuple[str, str]:
    return network.__module__, network.__qualname__


def _check_settings(name: str, settings: type[Any]) -> None:
    """Check that the class of a model's settings can be saved as JSON and has defaults.

    Raises:
        ValueError: it cannot, or has not.
    """
    if not isinstance(settings, type) or not dataclasses.is_dataclass(settings):
        raise ValueError(f"model {name!r}: its settings must be a dataclass, got {shown(settings)}")
    for each in dataclasses.fields(settings):
        if each.name in (size.name for size in dataclasses.fields(Sizes)):
            raise ValueError(f"model {name!r}: {each.name} is a size of the task, not a setting: omit it")
    try:
        json.dumps(dataclasses.asdict(settings()), allow_nan=False)
    except TypeError as error:
        raise ValueError(f"model {name!r}: its settings must be plain values with defaults: {error}") from error


def model_kind(name: Any, where: str) -> ModelKind:
    """The network that is registered under a name.

    Args:
        name: perhaps from a file, so of any type.
        where: source of the name, for the message.

    Raises:
        UserError: there is none.
    """
    if not isinstance(name, str) or name not in _MODELS:
        raise UserError(
            f"{where}: no model {shown(name)} is registered{did_you_mean(str(name), _MODELS)}; there are "
            f"{', '.join(model_names())}. For your own, import the module that registers it, with --module on the "
            "command line"
        )
    return _MODELS[name]


def model_names() -> list[str]:
    """All registered names, in alphabetical order."""
    return sorted(_MODELS)


def name_of(model: SegmentModel) -> str | None:
    """The name under which the class of ``model`` is registered; None if it is not."""
    return next((name for name, kind in _MODELS.items() if kind.network is type(model)), None)
