"""Tests of splitting by ratios."""

import numpy as np
import pytest

from mans_jax.data import load_graph
from mans_jax.data.ratios import split_by_ratios
from mans_jax.errors import InputError

RATIOS = (0.8, 0.1, 0.1)


def random_triples(seed, number=2000):
    return np.random.default_rng(seed).integers([60, 5, 60], size=(number, 3))


@pytest.mark.parametrize('seed', range(5))
def test_every_triple_is_in_one_split_and_train_names_everything(seed):
    triples = random_triples(seed)
    parts = split_by_ratios(triples, RATIOS, seed)
    together = np.concatenate(list(parts.values()))
    assert sorted(map(tuple, together)) == sorted(map(tuple, triples))
    distinct = {name: set(map(tuple, rows)) for name, rows in parts.items()}
    assert not distinct['train'] & distinct['valid'] | distinct['train'] & distinct['test']
    assert not distinct['valid'] & distinct['test']
    total = sum(map(len, distinct.values()))
    assert len(distinct['valid']) == len(distinct['test']) == round(0.1 * total)
    for column in (0, 1, 2):
        named = parts['train'][:, [0, 2]] if column != 1 else parts['train'][:, 1]
        assert np.isin(together[:, column], named).all()


def test_the_seed_decides():
    triples = random_triples(0)
    first, again, other = (split_by_ratios(triples, RATIOS, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first['test'], other['test'])


def test_what_cannot_be_spared_stays_in_train(caplog):
    # A ring of 10, with 20 leaves that nothing else names.
    ring = [(i, 0, (i + 1) % 10) for i in range(10)]
    leaves = [(i % 10, 0, 10 + i) for i in range(20)]
    with caplog.at_level('WARNING'):
        parts = split_by_ratios(np.array(ring + leaves), (0.4, 0.3, 0.3), 0)
    assert len(parts['valid']) == len(parts['test']) == 5
    assert (parts['train'][:, 2] >= 10).sum() == 20
    assert 'only 10 of 18 triples can be held out' in caplog.text


def test_a_loop_counts_once():
    triples = np.array([(0, 0, 0), (1, 0, 2), (2, 0, 1), (1, 0, 1), (2, 0, 2)])
    parts = split_by_ratios(triples, (0.6, 0.2, 0.2), 0)
    assert [0, 0, 0] in parts['train'].tolist() and len(parts['train']) == 3


@pytest.mark.parametrize(
    'ratios', [(0.8, 0.2), (0.8, 0.1, 0.2), (1, 0, 0), (1.1, -0.2, 0.1), ('a', 'b', 'c'), 0.8, (0.8, 0.1, float('nan'))]
)
def test_ratios_without_meaning_are_refused(ratios):
    with pytest.raises(InputError, match='is not three positive shares with the sum 1'):
        split_by_ratios(random_triples(0), ratios)


def test_a_tree_cannot_be_split():
    with pytest.raises(InputError, match='ratios: no triple for valid, 0 of 3 can be held out; give other ratios'):
        split_by_ratios(np.array([(0, 0, 1), (0, 0, 2), (0, 0, 3)]), RATIOS)


def test_load_graph_splits_one_file(tmp_path):
    path = tmp_path / 'family.csv'
    path.write_text('h,r,t\n' + ''.join(f'e{h},r{r},e{t}\n' for h, r, t in random_triples(0)))
    graph, report = load_graph(path, ratios=(0.6, 0.2, 0.2), seed=1)
    assert graph.name == 'family' and graph.num_entities == 60
    total = len(graph.train) + len(graph.valid) + len(graph.test)
    assert len(graph.valid) == len(graph.test) == round(0.2 * total)
    assert report.valid.in_train == report.test.in_train == report.valid.in_test == 0
    other, _ = load_graph(path, ratios=(0.6, 0.2, 0.2), seed=2)
    assert other.entities == graph.entities and not np.array_equal(other.test, graph.test)
