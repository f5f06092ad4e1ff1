"""Ranks from blocks of candidates are those with all of them laid out at once."""

import dataclasses
from functools import partial

import jax
import numpy as np
import pytest

from mans_jax.errors import NonFiniteScore
from mans_jax.graph import KnownTriples
from mans_jax.host_memory import Fetcher, known_of, variables_of
from mans_jax.models import FROZEN, PARAMS, frozen_variables, init_params, model_for
from mans_jax.ranking import pack
from mans_jax.scoring import SCORES
from mans_jax.tasks import link_prediction, link_prediction_by_blocks, query_blocks
from mans_jax.tasks.link_prediction import predict_links
from mans_jax.tasks.link_prediction_by_blocks import (
    candidates_at_once,
    fetched_at_once,
    parts_from_host,
    parts_of,
    predict_links_by_blocks,
)

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
@pytest.mark.parametrize('at_once', [128, 2])
def test_ranks_are_those_with_all_candidates_at_once(setting, monkeypatch, room, at_once):
    graph, known, model, params = setting
    triples = np.concatenate([graph.test[:40], [[E - 1, 0, 2], [7, 1, E - 1]]])
    expected = predict_links(model, params, frozen_variables(graph), graph, triples, known)
    assert expected.tied.max() >= 5 and expected.better.max() > 200
    # Few queries a block, so that there are several groups of blocks.
    each = 16 * model.dim * len(graph.modalities)
    monkeypatch.setattr(link_prediction_by_blocks, '_NUMBERS_OF_QUERIES', at_once * each)
    for module in (link_prediction_by_blocks, query_blocks):
        monkeypatch.setattr(module, 'block_sizes', lambda room: (16, 32))
    on_device = parts_of(model, {PARAMS: params, FROZEN: frozen_variables(graph)}, room)
    from_host = parts_from_host(model, partial(variables_of, params, Fetcher(graph)), room)
    turns = []

    def progress(blocks):
        yield from blocks
        turns.append(len(blocks))

    for parts in (on_device, from_host):
        found = predict_links_by_blocks(model, parts, graph, triples, known, progress)
        np.testing.assert_array_equal(found.better, expected.better)
        np.testing.assert_array_equal(found.tied, expected.tied)
    num_groups = -(-len(pack(triples, 16, 32)[1]) // at_once)
    # The bar has gone to its end each time.
    assert turns == 2 * [num_groups * 2 * -(-E // room)]


def test_known_triples_that_share_a_query_are_enough(setting):
    graph, known, model, params = setting
    few = known_of(graph, graph.test)
    assert few.answers.size < known.answers.size
    counts = [predict_links(model, params, frozen_variables(graph), graph, graph.test, index) for index in (known, few)]
    np.testing.assert_array_equal(counts[0].better, counts[1].better)
    np.testing.assert_array_equal(counts[0].tied, counts[1].tied)


def test_candidates_are_laid_out_together_while_they_are_few(setting, monkeypatch):
    """In a large model by blocks; what they take has a bound."""
    graph, known, model, params = setting
    assert candidates_at_once(model) == fetched_at_once(model) == E
    for num_entities, dim, widths in ((10**7, 64, ()), (10**6, 128, (('image', 4096), ('text', 384)))):
        large = model.clone(num_entities=num_entities, dim=dim, feature_widths=widths)
        of_row, of_fetched = dim * (1 + len(widths)), dim + sum(width for _, width in widths)
        assert of_row * candidates_at_once(large) <= 2**24 < of_row * (candidates_at_once(large) + 1)
        assert of_fetched * fetched_at_once(large) <= 2**24 < of_fetched * (fetched_at_once(large) + 1)
    expected = predict_links(model, params, frozen_variables(graph), graph, graph.test, known)
    asked = []
    monkeypatch.setattr(link_prediction, 'candidates_at_once', lambda model: asked.append(model) or 100)
    found = predict_links(model, params, frozen_variables(graph), graph, graph.test, known)
    assert asked
    np.testing.assert_array_equal(found.better, expected.better)


def test_a_score_that_is_not_finite_is_named(setting):
    graph, known, model, params = setting
    spoilt = params['entity'].copy()
    spoilt[300] = np.nan
    parts = parts_from_host(model, partial(variables_of, params | {'entity': spoilt}, Fetcher(graph)), 200)
    with pytest.raises(NonFiniteScore) as error:
        predict_links_by_blocks(model, parts, graph, graph.test[:3], known)
    assert graph.entities[300] in str(error.value)
