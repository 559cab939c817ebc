"""Checks of keywords that several modules share: of the right kind, within bounds, and told in one line if not."""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Sequence
from difflib import get_close_matches
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Longest text of a value, of a path and of a list of names in an error.
_VALUE, _PATH, _NAMES = 60, 140, 190


class _Brief(reprlib.Repr):
    """A repr of bounded length and depth, whatever it is asked to show."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxtuple, self.maxdict, self.maxset = 3, 6, 6, 4, 4
        self.maxstring = self.maxother = _VALUE

    def repr_int(self, value: int, level: int) -> str:
        # Python refuses to write very long integers out, and takes its time over long ones.
        digits = abs(value).bit_length() * 0.30103
        return repr(value) if digits < _VALUE / 2 else f"<an integer of about {digits:.0f} digits>"


def shown(value: Any) -> str:
    """``repr(value)`` for the text of an error: one line of at most 60 characters."""
    text = " ".join(_Brief().repr(value).split())
    return text if len(text) <= _VALUE else f"{text[: _VALUE - 4]} ..."


def form(array: NDArray[Any]) -> str:
    """Shape and dtype of an array for the text of an error."""
    return f"shape {shown(array.shape)} of {type_name(array)}"


def type_name(array: NDArray[Any]) -> str:
    """The dtype of an array for the text of an error."""
    name = str(array.dtype)
    return name if len(name) < _VALUE else "records"


def shown_path(path: Any) -> str:
    """A path for the text of an error: the end of it, if it is very long."""
    text = " ".join(str(path).encode("utf-8", "backslashreplace").decode().split())
    return text if len(text) <= _PATH else f"...{text[-_PATH:]}"


def whole_number(name: str, value: Any, low: int | None = None, high: int | None = None) -> int:
    """``value`` as an int within bounds, both inclusive.

    Raises:
        ValueError: it is no integer (a bool is none either) or out of bounds; the text names the keyword.
    """
    if isinstance(value, bool | np.bool_):
        raise ValueError(f"{name}={value!r} must be a whole number")
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name}={shown(value)} must be a whole number") from None
    _check_bounds(name, number, low, high)
    return number


def real_number(name: str, value: Any, low: float | None = None, high: float | None = None) -> float:
    """``value`` as a finite float within bounds, both inclusive.

    Raises:
        ValueError: it is no number (a bool is none either), not finite or out of bounds; the text names the keyword.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise ValueError(f"{name}={shown(value)} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not np.isfinite(number):
        raise ValueError(f"{name}={shown(value)} is not a finite number")
    _check_bounds(name, number, low, high)
    return number


def flag(name: str, value: Any) -> bool:
    """``value`` as a bool.

    Raises:
        ValueError: it is neither true nor false; the text names the keyword.
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name}={shown(value)} is not true or false")
    return bool(value)


def choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """``value``, which is one of the ``choices``.

    Raises:
        ValueError: it is not; the text names the keyword and the choices.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}={shown(value)}: choose one of {', '.join(map(repr, choices))}")
    return value


def as_array(name: str, value: Any) -> NDArray[Any]:
    """``value`` as an array of whatever type it has.

    Raises:
        ValueError: it is ragged, or numpy cannot make an array of it at all; the text names it.
    """
    try:
        return np.asarray(value)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{name}: expected an array, found {shown(value)}") from error


def unexpected_keyword(constructor: str, name: str, takes: Sequence[str], advice: str = "") -> TypeError:
    """The error for a keyword that ``constructor`` does not take, in Python's own words.

    Other libraries (TorchRL) recognise these words and try again without the keyword.

    Args:
        constructor: such as ``"ReasoningEnv"``.
        name: the keyword.
        takes: keywords that it takes, the most telling first: a long list is cut.
        advice: what to do instead, if that is known.
    """
    close = get_close_matches(name, takes, 1, 0.75)
    names = ", ".join(takes)
    if len(names) > _NAMES:
        names = f"{names[:_NAMES].rpartition(', ')[0]}, ..."
    hint = advice or (f"did you mean {close[0]!r}?" if close else f"it takes {names}")
    return TypeError(f"{constructor}.__init__() got an unexpected keyword argument {shown(name)}; {hint}")


def _check_bounds(name: str, number: float, low: float | None, high: float | None) -> None:
    if (low is None or low <= number) and (high is None or number <= high):
        return
    bounds = f"at least {low}" if high is None else f"at most {high}" if low is None else f"from {low} to {high}"
    raise ValueError(f"{name}={shown(number)} must be {bounds}")
