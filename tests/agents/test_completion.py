"""Shell completion, as bash does it."""

import shlex
import shutil
import subprocess

import pytest

from hrm_agents.cli import main
from hrm_agents.commands.completion import script, words_of
from hrm_agents.commands.table import COMMANDS

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture(scope="module")
def complete():
    """The words that bash offers for the last one of a line."""
    text = script({name: words_of(name) if name in ("train", "bench") else {"": []} for name in COMMANDS}, "bash")

    def complete(line):
        words = shlex.split(line) + [""] * line.endswith(" ")
        ask = f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _hrm_agents; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(["bash", "-c", f"{text}\n{ask}"], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout.split()

    return complete


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("hrm-agents tr", ["train"]),
        ("hrm-agents ", list(COMMANDS)),
        ("hrm-agents train --optim.we", ["--optim.weight-decay"]),
        ("hrm-agents train --conf", ["--config"]),
        ("hrm-agents train --seeds 1 2 --jo", ["--jobs"]),
        ("hrm-agents train --no-g", ["--no-gif"]),
        ("hrm-agents train --run.log ", ["tensorboard", "jsonl", "csv", "wandb"]),
        ("hrm-agents train --preset paper-arc", ["paper-arc-1", "paper-arc-2"]),
        ("hrm-agents train HRM/Maze-7", ["HRM/Maze-7x7-v0"]),
        ("hrm-agents train --config run", []),  # then bash offers names of files
        ("hrm-agents bench sc", ["scale"]),
        ("hrm-agents bench train --roun", ["--rounds"]),
        ("hrm-agents new-task --", []),
        ("hrm-agents fly ", []),
    ],
)
def test_what_bash_offers(complete, line, offered):
    assert complete(line) == offered


def test_the_script_registers_itself_in_both_shells(capsys, monkeypatch):
    monkeypatch.setattr("hrm_agents.commands.completion.words_of", lambda command: {"": []})
    assert main(["completion", "bash"]) == 0
    text = capsys.readouterr().out
    ask = f"{text}\ncomplete -p hrm-agents"
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout == "complete -o default -F _hrm_agents hrm-agents\n"
    assert main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out == f"autoload -U +X bashcompinit && bashcompinit\n{text}"
