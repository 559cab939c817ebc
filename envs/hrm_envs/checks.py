"""Checks of keywords that several modules share."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np


def whole_number(name: str, value: Any) -> int:
    """``value`` as an int.

    Raises:
        ValueError: it is no integer (a bool is none either); the text names the keyword.
    """
    if not isinstance(value, bool | np.bool_):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise ValueError(f"{name}={value!r} must be a whole number")
