"""Ranks under three protocols, and by pairs of modalities, against every candidate compared by itself."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mans_jax.errors import NonFiniteScore, NotServable
from mans_jax.graph import HEAD, TAIL
from mans_jax.models import FROZEN, PARAMS
from mans_jax.tasks import cross_modal, protocols, relation_prediction
from mans_jax.tasks.link_prediction import predict_links
from mans_jax.tasks.protocols import PROTOCOLS, rank_links, seen_with_relation
from tests.exact import TEST, E, M, R, exact_world


def brute_force(scores, triples, is_candidate):
    """(better, tied, others) int[3, 2, N]; is_candidate: (head, relation, tail, side) -> bool[E]."""
    counts = np.zeros((3, 2, len(triples)), int)
    for i, (h, r, t) in enumerate(triples.tolist()):
        for side, row, target in ((HEAD, scores[:, r, t], h), (TAIL, scores[h, r], t)):
            left = is_candidate(h, r, t, side).copy()
            left[target] = False
            others = row[left]
            counts[:, side, i] = np.sum(others > row[target]), np.sum(others == row[target]), len(others)
    return counts


def unknown(world):
    return lambda h, r, t, side: ~(world.facts[:, r, t] if side == HEAD else world.facts[h, r])


def seen_in_train(world, relation, side):
    rows = world.graph.train[world.graph.train[:, 1] == relation]
    return np.isin(np.arange(E), rows[:, 0 if side == HEAD else 2])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_protocols_equal_brute_force(seed):
    world = exact_world(seed)
    tallies = rank_links(world.model, world.variables, world.graph, world.graph.test, world.known)
    candidates = {
        'filtered': unknown(world),
        'raw': lambda h, r, t, side: np.ones(E, bool),
        'constrained': lambda h, r, t, side: unknown(world)(h, r, t, side) & seen_in_train(world, r, side),
    }
    assert list(tallies) == list(PROTOCOLS) == list(candidates)
    for protocol, tally in tallies.items():
        np.testing.assert_array_equal(tally, brute_force(world.scores, world.graph.test, candidates[protocol]))
    plain = predict_links(
        world.model, world.variables[PARAMS], world.variables[FROZEN], world.graph, world.graph.test, world.known
    )
    np.testing.assert_array_equal(plain, tallies['filtered'][:2])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_pairs_of_modalities_equal_brute_force(seed):
    world = exact_world(seed)
    present, test = world.graph.present, world.graph.test
    tally = cross_modal.rank_across(world.model, world.variables, world.graph, test, world.known)
    assert tally.better.shape == (M, M, 2, TEST)
    for a in range(M):
        for b in range(M):
            rows = np.flatnonzero(present[test[:, 0], a] & present[test[:, 2], b])
            want = brute_force(
                world.compared[a, b],
                test[rows],
                lambda h, r, t, side, a=a, b=b: unknown(world)(h, r, t, side) & present[:, a if side == HEAD else b],
            )
            np.testing.assert_array_equal([x[a, b][:, rows] for x in tally], want)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_relations_equal_brute_force(seed):
    world = exact_world(seed)
    present, test = world.graph.present, world.graph.test
    for modality in (None, *range(M)):
        rows = test if modality is None else test[present[test[:, [0, 2]], modality].all(axis=1)]
        if not len(rows):
            continue
        tally = relation_prediction.predict_relations(
            world.model, world.variables, world.graph, rows, world.known, modality
        )
        scores = world.scores if modality is None else world.compared[modality, modality]
        for i, (h, r, t) in enumerate(rows.tolist()):
            others = [scores[h, other, t] for other in range(R) if other != r and not world.facts[h, other, t]]
            want = np.sum(others > scores[h, r, t]), np.sum(others == scores[h, r, t]), len(others)
            assert tuple(x[i] for x in tally) == want


def test_worlds_have_ties_gaps_and_targets_outside_the_constraint():
    """What the properties above are about does occur."""
    worlds = [exact_world(seed) for seed in range(5)]
    tallies = [rank_links(w.model, w.variables, w.graph, w.graph.test, w.known) for w in worlds]
    assert all(found['filtered'].tied.any() for found in tallies)
    assert all(not world.graph.present.all(axis=0).any() for world in worlds)
    assert any(not seen_in_train(world, r, TAIL)[t] for world in worlds for _, r, t in world.graph.test.tolist())


def test_one_program_serves_all_worlds():
    exact = exact_world(0)
    rank_links(exact.model, exact.variables, exact.graph, exact.graph.test, exact.known)
    compiled = protocols._tally_block._cache_size()
    other = exact_world(1)
    rank_links(other.model, other.variables, other.graph, other.graph.test[:3], other.known)
    assert protocols._tally_block._cache_size() == compiled


def test_seen_with_relation_by_hand():
    world = exact_world(3)
    seen = np.unpackbits(seen_with_relation(world.graph), axis=-1, count=E).astype(bool)
    for side in (HEAD, TAIL):
        for relation in range(R):
            np.testing.assert_array_equal(seen[side, relation], seen_in_train(world, relation, side))


def broken(world, relation):
    params = world.variables[PARAMS]
    return {**world.variables, PARAMS: {**params, 'relation': params['relation'].at[relation].set(jnp.nan)}}


@pytest.mark.parametrize(
    'judge', [rank_links, cross_modal.rank_across, relation_prediction.predict_relations], ids=lambda f: f.__name__
)
def test_a_score_that_is_not_finite_is_an_error_that_names_a_triple(judge):
    world = exact_world(4)
    relation = int(world.graph.test[0, 1])
    with pytest.raises(NonFiniteScore, match=rf'the score of \(entity \d+, relation {relation}, entity \d+\) is not f'):
        judge(world.model, broken(world, relation), world.graph, world.graph.test, world.known)


def test_results_say_how_many_triples_they_are_of():
    world = exact_world(5)
    graph = world.graph
    arguments = (world.model, world.variables, graph, graph.test, world.known)
    found = cross_modal.cross_modal(*arguments)
    assert list(found) == list(found['image']) == ['structure', 'image', 'text']
    for a, of_head in enumerate(graph.modalities):
        for b, of_tail in enumerate(graph.modalities):
            count = np.sum(graph.present[graph.test[:, 0], a] & graph.present[graph.test[:, 2], b])
            result = found[of_head][of_tail]
            assert result['count'] == count
            assert result['mrr'] == pytest.approx((result['head']['mrr'] + result['tail']['mrr']) / 2)
    found = relation_prediction.relation_prediction(*arguments)
    assert list(found) == ['all', 'structure', 'image', 'text'] and found['all']['count'] == TEST
    assert found['text']['count'] == graph.present[graph.test[:, [0, 2]], 2].all(axis=1).sum()


def test_what_no_triple_has_is_none_and_a_graph_without_features_is_not_served(make_graph):
    import dataclasses

    world = exact_world(5)
    # Nobody in test has an image.
    present = world.graph.present.copy()
    present[:, 1] = False
    graph = dataclasses.replace(world.graph, present=present)
    arguments = (world.model, world.variables, graph, graph.test, world.known)
    assert cross_modal.cross_modal(*arguments)['image']['text'] is None
    assert relation_prediction.relation_prediction(*arguments)['image'] is None
    plain = dataclasses.replace(world.graph, features={}, present=present[:, :1])
    with pytest.raises(NotServable, match='^exact is read without any modality beside structure'):
        cross_modal.cross_modal(world.model, world.variables, plain, plain.test, world.known)
    single = dataclasses.replace(plain, relations=('one',))
    with pytest.raises(NotServable, match='^exact has a single relation'):
        relation_prediction.relation_prediction(world.model, world.variables, single, single.test, world.known)
