"""Link prediction in parts: the groups by hand, and the numbers of each group from its own ranks."""

import dataclasses

import numpy as np
import pytest

from mans_jax.data.audit import audit
from mans_jax.graph import HEAD, TAIL, KnowledgeGraph
from mans_jax.ranking import TIES, rank_metrics, ranks
from mans_jax.tasks.breakdowns import (
    CARDINALITIES,
    answer_groups,
    cardinality,
    link_prediction_breakdowns,
    triple_groups,
)
from mans_jax.tasks.protocols import rank_links
from tests.exact import exact_world


@pytest.fixture(scope='module')
def world():
    return exact_world(0)


@pytest.fixture(scope='module')
def tallies(world):
    return rank_links(world.model, world.variables, world.graph, world.graph.test, world.known)


@pytest.fixture(scope='module')
def found(world, tallies):
    return link_prediction_breakdowns(tallies, world.graph, world.graph.test)


def test_cardinality_by_hand():
    train = np.array(
        [(i, 0, i + 1) for i in range(4)]  # One to one.
        + [(0, 1, i) for i in range(4)]  # One head, four tails.
        + [(i, 2, 0) for i in range(4)]
        + [(i, 3, j) for i in range(2) for j in range(2)]
        + [(0, 4, 1), (1, 4, 1), (2, 4, 2), (2, 4, 2)]  # 3 triples, one of them twice, of 3 heads and 2 tails.
    )
    assert cardinality(train, 6).tolist() == [0, 1, 2, 3, 2, 0]


@pytest.mark.parametrize('seed', range(3))
def test_cardinalities_are_those_of_the_audit(seed):
    graph = exact_world(seed).graph
    classes = cardinality(np.concatenate([graph.train, graph.valid, graph.test]), graph.num_relations)
    test = np.unique(graph.test, axis=0)
    for name, of_class in zip(CARDINALITIES, audit(graph).cardinalities, strict=True):
        members = classes == CARDINALITIES.index(name)
        assert (name, members.sum(), members[test[:, 1]].sum()) == (of_class.name, of_class.relations, of_class.test)


def test_groups_by_hand():
    # Two triples twice, and a loop.
    train = np.array([(0, 0, i) for i in range(1, 6)] + [(0, 0, 1), (2, 0, 3), (2, 0, 3), (3, 0, 4), (3, 1, 3)])
    graph = KnowledgeGraph(
        name='by hand',
        entities=tuple('abcdefg'),
        relations=('likes', 'knows'),
        train=train,
        valid=train,
        test=np.array([(0, 0, 6), (2, 1, 3), (4, 0, 1)]),
        features={'image': np.zeros((7, 1), np.float32)},
        present=np.array([[1, 1], [1, 0], [1, 1], [0, 1], [1, 0], [1, 1], [0, 0]], dtype=bool),
    )
    by_triple, by_answer = triple_groups(graph, graph.test), answer_groups(graph, graph.test)
    assert plain(by_triple) == {
        'relation': {'likes': [0, 2], 'knows': [1]},
        # Of the first relation 9 triples with 4 heads and 6 tails, test among them; of the second 2 with 2 and 1.
        'cardinality': {'N-1': [1], 'N-N': [0, 2]},
    }
    # Heads a, c, e and tails g, d, b; their degrees are 5, 2, 2 and 0, 4, 1.
    assert plain(by_answer) == {
        'coverage': {'nothing': [3], 'image': [4], 'structure': [2, 5], 'structure+image': [0, 1]},
        'degree': {'0': [3], '1': [5], '2-3': [1, 2], '4-7': [0, 4]},
    }


def plain(groups):
    return {name: {label: sorted(rows.tolist()) for label, rows in of.items()} for name, of in groups.items()}


@pytest.mark.parametrize('protocol', ['filtered', 'raw', 'constrained'])
def test_every_number_follows_from_the_ranks_of_its_group(world, tallies, found, protocol):
    result, test = found[protocol], world.graph.test
    rank = ranks(*tallies[protocol][:2])
    check(result['micro'], rank, len(test))
    check(result['head'], rank[HEAD], len(test))
    check(result['tail'], rank[TAIL], len(test))
    for policy in TIES:
        check(result['ties'][policy], ranks(*tallies[protocol][:2], policy), len(test))
    for name, groups in triple_groups(world.graph, test).items():
        assert list(result[name]) == list(groups)
        for label, rows in groups.items():
            check(result[name][label], rank[:, rows], len(rows))
    for label, rows in triple_groups(world.graph, test)['cardinality'].items():
        check(result['cardinality'][label]['head'], rank[HEAD, rows], len(rows))
        check(result['cardinality'][label]['tail'], rank[TAIL, rows], len(rows))
    for name, groups in answer_groups(world.graph, test).items():
        assert list(result[name]) == list(groups)
        for label, rows in groups.items():
            check(result[name][label], rank.ravel()[rows], len(rows))


def check(result, rank, count):
    assert result['count'] == count
    want = rank_metrics(rank)
    assert {name: result[name] for name in want} == pytest.approx(want)
    for name, (low, high) in result.get('intervals', {}).items():
        if low is not None:
            assert low - 1e-9 <= result[name] <= high + 1e-9


def test_macro_is_the_mean_over_relations(found):
    result = found['filtered']
    for name in ('mrr', 'mean_rank', 'hits_at_10'):
        mean = np.mean([metrics[name] for metrics in result['relation'].values()])
        assert result['macro'][name] == pytest.approx(mean)
    assert result['macro']['count'] == len(result['relation']) > 1


def test_a_relation_alone_has_no_interval_over_relations(world, tallies):
    rows = world.graph.test[:, 1] == world.graph.test[0, 1]
    graph = dataclasses.replace(world.graph, test=world.graph.test[rows])
    part = {name: type(tally)(*(x[:, rows] for x in tally)) for name, tally in tallies.items()}
    result = link_prediction_breakdowns(part, graph, graph.test)['filtered']
    assert 'intervals' not in result['macro'] and 'intervals' in result['micro']


def test_the_seed_decides_the_intervals_and_nothing_else(world, tallies, found):
    again = link_prediction_breakdowns(tallies, world.graph, world.graph.test)
    other = link_prediction_breakdowns(tallies, world.graph, world.graph.test, seed=1)
    assert again == found != other
    assert other['filtered']['micro']['mrr'] == found['filtered']['micro']['mrr']
