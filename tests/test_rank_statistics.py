"""Metrics of ranks by hand, what a random order gives, and intervals."""

import numpy as np
import pytest

from mans_jax.rank_statistics import METRICS, bootstrap_means, estimate, rank_columns
from mans_jax.ranking import rank_metrics, ranks


def test_metrics_by_hand():
    better, tied, others = np.array([0, 3, 10]), np.array([0, 1, 0]), np.array([4, 4, 19])
    found = estimate(rank_columns(better, tied, others)).describe()
    rank = [1, 4.5, 11]
    expected_rank = [3, 3, 10.5]
    harmonic = [sum(1 / i for i in range(1, n + 1)) / n for n in (5, 5, 20)]
    mrr = np.mean(1 / np.array(rank))
    assert found == pytest.approx(
        {
            'mrr': mrr,
            'mean_rank': np.mean(rank),
            'hits_at_1': 1 / 3,
            'hits_at_3': 1 / 3,
            'hits_at_10': 2 / 3,
            'adjusted_mean_rank_index': 1 - (np.mean(rank) - 1) / (np.mean(expected_rank) - 1),
            'adjusted_mrr': (mrr - np.mean(harmonic)) / (1 - np.mean(harmonic)),
            'count': 3,
        }
    )


@pytest.mark.parametrize('ties', ['realistic', 'optimistic', 'pessimistic'])
def test_the_plain_metrics_are_those_of_training(ties):
    rng = np.random.default_rng(0)
    better, tied = rng.integers(0, 30, (2, 50)), rng.integers(0, 3, (2, 50))
    found = estimate(rank_columns(better, tied, better + tied + 5, ties).reshape(-1, len(METRICS))).describe()
    want = rank_metrics(ranks(better, tied, ties))
    assert {name: found[name] for name in want} == pytest.approx(want)


def test_indices_are_1_for_the_first_place_and_0_for_a_random_order():
    rng = np.random.default_rng(0)
    others = rng.integers(1, 50, 100_000)
    first = estimate(rank_columns(0 * others, 0 * others, others)).describe()
    assert (first['adjusted_mean_rank_index'], first['adjusted_mrr']) == pytest.approx((1, 1))
    by_chance = estimate(rank_columns(rng.integers(0, others + 1), 0 * others, others)).describe()
    assert (by_chance['adjusted_mean_rank_index'], by_chance['adjusted_mrr']) == pytest.approx((0, 0), abs=0.01)


def test_indices_without_other_candidates_are_not_defined():
    zero = np.zeros(3, int)
    found = estimate(rank_columns(zero, zero, zero), seed=0).describe()
    assert found['mrr'] == 1 and found['adjusted_mrr'] is None and found['adjusted_mean_rank_index'] is None
    assert found['intervals']['mrr'] == [1, 1] and found['intervals']['adjusted_mrr'] == [None, None]


def test_intervals_hold_the_mean_as_often_as_they_say():
    rng, held = np.random.default_rng(0), 0
    for seed in range(200):
        better = rng.geometric(0.2, 60) - 1
        found = estimate(rank_columns(better, 0 * better, 0 * better + 100), seed).describe()
        low, high = found['intervals']['mean_rank']
        held += low <= 5 <= high
    assert 175 <= held <= 198


def test_draws_are_decided_by_the_seed_and_take_rows_as_a_whole():
    rng = np.random.default_rng(0)
    columns = np.repeat(rng.normal(size=(5000, 1, 1)), 3, axis=1)
    drawn = bootstrap_means(columns, seed=3, resamples=400)
    assert drawn.shape == (400, 3, 1)
    np.testing.assert_allclose(drawn[:, 0], drawn[:, 2])
    np.testing.assert_array_equal(drawn, bootstrap_means(columns, seed=3, resamples=400))
    assert not np.array_equal(drawn, bootstrap_means(columns, seed=4, resamples=400))
    # The spread of a mean of 5000.
    assert drawn[:, 0].std() == pytest.approx(columns.std() / np.sqrt(5000), rel=0.2)


def test_a_single_row_has_no_interval():
    one = np.ones(1, int)
    assert 'intervals' not in estimate(rank_columns(one, one, 5 * one), seed=0).describe()


@pytest.mark.parametrize('at_once', [1, 100, 10_000])
def test_draws_by_a_second_formula_in_however_small_parts(monkeypatch, at_once):
    """One resample and one draw at a time."""
    monkeypatch.setattr('mans_jax.rank_statistics._DRAWS_AT_ONCE', at_once)
    columns, rng = np.random.default_rng(0).normal(size=(21, 2)), np.random.default_rng(7)
    want = [np.mean([columns[i] for i in rng.integers(0, 21, 21)], axis=0) for _ in range(30)]
    np.testing.assert_allclose(bootstrap_means(columns, seed=7, resamples=30), want)
