"""What MANS-A would choose under trained parameters."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from mans_jax.errors import NotServable
from mans_jax.reporting import adaptive_choice as module
from mans_jax.reporting.adaptive_choice import NEGATIVES, adaptive_choice
from mans_jax.runs import make_run
from mans_jax.training_step import init_state


def test_every_relation_is_judged_by_its_own_triples(shown, monkeypatch):
    run, state = shown
    monkeypatch.setattr(module, 'TRIPLES_PER_RELATION', 20)
    found = adaptive_choice(run, state.params, 0)
    count = np.bincount(run.graph.train[:, 1], minlength=run.graph.num_relations)
    assert found.train.tolist() == count[found.relation].tolist() == sorted(count[count > 0], reverse=True)
    assert found.judged.tolist() == (np.minimum(found.train, 20) * NEGATIVES).tolist()
    assert ((found.share >= 0) & (found.share <= 1)).all() and 0 < found.overall < 1
    assert found.overall == pytest.approx(np.average(found.share, weights=found.train))
    again = adaptive_choice(run, state.params, 0)
    assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
    assert not np.array_equal(found.share, adaptive_choice(run, state.params, 1).share)


def test_shares_stand_with_the_relation_that_they_are_of(shown, monkeypatch):
    run, state = shown
    seen = {}

    def choose(model, config, data, params, triples, key):
        seen['triples'] = triples
        # Virtual where the relation is even: as many negatives of a triple as its relation's number.
        return np.arange(NEGATIVES) < triples[:, 1:2]

    monkeypatch.setattr(module, '_choose', choose)
    monkeypatch.setattr(module, 'TRIPLES_PER_RELATION', 7)
    found = adaptive_choice(run, state.params, 0)
    np.testing.assert_allclose(found.share, found.relation / NEGATIVES)
    taken = np.bincount(seen['triples'][:, 1])
    assert set(taken) == {7} and len(np.unique(seen['triples'], axis=0)) == len(seen['triples'])
    train = {tuple(row) for row in run.graph.train.tolist()}
    assert {tuple(row) for row in seen['triples'].tolist()} <= train


def test_the_rule_is_mans_a_s(shown):
    """Its two versions select complements, but for what cannot be exchanged and ties."""
    run, state = shown
    opposite = dataclasses.replace(run, config=dataclasses.replace(run.config, where_cross_is_closer=False))
    # In all modalities of all entities, so that every negative can be virtual.
    free = [dataclasses.replace(x, config=dataclasses.replace(x.config, exchange_absent=True)) for x in (run, opposite)]
    found = [adaptive_choice(x, state.params, 0) for x in free]
    np.testing.assert_allclose(found[0].share + found[1].share, 1, atol=0.02)
    whole = adaptive_choice(run, state.params, 0)
    assert whole.overall < found[0].overall


def test_one_modality_cannot_be_mixed_up(shown):
    run, _ = shown
    graph = dataclasses.replace(run.graph, features={}, present=np.ones((run.graph.num_entities, 1), bool))
    plain = make_run(run.config, graph)
    params = init_state(plain.model, plain.config, plain.data).params
    with pytest.raises(NotServable, match='^graph is read without any modality beside structure, which could be exch'):
        adaptive_choice(plain, params, 0)
    assert jnp.isfinite(params['entity']).all()
