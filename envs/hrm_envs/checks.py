"""Argument checks shared by several modules; each failure is a one-line error."""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Sequence
from difflib import get_close_matches
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Maximum length of a value, a path and a list of names in an error message.
_VALUE, _PATH, _NAMES = 60, 140, 190


class _Brief(reprlib.Repr):
    """A repr of bounded length and depth."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxlist, self.maxtuple, self.maxdict, self.maxset = 3, 6, 6, 4, 4
        self.maxstring = self.maxother = _VALUE

    def repr_int(self, value: int, level: int) -> str:
        # repr() raises ValueError for very long integers and is slow for long ones.
        digits = abs(value).bit_length() * 0.30103
        return repr(value) if digits < _VALUE / 2 else f"<an integer of about {digits:.0f} digits>"


def shown(value: Any) -> str:
    """``repr(value)`` for an error message: one line of at most 60 characters."""
    text = " ".join(_Brief().repr(value).split())
    return text if len(text) <= _VALUE else f"{text[: _VALUE - 4]} ..."


def form(array: NDArray[Any]) -> str:
    """Shape and dtype of an array for an error message."""
    return f"shape {shown(array.shape)} of {type_name(array)}"


def type_name(array: NDArray[Any]) -> str:
    """The dtype of an array for an error message."""
    name = str(array.dtype)
    return name if len(name) < _VALUE else "records"


def shown_path(path: Any) -> str:
    """A path for an error message; only its end if it is very long."""
    text = " ".join(str(path).encode("utf-8", "backslashreplace").decode().split())
    return text if len(text) <= _PATH else f"...{text[-_PATH:]}"


def whole_number(name: str, value: Any, low: int | None = None, high: int | None = None) -> int:
    """``value`` as an int between ``low`` and ``high``, both inclusive.

    Raises:
        ValueError: not an integer (a bool does not count) or out of bounds; the message names the argument.
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
    """``value`` as a finite float between ``low`` and ``high``, both inclusive.

    Raises:
        ValueError: not a number (a bool does not count), not finite or out of bounds; the message names the argument.
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
        ValueError: not a bool; the message names the argument.
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name}={shown(value)} is not true or false")
    return bool(value)


def choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return ``value`` if it is one of the ``choices``.

    Raises:
        ValueError: it is not; the message names the argument and lists the choices.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}={shown(value)}: choose one of {', '.join(map(repr, choices))}")
    return value


def as_array(name: str, value: Any) -> NDArray[Any]:
    """``value`` as an array, of any dtype.

    Raises:
        ValueError: numpy cannot convert it, for example because it is ragged; the message names the argument.
    """
    try:
        return np.asarray(value)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{name}: expected an array, found {shown(value)}") from error


def unexpected_keyword(constructor: str, name: str, takes: Sequence[str], advice: str = "") -> TypeError:
    """The error for an unknown keyword, in the words Python itself uses.

    TorchRL recognises these words and retries without the keyword.

    Args:
        constructor: class name, such as ``"ReasoningEnv"``.
        name: the unknown keyword.
        takes: the accepted keywords, most relevant first, because a long list is cut.
        advice: what to do instead, if known.
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
