"""A scripted agent and a person play by text."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "text_agent.py"))
main = EXAMPLE["main"]


def test_the_scripted_agent_solves_every_puzzle(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--episodes", "4"]) == 1.0
    assert capsys.readouterr().out.splitlines()[-1] == "solved 4 of 4"


def test_a_person_is_asked_again_until_the_answer_can_be_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts: list[str] = []

    def solve(prompt: str) -> str:
        prompts.append(prompt)
        return str(EXAMPLE["solve"](prompt))

    typed = iter(["12", "", *["1234"] * 4, "think on", ""])

    def type_line() -> str:
        try:
            return next(typed)
        except StopIteration:
            rows = solve(capsys.readouterr().out).splitlines()
            lines.extend([*rows[1:], ""])
            return rows[0]

    lines: list[str] = []
    monkeypatch.setattr("builtins.input", lambda: lines.pop(0) if lines else type_line())
    assert main(["--human", "--episodes", "1"]) == 1.0
    (seen,) = prompts
    assert "Your reply cannot be read: line 1: 2 cells, expected 4" in seen
    assert "Your last answer:\n1234\n1234\n1234\n1234\n" in seen
    assert "The score of your last answer is 0." in seen


def test_an_agent_that_never_learns_the_form_gives_up() -> None:
    import gymnasium as gym

    env = gym.make("HRM/Sudoku-4x4-v0", split="test", num_puzzles=2)
    calls: list[str] = []
    assert EXAMPLE["play"](env, lambda prompt: calls.append(prompt) or "I do not know", 0) is False
    assert len(calls) == EXAMPLE["MOST_MISTAKES"]
