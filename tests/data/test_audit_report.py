"""Tests of the words of an audit: every fault is named with its cure, and nothing else is."""

import dataclasses

import numpy as np

from mans_jax.data.audit import audit
from mans_jax.data.audit_report import problems, table
from mans_jax.graph import KnowledgeGraph


def graph(train, valid, test, labels='abcdefgh', features=None, present=True) -> KnowledgeGraph:
    features = {'text': np.eye(len(labels), dtype=np.float32)} if features is None else features
    return KnowledgeGraph(
        name='small',
        entities=tuple(labels),
        relations=('r', 's'),
        train=np.array(train),
        valid=np.array(valid),
        test=np.array(test),
        features=features,
        present=np.full((len(labels), 1 + len(features)), present),
    )


CLEAN = ([(0, 0, 1), (1, 1, 2), (2, 0, 3), (4, 1, 5), (6, 0, 7)], [(0, 0, 2)], [(1, 1, 3)])


def whats(graph):
    return [problem.what for problem in problems(audit(graph))]


def test_a_clean_graph_has_no_problem():
    assert whats(graph(*CLEAN)) == []
    assert table(audit(graph(*CLEAN))).endswith('\n\nproblems: none')


def test_each_fault_is_named_with_its_numbers():
    train, valid, test = CLEAN
    leak, repeated = train[0], valid[0]
    assert whats(graph(train, valid, [*test, leak, leak])) == [
        'test: 1 of 2 distinct triples (2 lines) stand in train',
        'test: 1 of 3 lines repeat another',
    ]
    assert whats(graph(train, [*valid, leak, test[0]], test)) == [
        'valid: 1 of 3 distinct triples (1 lines) stand in train',
        'valid: 1 of 3 distinct triples (1 lines) stand in test',
    ]
    assert whats(graph([*train, leak], [*valid, repeated], test)) == [
        'train: 1 of 6 lines repeat another',
        'valid: 1 of 2 lines repeat another',
    ]
    assert whats(graph(train[:-1], valid, [(0, 0, 7)])) == ['test: 1 triples name entities that no train triple does']
    assert whats(graph([row for row in train if row[1] == 0], valid, [(0, 1, 3)])) == [
        'test: 1 triples name relations that no train triple does'
    ]
    assert whats(graph(train[:-1], valid, test, features={})) == [
        '2 entities have neither a train triple nor a feature'
    ]


def test_the_cure_for_unseen_entities_depends_on_their_features():
    train, valid, _ = CLEAN
    found = [
        problems(audit(graph(train[:-1], valid, [(0, 0, 7)], features=features)))[0].cure for features in (None, {})
    ]
    assert found[0].startswith('their features alone can rank them')
    assert found[1].startswith('nothing can rank those without features')


def test_faults_of_features_are_named():
    matrix = np.eye(8, dtype=np.float32)
    matrix[5] = 0
    matrix[1] = matrix[3] = matrix[0]
    assert whats(graph(*CLEAN, features={'text': matrix})) == [
        'text: 1 entities have nothing but zeros',
        'text: 3 entities share their row with another, as a, b, d',
    ]


def test_triples_that_others_give_away_are_named():
    train = [(i, 0, i + 1) for i in range(0, 40, 2)] + [(i + 1, 1, i) for i in range(0, 36, 2)]
    valid, test = [(37, 1, 36)], [(39, 1, 38), (1, 0, 3)]
    found = graph(train, valid, test, labels=[f'e{i}' for i in range(40)], features={})
    follow = 'follow from a train triple of an overlapping relation'
    assert whats(found) == [
        f'test: 1 of 2 distinct triples, leaks aside, {follow}',
        f'valid: 1 of 1 distinct triples, leaks aside, {follow}',
    ]
    text = table(audit(found))
    assert '\n  inverse     20       95%       100%             1  r, s\n' in text
    assert '1 valid and 1 test triples trivial' in text


def test_a_problem_without_a_cure_is_none_and_equal_cures_are_said_once():
    train, valid, test = CLEAN
    found = audit(graph(train, [*valid, train[0], test[0]], [*test, train[0]]))
    assert len(problems(found)) == 3
    assert all(problem.cure for problem in problems(found))
    assert table(found).count('->') == len({problem.cure for problem in problems(found)}) == 1


def test_columns_are_aligned_and_lines_short():
    text = table(audit(graph(*CLEAN, labels=['x' * 100, *'bcdefgh'])))
    assert max(map(len, text.split('\n'))) <= 120
    heading, *rows = text.split('\n\n')[1].split('\n')
    ends = [heading.index(name) + len(name) for name in ('lines', 'distinct', 'repeated')]
    for row in rows:
        for end in ends:
            assert row[end - 1].isdigit() and row[end : end + 1] in ('', ' ')


def test_labels_cannot_move_the_cursor():
    found = audit(graph(*CLEAN, labels=['\x1b[2Ja', 'b\rc', '\u202ed', *'defgh']))
    hubs = tuple((label, 3) for label in ('\x1b[2Ja', 'b\rc', '\u202ed'))
    text = table(dataclasses.replace(found, degrees=dataclasses.replace(found.degrees, hubs=hubs)))
    assert 'hubs: ?[2Ja 3, b?c 3, ?d 3' in text
    assert not set('\x1b\r\u202e') & set(text)
