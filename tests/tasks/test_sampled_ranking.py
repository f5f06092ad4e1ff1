"""Ranking among samples: what is drawn, that its estimate has no bias, and that its bias is stated."""

import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax.errors import NonFiniteScore
from mans_jax.graph import HEAD, TAIL
from mans_jax.models import PARAMS
from mans_jax.rank_statistics import METRICS
from mans_jax.tasks.protocols import rank_links
from mans_jax.tasks.sampled_ranking import rank_among_samples, sampled_ranking
from tests.exact import TEST, E, exact_world


@pytest.fixture(scope='module')
def world():
    return exact_world(0)


@pytest.fixture(scope='module')
def full(world):
    return rank_links(world.model, world.variables, world.graph, world.graph.test, world.known)['filtered']


def rank(world, number, seed=0):
    return rank_among_samples(world.model, world.variables, world.graph, world.graph.test, world.known, number, seed)


def test_shares_of_better_and_tied_candidates_are_those_among_all(world, full):
    tally, choices = rank(world, 4000)
    np.testing.assert_array_equal(choices, full.others)
    for sampled, among_all in ((tally.better, full.better), (tally.tied, full.tied)):
        np.testing.assert_allclose(sampled / 4000, among_all / full.others, atol=0.04)
    assert (tally.others == 4000).all()


def test_known_answers_are_never_drawn():
    """Of 500 draws from at most 12 entities each is drawn, so a target that only known answers beat is never beaten."""
    spared = 0
    for world in map(exact_world, (15, 18, 22, 24)):
        tally, choices = rank(world, 500)
        for i, (head, relation, tail) in enumerate(world.graph.test.tolist()):
            scores, facts = world.scores[head, relation], world.facts[head, relation]
            better = scores > scores[tail]
            assert (tally.better[TAIL, i] > 0) == (better & ~facts).any()
            assert choices[TAIL, i] == E - facts.sum()
            spared += better.any() and not (better & ~facts).any()
    assert spared


def test_the_seed_decides_the_draws_and_sides_are_in_order(world):
    first, again, other = rank(world, 10), rank(world, 10), rank(world, 10, seed=1)
    np.testing.assert_array_equal(first[0], again[0])
    assert (first[0].better != other[0].better).any()
    assert first[0].better.shape == (2, TEST)
    heads = [E - world.facts[:, r, t].sum() for _, r, t in world.graph.test.tolist()]
    assert first[1][HEAD].tolist() == heads


def test_the_bias_is_stated(world, full):
    arguments = (world.model, world.variables, world.graph, world.graph.test, world.known, full)
    found = sampled_ranking(*arguments, num_candidates=2)
    for name in METRICS:
        assert found['bias'][name] == pytest.approx(found['sampled'][name] - found['full'][name])
    assert found['bias']['mrr'] > 0.1 and found['bias']['mean_rank'] < -1
    assert found['candidates'] == 2 and 'too high' in found['note']


def test_without_the_full_ranks_there_is_no_bias_to_state(world, full):
    arguments = (world.model, world.variables, world.graph, world.graph.test, world.known)
    assert sampled_ranking(*arguments) == sampled_ranking(*arguments, full) | {'full': None, 'bias': None}


def test_the_estimate_of_the_mean_rank_has_no_bias(world, full):
    arguments = (world.model, world.variables, world.graph, world.graph.test, world.known, full)
    estimates = [sampled_ranking(*arguments, num_candidates=10, seed=seed) for seed in range(30)]
    values = [found['mean_rank_estimate'] for found in estimates]
    spread = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - estimates[0]['full']['mean_rank']) < 4 * spread


def test_a_score_that_is_not_finite_is_an_error_that_names_a_triple(world):
    params = world.variables[PARAMS]
    relation = int(world.graph.test[0, 1])
    spoilt = {**params, 'relation': params['relation'].at[relation].set(jnp.nan)}
    with pytest.raises(NonFiniteScore, match=rf'of \(entity \d+, relation {relation}, entity \d+\) is not finite'):
        rank_among_samples(
            world.model, {**world.variables, PARAMS: spoilt}, world.graph, world.graph.test, world.known, 5
        )
