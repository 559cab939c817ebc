"""Bounds of numeric settings, of runs and of networks alike."""

import math

import pytest

from hrm_agents.errors import UserError
from hrm_agents.limits import Limits
from hrm_agents.settings import HaltingConfig, OptimConfig, RunConfig

HALF_OPEN = Limits(0.0, 1.0, open_low=True, open_high=True)


@pytest.mark.parametrize(
    ("limits", "value", "problem"),
    [
        (Limits(1, 1024), 0, "at least 1, got 0"),
        (Limits(1, 1024), 2000, "at most 1,024, got 2000"),
        (Limits(1), 10**300, None),
        (Limits(1, 1024), -(10**300), "at least 1, got an integer of about 300 digits"),
        (Limits(1), 2.0, "a whole number, got 2.0"),
        (Limits(1), True, "a whole number, got True"),
        (Limits(0.0), True, "a number, got True"),
        (Limits(0.0), "1", "a number, got '1'"),
        (Limits(0.0), 1, None),
        (Limits(0.0), 0.0, None),
        (Limits(0.0), math.inf, "finite, got inf"),
        (Limits(0.0), math.nan, "at least 0, got nan"),
        (Limits(0.0, 1e6), 2e6, "at most 1e+06, got 2000000.0"),
        (HALF_OPEN, 0.0, "above 0, got 0.0"),
        (HALF_OPEN, 1.0, "below 1, got 1.0"),
        (HALF_OPEN, math.nan, "above 0, got nan"),
        (HALF_OPEN, 0.5, None),
    ],
)
def test_limits(limits, value, problem):
    if problem is None:
        limits.check("x", value)
        return
    for error in (UserError, ValueError):
        with pytest.raises(error) as raised:
            limits.check("x", value, error)
        assert str(raised.value) == f"x must be {problem}"


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        (RunConfig, {"updates": 1e3}, "run.updates must be a whole number, got 1000.0"),
        (OptimConfig, {"lr": "1e-3"}, "optim.lr must be a number, got '1e-3'"),
        (HaltingConfig, {"gamma": True}, "halting.gamma must be a number, got True"),
    ],
)
def test_settings_of_the_wrong_type(config, settings, message):
    with pytest.raises(UserError, match=message):
        config(**settings)
