"""The 95% intervals of evaluations: known values, and coverage on synthetic data."""

import subprocess
import sys

import numpy as np
import pytest

from hrm_agents.evaluation.calibration import auc
from hrm_agents.evaluation.intervals import (
    bootstrap,
    mean_interval,
    share_interval,
    t_interval,
    t_quantile,
    wilson,
)


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    # Newcombe 1998, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_has_the_published_values(hits, count, low, high):
    assert wilson(hits / count, count) == pytest.approx((low, high), abs=5e-5)
    assert wilson(1 - hits / count, count) == pytest.approx((1 - high, 1 - low), abs=5e-5)


@pytest.mark.parametrize(
    ("degrees", "point"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (10, 2.2281), (30, 2.0423), (120, 1.9799)],
)
def test_t_has_the_tabulated_points(degrees, point):
    assert t_quantile(degrees) == pytest.approx(point, abs=6e-5)


def test_interval_over_sets_uses_the_sample_deviation():
    # Mean 3, ddof-1 variance 1, so 3 +- 4.3027 / sqrt(3).
    assert t_interval([2.0, 3.0, 4.0]) == pytest.approx((3 - 2.48414, 3 + 2.48414), abs=1e-4)
    with pytest.raises(ValueError, match="at least two"):
        t_interval([1.0])


def test_copies_of_a_puzzle_do_not_narrow_an_interval():
    """Ten copies of each of 40 puzzles say what the 40 say."""
    rng = np.random.default_rng(0)
    hit, once = rng.random(40) < 0.7, np.arange(40)
    often = np.repeat(once, 10)
    assert share_interval(hit[often], often) == pytest.approx(share_interval(hit, once))
    assert share_interval(hit, once) == wilson(float(hit.mean()), 40)
    values = rng.normal(size=40)
    assert mean_interval(values[often], often) == pytest.approx(mean_interval(values, once))


def test_unequal_classes_count_less_than_their_number():
    hit, classes = np.array([True, True, True, False]), np.array([5, 5, 5, 9])
    assert share_interval(hit, classes) == wilson(0.75, 16 / 10)


def test_names_of_classes_do_not_matter():
    values, classes = np.arange(6.0), np.array([0, 0, 1, 2, 2, 3])
    assert mean_interval(values, classes) == mean_interval(values, 7 * classes + 100)


def test_what_a_sample_cannot_say_is_none():
    ones, different = np.ones(20), np.arange(20)
    assert mean_interval(0.7 * ones, different) is None, "all equal"
    assert mean_interval(np.arange(20.0), np.zeros(20, np.int64)) is None, "one class"
    assert share_interval(np.zeros(0, bool), np.zeros(0, np.int64)) is None
    values, right = np.arange(20.0), np.arange(20) > 0
    assert auc(values, right) == 1.0
    # A third of the resamples lack the only wrong answer.
    assert bootstrap(lambda weights: auc(values, right, weights), different) is None


def test_bootstrap_is_seeded():
    values, classes = np.random.default_rng(1).random(50), np.arange(50)
    assert mean_interval(values, classes) == mean_interval(values, classes)

    def mean(weights):
        return float(weights @ values / weights.sum())

    assert bootstrap(mean, classes, seed=1) != bootstrap(mean, classes, seed=2)


def coverage(draw, truth, repeats=300):
    """Share of the intervals of ``repeats`` samples that contain the truth."""
    found = [draw(np.random.default_rng(seed)) for seed in range(repeats)]
    return np.mean([low <= truth <= high for low, high in found])


def test_coverage_of_shares():
    assert 0.92 <= coverage(lambda rng: share_interval(rng.random(200) < 0.95, np.arange(200)), 0.95) <= 0.98


def test_coverage_of_means_of_classes(monkeypatch):
    """Three puzzles a class, nearly the same: as if each counted, the intervals would be far too narrow."""
    monkeypatch.setattr("hrm_agents.evaluation.intervals.RESAMPLES", 150)
    classes = np.repeat(np.arange(60), 3)

    def draw(rng, names):
        return mean_interval(np.repeat(rng.exponential(size=60), 3) + rng.normal(0, 0.1, 180), names)

    assert 0.90 <= coverage(lambda rng: draw(rng, classes), 1.0) <= 0.98
    assert coverage(lambda rng: draw(rng, np.arange(180)), 1.0) < 0.85


def test_coverage_over_sets():
    assert 0.92 <= coverage(lambda rng: t_interval(rng.normal(2.0, 1.0, 3)), 2.0, 1000) <= 0.98


def test_coverage_of_auc(monkeypatch):
    monkeypatch.setattr("hrm_agents.evaluation.intervals.RESAMPLES", 100)

    def draw(rng):
        right = np.arange(120) < 80
        values = rng.normal(size=120) + right  # AUC is Phi(1 / sqrt(2))
        return bootstrap(lambda weights: auc(values, right, weights), np.arange(120))

    assert 0.90 <= coverage(draw, 0.76025, 200) <= 0.985


def test_intervals_need_numpy_alone():
    code = "import hrm_agents.evaluation.intervals, sys; assert not {'torch', 'gymnasium', 'scipy'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
