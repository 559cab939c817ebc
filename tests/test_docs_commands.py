"""Every line of the documentation that calls hrm-agents parses: its options exist and their values are possible."""

import importlib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from hrm_agents import environments, user_modules
from hrm_agents.commands import common
from hrm_agents.commands.table import COMMANDS, module_name
from hrm_agents.models import HRM, registry

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: Fenced blocks with their language, and indented lines.
_BLOCKS = re.compile(r"^```(\w*)\n(.*?)^```$|^    ([^\n]*)$", re.DOTALL | re.MULTILINE)
_CALL = re.compile(r"(?:^|&& ) *(hrm-agents .*?)(?: > .*)?$")


def calls() -> list[str]:
    """The calls, each once, without those that only show a form, such as ``hrm-agents new-task NAME``."""
    found = {}
    for page in PAGES:
        for language, fenced, indented in _BLOCKS.findall(page.read_text()):
            for line in (fenced if language != "python" else "").splitlines() or [indented]:
                call = _CALL.search(line)
                words = shlex.split(call[1], comments=True) if call else []
                if words and not any(word.isupper() or re.match(r"\[[-A-Za-z]", word) for word in words):
                    found[shlex.join(words)] = None
    return list(found)


class ParsedError(Exception):
    """The arguments were parsed."""


@dataclass(frozen=True)
class Settings:
    """Those of the networks that the pages define."""

    width: int = 1


@pytest.fixture
def run_file(tmp_path):
    """The file of settings that the documentation shows."""
    pages = "".join(page.read_text() for page in PAGES)
    (text,) = re.findall(r"^```toml\n(.*?)^```$", pages, re.DOTALL | re.MULTILINE)
    path = tmp_path / "run.toml"
    path.write_text(text)
    return path


@pytest.fixture
def parse(monkeypatch, request):
    """Parses the arguments of a command, and does nothing else. Modules of the reader exist, and are not imported."""
    original = common._parsed

    def parsed(options, command, arguments, **keywords):
        result = original(options, command, arguments, **keywords)
        if "return_unknown_args" in keywords:  # looks ahead
            return result
        raise ParsedError

    monkeypatch.setattr(common, "_parsed", parsed)
    for module in (environments, user_modules):
        monkeypatch.setattr(module, "import_module", lambda module, about=None: Path(module).stem)
    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))
    for name in ("conv", "mixer"):
        registry.register_model(name, HRM, Settings)

    def parse(words):
        command, *arguments = words
        assert command in COMMANDS, command
        if "--resume" in arguments:
            arguments[arguments.index("--resume") + 1] = str(request.getfixturevalue("sudoku_run"))
        if "--config" in arguments:
            arguments[arguments.index("--config") + 1] = str(request.getfixturevalue("run_file"))
        with pytest.raises((ParsedError, common.HelpShown)):
            importlib.import_module(module_name(command)).run(arguments)

    return parse


@pytest.mark.parametrize("call", calls())
def test_a_call_parses(call, parse):
    parse(shlex.split(call)[1:])


def test_the_pages_show_every_command():
    assert {shlex.split(call)[1] for call in calls()} == set(COMMANDS)
