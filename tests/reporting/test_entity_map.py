"""The map of entities: who lies where, and what colours them."""

import dataclasses

import numpy as np
import pytest

from mans_jax.reporting import entity_map as module
from mans_jax.reporting.entity_map import NONE, OTHER, colourings, lay_out, map_entities


def test_an_entity_has_a_place_where_it_has_a_modality(shown, monkeypatch):
    run, state = shown
    monkeypatch.setattr(module, 'MOST_ENTITIES', 30)
    found = map_entities(run, state.params, 0)
    graph, again = run.graph, map_entities(run, state.params, 0)
    assert len(set(found.entities)) == 30 and (np.diff(found.entities) > 0).all()
    assert list(found.places) == list(graph.modalities)
    for m, (modality, places) in enumerate(found.places.items()):
        has = graph.present[found.entities, m]
        assert np.isfinite(places[has]).all() and np.isnan(places[~has]).all(), modality
        assert places[has].min() == 0 and places[has].max() == 1
        np.testing.assert_array_equal(places, again.places[modality])
    assert not np.array_equal(found.entities, map_entities(run, state.params, 1).entities)


def test_a_modality_that_few_have_has_no_map(shown):
    run, state = shown
    present = run.graph.present.copy()
    present[7:, 1] = False
    found = map_entities(
        dataclasses.replace(run, graph=dataclasses.replace(run.graph, present=present)), state.params, 0
    )
    assert found.places['visual'] is None and found.places['text'] is not None


def test_who_is_alike_lies_together():
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(3, 16))
    vectors = np.repeat(centers, 20, axis=0) + 0.05 * rng.normal(size=(60, 16))
    places = lay_out(vectors.astype(np.float32), 0)
    distance = np.linalg.norm(places[:, None] - places, axis=-1)
    same = np.arange(60)[:, None] // 20 == np.arange(60) // 20
    assert distance[same].max() < distance[~same].min()


@pytest.mark.parametrize('number', [8, 2])
def test_vectors_that_are_all_alike_have_places(number):
    places = lay_out(np.ones((number, 4), np.float32), 0)
    assert np.isfinite(places).all() and places.min() >= 0 and places.max() <= 1


def graph_of(triples, num_entities):
    from mans_jax.graph import KnowledgeGraph

    rows = np.array(triples, np.int32)
    return KnowledgeGraph(
        name='small',
        entities=tuple(f'e{i}' for i in range(num_entities)),
        relations=('kind', 'unique', 'one'),
        train=rows[:-1],
        valid=rows[-1:],
        test=rows[:0],
        features={},
        present=np.ones((num_entities, 1), bool),
    )


def test_colours_are_the_tails_of_the_relation_that_tells_most(monkeypatch):
    # `kind` has a few tails, entity 6 two of them, `unique` one for each entity and `one` the same for all.
    kinds = [(0, 20), (1, 20), (2, 20), (3, 21), (4, 21), (5, 22), (6, 20), (6, 21)]
    triples = (
        [(head, 0, tail) for head, tail in kinds] + [(i, 1, 10 + i) for i in range(8)] + [(i, 2, 9) for i in (0, 1)]
    )
    graph, entities = graph_of(triples, 23), np.arange(8)
    found = colourings(graph, entities, np.full(8, 3))
    assert [colouring.relation for colouring in found] == [0, None]
    kind, degree = found
    assert kind.labels == [20, 21, 22] and kind.classes.tolist() == [0, 0, 0, 1, 1, 2, 0, NONE]
    assert [degree.labels[i] for i in degree.classes] == [2] * 8
    monkeypatch.setattr(module, 'MOST_CLASSES', 2)
    assert colourings(graph, entities, np.full(8, 3))[0].classes.tolist() == [0, 0, 0, 1, 1, OTHER, 0, NONE]


def test_degrees_fall_into_classes():
    degree = np.array([0, 1, 2, 3, 4, 31, 32, 999])
    (found,) = colourings(graph_of([(0, 1, 2), (1, 1, 3)], 8), np.arange(8), degree)
    assert found.relation is None and found.classes.tolist() == [0, 1, 2, 2, 3, 5, 6, 6]
