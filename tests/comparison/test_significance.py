"""Tests against a baseline: against closed formulas, and how often they err."""

import numpy as np
import pytest
from scipy import stats

from mans_jax.comparison.significance import drawn_differences, holm, paired_tests


def by_definition(values):
    """Holm's correction, step by step as it is told."""
    corrected = {}
    left, largest = dict(enumerate(values)), 0.0
    while left:
        place = min(left, key=lambda i: (left[i], i))
        largest = max(largest, min(1.0, left[place] * len(left)))
        corrected[place] = largest
        del left[place]
    return [corrected[i] for i in range(len(values))]


@pytest.mark.parametrize('values', [[0.01], [0.01, 0.04, 0.03, 0.005], [0.5, 0.5, 0.9], [0.2, 0.001, 0.2, 0.001]])
def test_holm_is_as_defined(values):
    np.testing.assert_allclose(holm(values), by_definition(values))
    assert all(corrected >= value for corrected, value in zip(holm(values), values, strict=True))


def test_holm_on_a_known_example():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


def test_a_clear_difference_is_found_and_none_is_not():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(200, 5)) * 0.05
    tests = paired_tests({'better': 0.2 + noise, 'same': noise[::-1], 'worse': noise - 0.2}, resamples=2000)
    assert tests['better'].difference == pytest.approx(0.2 + noise.mean())
    assert tests['better'].low < 0.2 < tests['better'].high
    assert tests['better'].corrected_p < 0.02 and tests['worse'].corrected_p < 0.02
    assert tests['worse'].difference < 0 and tests['worse'].high < 0
    assert tests['same'].corrected_p > 0.2 and tests['same'].low < 0 < tests['same'].high
    # Never zero: of so many draws none is as far, and no more is known.
    assert tests['better'].p >= 1 / 2001


def test_no_difference_at_all_is_never_significant():
    assert paired_tests({'itself': np.zeros((30, 3))}, resamples=100)['itself'].p == 1.0


def test_nothing_to_test_is_nothing():
    assert paired_tests({}) == {}


def test_all_rows_see_the_same_triples():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(50, 3))
    one = paired_tests({'a': values, 'b': values}, resamples=500)
    assert one['a'][:4] == one['b'][:4]
    alone = paired_tests({'a': values}, resamples=500)
    assert alone['a'][:4] == pytest.approx(one['a'][:4]) and alone['a'].corrected_p == alone['a'].p


def test_one_seed_is_the_bootstrap_over_triples():
    values = np.random.default_rng(2).normal(0.1, 1, size=(400, 1))
    test = paired_tests({'a': values}, resamples=20_000)['a']
    standard_error = values.std() / 20
    assert (test.high - test.low) / 2 == pytest.approx(1.96 * standard_error, rel=0.05)
    assert test.p == pytest.approx(2 * stats.norm.sf(abs(values.mean()) / standard_error), abs=0.01)


@pytest.mark.parametrize('num_seeds', [2, 3, 5, 20])
def test_a_difference_that_only_seeds_move_has_a_spread_like_students(num_seeds):
    """Over many rows: the interval holds the true difference as often as it says."""
    rng = np.random.default_rng(num_seeds)
    held = []
    for seed in range(1000):
        values = rng.normal(size=num_seeds)
        low, high = np.quantile(drawn_differences(np.tile(values, (1000, 1)), seed), [0.025, 0.975])
        held.append(low <= 0 <= high)
    # Of 1,000 rows; with 20 seeds drawing with replacement is as good as the normal distribution.
    assert 0.92 < np.mean(held) < 0.975


def test_the_plain_bootstrap_over_seeds_would_be_too_sure():
    """What the stretch is for: with three seeds a third of the rows would be called different."""
    rng, called = np.random.default_rng(3), []
    for _ in range(500):
        values = rng.normal(size=3)
        drawn = values[rng.integers(0, 3, (1000, 3))].mean(axis=1) - values.mean()
        called.append(np.mean(np.abs(drawn) >= abs(values.mean())) < 0.05)
    assert np.mean(called) > 0.2


def test_rows_without_a_difference_are_seldom_called_different():
    """Seeds and triples both vary: at most 1 in 20 is called different at 5 %."""
    rng, called = np.random.default_rng(4), []
    for seed in range(300):
        values = rng.normal(size=(60, 1)) + 0.1 * rng.normal(size=3) + rng.normal(size=(60, 3))
        called.append(paired_tests({'a': values}, seed=seed, resamples=400)['a'].p < 0.05)
    assert np.mean(called) < 0.06
