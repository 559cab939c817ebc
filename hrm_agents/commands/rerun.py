"""The command line that trains a run again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from hrm_agents.commands.train import Train, parse_settings
from hrm_agents.config import TrainConfig, flat_settings, from_dict, with_model
from hrm_agents.environments import user_id
from hrm_agents.errors import UserError
from hrm_agents.presets import preset


def rerun_command(config: Mapping[str, Any], where: str, modules: Sequence[str] = ()) -> str:
    """A command that trains with the settings of a run; it names those that differ from the defaults.

    Args:
        config: contents of the run's ``config.json``.
        where: its path, for messages.
        modules: the user's modules that the run needs, already imported.

    Raises:
        UserError: the run has parts or settings that no command line can give.
    """
    own = config.get("custom", {})
    if own:
        parts = ", ".join(f"{part} {text}" for part, text in own.items())
        raise UserError(f"it trained with code of its own ({parts}): pass it to hrm_agents.trainer.Trainer in Python")
    settings: TrainConfig = from_dict(TrainConfig, config["training"], f"{where}: training")
    words = _words(settings)
    if not _gives(words, settings):
        raise UserError("no command line gives all of its settings: pass them to hrm_agents.trainer.Trainer in Python")
    words += [word for module in modules for word in ("--module", module)]
    return _in_lines(["hrm-agents", "train", *words, "--out", "runs/again"])


def _words(settings: TrainConfig) -> list[str]:
    """The arguments of ``hrm-agents train``, but for modules and the output folder."""
    default = with_model(preset(user_id(settings.env.id)), settings.model_name)
    before = flat_settings(default)
    words = [settings.env.id]
    if settings.model_name != TrainConfig.model_name:
        words += ["--model", settings.model_name]
    if settings.env.kwargs:
        words += ["--kwargs", *(f"{name}={_value(value)}" for name, value in settings.env.kwargs.items())]
    for name, value in flat_settings(settings).items():
        if name.startswith("env.") or name == "model_name" or value == before[name]:
            continue
        group, inner = name.replace("_", "-").split(".", 1)
        if isinstance(value, bool):
            words.append(f"--{group}.{'' if value else 'no-'}{inner}")
        else:
            words += [f"--{group}.{inner}", *map(str, value if isinstance(value, list | tuple) else [value])]
    return words


def _gives(words: Sequence[str], settings: TrainConfig) -> bool:
    """Whether ``hrm-agents train`` with these arguments trains with these settings."""
    try:
        return parse_settings(Train, "train", words).config() == settings
    except UserError:  # such as None, which no option takes
        return False


def _in_lines(words: Sequence[str]) -> str:
    """A command for a shell, with a line for each option."""
    return " ".join(f"\\\n  {shlex.quote(word)}" if word.startswith("--") else shlex.quote(word) for word in words)


def _value(value: Any) -> str:
    """A keyword as ``--kwargs`` reads it: text that is not JSON itself, or JSON."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value)
