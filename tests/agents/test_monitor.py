import json

import numpy as np
import pytest

from hrm_agents.halting.q_scale import LOGIT, PLAIN
from hrm_agents.learning.monitor import GAIN, LEARNED, THRESHOLD, HaltingMonitor

M = 4


def batch(rng, rows=64, **changes):
    """Healthy: episodes of all lengths, Q-values that differ, rewards of both kinds."""
    segment = rng.integers(1, M + 1, rows)
    healthy = {
        "segment": segment,
        "terminated": (segment == M) | (rng.random(rows) < 0.3),
        "forced_halt": np.zeros(rows, bool),
        "q_halt": rng.normal(0, 2, rows).astype(np.float32),
        "q_bar": rng.normal(0, 2, rows).astype(np.float32),
        "halt_reward": (rng.random(rows) < 0.5).astype(np.float32),
        "max_segments": M,
    }
    values = {**healthy, **changes}
    return {"margin": values["q_halt"] - (0.0 if values["q_bar"] is None else values["q_bar"]), **values}


def monitor(**settings):
    return HaltingMonitor(**{"q_scale": LOGIT, "window": 10, "repeat_after": 100, **settings})


def said(watch, updates, **changes):
    """(update, line) of all warnings in so many updates."""
    rng = np.random.default_rng(0)
    lines = []
    for number in range(updates):
        made = {name: value(rng) if callable(value) else value for name, value in changes.items()}
        lines += [(number + 1, line) for line in watch.observe(**batch(rng, **made))]
    return lines


def full(value, rows=64):
    return np.full(rows, value, np.float32)


def test_healthy_training_is_silent():
    assert said(monitor(), 300) == []
    assert said(monitor(q_scale=PLAIN), 300) == []


@pytest.mark.parametrize("pay", [0.0, 1.0])
def test_equal_rewards_say_only_that(pay):
    # Everything else has collapsed too, and follows from it.
    lines = said(monitor(), 50, halt_reward=full(pay), q_halt=full(9.0), q_bar=full(9.0))
    assert len(lines) == 1
    update, line = lines[0]
    assert update == 10
    assert line.startswith(f"since update 1: every answer earned {pay:g}")
    assert "reward=partial" in line
    assert "\n" not in line


def test_halting_at_the_first_segment():
    start = {"segment": np.ones(64, int), "terminated": np.arange(64) > 5}  # exploration keeps some going
    lines = said(monitor(), 50, **start, q_halt=full(3.0), q_bar=full(1.0))
    assert [update for update, _ in lines] == [10]
    assert "the agent chooses to halt after segment 1 of 4 in 100% of the episodes" in lines[0][1]
    assert "--halting.exploration-prob" in lines[0][1]
    # No harm where the first answer is nearly always right.
    right = {"halt_reward": lambda rng: (rng.random(64) < 0.99).astype(np.float32)}
    assert said(monitor(), 50, **start, **right, q_halt=full(3.0), q_bar=full(1.0)) == []


def test_halting_at_the_last_segment_only():
    late = {
        "segment": np.arange(64) % M + 1,
        "terminated": np.arange(64) % M == M - 1,
        "forced_halt": np.arange(64) % (2 * M) == M - 1,
    }
    lines = said(monitor(), 50, **late)
    assert [update for update, _ in lines] == [10]
    assert "episodes last 4.0 of 4 segments on average (50% forced to halt)" in lines[0][1]
    assert lines[0][1].endswith(
        "Try a discount, --halting.gamma 0.995; or a segment cost, --kwargs segment_cost=0.01; or --halting.rule gain"
    )
    # Early in training little is solved, and thinking on is right.
    assert said(monitor(), 50, **late, halt_reward=lambda rng: (rng.random(64) < 0.01).astype(np.float32)) == []
    # One segment leaves no choice.
    only = {"segment": np.ones(64, int), "terminated": np.ones(64, bool), "max_segments": 1}
    assert said(monitor(), 50, **only) == []


def test_values_that_say_the_same():
    lines = said(monitor(), 50, q_bar=full(-5.0), q_halt=lambda rng: full(-5.0) + rng.normal(0, 0.001, 64))
    assert {line.split(": ")[1][:30] for _, line in lines} == {
        "Q(halt) and Q(continue) differ",
        "Q(halt) and Q(continue) are bo",
    }
    lines = said(monitor(), 50, q_bar=full(-1.0), q_halt=lambda rng: full(-1.0) + rng.normal(0, 0.001, 64))
    assert len(lines) == 1
    assert "differ by less than 0.02 in 100% of the rows" in lines[0][1]
    assert "--halting.gamma 0.995" in lines[0][1]
    assert "--halting.rule gain" in lines[0][1]


def test_advice_fits_the_rule():
    """A threshold is moved by the user: neither a discount nor a cost does it."""
    late = {"segment": np.arange(64) % M + 1, "terminated": np.arange(64) % M == M - 1}
    early = {"segment": np.ones(64, int), "terminated": np.ones(64, bool)}
    same = {"q_bar": full(-1.0), "q_halt": full(-1.0)}
    for problem, advice in (
        (late, "Try a lower --halting.threshold"),
        ({**early, "q_halt": full(3.0), "q_bar": full(1.0)}, "Try a higher --halting.threshold"),
        (same, "Q(halt) and the threshold differ by less than 0.02 in 100% of the rows"),
    ):
        (line,) = (line for _, line in said(monitor(), 20, **problem, advice=THRESHOLD))
        assert advice in line
        for useless in ("gamma", "segment_cost", "Q(continue)"):
            assert useless not in line
        (line,) = (line for _, line in said(monitor(), 20, **problem))
        assert "threshold" not in line


def test_gain_compares_no_values():
    """Equal or saturated outputs are no fault of rule gain; episodes that are all too long or too short are."""
    gain = {"q_bar": None, "advice": GAIN}
    assert said(monitor(), 50, **gain, q_halt=full(9.0), margin=lambda rng: rng.normal(0, 0.001, 64)) == []
    late = {"segment": np.arange(64) % M + 1, "terminated": np.arange(64) % M == M - 1}
    (line,) = (line for _, line in said(monitor(), 20, **gain, **late, margin=full(-0.1)))
    assert "Try a higher --halting.least-gain" in line
    early = {"segment": np.ones(64, int), "terminated": np.ones(64, bool)}
    (line,) = (line for _, line in said(monitor(), 20, **gain, **early, margin=full(0.01)))
    assert "Try a lower --halting.least-gain" in line


def test_no_advice_raises_the_weight_of_the_losses_of_q():
    for advice in (*LEARNED, *THRESHOLD, *GAIN):
        assert "q-weight" not in advice


@pytest.mark.parametrize(("logit", "word"), [(5.0, "above 0.99"), (-5.0, "below 0.01")])
def test_saturated_values(logit, word):
    values = {name: lambda rng: np.sign(logit) * rng.uniform(4.7, 8, 64) for name in ("q_halt", "q_bar")}
    lines = said(monitor(), 50, **values)
    assert len(lines) == 1
    assert f"both {word} in 100% of the rows, although halting earns 0.5" in lines[0][1]
    assert "--optim.lr" in lines[0][1]
    assert said(monitor(q_scale=PLAIN), 50, **values) == []
    # A Q-head that is sure and right has not collapsed.
    sure = {"halt_reward": lambda rng: (rng.random(64) < (0.98 if logit > 0 else 0.02)).astype(np.float32)}
    assert said(monitor(), 50, **values, **sure) == []


def test_a_warning_waits_before_it_is_repeated():
    lines = said(monitor(), 350, halt_reward=full(0.0))
    assert [update for update, _ in lines] == [10, 110, 210, 310]
    assert all(line.startswith("since update 1:") for _, line in lines)


def test_since_when_it_holds():
    watch = monitor(done=1000)
    assert said(watch, 25) == []
    lines = said(watch, 30, halt_reward=full(0.0))
    assert [update for update, _ in lines] == [10]
    assert lines[0][1].startswith("since update 1026:")
    # Once it is over, the next time counts anew.
    assert said(watch, 100) == []
    assert said(watch, 10, halt_reward=full(0.0))[0][1].startswith("since update 1156:")


def test_the_window_slides():
    # Nine bad updates in ten are no collapse yet, wherever the good one stands.
    watch, rng = monitor(), np.random.default_rng(0)
    for number in range(200):
        bad = {} if number % 10 == 7 else {"halt_reward": full(0.0)}
        assert not watch.observe(**batch(rng, **bad))


@pytest.mark.parametrize("cut", [3, 10, 57, 115])
def test_resuming_is_exact(cut):
    def feed(watch, start, stop):
        lines = []
        for number in range(start, stop):
            rng = np.random.default_rng(number)
            collapsed = number % 60 > 25
            lines += watch.observe(**batch(rng, **({"halt_reward": full(0.0)} if collapsed else {})))
        return lines

    whole = monitor(repeat_after=20)
    expected = feed(whole, 0, 200)
    first = monitor(repeat_after=20)
    got = feed(first, 0, cut)
    second = monitor(repeat_after=20)
    second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
    got += feed(second, cut, 200)
    assert got == expected
    assert len(expected) > 3
    assert second.state_dict() == whole.state_dict()


def test_saved_state_is_a_copy():
    watch = monitor()
    said(watch, 5)
    state = watch.state_dict()
    before = json.dumps(state)
    said(watch, 20, halt_reward=full(0.0))
    assert json.dumps(state) == before


def test_another_window_is_refused():
    with pytest.raises(ValueError, match="use the same window"):
        monitor(window=5).load_state_dict(monitor().state_dict())


@pytest.mark.parametrize("settings", [{"window": 0}, {"repeat_after": 0}, {"done": -1}])
def test_bad_settings(settings):
    with pytest.raises(ValueError, match="at least"):
        monitor(**settings)
