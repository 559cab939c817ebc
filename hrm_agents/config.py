"""A whole training run as one frozen dataclass, and its JSON; the command line is derived from it."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from hrm_agents.errors import UserError, did_you_mean, one_line
from hrm_agents.halting.decisions import HaltingRule
from hrm_agents.halting.q_scale import QScale
from hrm_agents.learning.halting_rules import HaltingMethod, halting_method
from hrm_agents.models.architecture import BlockSettings
from hrm_agents.models.registry import HRM_NAME, ModelKind, model_kind
from hrm_agents.settings import AnswerConfig, EnvConfig, HaltingConfig, OptimConfig, RunConfig

__all__ = [
    "AnswerConfig",
    "EnvConfig",
    "HaltingConfig",
    "OptimConfig",
    "RunConfig",
    "TrainConfig",
    "flat_settings",
    "from_dict",
    "to_dict",
    "with_model",
]


@dataclass(frozen=True)
class TrainConfig:
    """One training run, whole."""

    env: EnvConfig = field(default_factory=EnvConfig)
    model: Any = None
    """Settings of the network, of the dataclass that is registered with ``model_name``; its defaults if None."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    answer: AnswerConfig = field(default_factory=AnswerConfig)
    halting: HaltingConfig = field(default_factory=HaltingConfig)
    run: RunConfig = field(default_factory=RunConfig)
    model_name: str = HRM_NAME
    """The network, by the name under which it is registered."""

    def __post_init__(self) -> None:
        expected = self.model_kind.settings
        if self.model is None:
            object.__setattr__(self, "model", expected())
        if not isinstance(self.model, expected):
            raise UserError(
                f"model {self.model_name!r} takes settings of type {expected.__name__}, got "
                f"{type(self.model).__name__}: give the model_name that they are for"
            )
        if self.answer.baseline == "value" and not self.halting_method.learns_reward:
            raise UserError(
                f"answer.baseline='value' needs Q(halt), which rule {self.halting.rule!r} does not learn: use 'group'"
            )
        self.halting_rule()

    @property
    def model_kind(self) -> ModelKind:
        """How to make the network.

        Raises:
            UserError: no network is registered under ``model_name``.
        """
        return model_kind(self.model_name, "model_name")

    @staticmethod
    def field_types(data: dict[str, Any], where: str) -> dict[str, type[Any]]:
        """Types of fields that depend on the data, for :func:`from_dict`: the network decides on its settings.

        Raises:
            UserError: no network is registered under the name in the data.
        """
        return {"model": model_kind(data.get("model_name", HRM_NAME), f"{where}.model_name").settings}

    @property
    def halting_method(self) -> HaltingMethod:
        """How this run halts and what it learns about halting.

        Raises:
            UserError: there is no such rule.
        """
        return halting_method(self.halting.rule)

    def q_scale(self) -> QScale:
        """What the Q-values stand for, with ``q_loss="auto"`` resolved.

        Raises:
            UserError: logits were asked for (bce) and the returns can leave [0, 1].
        """
        return self.halting_method.q_scale(self.halting, self.segment_cost)

    def halting_rule(self) -> HaltingRule:
        """The rule that decides when to halt, in training and after.

        Raises:
            UserError: there is no such rule, or its settings do not fit together.
        """
        return self.halting_method.rule(self.halting, self.q_scale(), self.segment_cost)

    @property
    def segment_cost(self) -> float:
        """The environment's cost of a segment, in units of reward, as far as its keywords name it."""
        cost: float = self.env.kwargs.get("segment_cost", 0.0)
        return cost


def with_model(config: TrainConfig, name: str) -> TrainConfig:
    """The settings of a run with another network, in its default form.

    Width and wiring of the blocks carry over to networks with the same kind of blocks, since they depend on the task;
    settings of training that suit the network replace those of ``config``.

    Raises:
        UserError: no network is registered under ``name``.
    """
    if name == config.model_name:
        return config
    kind = model_kind(name, "--model")
    shared = {}
    if issubclass(kind.settings, BlockSettings) and isinstance(config.model, BlockSettings):
        shared = {each.name: getattr(config.model, each.name) for each in dataclasses.fields(BlockSettings)}
    groups = {group: dataclasses.replace(getattr(config, group), **values) for group, values in kind.training.items()}
    return dataclasses.replace(config, model_name=name, model=kind.settings(**shared), **groups)


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain types, for JSON."""
    return dataclasses.asdict(config)


def from_dict(cls: type[Any], data: dict[str, Any], where: str = "config") -> Any:
    """A config from :func:`to_dict`, strictly.

    Args:
        cls: its class; may have a function ``field_types(data, where)`` for types that depend on the data.
        data: plain types.
        where: source of the data, for messages.

    Raises:
        UserError: a field is unknown or of the wrong type; the text names it.
    """
    if not isinstance(data, dict):
        raise UserError(f"{where}: expected an object, found {type(data).__name__}")
    annotations = typing.get_type_hints(cls)
    hints = {each.name: annotations[each.name] for each in dataclasses.fields(cls)}
    if hasattr(cls, "field_types"):
        hints |= cls.field_types(data, where)
    unknown = sorted(set(data) - set(hints))
    if unknown:
        hint = did_you_mean(unknown[0], hints) or f"; this version knows {', '.join(sorted(hints))}"
        raise UserError(f"{where}: unknown field {one_line(repr(unknown[0]), 60)}{hint}")
    values: dict[str, Any] = {}
    for name, value in data.items():
        if dataclasses.is_dataclass(hints[name]):
            value = from_dict(typing.cast(type[Any], hints[name]), value, f"{where}.{name}")
        elif isinstance(value, list):
            value = tuple(value)
        if not _fits(value, hints[name]):
            kind = getattr(hints[name], "__name__", None) if isinstance(hints[name], type) else None
            raise UserError(f"{where}.{name}: {one_line(repr(value), 80)} is not {kind or hints[name]}")
        values[name] = value
    try:
        return cls(**values)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{where}: {one_line(str(error))}") from error


def flat_settings(config: TrainConfig) -> dict[str, Any]:
    """All settings by their full name, such as ``run.seed``, as plain types."""
    return {
        name if not inner else f"{name}.{inner}": value
        for name, group in to_dict(config).items()
        for inner, value in (group.items() if isinstance(group, dict) else [("", group)])
    }


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value read from JSON is of the type of a field of ours."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return value in arguments
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is tuple and arguments[-1:] == (Ellipsis,):
        return isinstance(value, tuple) and all(_fits(item, arguments[0]) for item in value)
    if origin is tuple:
        return isinstance(value, tuple) and len(value) == len(arguments) and all(map(_fits, value, arguments))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) > 1e308
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)
