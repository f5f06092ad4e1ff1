"""Metrics, chance and intervals, each by a second formula."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mans_jax.rank_statistics import METRICS, describe, groups_of, macro, metrics_of, terms
from mans_jax.ranking import rank_metrics


def named(ranks, others):
    means = terms(np.asarray(ranks, float), np.asarray(others)).reshape(-1, 7).mean(axis=0)
    return dict(zip(METRICS, metrics_of(means).tolist(), strict=True))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), min_size=1, max_size=20))
def test_metrics_by_a_second_formula(pairs):
    ranks = np.array([min(rank, others + 1) for rank, others in pairs], float)
    others = np.array([others for _, others in pairs])
    found = named(ranks, others)
    for name, value in rank_metrics(ranks).items():
        assert found[name] == pytest.approx(value)
    # A random order: every place is as likely as another.
    expected_rank = np.mean([np.mean(np.arange(1, n + 2)) for n in others])
    expected_mrr = np.mean([np.mean(1 / np.arange(1, n + 2)) for n in others])
    if others.any():
        index = 1 - (ranks.mean() - 1) / (expected_rank - 1)
        assert found['adjusted_mean_rank_index'] == pytest.approx(index)
        assert found['adjusted_mrr'] == pytest.approx((np.mean(1 / ranks) - expected_mrr) / (1 - expected_mrr))
    else:
        assert math.isnan(found['adjusted_mean_rank_index']) and math.isnan(found['adjusted_mrr'])


def test_adjusted_metrics_are_1_at_best_and_0_by_chance():
    others = np.array([3, 8, 20])
    best = named(np.ones(3), others)
    assert best['adjusted_mean_rank_index'] == best['adjusted_mrr'] == 1
    # Every place of every target, each as often as chance has it.
    orders = np.array(list(itertools.product(range(1, 5), range(1, 10), range(1, 22))), float)
    by_chance = named(orders, np.broadcast_to(others, orders.shape))
    assert by_chance['adjusted_mean_rank_index'] == pytest.approx(0, abs=1e-12)
    assert by_chance['adjusted_mrr'] == pytest.approx(0, abs=1e-12)


@pytest.fixture
def some():
    """Terms [2, 40, 3, TERMS] of three rankings, and two groups of which one holds one side of some triples."""
    rng = np.random.default_rng(0)
    others = rng.integers(1, 50, (2, 40, 3))
    ranks = 1 + rng.integers(0, others + 1)
    members = {'all': np.ones((2, 40), bool), 'some': rng.random((2, 40)) < 0.3}
    return terms(ranks.astype(float), others), ranks, members


def test_groups_hold_their_ranks(some):
    all_terms, ranks, members = some
    groups = groups_of(all_terms, members, 0)
    for name, member in members.items():
        group = groups[name]
        assert (group.triples, group.ranks) == (member.any(axis=0).sum(), member.sum())
        assert group.samples.shape == (0, 3, len(METRICS))
        for k in range(3):
            told = group.describe(k)
            assert 'intervals' not in told
            for metric, value in rank_metrics(ranks[..., k][member]).items():
                assert told[metric] == pytest.approx(value)


def test_resamples_by_a_second_formula_with_the_two_ranks_of_a_triple_together(some):
    """The same draws, one resample and one triple at a time."""
    all_terms, ranks, members = some
    groups = groups_of(all_terms, members, 25, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    for i in range(25):
        drawn = rng.integers(40, size=40, dtype=np.uint32).tolist()
        for name, member in members.items():
            picked = [ranks[side, triple, 1] for triple in drawn for side in range(2) if member[side, triple]]
            found = dict(zip(METRICS, groups[name].samples[i, 1].tolist(), strict=True))
            for metric, value in rank_metrics(np.array(picked)).items():
                assert found[metric] == pytest.approx(value, rel=1e-5)


def test_draws_are_made_in_parts_and_reproducible(some, monkeypatch):
    all_terms, _, members = some
    whole = groups_of(all_terms, members, 30, np.random.default_rng(1))
    monkeypatch.setattr('mans_jax.rank_statistics._DRAWS_AT_ONCE', 90)
    parts = groups_of(all_terms, members, 30, np.random.default_rng(1))
    other = groups_of(all_terms, members, 30, np.random.default_rng(2))
    for name in members:
        np.testing.assert_allclose(parts[name].samples, whole[name].samples, rtol=1e-5)
        assert not np.allclose(other[name].samples, whole[name].samples)


def test_the_interval_holds_the_mean_as_often_as_it_says():
    """200 data sets of known mean; 95 % of the intervals should hold it, and fewer than 90 % would be 3.2 sigma off."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(200):
        ranks = rng.integers(1, 101, size=(1, 60)).astype(float)
        group = groups_of(terms(ranks, np.full((1, 60), 99)), {'': np.ones((1, 60), bool)}, 300, rng)['']
        low, high = group.describe()['intervals']['mean_rank']
        held += low <= 50.5 <= high
    assert 180 <= held <= 199


def test_a_group_that_some_resamples_miss_has_an_interval_of_the_others(some):
    all_terms, ranks, _ = some
    member = np.zeros((2, 40), bool)
    member[0, 7] = True
    group = groups_of(all_terms, {'one': member}, 50, np.random.default_rng(0))['one']
    assert np.isnan(group.samples[:, 0, 0]).any()
    assert group.describe(0)['intervals']['mean_rank'] == [ranks[0, 7, 0]] * 2


def test_what_is_not_defined_is_none():
    group = groups_of(
        terms(np.ones((1, 2)), np.zeros((1, 2), int)), {'': np.ones((1, 2), bool)}, 9, np.random.default_rng(0)
    )['']
    told = group.describe()
    assert told['adjusted_mrr'] is None and told['intervals']['adjusted_mrr'] == [None, None]
    assert told['mrr'] == 1 and told['intervals']['mrr'] == [1, 1]


def test_macro_counts_every_group_alike(some):
    all_terms, ranks, members = some
    groups = groups_of(all_terms, members, 40, np.random.default_rng(0))
    told = macro(groups.values(), 2)
    assert told['mrr'] == pytest.approx(np.mean([np.mean(1 / ranks[..., 2][m]) for m in members.values()]))
    assert told['intervals']['mrr'][0] < told['mrr'] < told['intervals']['mrr'][1]
    undefined = groups_of(terms(np.ones((1, 2)), np.zeros((1, 2), int)), {'': np.ones((1, 2), bool)}, 0)['']
    metrics = np.stack([undefined.metrics, np.arange(7.0)])
    both = macro([undefined, undefined._replace(metrics=metrics[1])])
    assert (both['mrr'], both['adjusted_mrr']) == (0.5, 6)


def test_intervals_are_percentiles():
    samples = np.tile(np.arange(1001.0)[:, None], 7)
    assert describe(samples[500], samples)['intervals']['mrr'] == [pytest.approx(25), pytest.approx(975)]
