"""Bounds of numeric settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from hrm_agents.errors import UserError, shown


@dataclass(frozen=True)
class Limits:
    """Smallest and largest value of a setting; only whole numbers are allowed if ``low`` is an ``int``."""

    low: float
    high: float = math.inf
    open_low: bool = False
    """Exclude ``low`` itself."""
    open_high: bool = False
    """Exclude ``high`` itself; infinity is always excluded."""

    def check(self, name: str, value: Any, error: type[Exception] = UserError) -> None:
        """Check the value of a setting.

        Args:
            name: of the setting, for the message.
            value: to check; a bool is not a number.
            error: class of the exception to raise.

        Raises:
            Exception: of class ``error``, if ``value`` is not a number of the right type or is out of bounds.
        """
        whole = isinstance(self.low, int)
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise error(f"{name} must be a {'whole ' if whole else ''}number, got {shown(value)}")
        # Written so that NaN fails.
        if not (self.low < value if self.open_low else self.low <= value):
            bound = f"{'above' if self.open_low else 'at least'} {_text(self.low)}"
        elif not (value < self.high if self.open_high or math.isinf(self.high) else value <= self.high):
            bound = f"{'below' if self.open_high else 'at most'} {_text(self.high)}"
            bound = "finite" if math.isinf(self.high) else bound
        else:
            return
        raise error(f"{name} must be {bound}, got {shown(value)}")


def _text(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"
