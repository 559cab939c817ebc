"""Argument checks: accepted values, and one-line errors for all others."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from fuzz_calls import junk

from hrm_envs.checks import (
    as_array,
    choice,
    flag,
    real_number,
    shown,
    shown_path,
    unexpected_keyword,
    whole_number,
)


def test_values_are_shown_in_one_short_line():
    for value in junk():
        text = shown(value)
        assert len(text) <= 60
        assert "\n" not in text
    assert shown("a\nb") == "'a\\nb'"
    assert shown([1, 2.5, "x", None]) == "[1, 2.5, 'x', None]"
    assert shown({"index": 0}) == "{'index': 0}"
    assert shown(10**5000) == "<an integer of about 5000 digits>"
    assert shown(-(10**20)) == "-100000000000000000000"


def test_paths_are_shown_by_their_ends():
    assert shown_path("a/b.npz") == "a/b.npz"
    long = shown_path("x/" * 500 + "end.npz")
    assert long.startswith("...")
    assert long.endswith("/end.npz")
    assert len(long) < 150
    assert shown_path("a\n\ud800") == "a \\ud800"


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3)])
def test_whole_numbers(value):
    number = whole_number("n", value, 3, 3)
    assert type(number) is int
    assert number == 3


@pytest.mark.parametrize("value", [True, np.bool_(False), 3.0, np.float32(3), "3", None, [3], np.array([3]), 3j])
def test_what_is_no_whole_number(value):
    with pytest.raises(ValueError, match=r"^n=.* must be a whole number$"):
        whole_number("n", value)


def test_bounds():
    for value, low, high, bounds in ((2, 3, None, "at least 3"), (4, None, 3, "at most 3"), (4, 0, 3, "from 0 to 3")):
        with pytest.raises(ValueError, match=f"^n={value} must be {bounds}$"):
            whole_number("n", value, low, high)
    with pytest.raises(ValueError, match=r"^x=1.5 must be from 0.0 to 1.0$"):
        real_number("x", 1.5, 0.0, 1.0)


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.int8(1), Fraction(1)])
def test_real_numbers(value):
    assert type(real_number("x", value)) is float
    assert real_number("x", value) == 1.0


@pytest.mark.parametrize("value", [True, "1", None, [1], 1j, np.array([1.0])])
def test_what_is_no_real_number(value):
    with pytest.raises(ValueError, match=r"^x=.* is not a number$"):
        real_number("x", value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, np.float32("-inf")])
def test_what_is_not_finite(value):
    with pytest.raises(ValueError, match=r"^x=.* is not a finite number$"):
        real_number("x", value)


def test_flags_and_choices():
    assert flag("f", np.bool_(True)) is True
    for value in (0, 1, "true", None, [], np.array([True])):
        with pytest.raises(ValueError, match=r"^f=.* is not true or false$"):
            flag("f", value)
    assert choice("c", "a", ("a", "b")) == "a"
    for value in ("c", "", None, 0, ["a"], {"a"}, np.array(["a", "b"])):
        with pytest.raises(ValueError, match=r"^c=.*: choose one of 'a', 'b'$"):
            choice("c", value, ("a", "b"))


def test_what_is_no_array():
    assert as_array("a", [[1, 2], [3, 4]]).shape == (2, 2)
    with pytest.raises(ValueError, match=r"^a: expected an array, found \[\[1\], \[2, 3\]\]$"):
        as_array("a", [[1], [2, 3]])


def test_unknown_keywords_in_the_words_of_python():
    def takes_none():
        return None

    with pytest.raises(TypeError) as pythons:
        takes_none(frameskip=1)
    ours = unexpected_keyword("Env", "frameskip", ["size", "level"])
    assert str(pythons.value).split("()")[1] in str(ours)
    assert str(ours) == "Env.__init__() got an unexpected keyword argument 'frameskip'; it takes size, level"
    assert str(unexpected_keyword("Env", "sise", ["size", "level"])).endswith("'sise'; did you mean 'size'?")
    assert str(unexpected_keyword("Env", "x", ["size"], "set y")).endswith("argument 'x'; set y")
    many = str(unexpected_keyword("Env", "x", [f"keyword_{i}" for i in range(90)]))
    assert many.endswith(", ...")
    assert len(many) < 300
