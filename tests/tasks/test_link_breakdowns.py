"""Breakdowns against plain link prediction and against groups that are made one rank at a time."""

import dataclasses

import jax
import numpy as np
import pytest

from mans_jax.data.audit import audit
from mans_jax.graph import HEAD, KnownTriples
from mans_jax.models import frozen_variables, init_params, model_for
from mans_jax.protocols import PROTOCOLS
from mans_jax.ranking import TIES, rank_metrics, ranks
from mans_jax.scoring import SCORES
from mans_jax.tasks.link_breakdowns import breakdowns, cardinalities, degrees, groupings
from mans_jax.tasks.link_prediction import link_prediction_metrics, predict_links, stand_by_protocol
from tests.graphs import quick_programs

E, R = 30, 4


@pytest.fixture(scope='module', autouse=True)
def _quick_programs(tmp_path_factory):
    with quick_programs(tmp_path_factory.getbasetemp() / 'programs'):
        yield


@pytest.fixture(scope='module')
def graph(make_graph):
    return make_graph(0, num_entities=E, num_relations=R, number=300)


@pytest.fixture(scope='module')
def ranked(graph):
    """(counts of plain link prediction, standing) of the test split; entities 0 to 4 look alike."""
    model = model_for(graph, SCORES['transe_l1'], dim=4, normalize=True)
    params, frozen = init_params(model, jax.random.key(0)), frozen_variables(graph)
    params['entity'] = params['entity'].at[:5].set(params['entity'][0])
    frozen['present'] = frozen['present'].at[:5].set(True)
    frozen['features'] = {name: rows.at[:5].set(1) for name, rows in frozen['features'].items()}
    known = KnownTriples.build(np.concatenate([graph.train, graph.valid, graph.test]), num_entities=E, num_relations=R)
    arguments = (model, params, frozen, graph, graph.test, known)
    return predict_links(*arguments), stand_by_protocol(*arguments)


def test_one_pass_gives_the_counts_of_plain_link_prediction(graph, ranked):
    counts, standing = ranked
    np.testing.assert_array_equal(standing.better[0], counts.better)
    np.testing.assert_array_equal(standing.tied[0], counts.tied)
    assert counts.tied.any()
    # Raw ranks have all the others, filtered ones fewer, and of the right kind fewer still.
    assert (standing.others[1] == E - 1).all()
    assert (standing.others[0] < E - 1).any() and (standing.others[2] <= standing.others[0]).all()
    assert (standing.better <= standing.better[1]).all()


@pytest.mark.parametrize('ties', TIES)
def test_totals_are_those_of_plain_link_prediction(graph, ranked, ties):
    counts, standing = ranked
    result = breakdowns(standing, graph, graph.test, ties=ties, resamples=20)
    assert (result['triples'], result['ties']) == (len(graph.test), ties)
    for policy in TIES:
        want, found = link_prediction_metrics(counts, policy), result['protocols']['filtered'][policy]
        assert ('intervals' in found) == (policy == ties)
        for name in ('mrr', 'mean_rank', 'hits_at_1', 'hits_at_3', 'hits_at_10'):
            assert found[name] == pytest.approx(want[name])
            assert found['head'][name] == pytest.approx(want['head'][name])
            assert found['tail'][name] == pytest.approx(want['tail'][name])
    for protocol, of in result['protocols'].items():
        values = [of_relation[protocol]['mrr'] for of_relation in result['by']['relation'].values()]
        assert of[ties]['macro']['mrr'] == pytest.approx(np.mean(values))
        low, high = of[ties]['intervals']['mrr']
        assert low < of[ties]['mrr'] < high


def group_names(graph, head, relation, tail, side, kinds):
    """The group of one rank in each grouping."""
    answer = head if side == HEAD else tail
    degree = sum(answer in (h, t) for h, _, t in graph.train.tolist())
    low = max(x for x in (0, 1, 2, 5, 10, 20, 50, 100) if x <= degree)
    return {
        'relation': graph.relations[relation],
        'cardinality': kinds[relation],
        'cardinality_and_side': f'{kinds[relation]} {"head" if side == HEAD else "tail"}',
        'coverage': ' + '.join(m for m, has in zip(graph.modalities, graph.present[answer], strict=True) if has),
        'degree': {0: '0', 1: '1', 2: '2-4', 5: '5-9', 10: '10-19', 20: '20-49', 50: '50-99', 100: '100+'}[low],
    }


def test_groups_hold_the_ranks_that_they_name(graph, ranked):
    _, standing = ranked
    result = breakdowns(standing, graph, graph.test, resamples=0)
    kinds = cardinalities(graph)
    wanted = {}
    for i, (head, relation, tail) in enumerate(graph.test.tolist()):
        for side in range(2):
            for grouping, name in group_names(graph, head, relation, tail, side, kinds).items():
                wanted.setdefault(grouping, {}).setdefault(name, []).append((side, i))
    assert {name: set(groups) for name, groups in result['by'].items()} == {
        name: set(groups) for name, groups in wanted.items()
    }
    for grouping, groups in wanted.items():
        for name, places in groups.items():
            found = result['by'][grouping][name]
            assert found['ranks'] == len(places) and found['triples'] == len({i for _, i in places})
            for p, protocol in enumerate(PROTOCOLS):
                of_protocol = ranks(standing.better[p], standing.tied[p])
                want = rank_metrics(np.array([of_protocol[place] for place in places]))
                assert {metric: found[protocol][metric] for metric in want} == pytest.approx(want)


def test_classes_are_those_of_the_audit(graph):
    triples = {'1-1': [(i, 0, i) for i in range(9)], '1-N': [(0, 1, i) for i in range(9)]}
    triples |= {'N-1': [(i, 2, 0) for i in range(9)], 'N-N': [(i, 3, j) for i in range(3) for j in range(3)]}
    rows = np.array([row for of_class in triples.values() for row in of_class], np.int32)
    made = dataclasses.replace(graph, train=np.concatenate([rows, rows[:3]]), valid=rows[:1], test=rows[-1:])
    assert cardinalities(made).tolist() == list(triples)
    found = cardinalities(graph)
    for of_class in audit(graph).cardinalities:
        assert of_class.relations == np.sum(found == of_class.name)
        assert of_class.test == np.sum(found[graph.test[:, 1]] == of_class.name)


def test_a_loop_is_one_triple_of_its_entity(graph):
    made = dataclasses.replace(graph, train=np.array([(0, 0, 0), (0, 0, 1), (0, 0, 1)], np.int32))
    assert degrees(made)[:3].tolist() == [2, 1, 0]


def test_no_group_is_empty_and_every_grouping_holds_every_rank_once(graph):
    for groups in groupings(graph, graph.test).values():
        assert all(member.any() for member in groups.values())
        np.testing.assert_array_equal(np.sum(list(groups.values()), axis=0), 1)


def test_how_many_answers_train_has_on_that_side(graph, ranked):
    result = breakdowns(ranked[1], graph, graph.test, resamples=0)
    sides = {(side, row[1], row[2 * side]) for row in graph.train.tolist() for side in range(2)}
    want = np.mean([(side, row[1], row[2 * side]) in sides for row in graph.test.tolist() for side in range(2)])
    assert result['answers_seen'] == pytest.approx(want)
