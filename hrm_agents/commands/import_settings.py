"""Settings of ``hrm-agents import``: who names them, and whether they suffice and agree with the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hrm_agents.models.released import SETTINGS_FILE

#: Values of the papers, by network, for error messages.
_PAPERS = {
    "hrm": {"num_heads": 8, "H_cycles": 2, "L_cycles": 2, "max_segments": 16, "answer_loss": "stablemax"},
    "trm": {
        "num_heads": 8,
        "H_cycles": 3,
        "L_cycles": 6,
        "max_segments": 16,
        "puzzle_emb_len": 16,
        "answer_loss": "stablemax",
    },
}


@dataclass(frozen=True)
class ImportSettings:
    """Settings by our names and source."""

    command_line: Mapping[str, Any]
    """Named there; they override the others."""
    file: Mapping[str, Any]
    """From the settings beside the weights."""
    assumed: Mapping[str, Any]
    """Constants of the public code."""

    @property
    def values(self) -> dict[str, Any]:
        """All of them."""
        return {**self.assumed, **self.file, **self.command_line}

    def require(self, names: Sequence[str], model_name: str) -> None:
        """Check that no setting is missing.

        Args:
            names: that the weights do not tell.
            model_name: hrm or trm, whose paper gives the example.

        Raises:
            ValueError: some are; the message names them and their options.
        """
        missing = [name for name in names if name not in self.values]
        if missing:
            options = " ".join(f"{_option(name)} {_PAPERS[model_name][name]}" for name in missing)
            raise ValueError(
                f"neither the weights nor {SETTINGS_FILE} tell {', '.join(missing)}: give them, such as those of the "
                f"{model_name.upper()} paper, {options}"
            )

    def check_agreement(self, told: Mapping[str, Any]) -> None:
        """Check that no setting contradicts the weights.

        Raises:
            ValueError: one does; the message names both values.
        """
        for name, value in told.items():
            given = self.values.get(name, value)
            if given != value:
                where = _option(name) if name in self.command_line else f"{name} in {SETTINGS_FILE}"
                raise ValueError(f"{where} is {given}, but the weights have {name} {value}")

    def sources(self, told: Mapping[str, Any], used: Sequence[str]) -> str:
        """Where every value came from, one source a line.

        Args:
            told: by the weights.
            used: names of the other settings in use.
        """
        others = [name for name in used if name not in told]
        by_source: dict[str, Mapping[str, Any]] = {
            "from the weights": told,
            f"from {SETTINGS_FILE}": {
                name: self.file[name] for name in others if name in self.file and name not in self.command_line
            },
            "from the command line": {name: self.command_line[name] for name in others if name in self.command_line},
            "assumed": {
                name: self.assumed[name] for name in others if name not in self.file and name not in self.command_line
            },
        }
        return "\n".join(
            f"{source}: {', '.join(f'{name} {value}' for name, value in values.items())}"
            for source, values in by_source.items()
            if values
        )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
