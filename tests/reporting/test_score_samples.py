"""Scores of true triples and of false ones."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax.errors import NonFiniteScore
from mans_jax.graph import STRUCTURE, Triple
from mans_jax.models import FROZEN, PARAMS
from mans_jax.reporting import score_samples
from mans_jax.reporting.score_samples import NORMAL, POSITIVE, VIRTUAL, sample_scores
from mans_jax.runs import make_run
from mans_jax.training_step import init_state


def test_the_same_seed_gives_the_same_scores_and_another_one_others(shown):
    run, state = shown
    first, again, other = (sample_scores(run, state.params, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(first.density[kind], again.density[kind]) for kind in first.density)
    assert not np.array_equal(first.density[NORMAL], other.density[NORMAL])


def test_densities_are_of_the_scores_that_the_model_gives(shown, monkeypatch):
    run, state = shown
    seen = {}
    monkeypatch.setattr(score_samples, '_score_block', spy(score_samples._score_block, seen))
    found = sample_scores(run, state.params, 0)
    variables = {PARAMS: state.params, FROZEN: run.data.frozen}
    triples, entity, side = seen['table'][:, :3], seen['table'][:, 3], seen['table'][:, 4]
    false = np.where(side[:, None] == 0, np.c_[entity, triples[:, 1:]], np.c_[triples[:, :2], entity])
    assert not bool(run.known.contains(Triple.from_rows(jnp.asarray(false))).any())

    def score(rows):
        return np.asarray(run.model.apply(variables, Triple.from_rows(rows), method=run.model.score_triples))

    number = found.counts[POSITIVE]
    assert number == len(run.graph.test) == found.counts[NORMAL]
    np.testing.assert_allclose(seen['found'][0][:number], score(triples[:number]), rtol=1e-5)
    np.testing.assert_allclose(seen['found'][1][:number], score(false[:number]), rtol=1e-5)
    width = np.diff(found.edges)
    for kind, density in found.density.items():
        assert np.sum(density * width) == pytest.approx(1) and density[0] == density[-1] == 0, kind
    assert found.beaten[NORMAL] == np.mean(seen['found'][1][:number] < seen['found'][0][:number])


def spy(function, seen):
    def spied(model, variables, table, has_present):
        found = function(model, variables, table, has_present)
        seen.update(table=np.asarray(table), found=[np.asarray(x) for x in found])
        return found

    return spied


def test_virtual_negatives_are_only_where_something_can_be_exchanged(shown):
    run, state = shown
    found = sample_scores(run, state.params, 0)
    # Some entities of this graph lack both features.
    assert 0 < found.counts[VIRTUAL] < found.counts[NORMAL] and set(found.beaten) == {NORMAL, VIRTUAL}
    plain = make_run(run.config, without_features(run.graph))
    alone = sample_scores(plain, init_state(plain.model, plain.config, plain.data).params, 0)
    assert set(alone.density) == set(alone.counts) == {POSITIVE, NORMAL} and set(alone.beaten) == {NORMAL}


def without_features(graph):
    assert graph.modalities[0] == STRUCTURE
    return dataclasses.replace(graph, features={}, present=np.ones((graph.num_entities, 1), bool))


def test_a_score_that_is_not_finite_names_its_triple(shown):
    run, state = shown
    spoilt = {**state.params, 'relation': state.params['relation'].at[:].set(jnp.nan)}
    with pytest.raises(NonFiniteScore, match=r'^the score of \(entity_\d+, relation_\d+, entity_\d+\) is not finite'):
        sample_scores(run, spoilt, 0)
