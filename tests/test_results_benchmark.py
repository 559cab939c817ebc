"""Every result has a name, a command that exists, and a short form."""

import argparse
import importlib

import pytest

from benchmarks import results


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", results.RESULTS)
def test_the_options_behind_a_name_are_those_of_its_command(name, quick, monkeypatch):
    parsed = []

    class Parsed(Exception):
        pass

    def parse(parser, arguments):
        parsed.append(original(parser, arguments))
        raise Parsed

    original = argparse.ArgumentParser.parse_args
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse)
    with pytest.raises(Parsed):
        results.main([name, *["--quick"] * quick])
    has_short_form = bool(results.RESULTS[name].quick)
    assert getattr(parsed[0], "quick", False) == (quick and has_short_form)


def test_further_options_are_passed_on(monkeypatch):
    calls = []
    monkeypatch.setattr(importlib.import_module("benchmarks.memory"), "main", calls.append)
    results.main(["t-maze", "--seeds", "5"])
    assert calls == [["--seeds", "5"]]


def test_a_list_shows_them(capsys):
    results.main([])
    text = capsys.readouterr().out
    assert all(each.command in text and name in text for name, each in results.RESULTS.items())
    with pytest.raises(SystemExit, match="unknown result 'luck'; there are halting-4x4, "):
        results.main(["luck"])
