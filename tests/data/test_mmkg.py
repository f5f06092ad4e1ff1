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


# Lines as the three graphs of the collection have them.
NUMERIC = """/m/06rf7\t<http://rdf.freebase.com/ns/location.location.area>\t15763.18
<http://dbpedia.org/resource/Caen> <http://dbpedia.org/ontology/postalCode> "14000"^^<http://w3.org/integer> .
<http://dbpedia.org/resource/Caen> <http://www.w3.org/2003/01/geo/wgs84_pos#long> "-0.37"^^<http://w3.org/float> .
<http://dbpedia.org/resource/Robert_Fripp> <birthDate> "1946-05-16"^^<http://w3.org/date> .
<http://yago-knowledge.org/resource/Greater_Boston> <created> "1940.0717"^^<http://w3.org/degrees> .
<http://yago-knowledge.org/resource/Latvia> <created> "2000-##-##"^^<http://w3.org/date> .
<http://yago-knowledge.org/resource/Rome> <created> "-753-04-21"^^<http://w3.org/date> .
<http://yago-knowledge.org/resource/Troy> <created> "19##-##-##"^^<http://w3.org/date> .
/m/x\t<a>\t1e999
/m/x\t<a>\tnan
/m/é\t<a>\t-2.5e-3
/m/x <a> "12 or 13"^^<http://w3.org/string> .
"""


def test_numeric_facts_in_the_forms_of_all_three_graphs(tmp_path):
    (tmp_path / 'x').write_text(NUMERIC, encoding='utf-8')
    facts, others = mmkg.read_numeric(tmp_path / 'x')
    assert [fact[2] for fact in facts] == [15763.18, 14000, -0.37, 1946.0516, 1940.0717, 2000, -752.9579, -0.0025]
    assert facts[0] == ('/m/06rf7', '<http://rdf.freebase.com/ns/location.location.area>', 15763.18)
    assert facts[1][:2] == (DBPEDIA.format('Caen'), '<http://dbpedia.org/ontology/postalCode>')
    assert others == [
        (8, '"19##-##-##"^^<http://w3.org/date>'),
        (9, '1e999'),
        (10, 'nan'),
        (12, '"12 or 13"^^<http://w3.org/string>'),
    ]


def test_image_index_and_links(tmp_path):
    (tmp_path / 'x').write_text('/m/0é x\tFBIMG1\n/m/0é x\tFBIMG2\n', encoding='utf-8')
    assert mmkg.read_images(tmp_path / 'x') == [('/m/0é x', 'FBIMG1'), ('/m/0é x', 'FBIMG2')]
    (tmp_path / 'x').write_text('/m/01 <SameAs> <http://dbpedia.org/resource/A> .\n/m/02 <SameAs> <B>\n')
    assert mmkg.read_same_as(tmp_path / 'x') == [('<http://dbpedia.org/resource/A>', '/m/01'), ('<B>', '/m/02')]


@pytest.mark.parametrize(
    ('read', 'good', 'bad', 'message'),
    [
        (mmkg.read_numeric, 'e a 1', 'e a', '\'e a\' is not "entity attribute value", with or without a final " ."'),
        (mmkg.read_numeric, 'e a 1', 'e a 1 2', '\'e a 1 2\' is not "entity attribute value"'),
        (mmkg.read_images, 'e\ti', 'e i', '\'e i\' is not "entity<TAB>image"'),
        (mmkg.read_images, 'e\ti', 'e\t', '\'e\\t\' is not "entity<TAB>image"'),
        (mmkg.read_images, 'e\ti', 'e\ti\tj', '\'e\\ti\\tj\' is not "entity<TAB>image"'),
        (mmkg.read_same_as, '/m/1 <SameAs> e .', '/m/1 e', '\'/m/1 e\' is not "freebase_id <SameAs> entity ."'),
    ],
)
def test_a_fact_that_is_none_is_named(tmp_path, read, good, bad, message):
    (tmp_path / 'x').write_text(f'{good}\n{bad}\n{good}\n')
    with pytest.raises(InputError) as error:
        read(tmp_path / 'x')
    assert str(error.value).startswith(f'{tmp_path / "x"}, line 2: {message}')


def test_a_decimal_may_begin_with_its_point_and_a_date_must_exist(tmp_path):
    path = tmp_path / 'x.txt'
    path.write_text('a\tx\t.5\nb\tx\t-.5e1\nc\tx\t1946-99-99\nd\tx\t.\ne\tx\t1946-12-31\n')
    facts, others = mmkg.read_numeric(path)
    assert facts == [('a', 'x', 0.5), ('b', 'x', -5.0), ('e', 'x', 1946.1231)]
    assert others == [(3, '1946-99-99'), (4, '.')]
