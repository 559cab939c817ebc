"""The numbers that a setting may have."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hrm_agents.errors import UserError, one_line


@dataclass(frozen=True)
class Limits:
    """The numbers that a setting may have."""

    low: float
    high: float = math.inf
    open_low: bool = False
    """Whether ``low`` itself is too low."""
    open_high: bool = False
    """Whether ``high`` itself is too high; always if it is infinite."""

    def check(self, name: str, value: float) -> None:
        """Refuse a number outside.

        Raises:
            UserError: naming the setting, the number and the limits.
        """
        too_low = value <= self.low if self.open_low else value < self.low
        too_high = value >= self.high if self.open_high or math.isinf(self.high) else value > self.high
        if too_low or math.isnan(value):
            raise UserError(f"{name} must be {'above' if self.open_low else 'at least'} {self.low:,g}, got {value}")
        if too_high:
            bound = f"{'below' if self.open_high else 'at most'} {self.high:,}"
            raise UserError(
                f"{name} must be {'finite' if math.isinf(self.high) else bound}, got {one_line(str(value), 40)}"
            )
