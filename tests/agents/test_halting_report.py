import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_agents.evaluation.calibration import Bin, auc, calibrate
from hrm_agents.evaluation.evaluate import HaltJudge, summarise
from hrm_agents.evaluation.halting_report import halting_report
from hrm_agents.evaluation.intervals import wilson
from hrm_agents.evaluation.outcomes import Trace
from hrm_agents.halting.q_scale import LOGIT, PLAIN

# Four episodes of three segments. a halts at 2, right; b halts at 1, wrong, and 3 would be right;
# c never wants to halt and is right from 1 on; d thinks on past the right answer of 1, and halts at 3, wrong.
SUCCESS = np.array([[0, 1, 1], [0, 0, 1], [1, 1, 1], [1, 0, 0]], bool)
SCORE = np.where(SUCCESS, 1.0, 0.5)
Q_HALT = np.array([[0.2, 0.8, 0.9], [0.6, 0.3, 0.7], [0.5, 0.6, 0.7], [0.4, 0.2, 0.3]])
Q_CONTINUE = np.array([[0.5, 0.7, 0.0], [0.4, 0.9, 0.0], [0.9, 0.9, 0.9], [0.8, 0.6, 0.1]])


def report(**changes):
    arrays = {"success": SUCCESS, "score": SCORE, "q_halt": Q_HALT, "q_continue": Q_CONTINUE}
    return halting_report(**{**arrays, "q_scale": PLAIN, **changes})


def test_where_episodes_end():
    r = report()
    assert (r.num_puzzles, r.max_segments) == (4, 3)
    assert r.success_per_segment == (0.5, 0.5, 0.75)
    assert r.score_per_segment == (0.75, 0.75, 0.875)
    assert r.halts_per_segment == (0.25, 0.25, 0.5)
    assert r.mean_segments == (2 + 1 + 3 + 3) / 4
    assert r.success_rate == 0.5
    assert r.mean_score == 0.75
    assert (r.forced_rate, r.forced_solved_rate, r.forced_unsolved_rate) == (0.25, 0.25, 0.0)
    late = report(wants_halt=np.zeros((4, 3), bool))  # all are forced: a, b and c right, d wrong
    assert (late.forced_rate, late.forced_solved_rate, late.forced_unsolved_rate) == (1.0, 0.75, 0.25)


def test_figures_on_policy_count_the_visited_states():
    r = report()
    # a: segments 1 and 2; b: 1; c: all, all right; d: all, right at 1.
    right = np.array([0.8, 0.5, 0.6, 0.7, 0.4])
    wrong = np.array([0.2, 0.6, 0.2, 0.3])
    assert (r.num_on_policy_right, r.num_on_policy_wrong) == (5, 4)
    assert (r.num_right, r.num_wrong) == (7, 5)
    # 0.5 and 0.4 lose to 0.6, and 0.6 ties with it.
    assert r.auc_on_policy == (5 * 4 - 2.5) / 20
    values, outcomes = np.concatenate([right, wrong]), np.array([True] * 5 + [False] * 4)
    assert r.auc_on_policy == auc(values, outcomes)
    assert r.calibration_on_policy.brier == pytest.approx(np.mean((values - outcomes) ** 2))
    assert r.halt_value_on_policy.count == 9
    assert r.halt_value_on_policy.bias == pytest.approx((values - outcomes).mean())


def test_states_after_the_halt_do_not_count_on_policy():
    """The policy halts at once; what Q(halt) says later is wild."""
    rng = np.random.default_rng(0)
    success = rng.random((50, 4)) < 0.5
    q_halt = np.where(np.arange(4) == 0, 1.0 * success, rng.normal(size=(50, 4)))
    wants = np.ones((50, 4), bool)
    r = halting_report(success, success, q_halt, None, wants_halt=wants, q_scale=PLAIN, classes=np.arange(50))
    assert r.auc_on_policy == 1.0
    assert r.auc < 0.9
    assert r.num_on_policy_right + r.num_on_policy_wrong == 50
    assert r.num_on_policy_right == success[:, 0].sum()
    # No resample could show a wrong order, so there is no interval.
    assert set(r.intervals) == {"halt_precision", "halt_recall"}
    assert r.intervals["halt_precision"] == wilson(r.halt_precision, 50)


def test_auc_on_policy_has_an_interval():
    rng = np.random.default_rng(0)
    success = rng.random((60, 3)) < 0.6
    q_halt, q_continue = success + rng.normal(size=(2, 60, 3))
    arrays = (success, success, q_halt, q_continue)
    r = halting_report(*arrays, q_scale=PLAIN, classes=np.arange(60))
    low, high = r.intervals["auc_on_policy"]
    assert 0.5 < low < r.auc_on_policy < high < 1.0
    document = json.loads(json.dumps(r.numbers(), allow_nan=False))
    assert document["intervals"]["auc_on_policy"] == [low, high]
    assert document["num_on_policy_wrong"] == r.num_on_policy_wrong
    assert "calibration" not in document
    assert halting_report(*arrays, q_scale=PLAIN).intervals == {}


def test_choices_against_the_oracle():
    r = report()
    assert r.halt_precision == pytest.approx(1 / 3)  # a, of a, b, d
    assert r.halt_recall == 0.25  # a, of all four: c is right but by force
    assert r.oracle_success_rate == 1.0
    assert r.oracle_mean_segments == (2 + 3 + 1 + 1) / 4
    assert r.success_regret == 0.5
    assert r.premature_rate == 0.25  # b
    assert r.overthought_rate == 0.25  # d
    assert r.wasted_segments == (0 + 0 + 2 + 2) / 4
    assert r.segments_regret == (0 - 2 + 2 + 2) / 4


def test_none_is_right_or_halts_by_itself():
    r = report(success=np.zeros((4, 3), bool), q_continue=Q_HALT)  # ties think on
    assert r.halt_precision is None
    assert r.halt_recall is None
    assert r.auc is None
    assert (r.auc_on_policy, r.num_on_policy_right, r.num_on_policy_wrong) == (None, 0, 12)
    assert r.auc_per_segment == (None,) * 3
    assert r.forced_rate == 1.0
    assert (r.oracle_mean_segments, r.segments_regret, r.wasted_segments) == (3.0, 0.0, 0.0)
    assert r.halt_value.correlation is None


def test_returns_with_a_price_and_a_discount():
    r = report(segment_cost=0.25, gamma=0.5)
    # Halting at segment 1, 2, 3 earns R1, R2 / 2 - 1/4, R3 / 4 - 1/4 - 1/8.
    earned = [0.5 - 0.25, 0.0, 0.25 - 0.375, -0.375]
    best = [0.25, 0.0, 1.0, 1.0]
    assert r.mean_return == pytest.approx(np.mean(earned))
    assert r.return_regret == pytest.approx(np.mean(best) - np.mean(earned))
    # Thinking on from segment 2: R3 / 2 - 1/4; from segment 1: as the policy does at 2.
    second = np.array([0.25, 0.25, 0.25, -0.25])
    first = np.array([0.5 - 0.25, 0.125 - 0.25, 0.125 - 0.25, -0.125 - 0.25])
    returns = np.stack([first, second], axis=1)
    fits = (*r.continue_value_per_segment, r.continue_value)
    for fit, q, outcome in zip(
        fits, (Q_CONTINUE[:, 0], Q_CONTINUE[:, 1], Q_CONTINUE[:, :2]), (first, second, returns), strict=True
    ):
        assert fit.count == q.size
        assert fit.bias == pytest.approx((q - outcome).mean())
        assert fit.rmse == pytest.approx(((q - outcome) ** 2).mean() ** 0.5)
        assert fit.correlation == pytest.approx(np.corrcoef(q.ravel(), outcome.ravel())[0, 1])


def test_value_of_halting_is_held_against_the_reward():
    reward = np.where(SUCCESS, 2.0, -1.0)
    r = report(reward=reward)
    assert r.halt_value.count == 12
    assert r.halt_value.bias == pytest.approx((Q_HALT - reward).mean())
    assert r.halt_value_per_segment[1].rmse == pytest.approx(((Q_HALT - reward)[:, 1] ** 2).mean() ** 0.5)
    assert r.mean_return == pytest.approx((2 - 1 + 2 - 1) / 4)


def test_logits_are_read_as_probabilities():
    logit = np.log(Q_HALT / (1 - Q_HALT))
    logit_continue = np.log((Q_CONTINUE + 1e-9) / (1 - Q_CONTINUE))
    plain, logits = report(), report(q_halt=logit, q_continue=logit_continue, q_scale=LOGIT)
    assert logits.calibration.brier == pytest.approx(plain.calibration.brier)
    assert logits.auc == plain.auc
    assert logits.halt_value.rmse == pytest.approx(plain.halt_value.rmse)
    assert logits.continue_value.bias == pytest.approx(plain.continue_value.bias)
    assert logits.mean_segments == plain.mean_segments


def test_agrees_with_the_evaluation():
    rng = np.random.default_rng(0)
    shape = (200, 6)
    success = rng.random(shape) < 0.4
    score, (q_halt, q_continue) = rng.random(shape, np.float32), rng.normal(-0.5, 1, (2, *shape))
    pays, answer = success.astype(np.float32), np.zeros((200, 1), np.uint8)
    trace = Trace(answer, success, score, q_halt, q_continue, pays, q_halt > q_continue)
    ours = halting_report(trace.success, trace.score, trace.q_halt, trace.q_continue, q_scale=LOGIT)
    assert HaltJudge(LOGIT).report(trace) == ours
    theirs = summarise(trace.at_halt(), "id", "test", 6, trace)
    for name in (
        "success_rate",
        "mean_score",
        "mean_segments",
        "forced_rate",
        "forced_solved_rate",
        "forced_unsolved_rate",
    ):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name)), name
    for name in ("success_per_segment", "halts_per_segment"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name)), name


def test_calibration_by_hand():
    probability = np.array([0.05, 0.05, 0.95, 1.0, 0.95])
    right = np.array([False, True, True, True, False])
    c = calibrate(probability, right)
    assert [(b.low, b.high, b.count) for b in c.bins] == [(0.0, 0.1, 2), (0.9, 1.0, 3)]
    assert [b.share_right for b in c.bins] == pytest.approx([0.5, 2 / 3])
    assert [b.mean_probability for b in c.bins] == pytest.approx([0.05, 2.9 / 3])
    assert c.ece == pytest.approx((2 * 0.45 + 3 * 0.3) / 5)
    assert c.brier == pytest.approx((0.05**2 + 0.95**2 + 0.05**2 + 0 + 0.95**2) / 5)
    # Equal probabilities share a bin.
    assert [(b.low, b.high, b.count) for b in c.equal_count_bins] == [(0.05, 0.05, 2), (0.95, 0.95, 2), (1.0, 1.0, 1)]
    assert c.ece_equal_count == pytest.approx((2 * 0.45 + 2 * 0.45 + 0) / 5)


def test_equal_count_bins_hold_equally_many():
    probability = np.random.default_rng(0).random(1000) ** 4
    bins = calibrate(probability, probability > 0.5).equal_count_bins
    assert [b.count for b in bins] == [100] * 10
    ordered = np.sort(probability).reshape(10, 100)
    assert [(b.low, b.high) for b in bins] == list(zip(ordered[:, 0], ordered[:, -1], strict=True))


def test_auc_by_hand():
    assert auc(np.array([3.0, 1.0, 2.0]), np.array([True, False, False])) == 1.0
    assert auc(np.array([1.0, 1.0]), np.array([True, False])) == 0.5
    assert auc(np.array([1.0, 2.0, 2.0]), np.array([True, False, True])) == (0 + 0.5) / 2
    assert auc(np.array([1.0]), np.array([True])) is None


values_and_labels = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=1, max_size=40)


@given(values_and_labels)
@settings(max_examples=60, deadline=None)
def test_auc_is_the_share_of_pairs_in_order(pairs):
    values, right = np.array([v for v, _ in pairs], float), np.array([r for _, r in pairs])
    wins = [(a > b) + (a == b) / 2 for a in values[right] for b in values[~right]]
    expected = pytest.approx(np.mean(wins)) if wins else None
    assert auc(values, right) == expected
    for grown in (np.exp(values), values**3 + 7, np.arctan(values)):
        assert auc(grown, right) == expected
    assert auc(np.repeat(values, 3), np.repeat(right, 3)) == auc(values, right, np.full(len(values), 3.0)) == expected
    assert auc(-values, right) == (pytest.approx(1 - np.mean(wins)) if wins else None)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_a_q_head_that_knows_is_perfect(seed, num, segments):
    success = np.random.default_rng(seed).random((num, segments)) < 0.5
    q = success.astype(float)
    r = halting_report(success, q, q, np.full_like(q, 0.5), q_scale=PLAIN)
    assert r.auc in (1.0, None)
    assert set(r.auc_per_segment) <= {1.0, None}
    assert (r.calibration.ece, r.calibration.ece_equal_count, r.calibration.brier) == (0.0, 0.0, 0.0)
    assert (r.halt_value.bias, r.halt_value.rmse) == (0.0, 0.0)
    assert (r.success_regret, r.segments_regret, r.return_regret, r.wasted_segments) == (0.0, 0.0, 0.0, 0.0)
    assert r.halt_precision in (1.0, None)
    assert r.halt_recall in (1.0, None)


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_relations_between_figures(seed, num, segments):
    rng = np.random.default_rng(seed)
    success = rng.random((num, segments)) < rng.random()
    q_halt, q_continue = rng.integers(-2, 3, (2, num, segments)).astype(float)
    arrays = [success, rng.random((num, segments)), q_halt, q_continue]
    r = halting_report(*arrays, q_scale=LOGIT, segment_cost=0.1, gamma=0.9)
    assert r.success_regret == pytest.approx(r.premature_rate + r.overthought_rate)
    assert r.forced_rate == pytest.approx(r.forced_solved_rate + r.forced_unsolved_rate)
    assert (r.num_right + r.num_wrong, r.halt_value_on_policy.count) == (
        num * segments,
        r.num_on_policy_right + r.num_on_policy_wrong,
    )
    assert r.halt_value_on_policy.count == pytest.approx(num * r.mean_segments)
    assert r.success_regret == pytest.approx(r.oracle_success_rate - r.success_rate)
    assert r.segments_regret == pytest.approx(r.mean_segments - r.oracle_mean_segments)
    assert r.return_regret >= -1e-12
    for c in (r.calibration, *r.calibration_per_segment):
        for bins in (c.bins, c.equal_count_bins):
            assert sum(b.count for b in bins) in (num, num * segments)
            assert all(b.low - 1e-12 <= b.mean_probability <= b.high + 1e-12 for b in bins)
    # The order of the puzzles is of no account.
    order = rng.permutation(num)
    shuffled = halting_report(*(a[order] for a in arrays), q_scale=LOGIT, segment_cost=0.1, gamma=0.9)
    assert json.dumps(shuffled.to_dict(), allow_nan=False)
    for before, after in zip(r.calibration.equal_count_bins, shuffled.calibration.equal_count_bins, strict=True):
        assert dataclasses.astuple(before) == pytest.approx(dataclasses.astuple(after))


def test_one_segment_leaves_no_choice():
    r = halting_report(*(a[:, :1] for a in (SUCCESS, SCORE, Q_HALT, Q_CONTINUE)), q_scale=PLAIN)
    assert r.continue_value is None
    assert r.continue_value_per_segment == ()
    assert r.mean_segments == 1.0
    assert r.forced_rate == 0.75


def test_report_is_plain():
    document = json.loads(json.dumps(report().to_dict(), allow_nan=False))
    assert document["calibration"]["bins"][0] == dataclasses.asdict(report().calibration.bins[0])
    assert set(document["calibration"]["bins"][0]) == {part.name for part in dataclasses.fields(Bin)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"success": SUCCESS.astype(int)}, "bool"),
        ({"success": np.zeros((0, 3), bool)}, "not empty"),
        ({"score": SCORE[:, :2]}, r"score must have the shape of success, \[4, 3\], got \[4, 2\]"),
        ({"q_halt": np.where(SUCCESS, np.nan, 0.0)}, r"q_halt of puzzle 0 at segment 2 is nan.*7 such"),
        ({"reward": np.full((4, 3), np.inf)}, "reward of puzzle 0 at segment 1 is inf"),
        ({"gamma": 1.5}, "gamma"),
        ({"segment_cost": float("nan")}, "segment_cost"),
    ],
)
def test_bad_input(changes, message):
    with pytest.raises(ValueError, match=message):
        report(**changes)


def test_analysis_loads_numpy_alone():
    module = "hrm_agents.evaluation.halting_report"
    code = f"import {module}, sys; assert not {{'torch', 'gymnasium', 'pygame', 'PIL'}} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
