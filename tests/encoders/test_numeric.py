"""Numeric facts: every attribute on its own scale, outliers and all, and who has which."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mans_jax.encoders.numeric import encode, scale
from mans_jax.errors import InputError


def write(tmp_path, facts):
    path = tmp_path / 'facts.tsv'
    path.write_text(''.join('\t'.join(map(str, fact)) + '\n' for fact in facts))
    return path


def test_a_column_a_value_and_a_column_a_presence(tmp_path):
    people = [(f'person {i}', 'height', 1.7 + 0.1 * i) for i in range(5)]
    places = [(f'place {i}', 'area', 10.0**i) for i in range(4)]
    both = ('place 0', 'height', 3000.0)
    found = encode(write(tmp_path, [*people, *places, both]), min_entities=3)
    assert found.labels == [x[0] for x in [*people, *places]]
    assert found.attributes == ['area', 'height'] and found.rare == {} and found.odd == []
    assert found.values.dtype == np.float32 and found.values.shape == (9, 4)
    np.testing.assert_array_equal(found.values[:, 2], [0] * 5 + [1] * 4)
    np.testing.assert_array_equal(found.values[:, 3], [1] * 6 + [0] * 3)
    np.testing.assert_array_equal(found.values[:, :2][found.values[:, 2:] == 0], 0)
    heights = np.array([*(x[2] for x in people), 3000.0])
    centred = heights - 1.95
    # The quartiles of six values, by linear interpolation, stand at 1.25 and 3.75.
    spread = (2.075 - 1.825) / 1.349
    np.testing.assert_allclose(found.values[:6, 1], np.arcsinh(centred / spread), rtol=1e-5)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(0.1, 1e4), st.floats(-1e4, 1e4))
def test_scaling_keeps_the_order_and_forgets_unit_and_origin(values, unit, origin):
    values = np.round(np.array(values), 2)
    scaled = scale(values)
    assert np.isfinite(scaled).all()
    order = np.argsort(values, kind='stable')
    assert (np.diff(scaled[order]) >= 0).all()
    assert np.median(scaled) == pytest.approx(0, abs=np.abs(scaled).max() + 1e-9 if len(values) % 2 == 0 else 1e-9)
    np.testing.assert_allclose(scale(values * unit + origin), scaled, rtol=1e-3, atol=1e-3)


def test_outliers_do_not_change_the_scale_of_the_others():
    values = np.random.default_rng(0).normal(size=1001)
    scaled = scale(values)
    with_outlier = scale(np.append(values, [1e9, -1e9]))
    np.testing.assert_allclose(with_outlier[:-2], scaled, atol=0.02)
    assert 10 < with_outlier[-2] < 30
    assert np.std(np.sinh(scaled)) == pytest.approx(1, abs=0.1)


def test_equal_values_are_zero_and_half_of_them_equal_still_has_a_scale():
    assert scale(np.full(7, 3.0)).tolist() == [0] * 7
    assert scale(np.array([1, 1, 1, 1, 1, 1, 9])).tolist() == pytest.approx([0] * 6 + [np.arcsinh(7)])


def test_several_values_of_one_entity_are_their_median(tmp_path):
    facts = [('a', 'x', 1), ('b', 'x', 2), ('c', 'x', 3), ('d', 'x', 4)]
    several = [*facts[:3], ('d', 'x', 0), ('d', 'x', 4), ('d', 'x', 1e9)]
    encoded = [encode(write(tmp_path, rows), min_entities=4).values for rows in (facts, several)]
    np.testing.assert_array_equal(*encoded)


def test_rare_attributes_and_values_that_are_no_number_are_left_out_and_told(tmp_path):
    facts = [('a', 'x', 1), ('b', 'x', 2), ('c', 'y', 3), ('d', 'x', '19##-##-##'), ('a', 'y', '"1946-05-16"^^<date>')]
    found = encode(write(tmp_path, facts), min_entities=2)
    assert found.odd == [(4, '19##-##-##')]
    assert found.attributes == ['x', 'y'] and found.labels == ['a', 'b', 'c']
    found = encode(write(tmp_path, [*facts, ('a', 'z', 1)]), min_entities=2)
    assert found.rare == {'z': 1} and found.attributes == ['x', 'y']
    # An entity with nothing but a rare attribute has no row.
    found = encode(write(tmp_path, [*facts, ('e', 'z', 1)]), min_entities=2)
    assert 'e' not in found.labels


def test_entities_that_are_not_asked_for_do_not_count(tmp_path):
    facts = [(f'e{i}', 'people', i) for i in range(8)]
    strangers = [(f's{i}', 'people', 1e9) for i in range(100)] + [(f's{i}', 'area', i) for i in range(100)]
    asked = [entity for entity, _, _ in facts]
    alone = encode(write(tmp_path, facts), min_entities=3)
    found = encode(write(tmp_path, [*facts, *strangers]), min_entities=3, among=asked)
    np.testing.assert_array_equal(found.values, alone.values)
    assert (found.labels, found.attributes, found.strangers) == (asked, ['people'], [f's{i}' for i in range(100)])
    with pytest.raises(InputError, match="no fact about an entity of the graph; it has 's0', 's1', 's2', ..."):
        encode(write(tmp_path, strangers), among=asked)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a\tx\n', ', line 1: \'a\\tx\' is not "entity attribute value", with or without a final " ."'),
        ('a\tx\t1\n\n', None),
        ('a\tx\t1\nb\ty\t2\n', ': no attribute of at least 2 entities among 2; lower --min_entities'),
        ('', ': no attribute of at least 2 entities among 0; lower --min_entities'),
    ],
)
def test_what_cannot_be_encoded_is_refused(tmp_path, text, message):
    path = tmp_path / 'facts.tsv'
    path.write_text(text)
    with pytest.raises(InputError) as error:
        encode(path, min_entities=2)
    if message is not None:
        assert str(error.value) == f'{path}{message}'


@pytest.mark.skipif('MANS_DATA' not in os.environ, reason='set MANS_DATA to the folder of the real graphs')
def test_the_facts_of_fb15k_237():
    found = encode(Path(os.environ['MANS_DATA']) / 'fb15k-237' / 'numeric_triples.tsv')
    assert len(found.attributes) == 73 and len(found.rare) == 42 and found.odd == []
    assert found.values.shape == (12355, 146) and np.abs(found.values).max() < 13
