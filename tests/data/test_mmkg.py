"""Tests of the reader of the MMKG collection."""

import numpy as np
import pytest

from mans_jax.data import mmkg
from mans_jax.errors import InputError

DBPEDIA = '<http://dbpedia.org/resource/{}>'


def write(path, triples, form='{} {} {} .\n'):
    path.write_text(''.join(form.format(*triple) for triple in triples), encoding='utf-8')
    return path


def triples(number):
    rng = np.random.default_rng(0)
    ids = rng.permutation(np.stack(np.unravel_index(np.arange(20 * 3 * 20), (20, 3, 20)), axis=1))[:number]
    return [(DBPEDIA.format(f'Entität_{h}'), f'<r{r}>', DBPEDIA.format(f'Entität_{t}')) for h, r, t in ids.tolist()]


def labelled(entities, relations, splits):
    return {split: [(entities[h], relations[r], entities[t]) for h, r, t in rows] for split, rows in splits.items()}


@pytest.mark.parametrize('form', ['{} {} {} .\n', '{}\t{}\t{}\n', '{} {} {}.\n', '{} {} {} .\r\n'])
def test_every_distinct_triple_lands_in_one_split(tmp_path, form):
    lines = triples(203)
    if form == '{} {} {}.\n':  # A dot without a space belongs to the label.
        lines = [(h, r, t + '.') for h, r, t in lines]
        form = '{} {} {}\n'
    entities, relations, splits = mmkg.read(write(tmp_path / 'x', lines + lines[:50], form))
    found = labelled(entities, relations, splits)
    assert sorted(sum(found.values(), [])) == sorted(lines)
    assert set(splits['train'][:, [0, 2]].ravel()) == set(range(len(entities)))
    assert {split: len(rows) for split, rows in found.items()} == {'train': 163, 'valid': 20, 'test': 20}
    assert all(rows.dtype == np.int32 for rows in splits.values())
    assert entities[:2] == (lines[0][0], lines[0][2]) and relations[0] == lines[0][1]


def test_the_split_is_random_but_always_the_same(tmp_path):
    path = write(tmp_path / 'x', triples(500))
    first, second = labelled(*mmkg.read(path)), labelled(*mmkg.read(path))
    assert first == second
    position = {triple: i for i, triple in enumerate(triples(500))}
    places = [position[triple] for triple in first['test']]
    assert places == sorted(places) and len(places) == 50
    assert sum(np.diff(places) == 1) < 15 and 200 < np.mean(places) < 300


@pytest.mark.parametrize(
    ('line', 'number'), [('a b', 3), ('a b c d', 3), ('a b c d .', 3), ('a', 3), ('', 3), ('<a b> r c .', 3)]
)
def test_a_line_that_is_no_triple_is_named(tmp_path, line, number):
    good = [' '.join(triple) + ' .' for triple in triples(20)]
    path = tmp_path / 'x'
    path.write_text('\n'.join([*good[:2], line, *good[2:]]) + '\n')
    with pytest.raises(InputError, match=f'^{path}, line {number}: .* is not "head relation tail"'):
        mmkg.read(path)


def test_too_few_triples_and_no_file_are_refused(tmp_path):
    path = write(tmp_path / 'x', [('a', 'r', 'b'), ('b', 'r', 'c')])
    with pytest.raises(InputError, match=f'^{path}: ratios: no triple for valid'):
        mmkg.read(path)
    with pytest.raises(InputError, match='absent: no such file'):
        mmkg.read(tmp_path / 'absent')
