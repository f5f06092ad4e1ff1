"""Ranks from blocks of entities that are fetched are those with all entities on the device."""

import dataclasses
from functools import partial

import jax
import numpy as np
import pytest

from mans_jax.errors import NonFiniteScore
from mans_jax.graph import KnownTriples
from mans_jax.host_memory import Fetcher, known_of, variables_of
from mans_jax.models import frozen_variables, init_params, model_for
from mans_jax.scoring import SCORES
from mans_jax.tasks.link_prediction import predict_links
from mans_jax.tasks.link_prediction_by_blocks import predict_links_by_blocks

E = 530


@pytest.fixture(scope='module')
def setting(make_graph):
    """Graph, its known triples, model and parameters; entities 0 to 4 and the last are alike, so that scores tie."""
    graph = make_graph(0, num_entities=E, num_relations=3, number=600)
    alike = [0, 1, 2, 3, 4, E - 1]
    features = {name: rows.copy() for name, rows in graph.features.items()}
    for rows in features.values():
        rows[alike] = 1
    present = graph.present.copy()
    present[alike] = True
    graph = dataclasses.replace(graph, features=features, present=present)
    triples = np.concatenate([graph.train, graph.valid, graph.test])
    known = KnownTriples.build(triples, num_entities=E, num_relations=3)
    model = model_for(graph, SCORES['distmult'], dim=4, normalize=True)
    params = init_params(model, jax.random.key(0))
    params['entity'] = np.asarray(params['entity'].at[np.array(alike)].set(params['entity'][0]))
    return graph, known, model, params


@pytest.mark.parametrize('room', [E, 200, 512])
def test_ranks_are_those_with_all_entities_on_the_device(setting, room):
    graph, known, model, params = setting
    triples = np.concatenate([graph.test[:40], [[E - 1, 0, 2], [7, 1, E - 1]]])
    expected = predict_links(model, params, frozen_variables(graph), graph, triples, known)
    found = predict_links_by_blocks(
        model, partial(variables_of, params, Fetcher(graph)), graph, triples, known, room=room
    )
    np.testing.assert_array_equal(found.better, expected.better)
    np.testing.assert_array_equal(found.tied, expected.tied)
    assert found.tied.max() >= 5 and found.better.max() > 200
    # Of the known triples, those that share a query are enough.
    few = known_of(graph, triples)
    assert few.answers.size < known.answers.size
    again = predict_links(model, params, frozen_variables(graph), graph, triples, few)
    np.testing.assert_array_equal(again.better, expected.better)


def test_a_score_that_is_not_finite_is_named(setting):
    graph, known, model, params = setting
    spoilt = params['entity'].copy()
    spoilt[300] = np.nan
    part = partial(variables_of, params | {'entity': spoilt}, Fetcher(graph))
    with pytest.raises(NonFiniteScore) as error:
        predict_links_by_blocks(model, part, graph, graph.test[:3], known, room=200)
    assert graph.entities[300] in str(error.value)
