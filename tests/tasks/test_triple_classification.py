"""Triple classification: thresholds against trying all of them, metrics by hand, and what each protocol looks at."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mans_jax.errors import NotServable
from mans_jax.graph import KnownTriples
from mans_jax.tasks.triple_classification import (
    HONEST,
    REFERENCE,
    best_threshold,
    binary_metrics,
    classify_triples,
    relation_thresholds,
)

E, R = 20, 3
few_scores = st.lists(st.integers(-4, 4), min_size=1, max_size=12)


@pytest.fixture(scope='module')
def graph(make_graph):
    return make_graph(0, num_entities=E, num_relations=R, number=120)


@pytest.fixture(scope='module')
def known(graph):
    triples = np.concatenate([graph.train, graph.valid, graph.test])
    return KnownTriples.build(triples, num_entities=E, num_relations=R)


def accuracy(positive, negative, threshold):
    return (np.sum(positive > threshold) + np.sum(negative <= threshold)) / (len(positive) + len(negative))


@given(few_scores, few_scores)
def test_no_threshold_is_more_accurate(positive, negative):
    positive, negative = np.array(positive, np.float32), np.array(negative, np.float32)
    found = accuracy(positive, negative, best_threshold(positive, negative))
    every = [-np.inf, np.inf, *np.arange(-5, 5, 0.5)]
    assert found == max(accuracy(positive, negative, threshold) for threshold in every)


def test_thresholds_by_hand():
    assert best_threshold(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1.5
    assert best_threshold(np.array([2.0, 3.0]), np.array([])) == -np.inf
    assert best_threshold(np.array([]), np.array([2.0])) == np.inf
    triples = np.array([(0, 0, 1), (0, 0, 2), (0, 2, 1)]), np.array([(0, 0, 3), (0, 0, 4), (0, 2, 3)])
    scores = np.array([5.0, 4.0, 1.0]), np.array([3.0, 2.0, 0.0])
    assert relation_thresholds(triples, scores, 3).tolist() == [3.5, 3.5, 0.5]


def test_metrics_by_hand():
    scores = np.array([4.0, 3.0, 1.0, 1.0]), np.array([2.0, 0.0, 0.0, 1.0])
    found = binary_metrics(scores, [x > 1.5 for x in scores])
    # Of the pairs of a positive and a negative, 4 + 4 + 2 + 2 stand right and 1 + 1 are level.
    assert found == pytest.approx(
        {
            'accuracy': 5 / 8,
            'precision': 2 / 3,
            'recall': 2 / 4,
            'f1': 4 / 7,
            'roc_auc': 13 / 16,
            'average_precision': (1 / 4) * 1 + (1 / 4) * 1 + (2 / 4) * (4 / 6),
        }
    )
    nothing = binary_metrics(scores, [x > 9 for x in scores])
    assert (nothing['precision'], nothing['recall'], nothing['f1']) == (0, 0, 0)


def oracle(graph):
    facts = np.zeros((E, R, E), bool)
    for split in ('train', 'valid', 'test'):
        facts[tuple(graph.split(split).T)] = True
    # Every relation on a scale of its own: one threshold cannot serve all.
    return lambda rows: np.where(facts[tuple(rows.T)], 1.0, 0.0) + 10.0 * rows[:, 1]


def test_who_knows_all_facts_makes_no_error(graph, known):
    found = classify_triples(oracle(graph), graph, 'test', known)
    assert (found['accuracy'], found['precision'], found['recall'], found['f1']) == (1, 1, 1, 1)
    assert found['positives'] == found['negatives'] == len(graph.test) and found['without_corruption'] == 0


def test_the_reference_has_one_threshold_and_false_negatives(graph, known):
    """On a graph so dense that some corruptions are facts of other splits."""
    train = {tuple(row) for row in graph.train.tolist()}
    others = {tuple(row) for row in np.concatenate([graph.valid, graph.test]).tolist()}
    true_negatives = set()
    for seed in range(10):
        judged = []
        found = classify_triples(
            lambda rows, judged=judged: (judged.append(rows), oracle(graph)(rows))[1],
            graph,
            'test',
            known,
            seed,
            REFERENCE,
        )
        # Valid is not looked at.
        assert len(judged) == 2
        negatives = {tuple(row) for row in judged[1].tolist()}
        assert not train & negatives
        true_negatives |= negatives & others
        scores = oracle(graph)(judged[0]), oracle(graph)(judged[1])
        assert found['accuracy'] == max(accuracy(*scores, threshold) for threshold in np.arange(-0.5, 25, 0.5)) < 1
    assert true_negatives


def test_the_honest_one_chooses_its_thresholds_on_valid(graph, known):
    """A score that is upside down on valid."""
    upside_down = {tuple(row) for row in graph.valid.tolist()}

    def score(rows):
        return np.where([tuple(row) in upside_down for row in rows.tolist()], -5.0, oracle(graph)(rows))

    assert classify_triples(score, graph, 'test', known)['accuracy'] < 0.75


@pytest.mark.parametrize('protocol', [HONEST, REFERENCE])
def test_the_seed_decides_the_corruptions(graph, known, protocol):
    def draws(seed):
        seen = []
        classify_triples(lambda rows: (seen.append(rows), oracle(graph)(rows))[1], graph, 'test', known, seed, protocol)
        return np.concatenate(seen)

    np.testing.assert_array_equal(draws(0), draws(0))
    assert (draws(0) != draws(1)).any()


def test_valid_is_not_judged_by_thresholds_of_its_own(graph, known):
    with pytest.raises(NotServable, match='^thresholds are chosen on valid, so that it cannot be judged by them; take'):
        classify_triples(oracle(graph), graph, 'valid', known)
    assert classify_triples(oracle(graph), graph, 'valid', known, protocol=REFERENCE)['positives'] == len(graph.valid)


def test_triples_without_a_corruption_are_counted(graph):
    full = np.stack(np.meshgrid(range(E), [0], range(E), indexing='ij'), axis=-1).reshape(-1, 3)
    other = graph.train[graph.train[:, 1] == 1]
    graph = dataclasses.replace(graph, test=np.concatenate([full[:5], other[:7]]), valid=other, train=full)
    known = KnownTriples.build(np.concatenate([full, other]), num_entities=E, num_relations=R)
    found = classify_triples(oracle(graph), graph, 'test', known)
    assert (found['positives'], found['without_corruption']) == (7, 5)
    nothing = dataclasses.replace(graph, test=full[:5])
    with pytest.raises(NotServable, match='^every entity makes a known triple'):
        classify_triples(oracle(nothing), nothing, 'test', known)
