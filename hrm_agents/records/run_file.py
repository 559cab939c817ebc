"""All settings of a training run as a TOML file, to read and to write: ``hrm-agents train --config run.toml``.

Its tables are the groups of :class:`~hrm_agents.config.TrainConfig`, its keys their fields, under the same names as in
``config.json``. TOML has no null, so the text ``"null"`` stands for None.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

import hrm_agents
from hrm_agents.config import TrainConfig, from_dict, to_dict
from hrm_agents.errors import UserError, did_you_mean, one_line, shown, shown_path
from hrm_agents.records.files import reason, write_atomically

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Name of the file that every run of the command line writes into its folder.
RUN_FILE = "run.toml"
_NULL = "null"
_GROUPS = ("env", "model", "optim", "answer", "halting", "run")
#: The type of each entry, and what a message calls it.
_KINDS: dict[str, tuple[type[Any], str]] = {
    "module": (list, "a list of modules"),
    "preset": (str, "the name of a preset"),
    "model_name": (str, "the name of a network"),
    **{group: (dict, f"a table, [{group}]") for group in _GROUPS},
}


@dataclass(frozen=True)
class RunFile:
    """Settings from a file: some or all, as far as the file gives them."""

    path: Path
    module: tuple[str, ...] = ()
    """Modules to import first."""
    preset: str | None = None
    """Where the settings come from that the file omits."""
    model_name: str | None = None
    env_id: str | None = None
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The given settings, by group and name."""

    @property
    def env_kwargs(self) -> dict[str, Any]:
        """Keywords of the environment."""
        kwargs: dict[str, Any] = self.groups.get("env", {}).get("kwargs", {})
        return kwargs

    def over(self, config: TrainConfig) -> TrainConfig:
        """Settings with those of the file in place of their own; keywords of the environment are added.

        Args:
            config: of the network that the run will have.

        Raises:
            UserError: a setting is unknown, of the wrong type or out of its limits; the message names file and key.
        """
        with self.errors():
            parts = {}
            for group, given in self.groups.items():
                own = getattr(config, group)
                if group == "env" and isinstance(given.get("kwargs"), dict):
                    given = {**given, "kwargs": {**own.kwargs, **given["kwargs"]}}
                parts[group] = from_dict(type(own), {**to_dict(own), **given}, group)
            return dataclasses.replace(config, **parts)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Name the file in errors about what it says."""
        try:
            yield
        except (UserError, ValueError) as error:
            raise UserError(f"{shown_path(self.path)}: {one_line(str(error), 400)}") from error


def read_run_file(path: Path) -> RunFile:
    """Read a file of settings. Values are checked by :meth:`RunFile.over`.

    Raises:
        UserError: it cannot be read, is not TOML, or has an unknown entry.
    """
    where = shown_path(path)
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not TOML or UTF-8, or a null in the name
        raise UserError(f"{where} cannot be read as TOML: {_problem(error)}") from error
    for name, value in document.items():
        if name not in _KINDS:
            hint = did_you_mean(name, _KINDS) or f"; there are {', '.join(_KINDS)}"
            raise UserError(f"{where}: unknown entry {shown(name)}{hint}")
        kind, description = _KINDS[name]
        if not isinstance(value, kind) or (kind is list and not all(isinstance(each, str) for each in value)):
            raise UserError(f"{where}: {name} must be {description}, got {shown(value)}")
    groups = {group: _from_toml(document.get(group, {})) for group in _GROUPS}
    env_id = groups["env"].get("id")
    if env_id is not None and not isinstance(env_id, str):
        raise UserError(f"{where}: env.id must be the id of an environment, got {shown(env_id)}")
    names = {name: document[name] for name in ("preset", "model_name") if name in document}
    return RunFile(path, tuple(document.get("module", ())), **names, env_id=env_id, groups=groups)


def write_run_file(folder: Path, config: TrainConfig, modules: Sequence[str] = ()) -> None:
    """Write all settings of a run into its folder, so that ``train --config`` repeats it.

    Args:
        folder: of the run.
        config: its settings.
        modules: to import first, as given on the command line.

    Raises:
        UserError: the file cannot be written.
    """
    settings = to_dict(config)
    document = {"module": list(modules), "model_name": config.model_name, **{name: settings[name] for name in _GROUPS}}
    header = (
        f"# The settings of this run with hrm-agents {hrm_agents.__version__}. To train again with the same ones:\n"
        f"#   hrm-agents train --config {RUN_FILE} --out FOLDER\n\n"
    )
    text = header + tomli_w.dumps(_to_toml(document))
    # A path that is not UTF-8 stays legible; TOML cannot hold it.
    write_atomically(folder / RUN_FILE, text.encode("utf-8", "backslashreplace"))


def _problem(error: Exception) -> str:
    if isinstance(error, OSError):
        return reason(error)
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return "it is nested too deeply" if isinstance(error, RecursionError) else one_line(str(error))


def _from_toml(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _from_toml(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_from_toml(each) for each in value]
    return None if value == _NULL else value


def _to_toml(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _to_toml(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_to_toml(each) for each in value]
    return _NULL if value is None else value
